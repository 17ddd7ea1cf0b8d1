"""Rows in canonical order, each membership once.

Nothing here depends on the order in which the rows come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.errors import LogError
from gateway.log.ids import Dense, whole_numbers

__all__ = ["assembled", "canonical_joins", "canonical_rows", "count_values", "joins_by_user",
           "narrow"]  # fmt: skip

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

# An order key of several columns packed into one int64 must leave the sign alone.
_KEY_BITS = 63
# From so many rows on kernels do the work. Below it they would not be worth loading.
_LARGE = 1 << 20
# Ranges of users that are sorted one by one, whatever the number of threads.
_RANGES = 64
_BATCH = 1 << 22


def canonical_rows(
    user: Int32, group: Int32, time: Int32, others: Sequence[npt.NDArray[Any]] = ()
) -> Int64:
    """Return the rows of a log in canonical order: by user, then time, then group.

    Of several rows of one user and group only the earliest is kept; of several earliest
    ones the least by ``others``, whatever the order of the rows.

    Parameters
    ----------
    user, group
        int32, shape (n_rows,): dense ids; at least one row.
    time
        int32, shape (n_rows,): ticks.
    others
        Further columns, each of shape (n_rows,), that decide between otherwise equal rows.

    Returns
    -------
    numpy.ndarray
        int64, at most n_rows row numbers, the same content for any order of the rows.
    """
    since = _since_first(time)
    rows = _sorted_rows(user, group, since)
    repeats = (np.diff(user[rows]) == 0) & (np.diff(group[rows]) == 0)
    if others and repeats.any():
        tied = repeats & (np.diff(since[rows]) == 0)
        rows = _settled(rows, tied, (user, group, since, *others))
    rows = rows[np.concatenate([[True], ~repeats])]
    order: Int64 = rows[_sorted_rows(user[rows], since[rows], group[rows])]
    return order


def canonical_joins(user: Int32, group: Int32, time: Int32) -> tuple[Int32, Int32, Int32]:
    """Return the three columns in the order of ``canonical_rows``, some ten times as fast.

    Packed into one integer each, the rows themselves are sorted: nothing is looked up by
    row number.
    """
    since = _since_first(time)
    bits = _bits(user, group, since)
    if sum(bits) > _KEY_BITS:
        rows = canonical_rows(user, group, time)
        return user[rows], group[rows], time[rows]
    key = _packed((user, group, since), bits)
    key.sort()
    key = key[np.diff(key >> bits[2], prepend=-1) != 0]
    user_, group_, since = _unpacked(key, bits)
    bits = (bits[0], bits[2], bits[1])
    key = _packed((user_, since, group_), bits)
    key.sort()
    user_, since, group_ = _unpacked(key, bits)
    ticks = since + time.min(initial=0)
    return user_.astype(np.int32), group_.astype(np.int32), ticks.astype(np.int32)


def joins_by_user(
    user: Int32, group: Int32, time: Int32, *, n_users: int
) -> tuple[Int64, Int32, Int32]:
    """Return offsets by user, groups and times in the order of ``canonical_rows``.

    Parameters
    ----------
    user, group, time
        int32, shape (n_rows,): dense ids and ticks; at least one row.
    n_users
        Number of users.

    Returns
    -------
    numpy.ndarray, numpy.ndarray, numpy.ndarray
        int64, shape (n_users + 1,); int32 and int32, shape (n_joins,).
    """
    if len(user) < _LARGE:
        user, group, time = canonical_joins(user, group, time)
        return _offsets(np.bincount(user, minlength=n_users)), group, time
    return _dealt_out(user, group, time, n_users)


def _dealt_out(user: Int32, group: Int32, time: Int32, n_users: int) -> tuple[Int64, Int32, Int32]:
    # Late: a second to load, and a small log does without.
    from gateway.log.rows_kernels import (  # noqa: PLC0415
        close_gaps,
        count_by_user,
        deal_out,
        sort_users,
    )

    count = np.zeros(n_users, np.int64)
    ascending = count_by_user(user, count)
    offsets = _offsets(count)
    bounds = _user_ranges(offsets)
    least = int(time.min())
    if ascending:
        group, time = group.copy(), time.copy()
    else:
        columns = np.empty((2, len(user)), np.int32)
        deal_out(bounds[:: _RANGES // 2], user, group, time, offsets[:-1].copy(), *columns)
        group, time = columns
    kept = np.empty(n_users, np.int64)
    sort_users(bounds, offsets, group, time, least, kept)
    left = int(kept.sum())
    if left < len(group):
        for column in (group, time):
            close_gaps(offsets, kept, column)
        group, time, offsets = group[:left].copy(), time[:left].copy(), _offsets(kept)
    return offsets, group, time


def count_values(values: Int32, n_values: int) -> Int64:
    """Return how often each of 0 to n_values - 1 occurs, int64."""
    count = np.zeros(n_values, np.int64)
    # In batches: numpy's count makes an array of 64 bits of what it counts.
    for first in range(0, len(values), _BATCH):
        count += np.bincount(values[first : first + _BATCH], minlength=n_values)
    return count


def _offsets(count: npt.NDArray[Any]) -> Int64:
    offsets = np.zeros(len(count) + 1, np.int64)
    np.cumsum(count, out=offsets[1:])
    return offsets


def _user_ranges(offsets: Int64) -> Int64:
    """Cut users into ranges with about the same number of rows."""
    cuts = np.searchsorted(offsets, np.linspace(0, offsets[-1], _RANGES + 1))
    cuts[0], cuts[-1] = 0, len(offsets) - 1
    return cuts.astype(np.int64)


def assembled(
    user: Dense,
    group: Dense,
    time: Int64 | Int32,
    *,
    observed: tuple[npt.ArrayLike | None, npt.ArrayLike | None],
    others: Mapping[str, npt.NDArray[Any]],
) -> dict[str, Any]:
    """Return the columns of a log from those of its rows.

    Parameters
    ----------
    user, group
        Dense ids, of n_rows values each.
    time
        int64 or int32, shape (n_rows,): ticks.
    observed
        First and last tick of the observation: one for all users, or one for each in the
        order in which names were given. Without a first one it is not known; without a
        last one it is that of all rows.
    others
        Further columns of shape (n_rows,), by name, in order of their say between equals.

    Returns
    -------
    dict
        ``offsets``, ``group``, ``time``, ``users``, ``groups``, ``observed_from``,
        ``observed_until`` and the others.

    Raises
    ------
    LogError
        If there is no row, columns differ in length, or a tick does not fit into 32 bits.
    """
    _check_rows({"user": user.ids, "group": group.ids, "time": time, **others})
    ticks, n_users = narrow(time, "time"), len(user.names)
    if others:
        rows = canonical_rows(user.ids, group.ids, ticks, tuple(others.values()))
        offsets = _offsets(np.bincount(user.ids[rows], minlength=n_users))
        joins = (offsets, group.ids[rows], ticks[rows])
        others = {name: column[rows] for name, column in others.items()}
    else:
        joins = joins_by_user(user.ids, group.ids, ticks, n_users=n_users)
    first, last = observed
    return {
        "offsets": joins[0],
        "group": joins[1],
        "time": joins[2],
        "users": user.names,
        "groups": group.names,
        "observed_from": None if first is None else _window(first, user, "observed_from"),
        "observed_until": _window(time.max() if last is None else last, user, "observed_until"),
        **others,
    }


def _check_rows(columns: Mapping[str, npt.NDArray[Any]]) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise LogError(f"columns must be of one length; got {lengths}")
    if lengths["user"] == 0:
        raise LogError("a log must hold at least one join; got none")


def narrow(ticks: Int64 | Int32, what: str) -> Int32:
    """Return ticks as int32.

    Raises
    ------
    LogError
        If one does not fit.
    """
    low, high = int(ticks.min(initial=0)), int(ticks.max(initial=0))
    limits = np.iinfo(np.int32)
    if low < limits.min or high > limits.max:
        rule = "must fit into 32 bits, as ticks since origin"
        raise LogError(f"{what} {rule}; got {low} to {high}")
    return ticks.astype(np.int32, copy=False)


def _window(given: npt.ArrayLike, users: Dense, what: str) -> Int32:
    """Return one tick for each user, in order of their names."""
    ticks = whole_numbers(np.atleast_1d(np.asarray(given)), what)
    if len(ticks) not in (1, len(users.names)):
        rule = f"must be one value or one for each of {len(users.names)} users"
        raise LogError(f"{what} {rule}; got {len(ticks)}")
    return narrow(np.broadcast_to(ticks, len(users.names))[users.order], what)


def _since_first(time: Int32) -> Int64:
    since: Int64 = time.astype(np.int64) - time.min(initial=0)
    return since


def _bits(*columns: npt.NDArray[Any]) -> tuple[int, ...]:
    """Return how many bits the values of each column need; none is negative."""
    return tuple(int(column.max(initial=0)).bit_length() for column in columns)


def _packed(columns: Sequence[npt.NDArray[Any]], bits: Sequence[int]) -> Int64:
    """Return one integer for each row, which sorts like the three columns."""
    key = columns[0].astype(np.int64)
    for column, width in zip(columns[1:], bits[1:], strict=True):
        key <<= width
        key |= column
    return key


def _unpacked(key: Int64, bits: Sequence[int]) -> tuple[Int64, Int64, Int64]:
    second = (key >> bits[2]) & ((1 << bits[1]) - 1)
    return key >> (bits[1] + bits[2]), second, key & ((1 << bits[2]) - 1)


def _sorted_rows(*columns: npt.NDArray[Any]) -> Int64:
    """Return the rows sorted by three columns; rows equal in all stand in any order."""
    bits = _bits(*columns)
    if sum(bits) > _KEY_BITS:
        rows: Int64 = np.lexsort(columns[::-1])
        return rows
    return np.argsort(_packed(columns, bits))


def _settled(
    rows: Int64, tied: npt.NDArray[np.bool_], columns: Sequence[npt.NDArray[Any]]
) -> Int64:
    """Put rows that tie with a neighbour in order of all columns."""
    place = np.flatnonzero(np.append(tied, False) | np.concatenate([[False], tied]))
    block = rows[place]
    settled = rows.copy()
    settled[place] = block[np.lexsort([column[block] for column in reversed(columns)])]
    return settled
