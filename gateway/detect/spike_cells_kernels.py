"""Cells of jumps, their moments, and which jumps stand out in them."""

from __future__ import annotations

import numpy as np

from gateway._numba import bits_of, float_of, inner_kernel, parallel_kernel, prange

__all__ = ["DECILES", "least_jumps", "mark_jumps", "place_in_cells", "sizes_between",
           "standardise"]  # fmt: skip

DECILES = 9

# Users whose rows go through all loops before the next ones': they stay in the second cache.
_USERS = 256
_STARTS_USER = 3
_HIGHEST = (1 << 63) - 1
_BEYOND = 2.0


@inner_kernel
def _flag(offsets, starts_block, cell):  # type: ignore[no-untyped-def]
    """Write 1 where a block starts, 3 where a user does."""
    for i in range(len(cell)):
        cell[i] = starts_block[i]
    for u in range(len(offsets) - 1):
        if offsets[u] < offsets[u + 1]:
            cell[offsets[u] - offsets[0]] = _STARTS_USER


@inner_kernel
def _add_position(first, cell):  # type: ignore[no-untyped-def]
    """Replace the flags by the first cell of the row's number of blocks before."""
    total = 0
    before = 0
    most = len(first) - 1
    for i in range(len(cell)):
        flag = np.int64(cell[i])
        total += flag & 1
        before = total if flag == _STARTS_USER else before
        cell[i] = first[np.uint64(min(total - before, most))]


@inner_kernel
def _add_decile(before, cuts, cell):  # type: ignore[no-untyped-def]
    for i in range(len(cell)):
        x = before[i]
        n = 0
        # As many as the compiler knows: it compares several rows at a time.
        for k in range(DECILES):
            n += cuts[k] < x
        cell[i] += n


@inner_kernel
def _moments(cell, before, after, count, mean, spread):  # type: ignore[no-untyped-def]
    """Mean and sum of squared deviations of the jump in each cell (Welford 1962)."""
    for i in range(len(cell)):
        c = cell[i]
        x = after[i] - before[i]
        count[c] += 1
        d = x - mean[c]
        m = mean[c] + d / count[c]
        mean[c] = m
        spread[c] += d * (x - m)


@inner_kernel
def _place_users(  # type: ignore[no-untyped-def]
    users, end, offsets, starts_block, before, after, first, cuts, cell, count, mean, spread
):
    for u in range(users, end, _USERS):
        stop = min(u + _USERS, end)
        a, b = offsets[u], offsets[stop]
        _flag(offsets[u : stop + 1], starts_block[a:b], cell[a:b])
        _add_position(first, cell[a:b])
        _add_decile(before[a:b], cuts, cell[a:b])
        _moments(cell[a:b], before[a:b], after[a:b], count, mean, spread)


@parallel_kernel
def place_in_cells(  # type: ignore[no-untyped-def]
    bounds, offsets, starts_block, before, after, first, cuts, cell, count, mean, spread
):
    """Fill the cell of each row, and the moments of its jump, chunk by chunk of users.

    ``first``: the first cell of each number of blocks before; the last one's of more, too.
    ``cuts``: as many as there are deciles; those that are not wanted are infinite.
    """
    for c in prange(len(bounds) - 1):
        _place_users(
            bounds[c],
            bounds[c + 1],
            offsets,
            starts_block,
            before,
            after,
            first,
            cuts,
            cell,
            count[c],
            mean[c],
            spread[c],
        )


@inner_kernel
def _size(jump, mean, sd):  # type: ignore[no-untyped-def]
    """The one expression for z: a least jump is the least for it, to the last bit."""
    return (jump - mean) / sd if sd > 0.0 else 0.0


@inner_kernel
def _standardise(cell, before, after, mean, sd, z):  # type: ignore[no-untyped-def]
    for i in range(len(cell)):
        c = cell[i]
        z[i] = _size(after[i] - before[i], mean[c], sd[c])


@parallel_kernel
def standardise(bounds, cell, before, after, mean, sd, z):  # type: ignore[no-untyped-def]
    """Fill the jump, centred and scaled by its cell; zero where ``sd`` is."""
    for c in prange(len(bounds) - 1):
        first, end = bounds[c], bounds[c + 1]
        _standardise(cell[first:end], before[first:end], after[first:end], mean, sd, z[first:end])


@inner_kernel
def _in_order(bits):  # type: ignore[no-untyped-def]
    """Turn the bits of floats into integers in the same order, and back."""
    return bits ^ ((bits >> 63) & _HIGHEST)


@inner_kernel
def _least_jump(mean, sd, z):  # type: ignore[no-untyped-def]
    """Halve the floats between two that no difference of probabilities reaches."""
    low = _in_order(bits_of(-_BEYOND))
    high = _in_order(bits_of(_BEYOND))
    while low + 1 < high:
        # Their mean, without their sum, which may be too large.
        middle = (low & high) + ((low ^ high) >> 1)
        if _size(float_of(_in_order(middle)), mean, sd) >= z:
            high = middle
        else:
            low = middle
    return float_of(_in_order(high))


@parallel_kernel
def least_jumps(mean, sd, z, least):  # type: ignore[no-untyped-def]
    """Fill the least jump of each cell whose size is at least z, 2 where none is."""
    for c in prange(len(least)):
        least[c] = _least_jump(mean[c], sd[c], z)


@inner_kernel
def _sizes_between(cell, before, after, mean, sd, start, high, row, found, count):  # type: ignore[no-untyped-def]
    above = 0
    n = 0
    for first in range(0, len(cell), len(row)):
        rows = np.uint64(0)
        for i in range(first, min(first + len(row), len(cell))):
            # Written before it is known whether it stays: nobody could guess that.
            row[rows] = i
            rows += np.uint64(after[i] - before[i] >= start[cell[i]])
        above += np.int64(rows)
        for k in range(np.int64(rows)):
            i = row[k]
            c = cell[i]
            z = _size(after[i] - before[i], mean[c], sd[c])
            if z < high:
                if n < len(found):
                    found[n] = z
                n += 1
    count[0] = len(cell) - above
    count[1] = n


@parallel_kernel
def sizes_between(  # type: ignore[no-untyped-def]
    bounds, cell, before, after, mean, sd, start, high, row, found, count
):
    """Fill, chunk by chunk, sizes below ``high`` of jumps from their cell's ``start`` on.

    ``count``: of smaller jumps, and of those sizes, also where they are more than there is
    room for.
    """
    for c in prange(len(bounds) - 1):
        first, end = bounds[c], bounds[c + 1]
        _sizes_between(
            cell[first:end],
            before[first:end],
            after[first:end],
            mean,
            sd,
            start,
            high,
            row[c],
            found[c],
            count[c],
        )


@inner_kernel
def _mark(before, after, least, cell):  # type: ignore[no-untyped-def]
    for i in range(len(cell)):
        cell[i] = after[i] - before[i] >= least[cell[i]]


@parallel_kernel
def mark_jumps(bounds, before, after, least, cell):  # type: ignore[no-untyped-def]
    """Replace each row's cell by whether its jump is at least the cell's ``least``."""
    for c in prange(len(bounds) - 1):
        first, end = bounds[c], bounds[c + 1]
        _mark(before[first:end], after[first:end], least, cell[first:end])
