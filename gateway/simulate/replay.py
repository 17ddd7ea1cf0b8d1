"""The truth by counterfactual replay: what each group's joins did to its joiners."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.arrays import Float64, Int64, Mask
from gateway.randomness import Stream
from gateway.simulate.platform import History
from gateway.simulate.recommender import fit_all_layers
from gateway.simulate.replay_kernels import Scratch, direct_effects, relive_users
from gateway.simulate.tables import CELL, Stage

# Work is cut into a fixed number of chunks of users, whatever the number of threads.
CHUNKS = 32


@dataclass(frozen=True, eq=False)
class DirectEffects:
    """Direct effect of every group on its joiners; each array has shape (n_groups,)."""

    # Mean over joins of (later target joins - later target joins without the join); NaN for
    # target groups and for groups that nobody joined.
    effect: Float64
    # Of that mean, joins taken as independent; NaN below two joins.
    standard_error: Float64
    n_joins: Int64  # joins replayed


def measure_direct_effects(history: History, is_target: Mask) -> DirectEffects:
    """Replay every join's user without that join, everybody else frozen.

    For each join (u, g) user u lives again from then on with the same random numbers, the
    same friends' groups, invitations, recommendations and labels, but in a world in which
    g cannot be joined by u. What others would have done otherwise is left out: that is the
    total effect's matter.

    Parameters
    ----------
    is_target
        bool, shape (n_groups,): which joins count.

    Raises
    ------
    RuntimeError
        If a replay without any change does not give back the history: a fault of ours.
    """
    sums, wrong = np.zeros((CHUNKS, len(is_target), 3), np.int64), np.zeros(CHUNKS, np.int64)
    mail = history.invitations.mail(len(history.world.users))
    direct_effects(
        relived_stage(history), history.policies, mail, _scratch(history), is_target,
        history.world.seed, int(Stream.JOINS), sums, wrong,
    )  # fmt: skip
    if wrong.any():
        raise RuntimeError(f"{wrong.sum()} occasions were not reproduced by their replay")
    n, total, squares = sums.sum(axis=0).T.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        effect = np.where(n > 0, total / n, np.nan)
        variance = (squares - n * effect**2) / (n - 1)
        error = np.where(n > 1, np.sqrt(np.maximum(variance, 0.0) / n), np.nan)
    return DirectEffects(effect, error, n.astype(np.int64))


@dataclass(frozen=True, eq=False)
class Leads:
    """Target joins that came of what the platform does because of a group; shape (n_groups,)."""

    # Target joins of the group's members that would not have been had nothing been recommended
    # from it, and the standard error of that sum, members taken as independent; NaN for targets
    # and for groups that nobody joined.
    seed: Float64
    seed_error: Float64
    # The same had its operator invited nobody: invitations by others do not come of the group.
    invited: Float64
    invited_error: Float64


def measure_leads(history: History, is_target: Mask, *, among: Mask | None = None) -> Leads:
    """Replay every group's members without the group as a seed, and without its operator.

    Each member lives again with the same random numbers, everybody else frozen, in the group
    still, but nothing is recommended from it; or its operator invites nobody, which a friend's
    invitation may take the place of. What a join of the group did to the member's taste stays
    as it is: this is the truth of the detector ``edges``, as the direct effect is that of
    detectors of change. It
    can be negative: in place of what the group shows others show more targets.

    Parameters
    ----------
    is_target
        bool, shape (n_groups,): which joins count.
    among
        bool, shape (n_groups,): groups to measure; None for all.
    """
    stage = relived_stage(history)
    stage = stage._replace(filters=True, groups=stage.groups.copy())
    mail, scratch = history.invitations.mail(len(history.world.users)), _scratch(history)
    joins = history.joins()
    user, hit = joins.user(), is_target[joins.group]
    factual = np.bincount(user, hit, minlength=joins.n_users).astype(np.int64)
    members = np.split(user[np.argsort(joins.group, kind="stable")], np.cumsum(joins.sizes())[:-1])
    asked = ~is_target & (joins.sizes() > 0)
    if among is not None:
        asked &= among
    filters = history.policies.seed_filter.copy()
    policies = history.policies._replace(seed_filter=filters)
    found = np.full((2, 2, joins.n_groups), np.nan)

    def lost(g: np.int64) -> tuple[float, float]:
        hits = np.zeros(len(members[g]), np.int64)
        relive_users(
            stage, policies, mail, scratch, is_target, members[g], history.world.seed,
            int(Stream.JOINS), hits,
        )  # fmt: skip
        each = factual[members[g]] - hits
        return float(each.sum()), float(np.sqrt(len(each)) * each.std())

    for g in np.flatnonzero(asked):
        before, chance = filters[:, g].copy(), stage.groups.inviting[g]
        filters[:, g] = True
        found[0, :, g] = lost(g)
        filters[:, g] = before
        if chance > 0.0:
            stage.groups.inviting[g] = 0.0
            found[1, :, g] = lost(g)
            stage.groups.inviting[g] = chance
        else:
            found[1, :, g] = 0.0
    return Leads(*found[0], *found[1])


def relived_stage(history: History) -> Stage:
    """Return the tables of a history with every layer of its recommender, fitted again."""
    stage = history.stage
    layers = fit_all_layers(history.world, stage.users, stage.cells)
    return stage._replace(neighbour=layers.neighbour, weight=layers.weight)


def _scratch(history: History) -> Scratch:
    """Return room for the log of the user with the most occasions, for each chunk."""
    longest = int(history.stage.users.occasions.max(initial=0))
    shape = (CHUNKS, longest)
    return Scratch(
        cells=np.zeros(shape, CELL).view(np.recarray),
        boost=np.zeros(shape),
        since=np.zeros(shape, np.int64),
        looked=np.zeros(shape, np.int64),
        memory=np.zeros((*shape, history.stage.attempts), np.int16),
    )
