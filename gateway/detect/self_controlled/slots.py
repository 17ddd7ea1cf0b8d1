"""The rows of a self-controlled likelihood: users with events, cut into slots in time order.

An *event* is a join of an outcome group (a target, or a surrogate of one); a *case* is a
user with an event; users without one say nothing about what raises a user's rate. A case
is *exposed* to group g in the ticks after its join of g, until it leaves g where the log
tells that.

On the clock of joins a slot is a join of the case, and holds an event or none. On the
calendar a slot is a run of ticks, and holds any number. Within a tick nobody knows the
order: the tick of a join of g is neither before nor after g.

Where nothing can be seen there is no slot: before the first event of anybody and after the
last. On the calendar the time of a case also ends with its window; where the log tells no
windows, it lies strictly between the ticks of the case's own first and last join.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gateway.arrays import Float64, Int32, Int64, Mask
from gateway.detect.self_controlled.depletion import Depletion, depletion_of
from gateway.log.join_log import JoinLog
from gateway.log.work import over_parts
from gateway.randomness import name_uniforms

__all__ = ["Clock", "RiskWindow", "Slots", "build_slots", "cases_of", "event_ticks",
           "select_cases"]  # fmt: skip

Clock = Literal["joins", "calendar"]

POSITIONS = 16
"""Bins of the number of joins before a tick: 0, 1, 2, 3, then doubling; each twice: when the
user's history opens, and later."""
# A history opens with what is joined within an eighth of the usual gap between two ticks with
# joins: what a platform shows to whoever comes is joined there, and can be no target.
_OPENING = 0.125
# Events of a piece of the calendar: a hundred have a relative error of a tenth, small beside
# that of any one group. A series in calendar time lives by its baseline, and its windows
# are as long as its pieces: there it is as fine as ten events allow.
_EVENTS_PER_PIECE = {"joins": 100, "calendar": 10}
_MOST_PIECES = 40
# A longer case (rows x events) is cut into stretches with their own number of events: the
# exact likelihood takes so many additions, and room for so many numbers.
_LONGEST = 1 << 16
_NEVER = np.iinfo(np.int32).max


@dataclass(frozen=True)
class RiskWindow:
    """How long a join counts: in ticks after it, or in joins; 0 for ever."""

    ticks: int = 0
    joins: int = 0

    def __str__(self) -> str:
        if not self.ends:
            return "for ever"
        return f"for {self.joins:,} joins" if self.joins else f"for {self.ticks:,} ticks"

    @property
    def ends(self) -> bool:
        """Whether an exposure ends at all."""
        return bool(self.ticks or self.joins)


@dataclass(frozen=True, eq=False)
class Slots:
    """Cases as rows in time order; a row is a slot, a join, or both.

    Parameters
    ----------
    offsets
        int64, shape (n_cases + 1,): rows of case c are ``offsets[c]:offsets[c + 1]``.
    group
        int32, shape (n_rows,): the candidate joined in the row; ``n_groups`` for none.
    fresh
        bool, shape (n_rows,): the row begins a tick. Rows of a tick have no order.
    stratum
        uint16, shape (n_rows,): bin of the position x ``n_pieces`` + piece of the calendar.
    length
        float64, shape (n_rows,): on the clock of joins 1, or what ``Depletion`` says, on the
        calendar the ticks of the slot; 0 where the row is no slot.
    events
        int32, shape (n_rows,).
    until
        int32, shape (n_rows,): row, counted within the case, before which the exposure that
        begins with this row ends; the case's number of rows if it never does. Empty where
        none ends.
    user
        int64, shape (n_cases,): user id. A long history is several cases.
    n_groups, n_positions, n_pieces
        Groups of the log, bins of the position and pieces of the calendar.
    exact
        Whether a slot holds one event at most: the likelihood is that of conditional
        logistic regression. If not, it is that of a Poisson process, multinomial.
    """

    offsets: Int64
    group: Int32
    fresh: Mask
    stratum: npt.NDArray[np.uint16]
    length: Float64
    events: Int32
    until: Int32
    user: Int64
    n_groups: int
    n_positions: int
    n_pieces: int
    exact: bool

    @property
    def n_cases(self) -> int:
        """Number of cases."""
        return len(self.user)

    def counts(self) -> Int64:
        """Return the number of events of each case, shape (n_cases,)."""
        upto = np.concatenate([[0], np.cumsum(self.events, dtype=np.int64)])
        return np.asarray(upto[self.offsets[1:]] - upto[self.offsets[:-1]])


@dataclass(frozen=True, eq=False)
class _Calendar:
    """First and last tick with an event, and the edges between pieces, shape (n_pieces - 1,)."""

    first: int
    last: int
    inner: Int64

    def piece(self, tick: Int64) -> Int64:
        return np.asarray(np.searchsorted(self.inner, tick, side="right"))


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of some cases, as in ``Slots``; ``user`` counts within a part of the log."""

    offsets: Int64
    group: Int32
    fresh: Mask
    stratum: npt.NDArray[np.uint16]
    length: Float64
    events: Int32
    until: Int32
    user: Int64

    def taken(self, row: Int64, sizes: Int64, user: Int64, **changed: Int32 | Float64) -> _Rows:
        columns = {
            name: getattr(self, name)[row] for name in ("group", "fresh", "stratum", "events")
        }
        columns |= {"length": self.length[row], "until": self.until} | changed
        return _Rows(offsets=_starts(sizes), user=user, **columns)


def event_ticks(joins: JoinLog, outcome: Mask) -> tuple[Int64, Int64]:
    """Return the ticks with an event, ascending, and the number of events of each."""
    found = list(over_parts(joins, _event_ticks, outcome))
    tick, which = np.unique(np.concatenate([t for t, _ in found]), return_inverse=True)
    count = np.bincount(which, np.concatenate([n for _, n in found]), minlength=len(tick))
    return tick, count.astype(np.int64)


def _event_ticks(part: JoinLog, outcome: Mask) -> tuple[Int64, Int64]:
    tick, count = np.unique(part.time[outcome[part.group]], return_counts=True)
    return tick.astype(np.int64), count


def build_slots(
    joins: JoinLog,
    outcome: Mask,
    candidate: Mask,
    *,
    clock: Clock = "joins",
    window: RiskWindow = RiskWindow(),
    sample: tuple[int, float] | None = None,
    depletion: bool = False,
) -> Slots:
    """Cut the cases of a log into slots.

    Parameters
    ----------
    joins
        The log.
    outcome, candidate
        bool, shape (n_groups,): whose joins are events, and whose are exposures.
    clock
        What a slot is.
    window
        How long an exposure lasts.
    sample
        Seed and share of the users, drawn by name, who may be cases; None for all.
    depletion
        Whether the slots' lengths are those of ``Depletion``; on the clock of joins.
    """
    calendar = _calendar(*event_ticks(joins, outcome), clock)
    given = outcome, candidate, calendar, window, sample
    if clock == "joins":
        running_out = depletion_of(joins, outcome) if depletion else None
        parts = over_parts(joins, _cut_joins, *given, running_out, _opening(joins, outcome))
    else:
        parts = over_parts(joins, _cut_calendar, *given)
    rows, users = [], 0
    for found, n_users in parts:
        rows.append(_Rows(**{**vars(found), "user": found.user + users}))
        users += n_users
    sizes = np.concatenate([np.diff(r.offsets) for r in rows])
    columns = {
        name: np.concatenate([getattr(r, name) for r in rows])
        for name in ("group", "fresh", "stratum", "length", "events", "until", "user")
    }
    return Slots(
        offsets=_starts(sizes),
        **columns,
        n_groups=joins.n_groups,
        n_positions=2 * POSITIONS if clock == "joins" else 1,
        n_pieces=len(calendar.inner) + 1,
        exact=clock == "joins",
    )


def _calendar(tick: Int64, count: Int64, clock: Clock) -> _Calendar:
    """Cut the calendar at quantiles of the events; at least one event in each piece."""
    if len(tick) == 0:
        return _Calendar(0, -1, np.empty(0, np.int64))
    upto = np.cumsum(count)
    pieces = int(np.clip(upto[-1] // _EVENTS_PER_PIECE[clock], 1, _MOST_PIECES))
    at = np.searchsorted(upto, np.arange(1, pieces) * upto[-1] / pieces, side="right")
    inner = np.unique(tick[at])
    return _Calendar(int(tick[0]), int(tick[-1]), inner[inner > tick[0]])


def _starts(count: npt.NDArray[Any]) -> Int64:
    return np.concatenate([[0], np.cumsum(count)]).astype(np.int64)


def cases_of(part: JoinLog, outcome: Mask, sample: tuple[int, float] | None = None) -> Mask:
    """Return which users of a part have an event and are in the sample."""
    upto = _starts(outcome[part.group])
    has = np.asarray(upto[part.offsets[1:]] > upto[part.offsets[:-1]])
    if sample is not None:
        seed, share = sample
        # The halves of the users are drawn from the same numbers: not from their doubles.
        has &= name_uniforms(part.users, seed=seed) * 2 % 1 < share
    return has


# Clock of joins --------------------------------------------------------------------------


def _cut_joins(
    part: JoinLog,
    outcome: Mask,
    candidate: Mask,
    calendar: _Calendar,
    window: RiskWindow,
    sample: tuple[int, float] | None,
    depletion: Depletion | None,
    opening: float,
) -> tuple[_Rows, int]:
    """Return the joins of a part's cases as rows, and its number of users."""
    cases = cases_of(part, outcome, sample)
    sizes = np.diff(part.offsets)
    kept = np.repeat(cases, sizes)
    group, time = part.group[kept], part.time[kept].astype(np.int64)
    left = None if part.left is None else part.left[kept].astype(np.int64)
    offsets = _starts(sizes[cases])
    case = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    fresh = np.ones(len(group), bool)
    fresh[1:] = (time[1:] != time[:-1]) | (case[1:] != case[:-1])
    index = np.arange(len(group))
    position = np.maximum.accumulate(np.where(fresh, index, 0)) - offsets[case]
    place = _bin(position) + POSITIONS * (time - time[offsets[case]] > opening)
    n_pieces = len(calendar.inner) + 1
    slot = (time >= calendar.first) & (time <= calendar.last)
    length = slot.astype(np.float64)
    if depletion is not None:
        length *= depletion.factors(offsets, fresh, slot, outcome[group])
    rows = _Rows(
        offsets=offsets,
        group=np.where(candidate[group], group, len(outcome)).astype(np.int32),
        fresh=fresh,
        stratum=(place * n_pieces + calendar.piece(time)).astype(np.uint16),
        length=length,
        events=outcome[group].astype(np.int32),
        until=_ends_of_joins(offsets, case, time, fresh, window, left),
        user=np.flatnonzero(cases),
    )
    return _without_silent(_in_stretches(rows)), part.n_users


def _opening(joins: JoinLog, outcome: Mask) -> float:
    """Return for how many ticks after its first join a history opens."""
    gaps = np.concatenate(list(over_parts(joins, _gaps, outcome)))
    return _OPENING * float(np.median(gaps)) if len(gaps) else 0.0


def _gaps(part: JoinLog, outcome: Mask) -> Int64:
    """Return the ticks between successive ticks with joins of a part's cases."""
    kept = np.repeat(cases_of(part, outcome), np.diff(part.offsets))
    user, gap = part.user()[kept], np.diff(part.time[kept].astype(np.int64))
    return np.asarray(gap[(user[1:] == user[:-1]) & (gap > 0)])


def _bin(position: Int64) -> Int64:
    """Return the bin of the number of joins before: 0, 1, 2, 3, 4 to 7, 8 to 15, ..."""
    doubling = np.frexp(np.maximum(position, 1))[1] + 1
    return np.minimum(np.where(position < 4, position, doubling), POSITIONS - 1)


def _ends_of_joins(
    offsets: Int64,
    case: Int64,
    time: Int64,
    fresh: Mask,
    window: RiskWindow,
    left: Int64 | None,
) -> Int32:
    """Return the row within its case before which each exposure ends."""
    if (not window.ends and left is None) or len(case) == 0:
        return np.empty(0, np.int32)
    until = end = offsets[case + 1]
    base, width = int(time.min()), int(np.ptp(time)) + 2
    key = case * width + (time - base)

    def first_at(tick: Int64) -> Int64:
        return np.searchsorted(key, case * width + np.minimum(tick - base, width - 1))

    if window.ticks:
        until = first_at(time + window.ticks + 1)
    if window.joins:
        starts = np.append(np.flatnonzero(fresh), len(case))
        after = starts[np.searchsorted(starts, np.arange(len(case)), side="right")]
        reached = np.minimum(after + window.joins, end)
        until = starts[np.searchsorted(starts, reached)]
    if left is not None:
        until = np.minimum(until, first_at(left))
    return (np.minimum(until, end) - offsets[case]).astype(np.int32)


def _in_stretches(rows: _Rows) -> _Rows:
    """Cut long cases into stretches at ticks, each with its own number of events.

    Given the events of each stretch, what does not change within one cancels there.
    Exposures that end in a later stretch are carried into it, by a row that is no slot.
    """
    upto = _starts(rows.events)
    work = np.diff(rows.offsets) * (upto[rows.offsets[1:]] - upto[rows.offsets[:-1]])
    if not (work > _LONGEST).any():
        return rows
    index, n_carried, user, until = [], [], [], []
    for c, (begin, end) in enumerate(pairwise(rows.offsets.tolist())):
        for first, stop in pairwise(_cuts(rows.fresh[begin:end], begin, int(work[c]))):
            carried = np.empty(0, np.int64)
            if len(rows.until):
                ends = begin + rows.until[begin:first].astype(np.int64)
                carried = begin + np.flatnonzero((ends > first) & (ends < end))
            index.append(np.concatenate([carried, np.arange(first, stop)]))
            n_carried.append(len(carried))
            user.append(rows.user[c])
            if len(rows.until):
                ends = begin + rows.until[index[-1]] - first + len(carried)
                until.append(np.minimum(ends, len(index[-1])))
    row, sizes = np.concatenate(index), np.array([len(i) for i in index])
    kept = np.arange(len(row)) - np.repeat(_starts(sizes)[:-1], sizes) >= np.repeat(
        n_carried, sizes
    )
    found = rows.taken(
        row, sizes, np.array(user),
        length=np.where(kept, rows.length[row], 0.0),
        events=np.where(kept, rows.events[row], 0).astype(np.int32),
        until=np.concatenate(until).astype(np.int32) if until else rows.until,
    )  # fmt: skip
    found.fresh[found.offsets[:-1]] = True
    return found


def _cuts(fresh: Mask, begin: int, work: int) -> list[int]:
    """Return where a case is cut: at ticks, at about equal distances, and at both ends."""
    ticks = np.flatnonzero(fresh)
    wanted = np.linspace(0, len(fresh), int(np.ceil(np.sqrt(work / _LONGEST))), endpoint=False)
    inner = ticks[np.searchsorted(ticks, wanted).clip(0, len(ticks) - 1)]
    return [*(begin + np.unique(np.append(0, inner))).tolist(), begin + len(fresh)]


def _without_silent(rows: _Rows) -> _Rows:
    """Leave out cases without an event, and those in which every slot holds one."""
    events, slots = _starts(rows.events), _starts(rows.length > 0)
    n = events[rows.offsets[1:]] - events[rows.offsets[:-1]]
    m = slots[rows.offsets[1:]] - slots[rows.offsets[:-1]]
    return _selected(rows, (n > 0) & (n < m))


def _selected(rows: _Rows, wanted: Mask) -> _Rows:
    sizes = np.diff(rows.offsets)
    row = np.flatnonzero(np.repeat(wanted, sizes))
    until = rows.until[row] if len(rows.until) else rows.until
    return rows.taken(row, sizes[wanted], rows.user[wanted], until=until)


def select_cases(slots: Slots, wanted: Mask) -> Slots:
    """Return some of the cases; bool, shape (n_cases,), says which."""
    names = _Rows.__dataclass_fields__
    found = _selected(_Rows(**{name: getattr(slots, name) for name in names}), wanted)
    return Slots(**{**vars(slots), **vars(found)})


# Calendar --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Exposures:
    """Joins of candidates by cases: case, group, the tick, and the first tick after it ends."""

    case: Int64
    group: Int32
    joined: Int64
    over: Int64


def _cut_calendar(
    part: JoinLog,
    outcome: Mask,
    candidate: Mask,
    calendar: _Calendar,
    window: RiskWindow,
    sample: tuple[int, float] | None,
) -> tuple[_Rows, int]:
    """Return the time of a part's cases as rows, and its number of users."""
    users = np.flatnonzero(cases_of(part, outcome, sample))
    first, last = _windows(part, users, calendar)
    seen = np.flatnonzero(first <= last)
    users, first, last = users[seen], first[seen], last[seen]
    case_of = np.full(part.n_users, -1)
    case_of[users] = np.arange(len(users))
    case = np.repeat(case_of, np.diff(part.offsets))
    kept = case >= 0
    case, group, time = case[kept], part.group[kept], part.time[kept].astype(np.int64)
    over = time + window.ticks + 1 if window.ticks else np.full(len(time), _NEVER)
    if part.left is not None:
        over = np.minimum(over, part.left[kept])
    # An exposure that began before the window counts if it ends within it: it is known from
    # a row before the first tick, which is no slot.
    known = (time >= first[case]) | ((over > first[case]) & (over <= last[case]))
    exposed = candidate[group] & (time <= last[case]) & known
    joined = np.maximum(time, first[case] - 1)[exposed]
    exposures = _Exposures(case[exposed], group[exposed], joined, over[exposed])
    hit = outcome[group] & (time >= first[case]) & (time <= last[case])
    ends = bool(window.ticks) or part.left is not None
    rows = _calendar_rows(
        calendar, first, last, exposures, ends, (case[hit], time[hit]), len(outcome), users
    )
    n = np.add.reduceat(np.append(rows.events, 0), rows.offsets[:-1]) if len(users) else users
    return _selected(rows, n > 0), part.n_users


def _calendar_rows(
    calendar: _Calendar,
    first: Int64,
    last: Int64,
    exposures: _Exposures,
    exposures_end: bool,
    events: tuple[Int64, Int64],
    nobody: int,
    users: Int64,
) -> _Rows:
    """Cut windows where a piece of the calendar, a tick of a join or an exposure begins or ends.

    Of several joins in a tick the first row has the tick.
    """
    base, width = int(first.min(initial=0)) - 1, int(last.max(initial=0) - first.min(initial=0)) + 3

    def key(case: Int64, tick: Int64) -> Int64:
        return np.asarray(case * width + (tick - base))

    x, case = exposures, np.arange(len(users))
    ends = x.over <= last[x.case]
    low, high = (np.searchsorted(calendar.inner, tick, side="right") for tick in (first, last))
    span = high - low
    edge = calendar.inner[np.repeat(low - _starts(span)[:-1], span) + np.arange(span.sum())]
    cells = np.unique(np.concatenate([
        key(case, first), key(case, last + 1), key(np.repeat(case, span), edge),
        key(x.case, x.joined), key(x.case, x.joined + 1), key(x.case[ends], x.over[ends]),
    ]))  # fmt: skip
    of, tick = cells // width, cells % width + base
    length = np.where(tick >= first[of], np.append(np.diff(cells), 0), 0)
    at = np.searchsorted(cells, key(*events), side="right") - 1
    order = np.lexsort((x.group, key(x.case, x.joined)))
    cell = np.searchsorted(cells, key(x.case, x.joined)[order])
    n_joined = np.bincount(cell, minlength=len(cells))
    n_rows = np.where(tick <= last[of], np.maximum(n_joined, 1), 0)
    begin = _starts(n_rows)
    row = begin[cell] + np.arange(len(cell)) - _starts(n_joined)[cell]
    fresh = np.zeros(begin[-1], bool)
    fresh[begin[:-1][n_rows > 0]] = True
    group = np.full(len(fresh), nobody, np.int32)
    group[row] = x.group[order]
    offsets = _starts(np.bincount(of, n_rows, minlength=len(users)).astype(np.int64))
    until = np.empty(0, np.int32)
    if exposures_end:
        until = np.repeat(np.diff(offsets), np.diff(offsets)).astype(np.int32)
        ending = order[ends[order]]
        stop = begin[np.searchsorted(cells, key(x.case[ending], x.over[ending]))]
        until[row[ends[order]]] = stop - offsets[x.case[ending]]
    take = np.repeat(np.arange(len(cells)), n_rows)
    return _Rows(
        offsets=offsets,
        group=group,
        fresh=fresh,
        stratum=calendar.piece(np.maximum(tick, first[of]))[take].astype(np.uint16),
        length=np.where(fresh, length[take], 0).astype(np.float64),
        events=np.where(fresh, np.bincount(at, minlength=len(cells))[take], 0).astype(np.int32),
        until=until,
        user=users,
    )


def _windows(part: JoinLog, users: Int64, calendar: _Calendar) -> tuple[Int64, Int64]:
    """Return the first and the last tick of each user that is looked at."""
    if part.observed_from is not None and part.observed_until is not None:
        known = part.observed_from[users], part.observed_until[users]
        return known[0].astype(np.int64), known[1].astype(np.int64)
    # Given the first and the last of somebody's joins, the others fall in between in any
    # order where no group has an effect, however long the user was active.
    first = part.time[part.offsets[users]].astype(np.int64) + 1
    last = part.time[part.offsets[users + 1] - 1].astype(np.int64) - 1
    return np.maximum(first, calendar.first), np.minimum(last, calendar.last)
