"""Inner loops of the spike detector."""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, parallel_kernel, prange, prefetch

__all__ = ["COLUMNS", "add_by_group", "add_tables", "own_history_z"]

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
