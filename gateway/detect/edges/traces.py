"""What the traces of a log say: joins that came through groups, and those to hold them against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.detect.edges.conditional import Slots
from gateway.log.join_log import JoinLog
from gateway.log.work import over_parts
from gateway.targets import TargetSet

__all__ = ["FORMS", "Cases", "Entries", "collect_cases", "entries_of", "forms_of", "slots_of"]

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

FORMS = ("seed", "member", "fellow")
"""How a join can come through a group: recommended because of it, invited because the
receiver is in it, invited by a fellow member of it."""

# Joins in earlier ticks: none, 1, 2, 3, then doubling, the last open.
_POSITIONS = np.array([1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 512])
_PIECES = 6
NOT_INVITED, ALONE = 0, 1
_SENDERS = np.array([0.0, 0.05, 0.2])


@dataclass(frozen=True, eq=False)
class Cases:
    """Joins of the users who join a target and another group, and some of them through a trace.

    Parameters
    ----------
    offsets
        int64, shape (n_cases + 1,).
    user
        Ids, shape (n_cases,).
    group, time, seed, inviter, source
        Of each join, as in ``JoinLog``; -1, or 0 for the source, where the log does not tell.
    earlier
        Joins of the user in earlier ticks.
    event
        Whether the join is of a target.
    """

    offsets: Int64
    user: Int32
    group: Int32
    time: Int32
    seed: Int32
    inviter: Int32
    source: npt.NDArray[np.uint8]
    earlier: Int32
    event: Mask

    @property
    def invited(self) -> Mask:
        """Joins that somebody invited to."""
        return self.inviter >= 0


@dataclass(frozen=True, eq=False)
class Entries:
    """Joins of cases that came through groups: rows of ``Cases`` and groups, sorted by row."""

    row: Int64
    group: Int32


def forms_of(joins: JoinLog) -> tuple[str, ...]:
    """Return the forms that a log's columns let one see."""
    seen = [joins.seed_group is not None, joins.inviter is not None, joins.inviter is not None]
    return tuple(form for form, can in zip(FORMS, seen, strict=True) if can)


def collect_cases(joins: JoinLog, targets: TargetSet) -> Cases:
    """Collect the cases of all parts of a log: one pass."""
    parts = list(over_parts(joins, _cases_of_part, targets))
    columns = {f.name: [getattr(part, f.name) for part in parts] for f in fields(Cases)}
    lengths = np.concatenate([np.diff(o) for o in columns.pop("offsets")])
    joined = {name: np.concatenate(column) for name, column in columns.items()}
    return Cases(offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), **joined)


def _cases_of_part(joins: JoinLog, targets: TargetSet) -> Cases:
    event, n = targets.mask[joins.group], joins.n_joins
    seed, inviter = _or_none(joins.seed_group, n), _or_none(joins.inviter, n)
    user = joins.user()
    total, hits, traced = (
        np.bincount(user, weights=w, minlength=joins.n_users)
        for w in (None, event, (seed >= 0) | (inviter >= 0))
    )
    is_case = (hits > 0) & (hits < total) & (traced > 0)
    rows = is_case[user]
    lengths = np.diff(joins.offsets)[is_case]
    first = joins.part_of[0] if joins.part_of is not None else 0
    return Cases(
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        user=(np.flatnonzero(is_case) + first).astype(np.int32),
        group=joins.group[rows], time=joins.time[rows], seed=seed[rows], inviter=inviter[rows],
        source=np.zeros(int(rows.sum()), np.uint8) if joins.source is None else joins.source[rows],
        earlier=_earlier(joins)[rows], event=event[rows],
    )  # fmt: skip


def _or_none(column: Int32 | None, n: int) -> Int32:
    return np.full(n, -1, np.int32) if column is None else column


def _earlier(joins: JoinLog) -> Int32:
    """Return the number of joins of the same user in earlier ticks, of each join."""
    at = np.arange(joins.n_joins)
    fresh = np.ones(joins.n_joins, bool)
    fresh[1:] = joins.time[1:] != joins.time[:-1]
    fresh[joins.offsets[:-1][np.diff(joins.offsets) > 0]] = True
    begin = np.maximum.accumulate(np.where(fresh, at, 0))
    return (begin - np.repeat(joins.offsets[:-1], np.diff(joins.offsets))).astype(np.int32)


def entries_of(joins: JoinLog, cases: Cases, form: str) -> Entries:
    """Return the groups through which each join of a case came, in one form.

    ``seed``: the seed of a join that nobody invited to. ``member``: of an invited join its
    seed, where the log has seeds of invitations, else all groups that the receiver joined in
    earlier ticks. ``fellow``: those of them that the inviter had joined before, too (one
    more pass, over the joins of these inviters).
    """
    if form == "seed":
        row = np.flatnonzero((cases.seed >= 0) & ~cases.invited)
        return Entries(row, cases.seed[row])
    seeded = cases.invited & (cases.seed >= 0)
    if form == "member" and seeded.any():
        row = np.flatnonzero(seeded)
        return Entries(row, cases.seed[row])
    held = _groups_held(cases)
    return held if form == "member" else _shared(joins, cases, held)


def _groups_held(cases: Cases) -> Entries:
    """Return for each invited join the groups that its user joined in earlier ticks."""
    row = np.flatnonzero(cases.invited)
    count = cases.earlier[row]
    case = np.searchsorted(cases.offsets, row, side="right") - 1
    within = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    held = np.repeat(cases.offsets[case], count) + within
    return Entries(np.repeat(row, count), cases.group[held])


def _shared(joins: JoinLog, cases: Cases, held: Entries) -> Entries:
    """Keep the groups that the inviter joined before the invited join, too."""
    senders = np.unique(cases.inviter[cases.invited])
    parts = list(over_parts(joins, _joins_of, senders))
    key, time = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(key, kind="stable")
    key, time = key[order], time[order]
    sender = np.searchsorted(senders, cases.inviter[held.row]).astype(np.int64)
    wanted = sender * joins.n_groups + held.group
    at = np.minimum(np.searchsorted(key, wanted), max(len(key) - 1, 0))
    if not len(key):
        return Entries(held.row[:0], held.group[:0])
    both = (key[at] == wanted) & (time[at] < cases.time[held.row])
    return Entries(held.row[both], held.group[both])


def _joins_of(joins: JoinLog, senders: Int32) -> tuple[Int64, Int32]:
    """Return place among the senders times groups plus group, and time, of their joins."""
    first = joins.part_of[0] if joins.part_of is not None else 0
    low, high = np.searchsorted(senders, [first, first + joins.n_users])
    place = np.full(joins.n_users, -1, np.int64)
    place[senders[low:high] - first] = np.arange(low, high)
    user = place[joins.user()]
    rows = user >= 0
    return user[rows] * joins.n_groups + joins.group[rows], joins.time[rows]


def slots_of(cases: Cases, entries: Entries, *, n_groups: int, by_sender: bool) -> Slots:
    """Return all joins of the cases as slots, those of the entries with their groups.

    Nuisance effects: how many joins came before, when, by which source, whether recommended
    or invited; ``by_sender``, also how often the inviter's other invitations were to targets.
    """
    surface = np.where(cases.invited, 2, np.where(cases.seed >= 0, 1, 0))
    if by_sender:
        surface = np.where(cases.invited, 2 + _sender_class(cases), surface)
    cuts = np.quantile(cases.time, np.arange(1, _PIECES) / _PIECES) if len(cases.time) else []
    cells = [
        np.searchsorted(_POSITIONS, cases.earlier, side="right"),
        np.searchsorted(cuts, cases.time),
        cases.source,
        surface,
    ]
    return Slots(
        offsets=cases.offsets, event=cases.event, entry_slot=entries.row,
        entry_group=entries.group, cells=np.array(cells, np.int64), n_groups=n_groups,
    )  # fmt: skip


def _sender_class(cases: Cases) -> Int64:
    """Return 0 for an inviter without other joins here, then by their share of targets."""
    row = np.flatnonzero(cases.invited)
    _, sender = np.unique(cases.inviter[row], return_inverse=True)
    hit = cases.event[row].astype(np.float64)
    others = np.bincount(sender)[sender] - 1
    share = (np.bincount(sender, weights=hit)[sender] - hit) / np.maximum(others, 1)
    found = np.zeros(len(cases.time), np.int64)
    found[row] = np.where(others > 0, 1 + np.searchsorted(_SENDERS, share), 0)
    return found


def count_through(parts: Sequence[Any]) -> Any:
    """Placeholder."""
    return parts
