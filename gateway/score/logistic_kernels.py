"""Log-odds or probabilities around each row, given a fitted model: piece after piece of users.

A piece goes through some loops: logits user by user, then exponentials for all rows side by
side (in the processor's vector registers).
"""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, parallel_kernel, prange
from gateway.score.prefix_loss_kernels import (
    CALENDAR,
    TENURES,
    joins_bin,
    sigmoid,
    time_bin,
)

# Users of a piece: few enough for its rows to stay in the second cache.
USERS = 256


@inner_kernel
def _fill_users(  # type: ignore[no-untyped-def]
    offsets, which, u, end, group, time, w, early, late, factors, cuts, lines, before, after, at_end
):
    """Fill logits. s: sum of the weights so far, q: of their squared factors.

    Whole arrays and places in them: to cut out a user's parts takes as long as her rows.
    """
    for v in range(u, end):
        a, b = offsets[v], offsets[v + 1]
        k = which[v]
        if k == len(w) - 1:
            before[a:b] = 0.0
            after[a:b] = 0.0
            at_end[a:b] = 0.0
            continue
        keep, spread = factors[k, 0], factors[k, 1]
        slope, intercept = lines[k, 0], lines[k, 1]
        s = 0.0
        q = 0.0
        i = a
        piece = 0
        while i < b:
            tick = np.int64(time[i])
            stop = i + 1
            while stop < b and time[stop] == tick:
                stop += 1
            gap = np.int64(0) if i == a else time_bin(tick - np.int64(time[i - 1]))
            tenure = time_bin(tick - np.int64(time[a]))
            while piece < CALENDAR - 1 and cuts[k, piece] <= tick:
                piece += 1
            rest = late[k, gap * CALENDAR + piece]
            level = early[k, joins_bin(i + 1 - a) * TENURES + tenure] + rest
            if i > a:
                s *= keep
                q *= keep * keep
            scale = 1.0 / np.sqrt(q + 1.0)
            z = slope * (s * scale + level) + intercept
            if stop == i + 1:
                # The block ends where its only row does.
                s += w[k, group[i]]
                q += spread
                before[i] = z
                z = slope * (s * scale + level) + intercept
                after[i] = z
                at_end[i] = z
                i = stop
                continue
            total = 0.0
            for j in range(i, stop):
                x = w[k, group[j]]
                total += x
                before[j] = z
                after[j] = slope * ((s + x) * scale + level) + intercept
            s += total
            q += spread * (stop - i)
            level = early[k, joins_bin(stop - a) * TENURES + tenure] + rest
            x = s * (1.0 / np.sqrt(q + (1.0 - spread))) + level
            for j in range(i, stop):
                at_end[j] = slope * x + intercept
            i = stop


@inner_kernel
def _sigmoids(x):  # type: ignore[no-untyped-def]
    for j in range(len(x)):
        x[j] = sigmoid(x[j])


@parallel_kernel
def fill_around(  # type: ignore[no-untyped-def]
    offsets, which, group, time, w, early, late, factors, cuts, lines, as_logits, before, after,
    at_end,
):  # fmt: skip
    """Fill what is known around the rows of all users, each by the model of its fold.

    ``as_logits``: whether log-odds are filled, and not the probabilities that the line makes of
    them.
    """
    for k in prange(-(-len(which) // USERS)):
        u, end = k * USERS, min((k + 1) * USERS, len(which))
        a, b = offsets[u], offsets[end]
        _fill_users(
            offsets, which, u, end, group, time, w, early, late, factors, cuts, lines, before,
            after, at_end,
        )  # fmt: skip
        if not as_logits:
            _sigmoids(before[a:b])
            _sigmoids(after[a:b])
            _sigmoids(at_end[a:b])
