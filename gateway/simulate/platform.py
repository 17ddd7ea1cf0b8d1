"""Simulate the platform of a world, day by day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.joins import JoinLog
from gateway.randomness import Stream
from gateway.simulate.invitations import InvitationLog
from gateway.simulate.log import as_log, as_table, count_sizes
from gateway.simulate.moderation import Moderation, Strikes
from gateway.simulate.occasion import build_stage, put_labels, without_surroundings
from gateway.simulate.occasion_kernels import Labels, Policies, Stage
from gateway.simulate.platform_kernels import advance_day, wind_up
from gateway.simulate.policies import Intervention, as_policies
from gateway.simulate.pymk import find_friends
from gateway.simulate.recommender import (
    Recommender,
    fit_recommender,
    no_recommender,
    steer_recommender,
)
from gateway.simulate.tables import NO_DAY, Table
from gateway.world import World
from gateway.world.model import NEVER

__all__ = ["History", "Progress", "live_through", "simulate"]

Progress = Callable[[int], object]
# Work is cut into a fixed number of chunks of users, whatever the number of threads.
CHUNKS = 256


@dataclass(frozen=True, eq=False)
class History:
    """All that happened on a platform.

    Parameters
    ----------
    world, policies
        What it was made from.
    stage
        The tables that the kernels saw and wrote; a replay reads them.
    labels
        What moderation said of each group, and when.
    invitations
        Every invitation sent.
    strikes
        Strikes by group, month and kind.
    """

    world: World
    policies: Policies
    stage: Stage
    labels: Labels
    invitations: InvitationLog
    strikes: Strikes

    @property
    def state(self) -> Table:
        """Every occasion of every user, one row each (``tables.CELL``)."""
        return self.stage.cells

    def joins(self) -> JoinLog:
        """Return the confirmed joins as a log, with source, inviter and seed group."""
        return as_log(self.world, self.stage)

    def requests(self) -> pa.Table:
        """Return every join request: user, group, time, source, confirmed."""
        cell = np.flatnonzero(self.state.group >= 0)
        return as_table(self.stage, cell, owner=self.owner(cell))

    def exposed(self) -> npt.NDArray[np.int32]:
        """Return the first day on which each user was shown a GYSJ unit, or ``NEVER``."""
        days = self.stage.users.exposed
        return np.where(days == NO_DAY, NEVER, days.astype(np.int32)).astype(np.int32)

    def owner(self, cell: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """Return the user of each cell, shape (len(cell),)."""
        # Users without occasions own nothing: the last of equal starts is the one who does.
        start: npt.NDArray[np.int64] = np.ascontiguousarray(self.stage.users.start)
        owner = np.searchsorted(start, cell, side="right") - 1
        return owner.astype(np.int32)


def simulate(
    world: World,
    *,
    interventions: tuple[Intervention, ...] = (),
    progress: Progress | None = None,
) -> JoinLog:
    """Simulate the joins of a world; ``live_through`` gives everything else as well.

    Returns
    -------
    JoinLog
        Confirmed joins with ``source``, ``inviter`` and ``seed_group``. The same bits for
        any number of threads.
    """
    stage = live_through(world, interventions=interventions, progress=progress).stage
    return as_log(world, without_surroundings(stage))


def live_through(
    world: World,
    *,
    interventions: tuple[Intervention, ...] = (),
    progress: Progress | None = None,
) -> History:
    """Simulate the platform of a world.

    Users have occasions, at which they look at up to ``attempts`` groups: recommended from
    a group they are in, a friend's, one they are invited to, or found by topic and appeal.
    They request the first that exists, is new to them and (unless they searched for it)
    meets their taste; the request is confirmed with the probability of its source.

    Parameters
    ----------
    world
        The world; nothing in it is changed.
    interventions
        Policies that act on groups from a day on. Two runs that differ in these alone
        share every random draw.
    progress
        Called with the number of each day that is done; None for nobody.
    """
    recommender = _recommender(world)
    moderation = Moderation(world, world.config.moderation)
    policies = as_policies(interventions, n_groups=len(world.groups), days=world.days)
    stage = build_stage(world, recommender, moderation.labels, policies)
    invitations = InvitationLog(world.days)
    due = np.full(len(world.users), NO_DAY, np.uint16)
    wind_up(
        stage.users, due, world.users.arrival, stage.gap_shape, world.seed,
        int(Stream.EVENT_TIMES),
    )  # fmt: skip
    for day in range(world.days):
        _between_days(world, stage, recommender, moderation, day)
        _advance(world, stage, policies, invitations, due, day)
        if progress is not None:
            progress(day)
    return History(world, policies, stage, moderation.labels, invitations, moderation.strikes())


def _between_days(
    world: World, stage: Stage, recommender: Recommender, moderation: Moderation, day: int
) -> None:
    """Before a day: strikes and labels by month; recommender and PYMK on their schedule."""
    month = moderation.month_of(day)
    if month is not None:
        moderation.begin_month(month, count_sizes(stage))
        put_labels(stage.groups, moderation.labels)
    section = world.config.simulation
    refit_days = section.refit_days
    if day > 0 and day % refit_days == 0:
        sample = section.recommender_sample
        fit_recommender(recommender, day // refit_days, stage.users, stage.cells, sample=sample)
        steer_recommender(recommender, day // refit_days, world)
        find_friends(world, stage, day)


def _advance(
    world: World,
    stage: Stage,
    policies: Policies,
    invitations: InvitationLog,
    due: npt.NDArray[np.uint16],
    day: int,
) -> None:
    who = np.flatnonzero(due == day)
    invited = np.zeros(len(who), np.int64)
    advance_day(
        stage, policies, invitations.letters, invitations.taken, due, who, invited, day,
        world.seed, int(Stream.EVENT_TIMES), int(Stream.JOINS), int(Stream.SENDING), CHUNKS,
    )  # fmt: skip
    invitations.send(stage, policies, who, invited, day, seed=world.seed)


def _recommender(world: World) -> Recommender:
    section = world.config.simulation
    n_refits = (world.days - 1) // section.refit_days + 1
    return no_recommender(n_refits, len(world.groups), section.neighbours)
