"""Simulate the platform of a world, day by day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.joins import SOURCES, JoinLog, numbered_names
from gateway.randomness import Stream
from gateway.simulate.invitations import InvitationLog
from gateway.simulate.moderation import Moderation, Strikes
from gateway.simulate.occasion import Scenery, build_scenery, build_senders
from gateway.simulate.occasion_kernels import NEVER, UNCONFIRMED, Labels, Others, Policies
from gateway.simulate.platform_kernels import State, advance_day, wind_up
from gateway.simulate.policies import Intervention, as_policies
from gateway.simulate.pymk import SPARE_FRIENDS, find_friends
from gateway.simulate.recommender import (
    Recommender,
    fit_recommender,
    no_recommender,
    steer_recommender,
)
from gateway.simulate.sources import source_codes
from gateway.world import World

__all__ = ["History", "Progress", "live_through", "simulate"]

Progress = Callable[[int], object]
UNIX_EPOCH = date(1970, 1, 1)
# Work is cut into a fixed number of chunks of users, whatever the number of threads.
CHUNKS = 256


@dataclass(frozen=True, eq=False)
class History:
    """All that happened on a platform.

    Parameters
    ----------
    world, policies
        What it was made from.
    scenery, labels, others, state
        What the kernels saw and wrote; a replay reads them.
    invitations
        Every invitation sent.
    strikes
        Strikes by group, month and kind.
    """

    world: World
    policies: Policies
    scenery: Scenery
    labels: Labels
    others: Others
    state: State
    invitations: InvitationLog
    strikes: Strikes

    def joins(self) -> JoinLog:
        """Return the confirmed joins as a log, with source, inviter and seed group."""
        cell = np.flatnonzero((self.state.group >= 0) & (self.state.source < UNCONFIRMED))
        return _as_log(self, cell)

    def requests(self) -> pa.Table:
        """Return every join request: user, group, time, source, confirmed."""
        state = self.state
        cell = np.flatnonzero(state.group >= 0)
        owner = self.owner(cell)
        row = state.source[cell] & np.uint8(UNCONFIRMED - 1)
        names = pa.array([SOURCES[code] for code in source_codes()], pa.string())
        return pa.table(
            {
                "user": numbered_names("u", owner),
                "group": numbered_names("g", state.group[cell]),
                "time": pa.array(state.time[cell]),
                "source": pa.DictionaryArray.from_arrays(pa.array(row.astype(np.int8)), names),
                "confirmed": pa.array(state.source[cell] < UNCONFIRMED),
            }
        )

    def owner(self, cell: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """Return the user of each cell, shape (len(cell),)."""
        owner = np.searchsorted(self.state.start, cell, side="right") - 1
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
    return live_through(world, interventions=interventions, progress=progress).joins()


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
    start = _offsets(world.users.occasions)
    state = _empty_state(start)
    recommender = _recommender(world)
    others = _others(world, state, recommender)
    scenery = build_scenery(world)
    policies = as_policies(interventions, n_groups=len(world.groups), days=world.days)
    moderation = Moderation(world, world.config.moderation)
    invitations = InvitationLog()
    users = world.users
    wind_up(
        state, users.arrival, users.departure, scenery.gap_shape, world.seed,
        int(Stream.EVENT_TIMES),
    )  # fmt: skip
    for day in range(world.days):
        _between_days(world, state, others, recommender, moderation, day)
        _advance(world, scenery, moderation.labels, policies, others, state, invitations, day)
        if progress is not None:
            progress(day)
    return History(
        world, policies, scenery, moderation.labels, others, state, invitations,
        moderation.strikes(),
    )  # fmt: skip


def _between_days(
    world: World,
    state: State,
    others: Others,
    recommender: Recommender,
    moderation: Moderation,
    day: int,
) -> None:
    """Before a day: strikes and labels by month; recommender and PYMK on their schedule."""
    month = moderation.month_of(day)
    if month is not None:
        is_member = (state.group >= 0) & (state.source < UNCONFIRMED)
        counts = np.bincount(state.group[is_member], minlength=len(world.groups))
        moderation.begin_month(month, counts)
    section = world.config.simulation
    refit_days = section.refit_days
    if day > 0 and day % refit_days == 0:
        sample = section.recommender_sample
        fit_recommender(recommender, day // refit_days, state, sample=sample)
        steer_recommender(recommender, day // refit_days, world)
        find_friends(world, others, day)


def _advance(
    world: World,
    scenery: Scenery,
    labels: Labels,
    policies: Policies,
    others: Others,
    state: State,
    invitations: InvitationLog,
    day: int,
) -> None:
    advance_day(
        scenery, labels, policies, others, state, build_senders(world), invitations.group,
        invitations.sender, invitations.taken, day, world.seed, int(Stream.EVENT_TIMES),
        int(Stream.JOINS), int(Stream.SENDING), CHUNKS,
    )  # fmt: skip
    invitations.send(scenery, policies, state, day, seed=world.seed)


def _recommender(world: World) -> Recommender:
    section = world.config.simulation
    n_refits = (world.days - 1) // section.refit_days + 1
    return no_recommender(n_refits, len(world.groups), section.neighbours)


def _others(world: World, state: State, recommender: Recommender) -> Others:
    n_users = len(world.users)
    spare = SPARE_FRIENDS if world.config.simulation.pymk_share > 0 else 0
    return Others(
        start=state.start,
        group=state.group,
        source=state.source,
        time=state.time,
        extra_count=np.zeros(n_users, np.int8),
        extra_friend=np.zeros((n_users, spare), np.int32),
        extra_day=np.zeros((n_users, spare), np.int16),
        neighbour=recommender.neighbour,
        weight=recommender.weight,
    )


def _offsets(counts: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _empty_state(start: npt.NDArray[np.int64]) -> State:
    n_cells, n_users = int(start[-1]), len(start) - 1
    return State(
        start=start,
        group=np.full(n_cells, -1, np.int32),
        time=np.full(n_cells, NEVER, np.int32),
        source=np.zeros(n_cells, np.uint8),
        seed_cell=np.full(n_cells, -1, np.int16),
        inviter=np.full(n_cells, -1, np.int32),
        sent=np.zeros(n_cells, np.int16),
        taken=np.zeros(n_users, np.int32),
        clock=np.zeros(n_users, np.float64),
        due=np.full(n_users, NEVER, np.int32),
        boost=np.zeros(n_users, np.float64),
        since=np.zeros(n_users, np.int32),
        inbox=np.full(n_users, -1, np.int64),
        exposed=np.full(n_users, NEVER, np.int32),
        sends=np.full(n_users, -1, np.int32),
    )


def _as_log(history: History, cell: npt.NDArray[np.int64]) -> JoinLog:
    """Confirmed cells as a log, ties in canonical order."""
    world, state = history.world, history.state
    owner = history.owner(cell)
    order = np.lexsort((state.group[cell], state.time[cell], owner))
    cell, owner = cell[order], owner[order]
    counts = np.bincount(owner, minlength=len(world.users)).astype(np.int32)
    seed_cell = state.seed_cell[cell]
    seeded = seed_cell >= 0
    seed_group = np.full(len(cell), -1, np.int32)
    seed_group[seeded] = state.group[state.start[owner[seeded]] + seed_cell[seeded]]
    return JoinLog(
        offsets=_offsets(counts),
        group=state.group[cell],
        time=state.time[cell],
        users=numbered_names("u", np.arange(len(world.users))),
        groups=numbered_names("g", np.arange(len(world.groups))),
        tick="day",
        origin=(world.section.start - UNIX_EPOCH).days,
        observed_from=world.users.arrival,
        observed_until=world.users.departure - np.int32(1),
        source=source_codes()[state.source[cell]],
        inviter=state.inviter[cell],
        seed_group=seed_group,
    )
