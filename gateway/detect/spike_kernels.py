"""Inner loops of the spike detector."""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, parallel_kernel, prange, prefetch

# Columns of a group's row in ``add_by_group``: joiners, spikes, resolved, outcomes; jumps,
# expectation, variance; and one that makes a row as long as a line of the cache.
COLUMNS = 8
# Rows ahead of which a group's sums are asked for.
_AHEAD = 32
# Groups whose sums are added at a time.
_STRIPE = 256


@parallel_kernel
def own_history_z(offsets, starts_block, jump, fewest, z):  # type: ignore[no-untyped-def]
    """Distance of a jump from the median of the user's earlier jumps, in scaled MADs.

    Earlier means in an earlier block. Zero where there are fewer than ``fewest`` or
    where they do not vary.
    """
    for u in prange(len(offsets) - 1):
        past = 0
        for i in range(offsets[u], offsets[u + 1]):
            if starts_block[i]:
                past = i - offsets[u]
            z[i] = 0.0
            if past >= fewest:
                history = jump[offsets[u] : offsets[u] + past]
                centre = np.median(history)
                mad = 1.4826 * np.median(np.abs(history - centre))
                if mad > 0.0:
                    z[i] = (jump[i] - centre) / mad


@inner_kernel
def _add_rows(group, spike, before, after, label, expected, table):  # type: ignore[no-untyped-def]
    for g in range(len(table)):
        for k in range(table.shape[1]):
            table[g, k] = 0.0
    last = len(group) - 1
    for i in range(len(group)):
        prefetch(table, np.int64(group[min(i + _AHEAD, last)]))
        g = np.uint32(group[i])
        known = label[i] >= 0
        e = expected[i] if known else 0.0
        table[g, 0] += 1.0
        table[g, 1] += spike[i]
        table[g, 2] += known
        table[g, 3] += label[i] if known else 0
        table[g, 4] += after[i] - before[i]
        table[g, 5] += e
        table[g, 6] += e * (1.0 - e)


@parallel_kernel
def add_by_group(bounds, group, spike, before, after, label, expected, tables):  # type: ignore[no-untyped-def]
    """Add up, chunk by chunk and by group, what ``COLUMNS`` names."""
    for c in prange(len(bounds) - 1):
        first, end = bounds[c], bounds[c + 1]
        _add_rows(
            group[first:end],
            spike[first:end],
            before[first:end],
            after[first:end],
            label[first:end],
            expected[first:end],
            tables[c],
        )


@inner_kernel
def _add_stripe(tables, first, end):  # type: ignore[no-untyped-def]
    for c in range(1, len(tables)):
        for g in range(first, end):
            for k in range(tables.shape[2]):
                tables[0, g, k] += tables[c, g, k]


@parallel_kernel
def add_tables(tables):  # type: ignore[no-untyped-def]
    """Add the tables of all chunks to the first one, in order."""
    n = tables.shape[1]
    for k in prange(-(-n // _STRIPE)):
        _add_stripe(tables, k * _STRIPE, min(n, (k + 1) * _STRIPE))


DECILES = 9

# Users whose rows go through all loops before the next ones': they stay in the second cache.
_USERS = 256
_STARTS_USER = 3


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
def _standardise(cell, before, after, mean, sd, z):  # type: ignore[no-untyped-def]
    for i in range(len(cell)):
        c = cell[i]
        z[i] = (after[i] - before[i] - mean[c]) / sd[c] if sd[c] > 0.0 else 0.0


@parallel_kernel
def standardise(bounds, cell, before, after, mean, sd, z):  # type: ignore[no-untyped-def]
    """Fill the jump, centred and scaled by its cell; zero where ``sd`` is."""
    for c in prange(len(bounds) - 1):
        first, end = bounds[c], bounds[c + 1]
        _standardise(cell[first:end], before[first:end], after[first:end], mean, sd, z[first:end])


@inner_kernel
def _mark(z, before, after, least, rounding, found):  # type: ignore[no-untyped-def]
    for i in range(len(z)):
        found[i] = (z[i] >= least) & (z[i] > rounding) & (after[i] > before[i])


@parallel_kernel
def mark_spikes(bounds, z, before, after, least, rounding, found):  # type: ignore[no-untyped-def]
    """Fill which rows rise, by a z above ``rounding`` and not below ``least``."""
    for c in prange(len(bounds) - 1):
        first, end = bounds[c], bounds[c + 1]
        _mark(z[first:end], before[first:end], after[first:end], least, rounding, found[first:end])


@inner_kernel
def _sum_fold(k, offsets, fold, group, z, total, count):  # type: ignore[no-untyped-def]
    for u in range(len(fold)):
        if fold[u] == k:
            for i in range(offsets[u], offsets[u + 1]):
                total[group[i]] += z[i]
                count[group[i]] += 1.0


@parallel_kernel
def sum_by_fold(offsets, fold, group, z, total, count):  # type: ignore[no-untyped-def]
    """Add up z and rows by group, fold by fold."""
    for k in prange(len(total)):
        _sum_fold(np.int64(k), offsets, fold, group, z, total[k], count[k])


@inner_kernel
def _add_shift(first, end, offsets, fold, group, shift, z):  # type: ignore[no-untyped-def]
    for u in range(first, end):
        for i in range(offsets[u], offsets[u + 1]):
            z[i] += shift[fold[u], group[i]]


@parallel_kernel
def add_shift(bounds, offsets, fold, group, shift, z):  # type: ignore[no-untyped-def]
    """Add to each row's z what its fold and group say, chunk by chunk of users."""
    for c in prange(len(bounds) - 1):
        _add_shift(bounds[c], bounds[c + 1], offsets, fold, group, shift, z)
