"""A log that fits into memory: its rows numbered as they come, sorted when all are there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa

from gateway.arrays import AnyArray, Int32, Int64, Ints, UInt8
from gateway.errors import LogError
from gateway.log.columns import NEVER, WINDOW, Block, Columns, Piece, iterate_blocks
from gateway.log.invariants import STAYS
from gateway.log.log_table import Told, not_restored, told_in
from gateway.log.messages import complaint, listed, shown
from gateway.log.numbering import Coded, Numbering
from gateway.log.sorting import canonical
from gateway.log.sources import SOURCES
from gateway.log.ticks import Tick, in_words
from gateway.log.times import are_midnights, check_span

__all__ = ["DAY", "all_of", "code_sources", "left_since", "narrow", "read_fields", "shifted",
           "told_by", "window_of_users"]  # fmt: skip

_LIMITS = np.iinfo(np.int32)
_MOST_SOURCES = 256
DAY = 86_400


def read_fields(pieces: Sequence[Piece], columns: Columns, where: object) -> dict[str, Any]:
    """Return the fields of the ``JoinLog`` that some files hold.

    Raises
    ------
    LogError
        If they cannot be used; the message names file, row, column and rule.
    """
    told = told_by(pieces, columns, where)
    rows = _Rows(told)
    with closing(iterate_blocks(pieces, columns, where)) as blocks:
        for block in blocks:
            rows.add(block)
    try:
        return rows.fields(where)
    except (LogError, ValueError, TypeError) as error:
        if told is None:
            raise
        raise not_restored(where, error) from error


def told_by(pieces: Sequence[Piece], columns: Columns, where: object) -> Told | None:
    """Return what a stored log says beside its joins; None for any other log.

    A log of several parts, or one of which other columns were asked for, is read as any.
    """
    if len(pieces) > 1 or columns != Columns():
        return None
    return told_in(pieces[0].metadata, pieces[0].roles, where)


class _Rows:
    """The rows so far."""

    def __init__(self, told: Told | None) -> None:
        self._told = told
        self._users, self._groups, self._sources = Numbering(), Numbering(), Numbering()
        self._by = {"user": self._users, "inviter": self._users, "group": self._groups,
                    "seed_group": self._groups, "source": self._sources}  # fmt: skip
        self._columns: defaultdict[str, list[AnyArray]] = defaultdict(list)
        self._tick: Tick = "integer"
        self._first: int | None = None

    def add(self, block: Block) -> None:
        """Take a block."""
        for role, column in block.names.items():
            self._columns[role].append(self._by[role].add(column))
        if block.confirmed is not None:
            self._columns["confirmed"].append(block.confirmed)
        for role, times in block.times.items():
            self._columns[role].append(times.ticks)
        ticks = block.times["time"].ticks
        if self._first is None:
            self._first, self._tick = int(ticks[0]), block.times["time"].tick
        # Half as long as ticks since 1970; what does not fit is refused when all is known.
        since = ticks - self._first
        if since.min() >= _LIMITS.min // 2 and since.max() <= _LIMITS.max // 2:
            since = since.astype(np.int32)
        self._columns["time"][-1] = since

    def fields(self, where: object) -> dict[str, Any]:
        """Return the fields of the log."""
        told, first = self._told, self._first or 0
        idle = np.empty(0, np.int32)
        if told is not None:
            idle = self._users.add(all_of(told.users))
            self._groups.add(all_of(told.groups))
        users, groups = self._users.finish(), self._groups.finish()
        names = self._sources.finish().to_pylist()
        columns = {role: _joined(pieces) for role, pieces in self._columns.items()}
        self._columns.clear()
        time, user, group = (columns.pop(role) for role in ("time", "user", "group"))
        ends = first + int(time.min()), first + int(time.max())
        check_span(where, *ends, tick=self._tick)
        tick, size, origin = self._tick, 1, ends[0]
        if told is not None:
            if tick != told.tick or np.isin(idle, user).any():
                raise ValueError("its tick, or who joined nothing, contradicts its rows")
            origin = told.origin
        elif tick == "second" and self._are_days(time, columns):
            tick, size, origin = "day", DAY, origin // DAY
            time //= DAY
        since = shifted(time, first // size - origin, "time")
        windows = {role: columns.pop(role) // size - origin for role in WINDOW if role in columns}
        there = self._there(windows, idle, since, columns.get("inviter"))
        fields: dict[str, Any] = {"observed_from": None} | {
            role: window_of_users(
                role, ticks, user, users=users, there=there.get(role), where=where, tick=tick,
                origin=origin,
            )
            for role, ticks in windows.items()
        }  # fmt: skip
        if "observed_until" not in fields:
            end = narrow(np.array([ends[1] // size - origin]), "observed_until")
            fields["observed_until"] = np.repeat(end, len(users))
        if "left" in columns:
            columns["left"] = left_since(columns["left"], size, origin)
        sources = SOURCES if told is None else told.sources
        if "source" in columns:
            code, sources = code_sources(names, sources, where)
            columns["source"] = code[columns["source"]]
        offsets, joins = canonical(user, group, since, n_users=len(users), others=columns)
        return joins | fields | {
            "offsets": offsets, "users": users, "groups": groups, "tick": tick, "origin": origin,
            "sources": sources, "rows_read": len(user),
        }  # fmt: skip

    def _are_days(self, time: Ints, columns: Mapping[str, AnyArray]) -> bool:
        """Whether all seconds are midnights."""
        others = [columns[role] for role in ("left", *WINDOW) if role in columns]
        return are_midnights(time, self._first or 0) and all(
            are_midnights(ticks[ticks != NEVER]) for ticks in others
        )

    def _there(
        self, windows: Iterable[str], idle: Int32, since: Int32, inviter: Int32 | None
    ) -> dict[str, tuple[Int32, Ints]]:
        """Return users without a join, and ticks at which they were there, by kind of window."""
        if self._told is not None:
            return {role: (idle, self._told.windows[role]) for role in windows}
        if inviter is None:
            return {}
        invited = inviter >= 0
        return dict.fromkeys(windows, (inviter[invited], since[invited]))


def all_of(names: pa.StringArray) -> Coded:
    """Return names as a block that has each once."""
    return Coded(names, np.arange(len(names), dtype=np.int32))


def _joined(pieces: list[AnyArray]) -> AnyArray:
    joined = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    pieces.clear()
    return joined


def shifted(ticks: Ints, shift: int, what: str) -> Int32:
    """Return ticks and a number of ticks as int32.

    Raises
    ------
    LogError
        If one does not fit.
    """
    low, high = (int(ticks.min()), int(ticks.max())) if len(ticks) else (0, 0)
    low, high = low + shift, high + shift
    if len(ticks) and (low < _LIMITS.min or high > _LIMITS.max):
        rule = "must fit into 32 bits, as ticks since origin"
        raise LogError(f"{what} {rule}; got {low} to {high}")
    if not shift:
        return ticks.astype(np.int32, copy=False)
    return (ticks + shift).astype(np.int32) if ticks.dtype != np.int32 else ticks + np.int32(shift)


def narrow(ticks: Ints, what: str) -> Int32:
    """Return ticks as int32; otherwise as ``shifted``."""
    return shifted(ticks, 0, what)


def left_since(ticks: Int64, size: int, origin: int) -> Int32:
    """Return when members left since the origin, of which ``size`` ticks are one."""
    return narrow(np.where(ticks == NEVER, STAYS, ticks // size - origin), "left")


def code_sources(
    names: Iterable[str], known: tuple[str, ...], where: object
) -> tuple[UInt8, tuple[str, ...]]:
    """Return the code of each name of a source, then that of none, and the log's sources.

    Parameters
    ----------
    names
        As they are met.
    known
        Sources that a log has in any case: those that are new stand behind them, sorted.
    where
        What the log is called in messages.

    Raises
    ------
    LogError
        If there are more than 256.
    """
    names = list(names)
    sources = (*known, *sorted(set(names).difference(known), key=str.encode))
    if len(sources) > _MOST_SOURCES:
        rule = f"must have at most {_MOST_SOURCES - len(known)} names beside those of the note"
        got = f"{len(sources) - len(known):,}, such as {listed(sources[len(known) :][:3])}"
        raise complaint(where, "the sources", rule, got=got, hint="--source-column '' for none")
    place = {name: code for code, name in enumerate(sources)}
    return np.array([*(place[name] for name in names), 0], np.uint8), sources


def window_of_users(
    role: str,
    ticks: Int64,
    user: Int32,
    *,
    users: pa.StringArray,
    there: tuple[Int32, Ints] | None,
    where: object,
    tick: Tick,
    origin: int,
) -> Int32:
    """Return the one value of each user, int32, shape (n_users,).

    Parameters
    ----------
    role
        ``observed_from`` or ``observed_until``.
    ticks, user
        Of each row, ticks since ``origin``.
    users
        Their names.
    there
        Ids of users and ticks at which they were there, for those who have no row.
    where
        What the log is called in messages.
    tick, origin
        Of the log.

    Raises
    ------
    LogError
        If the rows of a user say different things.
    """
    is_first = role == WINDOW[0]
    found = np.full(len(users), NEVER if is_first else -NEVER)
    if there is not None:
        (np.minimum if is_first else np.maximum).at(found, *there)
    found[user] = ticks
    differs = found[user] != ticks
    if differs.any():
        which = user[differs].min()
        own = ticks[user == which] + origin
        got = " and ".join(in_words([own.min(), own.max()], tick))
        what = f"{role} of user {shown(users[which].as_py())}"
        raise complaint(where, what, "must be the same in every row of the user", got=got)
    return narrow(found, role)
