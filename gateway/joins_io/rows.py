"""Rows in canonical order, each membership once.

Nothing here depends on the order in which the rows come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.errors import LogError
from gateway.joins_io.ids import Dense, whole_numbers

__all__ = ["assembled", "canonical_rows"]

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

# An order key of several columns packed into one int64 must leave the sign alone.
_KEY_BITS = 63


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


def assembled(
    user: Dense,
    group: Dense,
    time: Int64,
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
        int64, shape (n_rows,): ticks.
    observed
        First and last tick of the observation: one for all users, one for each in the
        order in which names were given, or None for the log's own.
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
    ticks = _narrow(time, "time")
    if others:
        rows = canonical_rows(user.ids, group.ids, ticks, tuple(others.values()))
        joins = (user.ids[rows], group.ids[rows], ticks[rows])
        others = {name: column[rows] for name, column in others.items()}
    else:
        joins = canonical_joins(user.ids, group.ids, ticks)
    counts = np.bincount(joins[0], minlength=len(user.names))
    first, last = observed
    return {
        "offsets": np.concatenate([[0], np.cumsum(counts)]),
        "group": joins[1],
        "time": joins[2],
        "users": user.names,
        "groups": group.names,
        "observed_from": _window(time.min() if first is None else first, user, "observed_from"),
        "observed_until": _window(time.max() if last is None else last, user, "observed_until"),
        **others,
    }


def _check_rows(columns: Mapping[str, npt.NDArray[Any]]) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise LogError(f"columns must be of one length; got {lengths}")
    if lengths["user"] == 0:
        raise LogError("a log must hold at least one join; got none")


def _narrow(ticks: Int64, what: str) -> Int32:
    low, high = int(ticks.min(initial=0)), int(ticks.max(initial=0))
    limits = np.iinfo(np.int32)
    if low < limits.min or high > limits.max:
        rule = "must fit into 32 bits, as ticks since origin"
        raise LogError(f"{what} {rule}; got {low} to {high}")
    return ticks.astype(np.int32)


def _window(given: npt.ArrayLike, users: Dense, what: str) -> Int32:
    """Return one tick for each user, in order of their names."""
    ticks = whole_numbers(np.atleast_1d(np.asarray(given)), what)
    if len(ticks) not in (1, len(users.names)):
        rule = f"must be one value or one for each of {len(users.names)} users"
        raise LogError(f"{what} {rule}; got {len(ticks)}")
    return _narrow(np.broadcast_to(ticks, len(users.names))[users.order], what)


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
