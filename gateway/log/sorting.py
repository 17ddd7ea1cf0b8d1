"""Rows in canonical order: by user, then time, then group, each membership once.

Nothing here depends on the order in which the rows come.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gateway.arrays import AnyArray, Int32, Int64
from gateway.log.invariants import TIE_BREAKERS

# From so many rows on kernels do the work. Below it they are not worth a second to load.
_LARGE = 1 << 20
# A key of several columns packed into one int64 must leave the sign alone.
_KEY_BITS = 63
# Ranges of users that are sorted one by one, whatever the number of threads.
_RANGES = 64
_BATCH = 1 << 22


def canonical(
    user: Int32, group: Int32, time: Int32, *, n_users: int, others: Mapping[str, AnyArray]
) -> tuple[Int64, dict[str, AnyArray]]:
    """Return offsets by user, and the columns of the joins in canonical order.

    Of several rows of one user and group only the earliest is kept; of several earliest
    ones the least by the other columns.

    Parameters
    ----------
    user, group, time
        Shape (n_rows,): dense ids from 0, and ticks.
    n_users
        Number of users.
    others
        Columns of ``TIE_BREAKERS``, shape (n_rows,), by name.

    Returns
    -------
    numpy.ndarray, dict
        int64, shape (n_users + 1,); ``group``, ``time`` and the others, shape (n_joins,).
    """
    if len(user) < _LARGE:
        ties = [others[name] for name in TIE_BREAKERS if name in others]
        rows = _order(user, group, time, ties)
        offsets = _offsets(np.bincount(user[rows], minlength=n_users))
        columns = {"group": group[rows], "time": time[rows]}
    else:
        offsets, columns, rows = _dealt_out(user, group, time, n_users, others)
    return offsets, columns | {name: column[rows] for name, column in others.items()}


def _order(user: Int32, group: Int32, time: Int32, ties: list[AnyArray]) -> Int64:
    """Return the rows that stay, in order."""
    rows = _sorted_by(user, group, time, *ties)
    first = (np.diff(user[rows], prepend=-1) != 0) | (np.diff(group[rows], prepend=-1) != 0)
    rows = rows[first]
    order: Int64 = rows[_sorted_by(user[rows], time[rows], group[rows])]
    return order


def _sorted_by(*columns: AnyArray) -> Int64:
    """Return the rows sorted by some columns; rows equal in all stand in any order."""
    # Packed into one integer, if they fit, they are sorted ten times as fast.
    key = np.zeros(len(columns[0]), np.int64)
    bits = 0
    for column in columns:
        since = column.astype(np.int64)
        since -= since.min(initial=0)
        width = int(since.max(initial=0)).bit_length()
        bits += width
        if bits > _KEY_BITS:
            return np.lexsort(columns[::-1])
        key <<= width
        key |= since
    return sorted_with_order(key)[1]


def sorted_with_order(key: Int64) -> tuple[Int64, Int64]:
    """Return keys, none of them negative, sorted, and their order; equal ones in any order."""
    width = len(key).bit_length()
    if int(key.max(initial=0)).bit_length() + width > _KEY_BITS:
        order = np.argsort(key)
        return key[order], order
    # With its place in the same integer a key is sorted four times as fast.
    key = (key << width) | np.arange(len(key))
    key.sort()
    return key >> width, key & ((1 << width) - 1)


def _dealt_out(
    user: Int32, group: Int32, time: Int32, n_users: int, others: Mapping[str, AnyArray]
) -> tuple[Int64, dict[str, AnyArray], AnyArray]:
    # Late: a second to load, and a small log does without.
    from gateway.log import sorting_kernels  # noqa: PLC0415

    count = np.zeros(n_users, np.int64)
    ascending = sorting_kernels.count_by_user(user, count)
    offsets = _offsets(count)
    bounds = _user_ranges(offsets)
    row = np.arange(len(user) if others else 0, dtype=np.uint32)
    columns: list[AnyArray]
    if ascending:
        columns = [group.copy(), time.copy(), row]
    else:
        columns = [np.empty_like(group), np.empty_like(time), np.empty_like(row)]
        cursor = offsets[:-1].copy()
        sorting_kernels.deal_out(bounds[:: _RANGES // 2], user, group, time, cursor, *columns)
    kept = np.empty(n_users, np.int64)
    each = (others.get(name, np.empty(0, kind)) for name, kind in TIE_BREAKERS.items())
    ties = sorting_kernels.Ties(*each)
    group_, time_, row_ = columns
    sorting_kernels.sort_users(bounds, offsets, group_, time_, row_, int(time.min()), kept, ties)
    left = int(kept.sum())
    if left < len(user):
        for column in columns[: 3 if others else 2]:
            sorting_kernels.close_gaps(offsets, kept, column)
        columns, offsets = [column[:left].copy() for column in columns], _offsets(kept)
    return offsets, {"group": columns[0], "time": columns[1]}, columns[2]


def count_values(values: Int32, n_values: int) -> Int64:
    """Return how often each of 0 to n_values - 1 occurs, int64."""
    count = np.zeros(n_values, np.int64)
    # In batches: numpy's count makes an array of 64 bits of what it counts.
    for first in range(0, len(values), _BATCH):
        count += np.bincount(values[first : first + _BATCH], minlength=n_values)
    return count


def _offsets(count: AnyArray) -> Int64:
    offsets = np.zeros(len(count) + 1, np.int64)
    np.cumsum(count, out=offsets[1:])
    return offsets


def _user_ranges(offsets: Int64) -> Int64:
    """Cut users into ranges with about the same number of rows."""
    cuts = np.searchsorted(offsets, np.linspace(0, offsets[-1], _RANGES + 1))
    cuts[0], cuts[-1] = 0, len(offsets) - 1
    return cuts.astype(np.int64)
