"""Log-odds or probabilities around each row, given weights: piece after piece of whole users.

A piece goes through some loops: weights, their running sums, exponentials for all rows side
by side (in the processor's vector registers), and the three columns. Where a user or a block
begins is looked up and not branched on: nobody could guess it, the processor least of all.
"""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, parallel_kernel, prange, write_through
from gateway.score.prefix_loss_kernels import sigmoid

__all__ = ["USERS", "fill_around"]

# Users of a piece: few enough for its rows to stay in the second cache.
USERS = 256
# Flags of a row: it starts a block, it starts a user. Unsigned numbers, of which the compiler
# knows that they are no places from the end.
_BLOCK, _USER = np.uint64(1), np.uint64(2)
_NONE = np.uint64(0)


@inner_kernel
def _mark(offsets, fold, starts_block, intercept, base, flags, folds, logit, first):  # type: ignore[no-untyped-def]
    """Flag the rows; write fold, logit and probability before the first row of each user.

    Users with rows are counted from 1. Past the last row a user begins.
    """
    for j in range(len(starts_block)):
        flags[j] = starts_block[j]
    u = 1
    for k in range(len(fold)):
        flags[offsets[k] - offsets[0]] = _BLOCK | _USER
        folds[u] = fold[k]
        logit[u] = intercept[fold[k]]
        first[u] = base[fold[k]]
        u += offsets[k] < offsets[k + 1]
    flags[len(starts_block)] = _BLOCK | _USER


@inner_kernel
def _weights(group, flags, folds, w, x):  # type: ignore[no-untyped-def]
    """Look up the rows' weights, and nothing else: many looks at a large table at a time."""
    u = _NONE
    for j in range(len(group)):
        u += np.uint64(flags[j]) >> _BLOCK
        x[j] = w[np.uint64(folds[u]), np.uint32(group[j])]


@inner_kernel
def _logits(flags, folds, logit, line, alone, ends):  # type: ignore[no-untyped-def]
    """Turn weights into logits after each row alone, and list those after blocks of several.

    z: sum of weights before the block, s: and after the row; a user's own intercept comes in
    with the weights of the first block. Returns the number of blocks of several rows.
    """
    s = 0.0
    z = 0.0
    u = _NONE
    n = _NONE
    # Whose intercept a row takes: that of its user, or none.
    whose = _NONE
    started = _BLOCK
    logit[0] = 0.0
    for j in range(len(alone)):
        flag = np.uint64(flags[j])
        starts = flag & _BLOCK
        u += flag >> _BLOCK
        n += starts & ~started
        whose = _NONE if starts else whose
        whose = u if flag >= _USER else whose
        f = np.uint64(folds[u])
        x = alone[j]
        first_x = x + logit[whose]
        s = 0.0 if flag >= _USER else s
        z = s if starts else z
        s += first_x if flag >= _USER else x
        alone[j] = line[f, 0] * (z + first_x) + line[f, 1]
        ends[n] = line[f, 0] * s + line[f, 1]
        started = starts
    return np.int64(n + (_BLOCK & ~started))


@inner_kernel
def _sigmoids(x):  # type: ignore[no-untyped-def]
    for j in range(len(x)):
        x[j] = sigmoid(x[j])


@inner_kernel
def _fill(flags, n, p, before, after, at_end):  # type: ignore[no-untyped-def]
    """Fill the columns from the places in p: each row's, then ends of blocks, then users."""
    end = np.uint64(n)
    u = np.uint64(2 * n + 1)
    place = _NONE
    last = _NONE
    several = _NONE
    for j in range(n):
        flag = np.uint64(flags[j])
        starts = flag & _BLOCK
        u += flag >> _BLOCK
        end += starts & several
        several = _BLOCK ^ (starts & np.uint64(flags[j + 1]))
        place = last if starts else place
        place = u if flag >= _USER else place
        last = end if several else np.uint64(j)
        write_through(before, j, p[place])
        write_through(after, j, p[j])
        write_through(at_end, j, p[last])


@inner_kernel
def _piece(  # type: ignore[no-untyped-def]
    offsets, fold, group, starts_block, w, intercept, line, base, as_logits, flags, folds, logit, p,
    before, after, at_end,
):  # fmt: skip
    n = len(group)
    _mark(offsets, fold, starts_block, intercept, base, flags, folds, logit, p[2 * n + 1 :])
    _weights(group, flags, folds, w, p[:n])
    blocks = _logits(flags, folds, logit, line, p[:n], p[n : 2 * n + 1])
    if not as_logits:
        _sigmoids(p[: n + blocks])
    _fill(flags, n, p, before, after, at_end)


@parallel_kernel
def fill_around(  # type: ignore[no-untyped-def]
    offsets, fold, group, starts_block, w, intercept, line, base, as_logits, before, after, at_end
):
    """Fill what is known around the rows of all users, each by the model of its fold.

    ``base``: what stands before a user's first block; ``as_logits``: whether log-odds are
    filled, and not the probabilities that the line makes of them.
    """
    for k in prange(-(-len(fold) // USERS)):
        users, end = k * USERS, min((k + 1) * USERS, len(fold))
        a, b = offsets[users], offsets[end]
        n = b - a
        _piece(
            offsets[users : end + 1],
            fold[users:end],
            group[a:b],
            starts_block[a:b],
            w,
            intercept,
            line,
            base,
            as_logits,
            np.empty(n + 1, np.uint8),
            np.empty(USERS + 2, np.int8),
            np.empty(USERS + 2),
            np.empty(2 * n + USERS + 3),
            before[a:b],
            after[a:b],
            at_end[a:b],
        )
