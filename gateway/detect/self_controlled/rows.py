"""Joins of users with events as rows in time order: the slots of the clock of joins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.arrays import Float64, Int32, Int64, Mask
from gateway.detect.detection import add_up, count_by_user
from gateway.detect.self_controlled.depletion import Depletion
from gateway.log.join_log import JoinLog
from gateway.log.work import over_parts
from gateway.randomness import name_uniforms

Clock = Literal["joins", "calendar"]
R = TypeVar("R", bound="Rows")

POSITIONS = 16
"""Bins of the number of joins before a tick: 0, 1, 2, 3, then doubling; each twice: when the
user's history opens, and later."""
# A history opens with what is joined within an eighth of the usual gap between two ticks with
# joins: what a platform shows to whoever comes is joined there, and can be no target.
_OPENING = 0.125
_LOWER_BITS = 16
# Events of a piece of the calendar: a hundred have a relative error of a tenth, small beside
# that of any one group. A series in calendar time lives by its baseline, and its windows
# are as long as its pieces: there it is as fine as ten events allow.
_EVENTS_PER_PIECE = {"joins": 100, "calendar": 10}
_MOST_PIECES = 40
# A longer case (rows x events) is cut into stretches with their own number of events: the
# exact likelihood takes so many additions, and room for so many numbers.
_LONGEST = 1 << 16
_COLUMNS = ("group", "fresh", "stratum", "length", "events", "until")


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
class Calendar:
    """First and last tick with an event, and the edges between pieces, shape (n_pieces - 1,)."""

    first: int
    last: int
    inner: Int64

    def piece(self, tick: Int64) -> Int64:
        """Return the piece of each tick."""
        return np.asarray(np.searchsorted(self.inner, tick, side="right"))


@dataclass(frozen=True, eq=False)
class Rows:
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
        int64, shape (n_cases,): user id in the log that was cut. A long history is several cases.
    """

    offsets: Int64
    group: Int32
    fresh: Mask
    stratum: npt.NDArray[np.uint16]
    length: Float64
    events: Int32
    until: Int32
    user: Int64

    @property
    def n_cases(self) -> int:
        """Number of cases."""
        return len(self.user)

    def counts(self) -> Int64:
        """Return the number of events of each case, shape (n_cases,)."""
        upto = starts(self.events)
        return np.asarray(upto[self.offsets[1:]] - upto[self.offsets[:-1]])

    def columns(self, row: Int64 | slice) -> dict[str, Any]:
        """Return the columns at some rows."""
        found = {name: getattr(self, name)[row] for name in _COLUMNS if name != "until"}
        return found | {"until": self.until[row] if len(self.until) else self.until}


def event_ticks(joins: JoinLog, outcome: Mask) -> tuple[Int64, Int64]:
    """Return the ticks with an event, ascending, and the number of events of each."""
    found = list(over_parts(joins, _event_ticks, outcome))
    tick, which = np.unique(np.concatenate([t for t, _ in found]), return_inverse=True)
    count = np.bincount(which, np.concatenate([n for _, n in found]), minlength=len(tick))
    return tick, count.astype(np.int64)


def _event_ticks(part: JoinLog, outcome: Mask) -> tuple[Int64, Int64]:
    tick, count = np.unique(part.time[outcome[part.group]], return_counts=True)
    return tick.astype(np.int64), count


def cut_time(tick: Int64, count: Int64, clock: Clock) -> Calendar:
    """Cut the calendar at quantiles of the events; at least one event in each piece."""
    if len(tick) == 0:
        return Calendar(0, -1, np.empty(0, np.int64))
    upto = np.cumsum(count)
    pieces = int(np.clip(upto[-1] // _EVENTS_PER_PIECE[clock], 1, _MOST_PIECES))
    at = np.searchsorted(upto, np.arange(1, pieces) * upto[-1] / pieces, side="right")
    inner = np.unique(tick[at])
    return Calendar(int(tick[0]), int(tick[-1]), inner[inner > tick[0]])


def starts(count: npt.NDArray[Any]) -> Int64:
    """Return where runs of so many begin, and the end."""
    return np.concatenate([[0], np.cumsum(count)]).astype(np.int64)


def cases_of(
    part: JoinLog,
    outcome: Mask,
    sample: tuple[int, float] | None = None,
    most_joins: float = np.inf,
) -> Mask:
    """Return which users of a part have an event, no more joins, and are in the sample."""
    has = count_by_user(part, outcome) > 0
    has &= np.diff(part.offsets) <= most_joins
    if sample is not None:
        (seed, share), who = sample, np.flatnonzero(has)
        # The halves of the users are drawn from the same numbers: not from their doubles.
        has[who] = name_uniforms(part.users.take(pa.array(who)), seed=seed) * 2 % 1 < share
    return has


@dataclass(frozen=True, eq=False)
class Cut:
    """How the cases of a log are cut into rows.

    Parameters
    ----------
    outcome, candidate
        bool, shape (n_groups,): whose joins are events, and whose are exposures.
    calendar
        Where time is cut.
    window
        How long an exposure lasts.
    sample, most_joins
        Who may be a case, see ``cases_of``.
    depletion
        What the lengths of slots say; None for one of each.
    opening
        For how many ticks after its first join a history opens.
    """

    outcome: Mask
    candidate: Mask
    calendar: Calendar
    window: RiskWindow
    sample: tuple[int, float] | None = None
    most_joins: float = np.inf
    depletion: Depletion | None = None
    opening: float = 0.0

    def cases(self, part: JoinLog) -> Mask:
        """Return which users of a part are cases, shape (n_users,)."""
        return cases_of(part, self.outcome, self.sample, self.most_joins)


def cut_joins(part: JoinLog, how: Cut) -> tuple[Rows, int]:
    """Return the joins of a part's cases as rows, and its number of users."""
    calendar, outcome, cases = how.calendar, how.outcome, how.cases(part)
    sizes = np.diff(part.offsets)
    kept = np.repeat(cases, sizes)
    group, time = part.group[kept], part.time[kept].astype(np.int64)
    left = None if part.left is None else part.left[kept].astype(np.int64)
    offsets = starts(sizes[cases])
    case = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    fresh = np.ones(len(group), bool)
    fresh[1:] = (time[1:] != time[:-1]) | (case[1:] != case[:-1])
    index = np.arange(len(group))
    position = np.maximum.accumulate(np.where(fresh, index, 0)) - offsets[case]
    place = _bin(position) + POSITIONS * (time - time[offsets[case]] > how.opening)
    n_pieces = len(calendar.inner) + 1
    slot = (time >= calendar.first) & (time <= calendar.last)
    length = slot.astype(np.float64)
    if how.depletion is not None:
        length *= how.depletion.factors(offsets, fresh, slot, outcome[group])
    rows = Rows(
        offsets=offsets,
        group=np.where(how.candidate[group], group, len(outcome)).astype(np.int32),
        fresh=fresh,
        stratum=(place * n_pieces + calendar.piece(time)).astype(np.uint16),
        length=length,
        events=outcome[group].astype(np.int32),
        until=_ends_of_joins(offsets, case, time, fresh, how.window, left),
        user=np.flatnonzero(cases),
    )
    return _without_silent(_in_stretches(rows)), part.n_users


def opening_of(joins: JoinLog, outcome: Mask) -> float:
    """Return for how many ticks after its first join a history opens."""
    # The median gap, from counts: of its upper bits, then of the lower ones below these.
    counts = _gap_counts(joins, outcome, None)
    n = int(counts.sum())
    if n == 0:
        return 0.0
    middle = [_at_rank(counts, rank) for rank in ((n - 1) // 2, n // 2)]
    lower = {upper: _gap_counts(joins, outcome, upper) for upper, _ in middle}
    gaps = [upper << _LOWER_BITS | _at_rank(lower[upper], rest)[0] for upper, rest in middle]
    return _OPENING * sum(gaps) / 2


def _at_rank(counts: Int64, rank: int) -> tuple[int, int]:
    """Return the value at a rank, from 0, given how often each occurs; and its rank among these."""
    up_to = np.cumsum(counts)
    value = int(np.searchsorted(up_to, rank, side="right"))
    return value, rank - int(up_to[value] - counts[value])


def _gap_counts(joins: JoinLog, outcome: Mask, upper: int | None) -> Int64:
    """Count gaps by their upper bits, or by their lower ones among those with some upper bits."""
    (counts,) = add_up(over_parts(joins, _gap_counts_of, outcome, upper))
    return counts


def _gap_counts_of(part: JoinLog, outcome: Mask, upper: int | None) -> tuple[Int64]:
    gap = _gaps(part, outcome)
    bits = gap >> _LOWER_BITS
    if upper is not None:
        bits = gap[bits == upper] & ((1 << _LOWER_BITS) - 1)
    return (np.bincount(bits, minlength=1 << _LOWER_BITS),)


def _gaps(part: JoinLog, outcome: Mask) -> Int64:
    """Return the ticks between successive ticks with joins of a part's cases: below 2**32."""
    cases, sizes = cases_of(part, outcome), np.diff(part.offsets)
    gap = np.diff(part.time[np.repeat(cases, sizes)].astype(np.int64), append=0)
    # The last join of a case stands before the first of another.
    gap[np.cumsum(sizes[cases]) - 1] = 0
    return np.asarray(gap[gap > 0])


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


def _in_stretches(rows: Rows) -> Rows:
    """Cut long cases into stretches at ticks, each with its own number of events.

    Given the events of each stretch, what does not change within one cancels there.
    Exposures that end in a later stretch are carried into it, by a row that is no slot.
    """
    work = np.diff(rows.offsets) * rows.counts()
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
    kept = np.arange(len(row)) - np.repeat(starts(sizes)[:-1], sizes) >= np.repeat(n_carried, sizes)
    columns = rows.columns(row) | {
        "length": np.where(kept, rows.length[row], 0.0),
        "events": np.where(kept, rows.events[row], 0).astype(np.int32),
        "until": np.concatenate(until).astype(np.int32) if until else rows.until,
    }
    columns["fresh"][starts(sizes)[:-1]] = True
    return Rows(offsets=starts(sizes), user=np.array(user), **columns)


def _cuts(fresh: Mask, begin: int, work: int) -> list[int]:
    """Return where a case is cut: at ticks, at about equal distances, and at both ends."""
    ticks = np.flatnonzero(fresh)
    wanted = np.linspace(0, len(fresh), int(np.ceil(np.sqrt(work / _LONGEST))), endpoint=False)
    inner = ticks[np.searchsorted(ticks, wanted).clip(0, len(ticks) - 1)]
    return [*(begin + np.unique(np.append(0, inner))).tolist(), begin + len(fresh)]


def _without_silent(rows: Rows) -> Rows:
    """Leave out cases without an event, and those in which every slot holds one."""
    slots = starts(rows.length > 0)
    n, m = rows.counts(), slots[rows.offsets[1:]] - slots[rows.offsets[:-1]]
    return selected(rows, (n > 0) & (n < m))


def selected(rows: R, wanted: Mask) -> R:
    """Return the rows of some cases; bool, shape (n_cases,), says which."""
    sizes = np.diff(rows.offsets)
    columns = rows.columns(np.flatnonzero(np.repeat(wanted, sizes)))
    return replace(rows, offsets=starts(sizes[wanted]), user=rows.user[wanted], **columns)
