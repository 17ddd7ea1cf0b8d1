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
    seen = Seen(where, told_by(pieces, columns, where))
    rows = _Rows(seen)
    with closing(iterate_blocks(pieces, columns, where)) as blocks:
        for block in blocks:
            rows.add(block)
    try:
        return rows.fields()
    except (LogError, ValueError, TypeError) as error:
        if seen.told is None:
            raise
        raise not_restored(where, error) from error


def told_by(pieces: Sequence[Piece], columns: Columns, where: object) -> Told | None:
    """Return what a stored log says beside its joins; None for any other log.

    A log of several parts, or one of which other columns were asked for, is read as any.
    """
    if len(pieces) > 1 or columns != Columns():
        return None
    return told_in(pieces[0].metadata, pieces[0].roles, where)


class Unit(NamedTuple):
    """Tick and origin of a log, and how many ticks of what was read are one of the log's."""

    tick: Tick
    size: int
    origin: int

    def since(self, ticks: Any) -> Any:
        """Return ticks of what was read, since 1970, as ticks since the origin."""
        return ticks // self.size - self.origin


class Seen:
    """What is known of a log as a whole while it is read; ``where`` names it in messages."""

    def __init__(self, where: object, told: Told | None) -> None:
        self.where, self.told = where, told
        self.tick: Tick = "integer"
        self.first, self.last, self.rows = NEVER, -NEVER, 0
        self._midnights = True
        # From here ticks are counted while they wait: what a log may span fits into 32 bits.
        self._since = 0

    def ticks_of(self, block: Block) -> Int32:
        """Take the times of a block; return its ticks, for ``since_origin`` when all are known.

        Raises a LogError if the log spans too much, or is not what a stored log says of itself.
        """
        ticks, self.tick = block.times["time"].ticks, block.times["time"].tick
        self._since = self._since if self.rows else int(ticks[0])
        self.first, self.last = min(self.first, int(ticks.min())), max(self.last, int(ticks.max()))
        self.rows += len(ticks)
        if self.tick == "second" and self._midnights:
            told = (times.ticks[times.ticks != NEVER] for times in block.times.values())
            self._midnights = all(map(are_midnights, told))
        if self.told is not None and self.told.tick != self.tick:
            reason = ValueError(f"the times are those of a log by the {self.tick}")
            raise not_restored(self.where, reason)
        check_span(self.where, self.first, self.last, tick=self.tick)
        return (ticks - self._since).astype(np.int32)

    @property
    def unit(self) -> Unit:
        """What the log counts in: timestamps that are all midnights are days."""
        if self.told is not None:
            return Unit(self.tick, 1, self.told.origin)
        if self.tick == "second" and self._midnights:
            return Unit("day", DAY, self.first // DAY)
        return Unit(self.tick, 1, self.first)

    def since_origin(self, time: Int32) -> Int32:
        """Return ticks of ``ticks_of`` as ticks of the log since its origin."""
        unit = self.unit
        if unit.size > 1:
            time = time // np.int32(unit.size)
        return shifted(time, unit.since(self._since), "time")


class _Rows:
    """The rows so far."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._users, self._groups, self._sources = Numbering(), Numbering(), Numbering()
        self._by = {"user": self._users, "inviter": self._users, "group": self._groups,
                    "seed_group": self._groups, "source": self._sources}  # fmt: skip
        self._columns: defaultdict[str, list[AnyArray]] = defaultdict(list)

    def add(self, block: Block) -> None:
        """Take a block."""
        for role, column in block.names.items():
            self._columns[role].append(self._by[role].add(column))
        if block.confirmed is not None:
            self._columns["confirmed"].append(block.confirmed)
        times = {role: times.ticks for role, times in block.times.items()}
        for role, ticks in (times | {"time": self._seen.ticks_of(block)}).items():
            self._columns[role].append(ticks)

    def fields(self) -> dict[str, Any]:
        """Return the fields of the log."""
        seen, told = self._seen, self._seen.told
        idle = np.empty(0, np.int32)
        if told is not None:
            idle = self._users.add(all_of(told.users))
            self._groups.add(all_of(told.groups))
        users, groups = self._users.finish(), self._groups.finish()
        names = self._sources.finish().to_pylist()
        columns = {role: _joined(pieces) for role, pieces in self._columns.items()}
        self._columns.clear()
        time, user, group = (columns.pop(role) for role in ("time", "user", "group"))
        if np.isin(idle, user).any():
            raise ValueError("who joined nothing contradicts its rows")
        since, unit = seen.since_origin(time), seen.unit
        sources = SOURCES if told is None else told.sources
        if "source" in columns:
            code, sources = code_sources(names, sources, seen.where)
            columns["source"] = code[columns["source"]]
        windows = [role for role in WINDOW if role in columns]
        there = self._there(windows, idle, since, columns.get("inviter"))
        found = settled(
            user, group, since, columns, users=users, unit=unit, there=there, where=seen.where
        )
        if "observed_until" not in found:
            end = narrow(np.array([unit.since(seen.last)]), "observed_until")
            found["observed_until"] = np.repeat(end, len(users))
        return {"observed_from": None} | found | {
            "users": users, "groups": groups, "tick": unit.tick, "origin": unit.origin,
            "sources": sources, "rows_read": len(user),
        }  # fmt: skip

    def _there(
        self, windows: Iterable[str], idle: Int32, since: Int32, inviter: Int32 | None
    ) -> dict[str, tuple[Int32, Ints]]:
        """Return users without a join, and ticks at which they were there, by kind of window."""
        if self._seen.told is not None:
            return {role: (idle, self._seen.told.windows[role]) for role in windows}
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
