"""What the traces of a log say: joins that came through groups, and those to hold them against."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from gateway.arrays import Int32, Int64, Mask, UInt8, sorted_set
from gateway.detect.edges.conditional import Slots
from gateway.log.join_log import STAYS, JoinLog
from gateway.log.work import over_parts
from gateway.targets import TargetSet

FORMS = ("seed", "member", "fellow")
"""How a join can come through a group: recommended because of it, invited because the
receiver is in it, invited by a fellow member of it."""

# Joins in earlier ticks: none, 1, 2, 3, then doubling, the last open.
_POSITIONS = np.array([1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 512])
_PIECES = 6
# Classes of inviters: their share of targets is zero, up to these, or above.
_SENDERS = np.array([0.0, 0.05, 0.2])


@dataclass(frozen=True, eq=False)
class Cases:
    """Joins of the users who join a target and another group, and some of them through a trace."""

    offsets: Int64  # shape (n_cases + 1,)
    user: Int32  # ids, shape (n_cases,)
    # Of each join, as in ``JoinLog``: -1, 0 for the source, and ``STAYS``, where the log does not
    # tell.
    group: Int32
    time: Int32
    seed: Int32
    inviter: Int32
    source: UInt8
    left: Int32
    earlier: Int32  # joins of the user in earlier ticks
    event: Mask  # whether the join is of a target

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
    seed, inviter = _or_all(joins.seed_group, n, -1), _or_all(joins.inviter, n, -1)
    user = joins.user()
    total, hits, traced = (
        np.bincount(user, weights=w, minlength=joins.n_users)
        for w in (None, event, (seed >= 0) | (inviter >= 0))
    )
    is_case = (hits > 0) & (hits < total) & (traced > 0)
    rows = is_case[user]
    lengths = np.diff(joins.offsets)[is_case]
    return Cases(
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        user=(np.flatnonzero(is_case) + _first_user(joins)).astype(np.int32),
        group=joins.group[rows], time=joins.time[rows], seed=seed[rows], inviter=inviter[rows],
        source=np.zeros(n, np.uint8)[rows] if joins.source is None else joins.source[rows],
        left=_or_all(joins.left, n, STAYS)[rows], earlier=_earlier(joins)[rows],
        event=event[rows],
    )  # fmt: skip


def _or_all(column: Int32 | None, n: int, value: int) -> Int32:
    return np.full(n, value, np.int32) if column is None else column


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
    row = np.repeat(row, count)
    still = cases.left[held] > cases.time[row]
    return Entries(row[still], cases.group[held[still]])


def _shared(joins: JoinLog, cases: Cases, held: Entries) -> Entries:
    """Keep the groups that the inviter joined before the invited join, too."""
    senders = sorted_set(cases.inviter[cases.invited])
    parts = list(over_parts(joins, _joins_of, senders))
    key, time, left = (np.concatenate(column) for column in zip(*parts, strict=True))
    if not len(key):
        return Entries(held.row[:0], held.group[:0])
    order = np.argsort(key, kind="stable")
    sender = np.searchsorted(senders, cases.inviter[held.row]).astype(np.int64)
    wanted, when = sender * joins.n_groups + held.group, cases.time[held.row]
    at = order[np.minimum(np.searchsorted(key[order], wanted), len(key) - 1)]
    both = (key[at] == wanted) & (time[at] < when) & (when < left[at])
    return Entries(held.row[both], held.group[both])


def _joins_of(joins: JoinLog, senders: Int32) -> tuple[Int64, Int32, Int32]:
    """Return place among the senders times groups plus group, time and leaving of their joins."""
    place = np.full(joins.n_users, -1, np.int64)
    first = _first_user(joins)
    low, high = np.searchsorted(senders, [first, first + joins.n_users])
    place[senders[low:high] - first] = np.arange(low, high)
    user = place[joins.user()]
    rows = user >= 0
    left = _or_all(joins.left, joins.n_joins, STAYS)[rows]
    return user[rows] * joins.n_groups + joins.group[rows], joins.time[rows], left


def _first_user(joins: JoinLog) -> int:
    """Return the id in the whole log of a part's first user."""
    return 0 if joins.part_of is None else joins.part_of[0]


def without_most_frequent(cases: Cases, entries: Entries, n_groups: int) -> Entries:
    """Leave out of each group's entries the joins of the target most often joined through it.

    Of targets joined equally often the one with most joins, then with the earlier ones, then
    the first by name.
    """
    hit = cases.event[entries.row]
    row = entries.row[hit]
    pair = entries.group[hit].astype(np.int64) * n_groups + cases.group[row]
    pair, which, count = np.unique(pair, return_inverse=True, return_counts=True)
    group, target = np.divmod(pair, n_groups)
    late = np.bincount(which, cases.time[row], minlength=len(pair))
    size = np.bincount(cases.group[cases.event], minlength=n_groups)[target]
    order = np.lexsort((-target, -late, size, count))
    most = np.full(n_groups, -1)
    most[group[order]] = target[order]
    kept = cases.group[entries.row] != most[entries.group]
    return Entries(entries.row[kept], entries.group[kept])


def slots_of(
    cases: Cases, entries: Entries, *, n_groups: int, sender: Int64 | None = None
) -> Slots:
    """Return all joins of the cases as slots, those of the entries with their groups.

    Nuisance effects: how many joins came before, when, by which source, whether recommended
    or invited, and the class of the ``sender`` of an invitation, where it is given.
    """
    surface = np.where(cases.invited, 2, np.where(cases.seed >= 0, 1, 0))
    if sender is not None:
        surface = np.where(cases.invited, 2 + sender, surface)
    cuts = np.quantile(cases.time, np.arange(1, _PIECES) / _PIECES)
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


def sender_classes(joins: JoinLog, targets: TargetSet, cases: Cases) -> Int64:
    """Return how often each join's inviter brought others to targets, by class; one pass.

    Of the joins that the same inviter invited other users to: 0 for none, then by the share
    of targets among them. Whoever brings everybody to targets does not make a gateway of
    the groups that they are in.
    """
    parts = list(over_parts(joins, _invited_by, targets))
    who, count, hits = (np.concatenate(column) for column in zip(*parts, strict=True))
    senders, of = np.unique(who, return_inverse=True)
    count, hits = np.bincount(of, weights=count), np.bincount(of, weights=hits)
    row = np.flatnonzero(cases.invited)
    at = np.searchsorted(senders, cases.inviter[row])
    case = np.searchsorted(cases.offsets, row, side="right") - 1
    _, pair = np.unique(case * len(senders) + at, return_inverse=True)
    others = count[at] - np.bincount(pair)[pair]
    share = hits[at] - np.bincount(pair, weights=cases.event[row])[pair]
    found = np.zeros(len(cases.time), np.int64)
    found[row] = np.where(
        others > 0, 1 + np.searchsorted(_SENDERS, share / np.maximum(others, 1)), 0
    )
    return found


def _invited_by(joins: JoinLog, targets: TargetSet) -> tuple[Int32, Int64, Int64]:
    """Return inviters, how many joins they invited to, and how many of those are of targets."""
    row = np.flatnonzero(_or_all(joins.inviter, joins.n_joins, -1) >= 0)
    if joins.inviter is None or not len(row):
        return np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int64)
    who, of, count = np.unique(joins.inviter[row], return_inverse=True, return_counts=True)
    hits = np.bincount(of, weights=targets.mask[joins.group[row]]).astype(np.int64)
    return who, count, hits
