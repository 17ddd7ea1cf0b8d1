"""The time of users with events as rows: the slots of the clock that is the calendar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.arrays import Int32, Int64, sorted_set
from gateway.detect.self_controlled.rows import (
    Calendar,
    Cut,
    Rows,
    selected,
    starts,
)
from gateway.log.join_log import JoinLog

_NEVER = np.iinfo(np.int32).max


@dataclass(frozen=True, eq=False)
class _Exposures:
    """Joins of candidates by cases: case, group, the tick, and the first tick after it ends."""

    case: Int64
    group: Int32
    joined: Int64
    over: Int64


def cut_calendar(part: JoinLog, how: Cut) -> tuple[Rows, int]:
    """Return the time of a part's cases as rows, and its number of users."""
    calendar, window, outcome = how.calendar, how.window, how.outcome
    users = np.flatnonzero(how.cases(part))
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
    exposed = how.candidate[group] & (time <= last[case]) & known
    joined = np.maximum(time, first[case] - 1)[exposed]
    exposures = _Exposures(case[exposed], group[exposed], joined, over[exposed])
    hit = outcome[group] & (time >= first[case]) & (time <= last[case])
    ends = bool(window.ticks) or part.left is not None
    rows = _calendar_rows(
        calendar, first, last, exposures, ends, (case[hit], time[hit]), len(outcome), users
    )
    n = np.add.reduceat(np.append(rows.events, 0), rows.offsets[:-1]) if len(users) else users
    return selected(rows, n > 0), part.n_users


def _calendar_rows(
    calendar: Calendar,
    first: Int64,
    last: Int64,
    exposures: _Exposures,
    exposures_end: bool,
    events: tuple[Int64, Int64],
    nobody: int,
    users: Int64,
) -> Rows:
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
    edge = calendar.inner[np.repeat(low - starts(span)[:-1], span) + np.arange(span.sum())]
    cells = sorted_set(np.concatenate([
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
    begin = starts(n_rows)
    row = begin[cell] + np.arange(len(cell)) - starts(n_joined)[cell]
    fresh = np.zeros(begin[-1], bool)
    fresh[begin[:-1][n_rows > 0]] = True
    group = np.full(len(fresh), nobody, np.int32)
    group[row] = x.group[order]
    offsets = starts(np.bincount(of, n_rows, minlength=len(users)).astype(np.int64))
    until = np.empty(0, np.int32)
    if exposures_end:
        until = np.repeat(np.diff(offsets), np.diff(offsets)).astype(np.int32)
        ending = order[ends[order]]
        stop = begin[np.searchsorted(cells, key(x.case[ending], x.over[ending]))]
        until[row[ends[order]]] = stop - offsets[x.case[ending]]
    take = np.repeat(np.arange(len(cells)), n_rows)
    return Rows(
        offsets=offsets,
        group=group,
        fresh=fresh,
        stratum=calendar.piece(np.maximum(tick, first[of]))[take].astype(np.uint16),
        length=np.where(fresh, length[take], 0).astype(np.float64),
        events=np.where(fresh, np.bincount(at, minlength=len(cells))[take], 0).astype(np.int32),
        until=until,
        user=users,
    )


def _windows(part: JoinLog, users: Int64, calendar: Calendar) -> tuple[Int64, Int64]:
    """Return the first and the last tick of each user that is looked at."""
    if part.observed_from is not None and part.observed_until is not None:
        known = part.observed_from[users], part.observed_until[users]
        return known[0].astype(np.int64), known[1].astype(np.int64)
    # Given the first and the last of somebody's joins, the others fall in between in any
    # order where no group has an effect, however long the user was active.
    first = part.time[part.offsets[users]].astype(np.int64) + 1
    last = part.time[part.offsets[users + 1] - 1].astype(np.int64) - 1
    return np.maximum(first, calendar.first), np.minimum(last, calendar.last)
