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

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gateway.arrays import AnyArray, Mask
from gateway.detect.self_controlled.calendar_rows import cut_calendar
from gateway.detect.self_controlled.depletion import depletion_of
from gateway.detect.self_controlled.rows import (
    POSITIONS,
    Clock,
    Cut,
    RiskWindow,
    Rows,
    cut_joins,
    cut_time,
    event_ticks,
    opening_of,
    selected,
    starts,
)
from gateway.log.join_log import JoinLog
from gateway.log.work import over_parts


@dataclass(frozen=True, eq=False)
class Recipe:
    """What makes slots of a log.

    Parameters
    ----------
    joins
        The log, or a range of its users.
    cut, how
        What makes rows of it, and how.
    skipped
        Cases at the beginning that are left out.
    changes
        What was done to the slots since: a function of slots and an array, the array, and
        whether it holds a value for each case.
    """

    joins: JoinLog
    cut: Callable[[JoinLog, Cut], tuple[Rows, int]]
    how: Cut
    skipped: int = 0
    changes: tuple[tuple[Callable[..., Slots], AnyArray, bool], ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Slots(Rows):
    """Rows of the cases of a log, and what their numbers mean.

    Parameters
    ----------
    n_groups, n_positions, n_pieces
        Groups of the log, bins of the position and pieces of the calendar.
    exact
        Whether a slot holds one event at most: the likelihood is that of conditional
        logistic regression. If not, it is that of a Poisson process, multinomial.
    recipe
        What makes all of this; None where that is not known. Another process is given the
        recipe, and cuts the slots anew.
    """

    n_groups: int
    n_positions: int
    n_pieces: int
    exact: bool
    recipe: Recipe | None = None

    def __reduce__(self) -> Any:
        """Let another process cut the slots, rather than get them."""
        if self.recipe is None:
            return super().__reduce__()
        return _made_again, (self.recipe, self.n_cases, self.exact)

    def changed(
        self, change: Callable[..., Slots], by: AnyArray, *, by_case: bool, **columns: Any
    ) -> Slots:
        """Return slots with other columns, which ``change(slots, by)`` gives them."""
        recipe = self.recipe
        if recipe is not None:
            recipe = replace(recipe, changes=(*recipe.changes, (change, by, by_case)))
        return replace(self, recipe=recipe, **columns)

    def of_cases(self, first: int, last: int) -> Slots:
        """Return the slots of the cases ``first`` to ``last - 1``, as views."""
        if (first, last) == (0, self.n_cases):
            return self
        offsets, user = self.offsets[first : last + 1], self.user[first:last]
        recipe = self.recipe if first < last else None
        if recipe is not None:
            begin, before = int(user[0]), first - int(np.searchsorted(self.user, user[0]))
            user = user - begin
            recipe = replace(
                recipe,
                joins=recipe.joins.of_users(begin, begin + int(user[-1]) + 1),
                skipped=before + recipe.skipped * (before == first),
                changes=tuple(
                    (change, by[first:last] if by_case else by, by_case)
                    for change, by, by_case in recipe.changes
                ),
            )
        return replace(
            self, offsets=offsets - offsets[0], user=user, recipe=recipe,
            **self.columns(slice(int(offsets[0]), int(offsets[-1]))),
        )  # fmt: skip


def build_slots(
    joins: JoinLog,
    outcome: Mask,
    candidate: Mask,
    *,
    clock: Clock = "joins",
    window: RiskWindow | None = None,
    sample: tuple[int, float] | None = None,
    most_joins: float = np.inf,
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
        How long an exposure lasts; for ever by default.
    sample
        Seed and share of the users, drawn by name, who may be cases; None for all.
    most_joins
        Users with more joins are no cases.
    depletion
        Whether the slots' lengths are those of ``Depletion``; on the clock of joins.
    """
    calendar = cut_time(*event_ticks(joins, outcome), clock)
    how = Cut(outcome, candidate, calendar, window or RiskWindow(), sample, most_joins)
    cut = cut_calendar
    if clock == "joins":
        cut = cut_joins
        running_out = depletion_of(joins, outcome) if depletion else None
        how = replace(how, depletion=running_out, opening=opening_of(joins, outcome))
    rows, users = [], 0
    for found, n_users in over_parts(joins, cut, how):
        rows.append(Rows(**{**vars(found), "user": found.user + users}))
        users += n_users
    sizes = np.concatenate([np.diff(r.offsets) for r in rows])
    columns = {
        name: np.concatenate([getattr(r, name) for r in rows])
        for name in Rows.__dataclass_fields__
        if name != "offsets"
    }
    recipe = Recipe(joins, cut, how)
    return _numbered(Rows(offsets=starts(sizes), **columns), recipe, exact=clock == "joins")


def _numbered(rows: Rows, recipe: Recipe, *, exact: bool) -> Slots:
    return Slots(
        **vars(rows),
        n_groups=recipe.joins.n_groups,
        n_positions=2 * POSITIONS if exact else 1,
        n_pieces=len(recipe.how.calendar.inner) + 1,
        exact=exact,
        recipe=recipe,
    )


def _made_again(recipe: Recipe, n_cases: int, exact: bool) -> Slots:
    rows, _ = recipe.cut(recipe.joins, recipe.how)
    slots = _numbered(rows, recipe, exact=exact)
    slots = replace(slots, recipe=None).of_cases(recipe.skipped, recipe.skipped + n_cases)
    for change, by, _ in recipe.changes:
        slots = change(slots, by)
    return slots


def select_cases(slots: Slots, wanted: Mask) -> Slots:
    """Return some of the cases; bool, shape (n_cases,), says which."""
    return replace(selected(slots, wanted), recipe=None)
