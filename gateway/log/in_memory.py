"""From rows to the fields of a log: numbered as they come, sorted when all are there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from gateway.arrays import AnyArray, Int32, Int64, Ints, Mask, UInt8
from gateway.errors import LogError, shown
from gateway.log.checked_rows import NEVER, Block, iterate_blocks
from gateway.log.columns import Columns, Piece, option_of
from gateway.log.invariants import SOURCES, STAYS, WINDOW
from gateway.log.log_table import Told, not_restored, told_in
from gateway.log.messages import complaint, listed
from gateway.log.numbering import Coded, Dense, Numbering, dense_ids, whole_numbers
from gateway.log.sorting import canonical
from gateway.log.times import DAY, Tick, are_midnights, check_span, in_words

_LIMITS = np.iinfo(np.int32)
_MOST_SOURCES = 256


def read_fields(pieces: Sequence[Piece], columns: Columns, where: object) -> dict[str, Any]:
    """Return the fields of the ``JoinLog`` that some files hold; otherwise as ``JoinLog.read``."""
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
        unit = Unit(self._tick, 1, ends[0])
        if told is not None:
            if unit.tick != told.tick or np.isin(idle, user).any():
                raise ValueError("its tick, or who joined nothing, contradicts its rows")
            unit = unit._replace(origin=told.origin)
        elif unit.tick == "second" and self._are_days(time, columns):
            unit = Unit("day", DAY, ends[0] // DAY)
            time //= DAY
        since = shifted(time, unit.since(first), "time")
        sources = SOURCES if told is None else told.sources
        if "source" in columns:
            code, sources = code_sources(names, sources, where)
            columns["source"] = code[columns["source"]]
        windows = [role for role in WINDOW if role in columns]
        there = self._there(windows, idle, since, columns.get("inviter"))
        found = settled(
            user, group, since, columns, users=users, unit=unit, there=there, where=where
        )
        if "observed_until" not in found:
            end = narrow(np.array([unit.since(ends[1])]), "observed_until")
            found["observed_until"] = np.repeat(end, len(users))
        return {"observed_from": None} | found | {
            "users": users, "groups": groups, "tick": unit.tick, "origin": unit.origin,
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
    """Return ticks and a number of ticks as int32; a LogError says that one does not fit."""
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


class Unit(NamedTuple):
    """Tick and origin of a log, and how many ticks of what was read are one of the log's."""

    tick: Tick
    size: int
    origin: int

    def since(self, ticks: Any) -> Any:
        """Return ticks of what was read, since 1970, as ticks since the origin."""
        return ticks // self.size - self.origin


def settled(
    user: Int32,
    group: Int32,
    time: Int32,
    columns: Mapping[str, AnyArray],
    *,
    users: pa.StringArray,
    unit: Unit,
    there: Mapping[str, tuple[Int32, Ints]],
    where: object,
) -> dict[str, Any]:
    """Return the columns of a log, or of some of its users, from those of its rows.

    Parameters
    ----------
    user, group, time
        Ids, and ticks since the origin.
    columns
        What else the log has: windows and leavings in ticks since 1970.
    users, unit
        Names of the users; tick and origin of the log.
    there
        Users without a row, and ticks since the origin at which they were there, by kind
        of window.
    where
        What a LogError calls the log that says that a user has several windows, or that a
        tick does not fit into 32 bits.
    """
    others = {role: values for role, values in columns.items() if role not in WINDOW}
    if "left" in others:
        gone = others["left"]
        others["left"] = narrow(np.where(gone == NEVER, STAYS, unit.since(gone)), "left")
    windows = {
        role: _window_of_users(
            role, unit.since(columns[role]), user, users=users, there=there.get(role),
            where=where, unit=unit,
        )
        for role in WINDOW if role in columns
    }  # fmt: skip
    offsets, joins = canonical(user, group, time, n_users=len(users), others=others)
    return {"offsets": offsets} | joins | windows


def code_sources(
    names: Iterable[str], known: tuple[str, ...], where: object
) -> tuple[UInt8, tuple[str, ...]]:
    """Return the code of each name of a source, then that of none, and the log's sources.

    Names that are not among the ``known`` ones stand behind them, sorted; a LogError says that
    there are more than 256.
    """
    names = list(names)
    sources = (*known, *sorted(set(names).difference(known), key=str.encode))
    if len(sources) > _MOST_SOURCES:
        rule = f"must have at most {_MOST_SOURCES - len(known)} names beside those of the note"
        got = f"{len(sources) - len(known):,}, such as {listed(sources[len(known) :][:3])}"
        raise complaint(
            where, "the sources", rule, got=got, hint=f"{option_of('source', '')} for none"
        )
    place = {name: code for code, name in enumerate(sources)}
    return np.array([*(place[name] for name in names), 0], np.uint8), sources


def _window_of_users(
    role: str,
    ticks: Int64,
    user: Int32,
    *,
    users: pa.StringArray,
    there: tuple[Int32, Ints] | None,
    unit: Unit,
    where: object,
) -> Int32:
    """Return the one value of each user, int32, shape (n_users,), from that of each row.

    Who has no row was there from the first of the ticks in ``there`` to the last. A LogError
    says that the rows of a user say different things.
    """
    is_first = role == WINDOW[0]
    found = np.full(len(users), NEVER if is_first else -NEVER)
    if there is not None:
        (np.minimum if is_first else np.maximum).at(found, *there)
    found[user] = ticks
    differs = found[user] != ticks
    if differs.any():
        which = user[differs].min()
        own = ticks[user == which] + unit.origin
        got = " and ".join(in_words([own.min(), own.max()], unit.tick))
        what = f"{role} of user {shown(users[which].as_py())}"
        raise complaint(where, what, "must be the same in every row of the user", got=got)
    return narrow(found, role)


def fields_of_arrays(
    user: Any,
    group: Any,
    time: Any,
    *,
    users: Any,
    groups: Any,
    sources: tuple[str, ...],
    observed: tuple[Any, Any],
    **optional: Any,
) -> dict[str, Any]:
    """Return the fields of the log of some arrays, as ``JoinLog.from_arrays`` takes them."""
    by_user = dense_ids(user, names=users, letter="u", what="user", mentioned=optional["inviter"])
    by_group = dense_ids(
        group, names=groups, letter="g", what="group", mentioned=optional["seed_group"]
    )
    ticks = whole_numbers(time, "time")
    others: dict[str, AnyArray | None] = {
        "source": _codes(optional["source"], sources),
        "confirmed": _flags(optional["confirmed"]),
        "inviter": by_user.mentioned,
        "seed_group": by_group.mentioned,
        "left": None if optional["left"] is None else narrow(
            whole_numbers(optional["left"], "left"), "left"
        ),
    }  # fmt: skip
    known = {name: column for name, column in others.items() if column is not None}
    _check_lengths({"user": by_user.ids, "group": by_group.ids, "time": ticks, **known})
    first, last = observed
    windows = {
        "observed_from": None if first is None else _window(first, by_user, "observed_from"),
        "observed_until": _window(ticks.max() if last is None else last, by_user, "observed_until"),
    }
    offsets, joins = canonical(
        by_user.ids, by_group.ids, narrow(ticks, "time"), n_users=len(by_user.names), others=known
    )
    return joins | windows | {
        "offsets": offsets, "users": by_user.names, "groups": by_group.names, "sources": sources,
        "rows_read": len(ticks),
    }  # fmt: skip


def _codes(source: Any, sources: Sequence[str]) -> UInt8 | None:
    if source is None:
        return None
    codes = whole_numbers(source, "source")
    if codes.min(initial=0) < 0 or codes.max(initial=0) >= len(sources):
        got = f"{codes.min()} to {codes.max()}"
        raise LogError(f"source must index the {len(sources)} known sources; got {got}")
    return codes.astype(np.uint8)


def _flags(confirmed: Any) -> Mask | None:
    if confirmed is None:
        return None
    flags = np.asarray(confirmed)
    if flags.ndim != 1 or flags.dtype != np.bool_:
        raise LogError("the joins cannot be used: confirmed must be a bool array in one dimension")
    return flags


def _check_lengths(columns: Mapping[str, AnyArray]) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise LogError(f"columns must be of one length; got {lengths}")
    if lengths["user"] == 0:
        raise LogError("a log must hold at least one join; got none")


def _window(given: Any, users: Dense, what: str) -> Int32:
    """Return one tick for each user, in order of their names."""
    ticks = whole_numbers(np.atleast_1d(np.asarray(given)), what)
    if len(ticks) not in (1, len(users.names)):
        rule = f"must be one value or one for each of {len(users.names)} users"
        raise LogError(f"{what} {rule}; got {len(ticks)}")
    return narrow(np.broadcast_to(ticks, len(users.names))[users.order], what)
