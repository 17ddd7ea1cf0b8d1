"""Two platforms that differ in a policy or a group, and share every other draw."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gateway.arrays import Float64, Int32, Int64, Mask
from gateway.simulate.occasion_kernels import UNCONFIRMED
from gateway.simulate.platform import History, Progress, live_through
from gateway.simulate.policies import Intervention
from gateway.world.model import NEVER

# Two-sided 95 % of the normal distribution.
_Z = 1.959964


@dataclass(frozen=True, eq=False)
class Comparison:
    """What an intervention changed, user by user."""

    # Shape (n_users,): target joins of the user without the intervention, minus those with it.
    averted: Int64
    lost: Int64  # shape (n_users,): the same of joins of other groups
    # Shape (n_users,): day of the first occasion that came out differently; ``NEVER`` for users
    # whose log is the same.
    first_day: Int32

    @property
    def diverged(self) -> Mask:
        """Whether anything of the user's log differs, shape (n_users,)."""
        return self.first_day < NEVER


def paired_total(difference: Int64) -> tuple[float, float, float]:
    """Return the sum of the users' paired differences, and its 95 % interval.

    Users are taken as independent: those who are tied by friends and invitations are not quite.
    """
    total = float(difference.sum())
    half = _Z * float(np.sqrt(len(difference)) * difference.std(ddof=1))
    return total, total - half, total + half


def compare_runs(
    history: History,
    interventions: tuple[Intervention, ...],
    is_target: Mask,
    *,
    progress: Progress | None = None,
) -> tuple[Comparison, History]:
    """Live through the same world again with interventions, and compare.

    Parameters
    ----------
    interventions
        What acts in the other run, in place of whatever acted in ``history``.
    is_target
        bool, shape (n_groups,).
    """
    other = live_through(history.world, interventions=interventions, progress=progress)
    averted = joins_by_user(history, is_target) - joins_by_user(other, is_target)
    lost = joins_by_user(history, ~is_target) - joins_by_user(other, ~is_target)
    return Comparison(averted, lost, _first_day(history, other)), other


def memberships(history: History, of: Mask) -> Mask:
    """Return which occasions led to a membership of a group of a mask, bool, shape (n_cells,)."""
    state = history.state
    found = (state.group >= 0) & (state.source < UNCONFIRMED)
    found[found] = of[state.group[found]]
    return np.asarray(found)


def joins_by_user(history: History, of: Mask) -> Int64:
    """Return how many groups of a mask (bool, shape (n_groups,)) each user joined."""
    owner = history.owner(np.flatnonzero(memberships(history, of)))
    return np.bincount(owner, minlength=len(history.world.users)).astype(np.int64)


def _first_day(here: History, there: History) -> Int32:
    """Day of each user's first occasion that came out differently; both had it that day."""
    differs = (here.state.group != there.state.group) | (here.state.source != there.state.source)
    cell = np.flatnonzero(differs)
    first = np.full(len(here.world.users), NEVER, np.int32)
    np.minimum.at(first, here.owner(cell), here.state.time[cell])
    return first


@dataclass(frozen=True, eq=False)
class TotalEffects:
    """Total effect of chosen groups; arrays of shape (n_chosen,)."""

    group: Int64  # dense ids
    # Target joins on the whole platform that would not have been without the group, per join of
    # the group; NaN for a group that nobody joined.
    effect: Float64
    # From the users' paired differences, taken as independent.
    standard_error: Float64


def measure_total_effects(history: History, groups: npt.ArrayLike, is_target: Mask) -> TotalEffects:
    """Simulate the whole platform again without each of ``groups``, all draws shared.

    Unlike the direct effect it counts what passes through others: friends who see the
    group, invitations, the recommender; and, of a group that is a target itself, its own
    joins. One simulation for each group.
    """
    chosen = np.atleast_1d(np.asarray(groups, dtype=np.int64))
    found = np.array([_total_effect(history, int(g), is_target) for g in chosen], np.float64)
    effect, error = found.reshape(len(chosen), 2).T
    return TotalEffects(chosen, effect, error)


def _total_effect(history: History, g: int, is_target: Mask) -> tuple[float, float]:
    world = history.world
    created = world.groups.created.copy()
    created[g] = NEVER
    without = live_through(replace(world, groups=replace(world.groups, created=created)))
    lost = joins_by_user(history, is_target) - joins_by_user(without, is_target)
    state = history.state
    joins = int(((state.group == g) & (state.source < UNCONFIRMED)).sum())
    if joins == 0:
        return float("nan"), float("nan")
    return lost.sum() / joins, float(np.sqrt(len(lost)) * lost.std(ddof=1) / joins)
