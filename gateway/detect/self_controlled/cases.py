"""The data of a self-controlled case series: users with events, cut where exposure changes.

An *event* is a join of an outcome group (a target, or a surrogate of one); a *case* is a
user with an event; users without one say nothing about what raises a user's rate. A case
is *exposed* to group g at the ticks after the join of g.

Ties. Within a tick nobody knows the order. A tick at which a user joins a candidate is
therefore taken out of that user's time, with the events in it: neither before nor after.
In ``pairs_of``, which looks at one group at a time, only the tick of that group's join is.
Time of no length adds nothing and holds no event.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.detect.self_controlled.baseline import Baseline, estimate_baseline
from gateway.joins import JoinLog
from gateway.partitioned import AnyLog, select_users

__all__ = ["Cases", "Events", "Pairs", "build_cases", "list_events", "only_cases", "pairs_of"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Events:
    """The events of a log, sorted by case and tick.

    Parameters
    ----------
    user, first, last
        int64, shape (n_cases,): id of each case, first and last observed tick.
    case, time
        int64, shape (n_events,).
    baseline
        Estimated from these events.
    """

    user: Int64
    first: Int64
    last: Int64
    case: Int64
    time: Int64
    baseline: Baseline

    def key(self, case: Int64, time: Int64) -> Int64:
        """Return a number that sorts by case, then tick."""
        begin, end = int(self.first.min()), int(self.last.max())
        return np.asarray(case * (end - begin + 2) + (time - begin))

    def count_until(self, case: Int64, time: Int64) -> Int64:
        """Return how many events of ``case`` are at ticks up to ``time``."""
        key = self.key(self.case, self.time)
        upto = np.searchsorted(key, self.key(case, time), side="right")
        return np.asarray(upto - np.searchsorted(self.case, case))


@dataclass(frozen=True, eq=False)
class Cases:
    """Cases as rows of changes: after row i the exposure stays as it is until the next row.

    Parameters
    ----------
    offsets
        int64, shape (n_cases + 1,): rows of case c are ``offsets[c]:offsets[c + 1]``.
    group
        int32, shape (n_rows,): whose exposure begins or ends.
    sign
        int8, shape (n_rows,): 1 it begins, -1 it ends (with a risk window only).
    partner
        int64, shape (n_rows,): of a beginning, the row at which it ends; else -1.
    length, events
        float64, shape (n_rows,): mass of the baseline, and events, between this row's
        tick and the next row's; of rows at the same tick the last has them.
    first_length, first_events
        float64, shape (n_cases,): the same before the first row.
    user
        int64, shape (n_cases,): user id.
    n_groups
        Groups of the log.
    n_tied
        Events taken out because their tick is that of a candidate's join.
    """

    offsets: Int64
    group: npt.NDArray[np.int32]
    sign: npt.NDArray[np.int8]
    partner: Int64
    length: Float64
    events: Float64
    first_length: Float64
    first_events: Float64
    user: Int64
    n_groups: int
    n_tied: int


@dataclass(frozen=True, eq=False)
class Pairs:
    """One row for each case and candidate joined, shape (n_pairs,).

    Given n, A is binomial with share F where the group has no effect.

    Parameters
    ----------
    group, case
        int64.
    after
        float64: A, events while exposed.
    events
        float64: n, events in all the time that is looked at.
    share
        float64: F, share of the rate's mass while exposed, in [0, 1].
    """

    group: Int64
    case: Int64
    after: Float64
    events: Float64
    share: Float64


def list_events(joins: JoinLog, outcome: Mask, *, first_only: bool = False) -> Events:
    """Find the events of a log; there must be one.

    Parameters
    ----------
    joins
        The log.
    outcome
        bool, shape (n_groups,): whose joins are events.
    first_only
        Whether only a user's first event counts; of several in its tick, one.
    """
    row = np.flatnonzero(outcome[joins.group])
    user = joins.user()[row].astype(np.int64)
    if first_only:
        user, at = np.unique(user, return_index=True)
        row = row[at]
    users, case = np.unique(user, return_inverse=True)
    time = joins.time[row].astype(np.int64)
    first = joins.observed_from[users].astype(np.int64)
    last = joins.observed_until[users].astype(np.int64)
    baseline = estimate_baseline(time, np.bincount(case), first, last)
    return Events(users, first, last, case.astype(np.int64), time, baseline)


def only_cases(joins: AnyLog, outcome: Mask) -> JoinLog:
    """Return a log in memory that holds at least the cases; the rest of this module needs no more.

    Raises
    ------
    LogError
        If the log is on disk and its cases do not fit into the memory.
    """
    if isinstance(joins, JoinLog):
        return joins
    return select_users(joins, _have_event, outcome, what="users with an event")


def _have_event(joins: JoinLog, outcome: Mask) -> Mask:
    event = np.concatenate([[0], np.cumsum(outcome[joins.group])])
    return np.asarray(event[joins.offsets[1:]] > event[joins.offsets[:-1]])


def _joins_of_cases(joins: JoinLog, events: Events, candidate: Mask) -> tuple[Int64, ...]:
    """Return (case, group, tick) of the joins of candidates by cases."""
    case_of = np.full(joins.n_users, -1)
    case_of[events.user] = np.arange(len(events.user))
    case = case_of[joins.user()]
    row = np.flatnonzero(candidate[joins.group] & (case >= 0))
    return case[row], joins.group[row].astype(np.int64), joins.time[row].astype(np.int64)


def build_cases(joins: JoinLog, events: Events, candidate: Mask, *, risk_window: int = 0) -> Cases:
    """Cut the time of every case where its exposure changes.

    Parameters
    ----------
    joins, events
        The log and its events.
    candidate
        bool, shape (n_groups,): whose joins are exposures.
    risk_window
        Ticks after a join in which it counts; 0 for all.
    """
    case, group, time = _joins_of_cases(joins, events, candidate)
    join_key, n = events.key(case, time), len(case)
    sign, partner = np.ones(n, np.int8), np.full(n, -1)
    if risk_window:
        ends = np.flatnonzero(time + risk_window < events.last[case])
        case, group = np.append(case, case[ends]), np.append(group, group[ends])
        time = np.append(time, time[ends] + risk_window)
        sign = np.append(sign, np.full(len(ends), -1, np.int8))
        order = np.lexsort((sign, group, time, case))
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        partner = np.full(len(order), -1)
        partner[place[ends]] = place[n:]
        case, group, time, sign = case[order], group[order], time[order], sign[order]
    key = events.key(case, time)
    offsets = np.searchsorted(case, np.arange(len(events.user) + 1))
    length, first_length = _lengths(events, case, time, offsets, _holds(join_key, key))
    kept = ~_holds(join_key, events.key(events.case, events.time))
    counted = _count_events(events, kept, key, case)
    return Cases(
        offsets=offsets,
        group=group.astype(np.int32),
        sign=sign,
        partner=partner,
        length=length,
        events=counted[0],
        first_length=first_length,
        first_events=counted[1],
        user=events.user,
        n_groups=joins.n_groups,
        n_tied=int(np.count_nonzero(~kept)),
    )


def _holds(ascending: Int64, key: Int64) -> Mask:
    """Whether each key is among others that stand in ascending order."""
    if len(ascending) == 0:
        return np.zeros(len(key), bool)
    at = np.minimum(np.searchsorted(ascending, key), len(ascending) - 1)
    return np.asarray(ascending[at] == key)


def _lengths(
    events: Events, case: Int64, time: Int64, offsets: Int64, is_join: Mask
) -> tuple[Float64, Float64]:
    """Mass after each row up to the next tick with a row, and before each case's first.

    A tick of a join belongs to nobody's time; one at which an exposure ends, to the time
    before it.
    """
    stop = time - is_join
    until = np.append(stop[1:], 0)
    ends = offsets[1:][np.diff(offsets) > 0] - 1
    until[ends] = events.last[case[ends]]
    length = events.baseline.between(time + 1, until)
    same = (case[1:] == case[:-1]) & (time[1:] == time[:-1])
    length[:-1][same] = 0.0
    until = events.last.copy()
    begins = offsets[:-1][np.diff(offsets) > 0]
    until[case[begins]] = stop[begins]
    return length, events.baseline.between(events.first, until)


def _count_events(events: Events, kept: Mask, key: Int64, case: Int64) -> tuple[Float64, Float64]:
    """Events after each row, and before each case's first row."""
    of, at = events.case[kept], events.key(events.case, events.time)[kept]
    row = np.searchsorted(key, at) - 1
    inside = row >= 0
    inside[inside] = case[row[inside]] == of[inside]
    after = np.bincount(row[inside], minlength=len(key))
    before = np.bincount(of[~inside], minlength=len(events.user))
    return after.astype(np.float64), before.astype(np.float64)


def pairs_of(
    joins: JoinLog,
    events: Events,
    candidate: Mask,
    *,
    risk_window: int = 0,
    pre_window: int = 0,
) -> tuple[Pairs, Pairs]:
    """Hold each join of a candidate by a case against the case's own events.

    Returns
    -------
    Pairs, Pairs
        Of the time at risk, from the tick after the join on, against all other time but
        the tick of the join and the window before it; and of that window against the
        time before the join (empty without one).
    """
    case, group, time = _joins_of_cases(joins, events, candidate)
    first, last = events.first[case], events.last[case]
    stop = np.minimum(time + risk_window, last) if risk_window else last
    start = np.maximum(time - pre_window, first)

    def count(low: Int64, high: Int64) -> Float64:
        found = events.count_until(case, high) - events.count_until(case, low - 1)
        return np.asarray(found, np.float64)

    mass = events.baseline.between
    after, at_risk = count(time + 1, stop), mass(time + 1, stop)
    before, not_yet = count(first, start - 1), mass(first, start - 1)
    beyond, no_more = count(stop + 1, last), mass(stop + 1, last)
    share = _share(at_risk, not_yet + no_more)
    main = Pairs(group, case, after, after + before + beyond, share)
    if not pre_window:
        return main, Pairs(*(column[:0] for column in vars(main).values()))
    near = count(start, time - 1)
    share = _share(mass(start, time - 1), not_yet)
    return main, Pairs(group, case, near, near + before, share)


def _share(part: Float64, rest: Float64) -> Float64:
    whole = part + rest
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
