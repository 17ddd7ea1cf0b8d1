"""All-prefix logistic regression on packed rows: two 32-bit codes for each.

For user u with rows i = 1, 2, ... in blocks (ticks), the logit of the prefix that ends at row i
is z_i = b + q_i s_i + effects of its covariates. s_i is a running sum forward: of the weights
w[g] of the groups joined, each times ``keep`` for every later block; q_i = 1 / sqrt(sum of the
squares of those factors). The weight w[g_j] stands in every logit from row j on, so its
gradient is the running sum of residuals *backward* from the user's end to j, with the same
factors. No prefix is ever written out.

A code holds the group and four bits: whether the row starts a user, starts a block, has a known
outcome to train on, and which. The other code holds two cells: number of joins so far by time
since the first one, and time since the last block by calendar time. A block of whole users goes
through loops: running sums of weights forward, exponentials for all rows side by side (in the
processor's vector registers), running sums of residuals backward.
"""

from __future__ import annotations

import numpy as np

from gateway._numba import bits_of, float_of, inner_kernel, parallel_kernel, prange

# Bits of a code: the group's, then three flags; the sign is that the row starts a user.
BLOCK = 28
TRAINS = 29
LABEL = 30
GROUP = (1 << BLOCK) - 1
# Numbers of bins: of joins so far, of ticks since the first, of ticks since the last block (none
# before the first one), and of calendar time.
JOINS, TENURES, GAPS, CALENDAR = 32, 34, 34, 30
_CELL = 16
_LOW = (1 << _CELL) - 1
_STARTS = -(1 << 31)
# exp(-700) is still a normal number.
MOST_LOGIT = 700.0
# A factor is at most 2, and the largest float beyond 2 ** 1023.
_ROUNDS = 1_000
# Groups whose sums are added at a time.
_STRIPE = 1_024

# exp(x) = 2^k exp(f), |f| <= log(2) / 2; Cody, Waite (1980). log(2) in two parts, the first
# short enough for k times it to be exact; adding _MAGIC rounds to an integer, which then
# stands in the low bits. The Taylor series is cut where it is below half a last place.
_LOG2_E = 1.4426950408889634
_MAGIC = 6755399441055744.0
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_C3, _C4, _C5, _C6, _C7 = 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5_040
_C8, _C9, _C10, _C11 = 1 / 40_320, 1 / 362_880, 1 / 3_628_800, 1 / 39_916_800
_C12, _C13 = 1 / 479_001_600, 1 / 6_227_020_800


@inner_kernel
def exponential(x):  # type: ignore[no-untyped-def]
    """Return exp(x) for |x| <= 700 to a relative 4e-16, by arithmetic alone: it vectorises."""
    t = x * _LOG2_E + _MAGIC
    k = t - _MAGIC
    f = (x - k * _LN2_HIGH) - k * _LN2_LOW
    p = _C13 * f + _C12
    p = p * f + _C11
    p = p * f + _C10
    p = p * f + _C9
    p = p * f + _C8
    p = p * f + _C7
    p = p * f + _C6
    p = p * f + _C5
    p = p * f + _C4
    p = p * f + _C3
    p = p * f + 0.5
    p = p * f + 1.0
    p = p * f + 1.0
    return float_of(bits_of(p) + (bits_of(t) << 52))


@inner_kernel
def sigmoid(x):  # type: ignore[no-untyped-def]
    """Return 1 / (1 + exp(-x)) to a relative 1e-15; beyond |x| = 700 it stays what it is there."""
    e = exponential(-min(abs(x), MOST_LOGIT))
    return (1.0 if x >= 0.0 else e) / (1.0 + e)


@parallel_kernel
def trim_users(offsets, ends_block, label, users, length):  # type: ignore[no-untyped-def]
    """Fill the rows of each user up to the last one to train on: later ones teach nothing."""
    for u in prange(len(offsets) - 1):
        i = offsets[u + 1] if users[u] else offsets[u]
        while i > offsets[u] and not (ends_block[i - 1] and label[i - 1] >= 0):
            i -= 1
        length[u] = i - offsets[u]


@parallel_kernel
def write_codes(offsets, group, starts_block, ends_block, label, first, code):  # type: ignore[no-untyped-def]
    """Write each user's codes from ``first`` on."""
    for u in prange(len(offsets) - 1):
        for j in range(first[u + 1] - first[u]):
            i = offsets[u] + j
            c = np.int64(group[i])
            c |= np.int64(starts_block[i]) << BLOCK
            if ends_block[i] and label[i] >= 0:
                c |= 1 << TRAINS
                c |= np.int64(label[i]) << LABEL
            if j == 0:
                c += _STARTS
            code[first[u] + j] = c


@inner_kernel
def _exponent(n):  # type: ignore[no-untyped-def]
    """Floor of the logarithm to base 2 of a positive integer below 2^53."""
    return (bits_of(np.float64(n)) >> 52) - 1023


@inner_kernel
def joins_bin(n):  # type: ignore[no-untyped-def]
    """Bin of a number of joins from 1 on: 1, 2, 3, 4 to 5, 6 to 7, 8 to 11, ..."""
    k = _exponent(n)
    if k == 0:
        return np.int64(0)
    return min(2 * k - 1 + ((n >> (k - 1)) & 1), JOINS - 1)


@inner_kernel
def time_bin(ticks):  # type: ignore[no-untyped-def]
    """Bin of a time: 0, 1, 2 to 3, 4 to 7, ..."""
    return np.int64(0) if ticks <= 0 else _exponent(ticks) + 1


@inner_kernel
def calendar_bin(cuts, tick):  # type: ignore[no-untyped-def]
    """Number of cuts that are not above a tick."""
    n = 0
    for k in range(len(cuts)):
        n += cuts[k] <= tick
    return n


@parallel_kernel
def write_cells(offsets, time, first, cuts, cell):  # type: ignore[no-untyped-def]
    """Write the two cells of each row at the end of its block, as ``write_codes``."""
    for u in prange(len(offsets) - 1):
        last = np.int64(0)
        gap = np.int64(0)
        late = np.int64(0)
        begun = np.int64(0)
        for j in range(first[u + 1] - first[u]):
            t = np.int64(time[offsets[u] + j])
            if j == 0:
                begun = t
            if j == 0 or t != last:
                gap = np.int64(0) if j == 0 else time_bin(t - last)
                late = gap * CALENDAR + calendar_bin(cuts, t)
            last = t
            early = joins_bin(j + 1) * TENURES + time_bin(t - begun)
            cell[first[u] + j] = np.uint32(early | late << _CELL)


@inner_kernel
def _block_end(code, start, end, room):  # type: ignore[no-untyped-def]
    """Past the last user of a block that fills the room; a longer user is a block alone."""
    if start + room >= end:
        return end
    stop = start + room
    while stop > start and code[stop] >= 0:
        stop -= 1
    if stop == start:
        stop = start + room
        while stop < end and code[stop] >= 0:
            stop += 1
    return stop


@inner_kernel
def _forward(code, w, keep, spread, z, scale):  # type: ignore[no-untyped-def]
    """Fill running sums, and what they are divided by, squared: 1 where ``spread`` is 0."""
    s = 0.0
    q = 0.0
    for j in range(len(code)):
        c = code[j]
        f = 0.0 if c < 0 else (keep if (c >> BLOCK) & 1 else 1.0)
        s = s * f + w[c & GROUP]
        q = q * f * f + spread
        z[j] = s
        scale[j] = q + (1.0 - spread)


@inner_kernel
def _logits(cell, early, late, z, scale):  # type: ignore[no-untyped-def]
    for j in range(len(cell)):
        x = 1.0 / np.sqrt(scale[j])
        scale[j] = x
        z[j] *= x
    for j in range(len(cell)):
        c = cell[j]
        z[j] += early[c & _LOW] + late[c >> _CELL]


@inner_kernel
def _residuals(code, z, loss, product, slope):  # type: ignore[no-untyped-def]
    """Turn logits into residuals; add up loss, 1 + e and residuals in one lane per place.

    log(1 + exp(z)) = max(z, 0) + log(1 + e), e = exp(-|z|) <= 1; one logarithm of a product
    stands for many rows.
    """
    for j in range(len(code)):
        c = code[j]
        on = np.float64((c >> TRAINS) & 1)
        y = np.float64((c >> LABEL) & 1)
        x = z[j]
        e = exponential(-min(abs(x), MOST_LOGIT))
        loss[j] += on * (max(x, 0.0) - y * x)
        product[j] *= 1.0 + on * e
        r = on * ((1.0 if x >= 0.0 else e) / (1.0 + e) - y)
        slope[j] += r
        z[j] = r


@inner_kernel
def _backward(code, residual, scale, keep, gradient):  # type: ignore[no-untyped-def]
    r = 0.0
    for j in range(len(code) - 1, -1, -1):
        c = code[j]
        r += residual[j] * scale[j]
        gradient[c & GROUP] += r
        r = 0.0 if c < 0 else (r * keep if (c >> BLOCK) & 1 else r)


@inner_kernel
def _add_cells(cell, residual, early, late):  # type: ignore[no-untyped-def]
    for j in range(len(cell)):
        c = cell[j]
        early[c & _LOW] += residual[j]
        late[c >> _CELL] += residual[j]


@inner_kernel
def _take_logarithms(loss, product):  # type: ignore[no-untyped-def]
    for j in range(len(product)):
        loss[j] += np.log(product[j])
        product[j] = 1.0


@inner_kernel
def _zero(x):  # type: ignore[no-untyped-def]
    for j in range(len(x)):
        x[j] = 0.0


@inner_kernel
def _chunk_loss(  # type: ignore[no-untyped-def]
    code, cell, start, end, w, early, late, keep, spread, z, scale, lanes, gradient, by_early,
    by_late, totals,
):  # fmt: skip
    """Go through the blocks of a chunk; ``lanes`` holds loss, product and slope by place."""
    _zero(gradient)
    _zero(by_early)
    _zero(by_late)
    room = lanes.shape[1]
    for j in range(room):
        lanes[0, j], lanes[1, j], lanes[2, j] = 0.0, 1.0, 0.0
    rounds = 0
    while start < end:
        stop = _block_end(code, start, end, room)
        block, cells = code[start:stop], cell[start:stop]
        _forward(block, w, keep, spread, z, scale)
        _logits(cells, early, late, z, scale)
        for first in range(0, len(block), room):
            last = min(first + room, len(block))
            _residuals(block[first:last], z[first:last], lanes[0], lanes[1], lanes[2])
            rounds += 1
            if rounds == _ROUNDS:
                _take_logarithms(lanes[0], lanes[1])
                rounds = 0
        _backward(block, z, scale, keep, gradient)
        _add_cells(cells, z, by_early, by_late)
        start = stop
    _take_logarithms(lanes[0], lanes[1])
    loss = 0.0
    slope = 0.0
    for j in range(room):
        loss += lanes[0, j]
        slope += lanes[2, j]
    totals[0] = loss
    totals[1] = slope


@parallel_kernel
def chunk_losses(  # type: ignore[no-untyped-def]
    code, cell, bounds, w, early, late, keep, spread, z, scale, lanes, gradient, by_early, by_late,
    totals,
):  # fmt: skip
    """Fill loss and intercept's slope (``totals``) and gradients of each chunk of rows.

    ``early`` and ``late``: effects of the two cells, the intercept in the first one.
    """
    for c in prange(len(bounds) - 1):
        _chunk_loss(
            code, cell, bounds[c], bounds[c + 1], w, early, late, keep, spread, z[c], scale[c],
            lanes[c], gradient[c], by_early[c], by_late[c], totals[c],
        )  # fmt: skip


@inner_kernel
def _add_stripe(gradient, penalty, w, total, first, end):  # type: ignore[no-untyped-def]
    sums, weights = total[first:end], w[first:end]
    for g in range(len(sums)):
        sums[g] = penalty * weights[g]
    for c in range(gradient.shape[0]):
        chunk = gradient[c, first:end]
        for g in range(len(sums)):
            sums[g] += chunk[g]


@parallel_kernel
def add_chunks(gradient, penalty, w, total):  # type: ignore[no-untyped-def]
    """Add the chunks' gradients up in order, and that of the penalty."""
    n = len(total)
    for k in prange(-(-n // _STRIPE)):
        _add_stripe(gradient, penalty, w, total, k * _STRIPE, min(n, (k + 1) * _STRIPE))


@inner_kernel
def _chunk_later(code, start, end, keep, spread, w, room, z, scale, count):  # type: ignore[no-untyped-def]
    _zero(count)
    while start < end:
        stop = _block_end(code, start, end, room)
        block = code[start:stop]
        _forward(block, w, keep, spread, z, scale)
        n = 0.0
        for j in range(len(block) - 1, -1, -1):
            c = block[j]
            n += ((c >> TRAINS) & 1) / scale[j]
            count[c & GROUP] += n
            n = 0.0 if c < 0 else (n * keep * keep if (c >> BLOCK) & 1 else n)
        start = stop


@parallel_kernel
def count_later(code, bounds, keep, spread, w, room, z, scale, count):  # type: ignore[no-untyped-def]
    """Add up for each group its squared factors in the training rows' logits, by chunk."""
    for c in prange(len(bounds) - 1):
        _chunk_later(
            code, bounds[c], bounds[c + 1], keep, spread, w, room, z[c], scale[c], count[c]
        )


@inner_kernel
def _chunk_flags(code, cell, flags, early, late):  # type: ignore[no-untyped-def]
    for j in range(len(code)):
        on = (code[j] >> TRAINS) & 1
        flags[0] += on
        flags[1] += (code[j] >> LABEL) & 1
        early[cell[j] & _LOW] += on
        late[cell[j] >> _CELL] += on


@parallel_kernel
def count_flags(code, cell, bounds, flags, early, late):  # type: ignore[no-untyped-def]
    """Add up, chunk by chunk: rows to train on, those with outcome 1, and the former by cell."""
    for c in prange(len(bounds) - 1):
        rows = slice(bounds[c], bounds[c + 1])
        _chunk_flags(code[rows], cell[rows], flags[c], early[c], late[c])
