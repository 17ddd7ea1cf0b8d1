"""Two platforms that differ in a policy or a group, and share every other draw."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gateway.simulate.occasion_kernels import NEVER, UNCONFIRMED
from gateway.simulate.platform import History, live_through
from gateway.simulate.policies import Intervention

__all__ = ["Comparison", "TotalEffects", "compare_runs", "measure_total_effects"]

Mask = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]
# Two-sided 95 % of the normal distribution.
_Z = 1.959964


@dataclass(frozen=True, eq=False)
class Comparison:
    """What an intervention changed, user by user.

    Parameters
    ----------
    averted
        int64, shape (n_users,): target joins of the user without the intervention, minus
        those with it.
    lost
        int64, shape (n_users,): the same of joins of other groups.
    diverged
        bool, shape (n_users,): whether anything of the user's log differs.
    """

    averted: Int64
    lost: Int64
    diverged: Mask

    def net_averted(self) -> tuple[float, float, float]:
        """Return target joins averted in all, and a 95 % interval.

        The interval is that of a sum of the users' paired differences, taken as
        independent: users who are tied by friends and invitations are not quite.
        """
        total = float(self.averted.sum())
        half = _Z * float(np.sqrt(len(self.averted)) * self.averted.std(ddof=1))
        return total, total - half, total + half


def compare_runs(
    history: History, interventions: tuple[Intervention, ...], is_target: Mask
) -> tuple[Comparison, History]:
    """Live through the same world again with interventions, and compare.

    Parameters
    ----------
    history
        The factual platform.
    interventions
        What acts in the other run, in place of whatever acted in ``history``.
    is_target
        bool, shape (n_groups,).

    Returns
    -------
    Comparison, History
        The differences and the other platform.
    """
    other = live_through(history.world, interventions=interventions)
    here, there = _counts(history, is_target), _counts(other, is_target)
    return Comparison(here[0] - there[0], here[1] - there[1], _diverged(history, other)), other


def _counts(history: History, is_target: Mask) -> tuple[Int64, Int64]:
    """(Target joins, other joins) of each user."""
    state = history.state
    joined = (state.group >= 0) & (state.source < UNCONFIRMED)
    owner = history.owner(np.flatnonzero(joined))
    hits = is_target[state.group[joined]]
    n_users = len(history.world.users)
    targets = np.bincount(owner[hits], minlength=n_users)
    return targets.astype(np.int64), np.bincount(owner[~hits], minlength=n_users).astype(np.int64)


def _diverged(here: History, there: History) -> Mask:
    """Users of whom some occasion came out differently."""
    cells = (here.state.group != there.state.group) | (here.state.source != there.state.source)
    found = np.zeros(len(here.world.users), bool)
    found[here.owner(np.flatnonzero(cells))] = True
    return found


@dataclass(frozen=True, eq=False)
class TotalEffects:
    """Total effect of chosen groups; arrays of shape (n_chosen,).

    Parameters
    ----------
    group
        Dense ids.
    effect
        Target joins on the whole platform that would not have been without the group, per
        join of the group; NaN for a group that nobody joined.
    standard_error
        From the users' paired differences, taken as independent.
    """

    group: Int64
    effect: npt.NDArray[np.float64]
    standard_error: npt.NDArray[np.float64]


def measure_total_effects(history: History, groups: npt.ArrayLike, is_target: Mask) -> TotalEffects:
    """Simulate the whole platform again without each of ``groups``, all draws shared.

    Unlike the direct effect it counts what passes through others: friends who see the
    group, invitations, the recommender. One simulation for each group.
    """
    chosen = np.atleast_1d(np.asarray(groups, dtype=np.int64))
    found = [_total_effect(history, int(g), is_target) for g in chosen]
    effect, error = (np.array(column, dtype=np.float64) for column in zip(*found, strict=True))
    return TotalEffects(chosen, effect, error)


def _total_effect(history: History, g: int, is_target: Mask) -> tuple[float, float]:
    world = history.world
    created = world.groups.created.copy()
    created[g] = NEVER
    without = live_through(replace(world, groups=replace(world.groups, created=created)))
    lost = _counts(history, is_target)[0] - _counts(without, is_target)[0]
    state = history.state
    joins = int(((state.group == g) & (state.source < UNCONFIRMED)).sum())
    if joins == 0:
        return float("nan"), float("nan")
    return lost.sum() / joins, float(np.sqrt(len(lost)) * lost.std(ddof=1) / joins)
