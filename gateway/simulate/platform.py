"""Simulate the platform of a world, day by day."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway._numba import threads_at_most
from gateway.arrays import Int32, Int64, Mask
from gateway.log.join_log import JoinLog
from gateway.randomness import Stream
from gateway.simulate.log import (
    InvitationLog,
    as_log,
    as_table,
    count_sizes,
    list_invitations,
    occasions_of,
)
from gateway.simulate.moderation import Moderation, Strikes, flag_users
from gateway.simulate.occasion import build_stage, put_labels
from gateway.simulate.occasion_kernels import LIMITED, SPARED
from gateway.simulate.platform_kernels import advance_day, send_invitations, wind_up
from gateway.simulate.policies import Intervention, InviteFriction, as_policies, interventions_of
from gateway.simulate.recommender import (
    Recommender,
    find_friends,
    no_recommender,
    refit_recommender,
)
from gateway.simulate.tables import (
    LETTER,
    NO_DAY,
    SEAT,
    Labels,
    Policies,
    Stage,
    Table,
    empty_table,
    owners,
)
from gateway.world import World
from gateway.world.model import NEVER

Progress = Callable[[int], object]
# At most so many chunks of users, whatever the number of threads.
MOST_CHUNKS = 256


class Cut(NamedTuple):
    """How the work of a day is cut. It changes no result."""

    least_users: int = 8192  # of a chunk
    seats: int = 32  # users in flight in each of them (see ``prefetch_kernels``)
    bag: int = 32  # letters under way

    def chunks(self, n_users: int) -> int:
        """Return how many chunks of users there are."""
        return min(MOST_CHUNKS, 1 + n_users // self.least_users)


@dataclass(frozen=True, eq=False)
class History:
    """All that happened on a platform."""

    # What it was made from.
    world: World
    policies: Policies
    # The tables that the kernels saw and wrote. Of the recommender they hold the last layer only;
    # ``replay.relived_stage`` gives all.
    stage: Stage
    labels: Labels  # what moderation said of each group, and when
    strikes: Strikes  # strikes by group, month and kind

    @property
    def state(self) -> Table:
        """Every occasion of every user, one row each (``tables.CELL``)."""
        return self.stage.cells

    @cached_property
    def invitations(self) -> InvitationLog:
        """Every invitation sent: drawn again when first asked for, and kept."""
        world = self.world
        return list_invitations(self.stage, self.policies, days=world.days, seed=world.seed)

    def joins(self) -> JoinLog:
        """Return the confirmed joins as a log, with source, inviter and seed group."""
        return as_log(self.world, occasions_of(self.stage))

    def requests(self) -> pa.Table:
        """Return every join request: user, group, time, source, confirmed."""
        cell = np.flatnonzero(self.state.group >= 0)
        return as_table(self.stage, cell, owner=self.owner(cell))

    def exposed(self) -> Int32:
        """Return the first day on which each user was shown a GYSJ unit, or ``NEVER``."""
        days = self.stage.users.exposed
        return np.where(days == NO_DAY, NEVER, days.astype(np.int32)).astype(np.int32)

    def flagged(self) -> Int32:
        """Return the day from which each user is labelled non-rec, or ``NEVER``."""
        return flag_users(self.world, self.stage.users, self.state)

    def owner(self, cell: Int64) -> Int32:
        """Return the user of each cell, shape (len(cell),)."""
        return owners(self.stage.users, cell)


def simulate(
    world: World,
    *,
    interventions: Iterable[Intervention | Mapping[str, Any]] = (),
    progress: Progress | None = None,
) -> JoinLog:
    """Simulate the joins of a world; ``live_through`` gives everything else as well.

    Parameters
    ----------
    world
        The world, as ``gateway.draw_world`` gives it; nothing in it is changed.
    interventions
        What the platform does about groups from a day on, as values or as mappings:
        ``{"kind": "demotion", "start": 200, "roles": ["planted"], "share": 0.5}``. Two runs that
        differ in these alone share every random draw.
    progress
        Called with the number of each day that is done; None for nobody.

    Returns
    -------
    JoinLog
        Confirmed joins with ``source``, ``inviter`` and ``seed_group``. The same bits for
        any number of threads.
    """
    acting = interventions_of(world, interventions)
    lived = live_through(world, interventions=acting, progress=progress)
    occasions = occasions_of(lived.stage)
    # The log takes the room of all else, and of the occasions as it goes.
    del lived
    with threads_at_most(Cut().chunks(len(world.users))):
        return as_log(world, occasions, spent=True)


def live_through(
    world: World,
    *,
    interventions: tuple[Intervention, ...] = (),
    spared: Mask | None = None,
    progress: Progress | None = None,
    cut: Cut = Cut(),  # noqa: B008  (a value that nobody can change)
) -> History:
    """Simulate the platform of a world.

    Users have occasions, at which they look at up to ``attempts`` groups: recommended from
    a group they are in, a friend's, one they are invited to, or found by topic and appeal.
    They request the first that exists, is new to them and (unless they searched for it)
    meets their taste; the request is confirmed with the probability of its source.

    Parameters
    ----------
    interventions
        Policies that act on groups from a day on. Two runs that differ in these alone
        share every random draw.
    spared
        bool, shape (n_users,): users to whom they do not apply, but for caps: what is shown to
        these, and their invitations, are as without.
    progress
        Called with the number of each day that is done; None for nobody.
    cut
        How the work is cut; it changes no result.
    """
    recommender = no_recommender(1, len(world.groups), world.config.simulation.neighbours)
    moderation = Moderation(world, world.config.moderation)
    policies = as_policies(interventions, n_groups=len(world.groups), days=world.days)
    stage = build_stage(world, recommender, moderation.labels, policies)
    if spared is not None:
        stage.users.holdouts[spared] |= SPARED
    for one in interventions:
        if isinstance(one, InviteFriction) and one.senders is not None:
            stage.users.holdouts[one.senders] |= LIMITED
    desk = _desk(len(world.users), cut)
    wind_up(
        stage.users, stage.cells, desk.due, world.users.arrival, stage.gap_shape, world.seed,
        int(Stream.EVENT_TIMES),
    )  # fmt: skip
    for day in range(world.days):
        # A day of a small world is over before a second thread has woken.
        _between_days(world, stage, recommender, moderation, day, threads=len(desk.seats))
        with threads_at_most(len(desk.seats)):
            _advance(world, stage, policies, desk, day)
        if progress is not None:
            progress(day)
    return History(world, policies, stage, moderation.labels, moderation.strikes())


class Desk(NamedTuple):
    """What a platform works with while it lives."""

    due: npt.NDArray[np.uint16]  # day of each user's next occasion
    who: Int32  # a place for each user
    seats: Table  # users in flight, by chunk
    bag: Table  # letters under way


def _desk(n_users: int, cut: Cut) -> Desk:
    chunks = cut.chunks(n_users)
    return Desk(
        due=np.full(n_users, NO_DAY, np.uint16),
        who=np.zeros(n_users, np.int32),
        seats=empty_table(chunks * cut.seats, SEAT).reshape(chunks, cut.seats).view(np.recarray),
        bag=empty_table(cut.bag, LETTER),
    )


def _between_days(
    world: World,
    stage: Stage,
    recommender: Recommender,
    moderation: Moderation,
    day: int,
    *,
    threads: int,
) -> None:
    """Before a day: strikes and labels by month; recommender and PYMK on their schedule."""
    month = moderation.month_of(day)
    if month is not None:
        with threads_at_most(threads):
            sizes = count_sizes(stage)
        moderation.begin_month(month, sizes)
        put_labels(stage.groups, moderation.labels)
    if day > 0 and day % world.config.simulation.refit_days == 0:
        refit_recommender(recommender, 0, world, stage.users, stage.cells, day=day)
        find_friends(world, stage, day)


def _advance(world: World, stage: Stage, policies: Policies, desk: Desk, day: int) -> None:
    n_senders = np.zeros(len(desk.seats), np.int64)
    advance_day(
        stage, policies, desk.due, desk.who, desk.seats, n_senders, day, world.seed,
        int(Stream.EVENT_TIMES), int(Stream.JOINS), int(Stream.SENDING),
    )  # fmt: skip
    send_invitations(
        stage, policies, desk.who, n_senders, desk.bag, day, world.seed, int(Stream.SENDING),
        int(Stream.RECEIVERS),
    )  # fmt: skip
