"""The data of a self-controlled case series: users with events, cut where exposure changes.

An *event* is a join of an outcome group (a target, or a surrogate of one); a *case* is a
user with an event; users without one say nothing about what raises a user's rate. A case
is *exposed* to group g at the ticks after the join of g.

Ties. Within a tick nobody knows the order. A tick at which a user joins a candidate is
therefore taken out of that user's time, with the events in it: neither before nor after.
In ``pairs_of``, which looks at one group at a time, only the tick of that group's join is.
Time of no length adds nothing and holds no event.

Windows. Where the log does not tell when its users came, the time of a case lies between
the ticks of the case's own first and last join, without the two: nobody knows whether the
user was there earlier or later. A group joined in one of them has time on one side only,
and says nothing. Nor is there any time before the first event of anybody, or after the
last: no event could be seen there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.detect.self_controlled.baseline import Baseline, estimate_baseline
from gateway.detect.self_controlled.cases_kernels import count_wanted, cut_time, take_wanted
from gateway.log.join_log import JoinLog

__all__ = ["Cases", "Events", "Pairs", "build_cases", "list_events", "pairs_of",
           "select_cases", "users_with"]  # fmt: skip

Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# Ranges of users or cases that threads share, whatever their number.
_RANGES = 64


@dataclass(frozen=True, eq=False)
class Events:
    """The events of a log, sorted by case and tick.

    Parameters
    ----------
    user, first, last
        int64, shape (n_cases,): id of each case, first and last tick that is looked at.
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
        begin, end = int(self.first.min(initial=0)), int(self.last.max(initial=0))
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
        int64, shape (n_rows,): of a beginning, the row at which it ends; else -1. Empty
        where none ends.
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


def users_with(joins: JoinLog, outcome: Mask) -> Mask:
    """Return which users have an event, bool, shape (n_users,)."""
    return np.asarray(_count(joins, np.arange(joins.n_users), outcome) > 0)


def list_events(
    joins: JoinLog, outcome: Mask, *, first_only: bool = False, among: Mask | None = None
) -> Events:
    """Find the events of a log that lie in the time that is looked at, perhaps none.

    Parameters
    ----------
    joins
        The log.
    outcome
        bool, shape (n_groups,): whose joins are events.
    first_only
        Whether only a user's first event counts; of several in its tick, one.
    among
        bool, shape (n_users,): users who may be cases; None for all.
    """
    users = np.arange(joins.n_users) if among is None else np.flatnonzero(among)
    count = _count(joins, users, outcome)
    users, count = users[count > 0], count[count > 0]
    if first_only:
        count[:] = 1
    time = _take(joins, users, outcome, _starts(count))[1].astype(np.int64)
    first, last = _windows(joins, users, time)
    seen = (time >= np.repeat(first, count)) & (time <= np.repeat(last, count))
    case = np.repeat(np.arange(len(users)), count)[seen]
    kept, case = np.unique(case, return_inverse=True)
    users, first, last, time = users[kept], first[kept], last[kept], time[seen]
    count = np.bincount(case, minlength=len(users))
    baseline = estimate_baseline(time, count, first, last)
    return Events(users, first, last, case, time, baseline)


def _windows(joins: JoinLog, users: Int64, time: Int64) -> tuple[Int64, Int64]:
    """Return the first and the last tick of each case that is looked at."""
    if joins.observed_from is not None:
        known = joins.observed_from[users], joins.observed_until[users]
        return known[0].astype(np.int64), known[1].astype(np.int64)
    # Given the first and the last of somebody's joins, the others fall in between in any
    # order where no group has an effect, however long the user was active.
    first = joins.time[joins.offsets[users]].astype(np.int64) + 1
    last = joins.time[joins.offsets[users + 1] - 1].astype(np.int64) - 1
    if len(time) == 0:
        return first, last
    return np.maximum(first, time.min()), np.minimum(last, time.max())


def _ranges(count: int) -> Int64:
    """Cut so many users or cases into ranges that threads share."""
    return np.linspace(0, count, _RANGES + 1).astype(np.int64)


def _starts(count: Int64) -> Int64:
    return np.concatenate([[0], np.cumsum(count)]).astype(np.int64)


def _count(joins: JoinLog, users: Int64, wanted: Mask) -> Int64:
    """Return how many of each user's joins are of a wanted group."""
    count = np.empty(len(users), np.int64)
    count_wanted(_ranges(len(users)), users, joins.offsets, joins.group, wanted, count)
    return count


def _take(joins: JoinLog, users: Int64, wanted: Mask, starts: Int64) -> tuple[Int32, Int32]:
    """Return group and tick of the users' joins of wanted groups."""
    group, time = np.empty((2, starts[-1]), np.int32)
    take_wanted(
        _ranges(len(users)), users, joins.offsets, joins.group, joins.time, wanted, starts,
        group, time,
    )  # fmt: skip
    return group, time


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
    offsets, group, time = _exposures(joins, events, candidate)
    sign, partner = np.ones(len(group), np.int8), np.empty(0, np.int64)
    if risk_window:
        offsets, group, time, sign, partner = _with_ends(events, offsets, group, time, risk_window)
    n_rows, n_cases = len(group), len(events.user)
    length, counted = np.empty(n_rows), np.empty(n_rows)
    first_length, first_counted = np.empty(n_cases), np.empty(n_cases)
    tied = np.zeros(n_cases, np.int64)
    edges, mass = events.baseline.edges, events.baseline.mass
    cut_time(
        _ranges(n_cases), offsets, time, sign, events.first, events.last,
        np.searchsorted(events.case, np.arange(n_cases + 1)), events.time, edges, mass,
        np.diff(mass) / np.diff(edges), length, counted, first_length, first_counted, tied,
    )  # fmt: skip
    return Cases(
        offsets=offsets,
        group=group,
        sign=sign,
        partner=partner,
        length=length,
        events=counted,
        first_length=first_length,
        first_events=first_counted,
        user=events.user,
        n_groups=joins.n_groups,
        n_tied=int(tied.sum()),
    )


def _exposures(joins: JoinLog, events: Events, candidate: Mask) -> tuple[Int64, Int32, Int32]:
    """Return offsets by case, group and tick of the joins that lie in the cases' windows.

    Exposed from before the first tick on, or only after the last, a case is exposed all the
    time or never. There are such joins where windows are not known; they are left out.
    """
    offsets = _starts(_count(joins, events.user, candidate))
    group, time = _take(joins, events.user, candidate, offsets)
    case = np.repeat(np.arange(len(events.user)), np.diff(offsets))
    within = (time >= events.first[case]) & (time <= events.last[case])
    count = np.bincount(case[within], minlength=len(events.user))
    return _starts(count), group[within], time[within]


def _with_ends(
    events: Events, offsets: Int64, group: Int32, time: Int32, risk_window: int
) -> tuple[Int64, Int32, Int32, npt.NDArray[np.int8], Int64]:
    """Put a row where each exposure ends, if the case is still observed."""
    n, case = len(group), np.repeat(np.arange(len(events.user)), np.diff(offsets))
    until = time.astype(np.int64) + risk_window
    ends = np.flatnonzero(until < events.last[case])
    case, group = np.append(case, case[ends]), np.append(group, group[ends])
    time = np.append(time, until[ends].astype(np.int32))
    sign = np.append(np.ones(n, np.int8), np.full(len(ends), -1, np.int8))
    order = np.lexsort((sign, group, time, case))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    partner = np.full(len(order), -1)
    partner[place[ends]] = place[n:]
    offsets = np.searchsorted(case[order], np.arange(len(events.user) + 1))
    return offsets, group[order], time[order], sign[order], partner


def select_cases(cases: Cases, wanted: Mask) -> Cases:
    """Return some of the cases; bool, shape (n_cases,), says which."""
    sizes = np.diff(cases.offsets)
    row = np.repeat(wanted, sizes)
    partner = cases.partner[row] if len(cases.partner) else cases.partner
    if len(partner):
        left_out = np.cumsum(np.where(wanted, 0, sizes))
        partner = np.where(partner < 0, -1, partner - np.repeat(left_out[wanted], sizes[wanted]))
    return Cases(
        offsets=np.concatenate([[0], np.cumsum(sizes[wanted])]),
        group=cases.group[row],
        sign=cases.sign[row],
        partner=partner,
        length=cases.length[row],
        events=cases.events[row],
        first_length=cases.first_length[wanted],
        first_events=cases.first_events[wanted],
        user=cases.user[wanted],
        n_groups=cases.n_groups,
        n_tied=cases.n_tied,
    )


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
    offsets, *columns = _exposures(joins, events, candidate)
    group, time = (column.astype(np.int64) for column in columns)
    case = np.repeat(np.arange(len(events.user)), np.diff(offsets))
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
