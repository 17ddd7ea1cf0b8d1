"""Simulate the join log of a world, day by day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.config.schema import SimulationSection
from gateway.joins import SOURCES, JoinLog
from gateway.randomness import Stream
from gateway.simulate.platform_kernels import Scenery, State, advance_day, draw_days
from gateway.simulate.recommender import fit_recommender, no_recommender
from gateway.world import World

__all__ = ["simulate"]

# The note's name for each mechanism's joins, in the order of the MECHANISM_ constants.
SOURCE_OF_MECHANISM = ("search", "gysj", "newsfeed_story_header")
UNIX_EPOCH = date(1970, 1, 1)


def simulate(world: World, *, progress: Callable[[int], object] | None = None) -> JoinLog:
    """Simulate the joins of a world.

    Users have occasions, drawn ahead, at which they look at up to ``attempts`` groups:
    recommended from a group they are in, found by topic and appeal, or a friend's. They
    join the first that exists, is new to them and (unless they searched for it) meets
    their taste. Joining an ``influence`` gateway multiplies the taste for the first
    kind's harm topic by exp(beta).

    Parameters
    ----------
    world
        The world; nothing in it is changed.
    progress
        Called with the number of each day that is done; None for nobody.

    Returns
    -------
    JoinLog
        With ``source`` and ``seed_group``. The same bits for any number of threads.
    """
    section = world.config.simulation
    start = _offsets(world.users.occasions)
    day_of = np.empty(start[-1], np.int32)
    draw_days(world.seed, int(Stream.EVENT_TIMES), start, world.users.arrival, world.days, day_of)
    state = _empty_state(start)
    _live_through(world, section, state, day_of, progress)
    return _as_log(world, state)


def _live_through(
    world: World,
    section: SimulationSection,
    state: State,
    day_of: npt.NDArray[np.int32],
    progress: Callable[[int], object] | None,
) -> None:
    """Advance day after day, refitting the recommender on its schedule."""
    scenery = _scenery(world, section)
    visits = _visits(state.start, day_of, world.days)
    recommender = no_recommender(len(world.groups), section.neighbours)
    for day, (visitor, first, last) in enumerate(visits):
        if day > 0 and day % section.refit_days == 0:
            recommender = fit_recommender(state, len(world.groups), section.neighbours)
        advance_day(
            scenery, state, recommender.neighbour, recommender.weight,
            world.seed, int(Stream.JOINS), day, visitor, first, last,
        )  # fmt: skip
        state.seen[visitor] = state.joined[visitor]
        if progress is not None:
            progress(day)


def _offsets(counts: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _empty_state(start: npt.NDArray[np.int64]) -> State:
    n_cells, n_users = int(start[-1]), len(start) - 1
    return State(
        start=start,
        group=np.zeros(n_cells, np.int32),
        time=np.zeros(n_cells, np.int32),
        mechanism=np.zeros(n_cells, np.uint8),
        seed_group=np.zeros(n_cells, np.int32),
        joined=np.zeros(n_users, np.int32),
        seen=np.zeros(n_users, np.int32),
        boost=np.zeros(n_users, np.float64),
    )


def _scenery(world: World, section: SimulationSection) -> Scenery:
    return Scenery(
        interest=world.users.interest,
        user_country=world.users.country,
        friend_offsets=world.friendships.offsets,
        friend=world.friendships.friend,
        mix=world.groups.mix,
        created=world.groups.created,
        strength=world.groups.strength,
        shelf=_shelf(world),
        cut_recommendation=section.recommendation,
        cut_friends=section.recommendation + section.friends,
        attempts=section.attempts,
    )


def _shelf(world: World) -> npt.NDArray[np.float64]:
    """Cumulative weight of each group on the shelf of a topic, as seen from a country.

    Shape (n_countries, n_topics, n_groups): mix times appeal, times 1 - home_bias for
    groups of another country.
    """
    groups = world.groups
    n_countries = len(world.countries)
    foreign = groups.country[None, :] != np.arange(n_countries)[:, None]
    reach = np.where(foreign, 1 - world.section.home_bias, 1.0)
    weight = groups.mix.T[None, :, :] * (groups.appeal * reach)[:, None, :]
    return np.cumsum(weight, axis=2, dtype=np.float64)


def _visits(
    start: npt.NDArray[np.int64], day_of: npt.NDArray[np.int32], n_days: int
) -> list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """For each day: who has occasions, and the numbers of the first and past the last."""
    owner = np.repeat(np.arange(len(start) - 1, dtype=np.int32), np.diff(start))
    number = np.arange(len(day_of)) - start[owner]
    order = np.argsort(day_of, kind="stable")
    owner, number, day = owner[order], number[order], day_of[order]
    head = np.flatnonzero(np.diff(owner, prepend=-1) | np.diff(day, prepend=-1))
    length = np.diff(head, append=len(day))
    cuts = np.searchsorted(day[head], np.arange(n_days + 1))
    visitor, first = owner[head], number[head]
    return [(visitor[a:b], first[a:b], first[a:b] + length[a:b]) for a, b in pairwise(cuts)]


def _as_log(world: World, state: State) -> JoinLog:
    """Close the gaps that unused occasions left, and put ties into canonical order."""
    owner = np.repeat(np.arange(len(state.joined), dtype=np.int32), np.diff(state.start))
    taken = np.arange(len(owner)) - state.start[owner] < state.joined[owner]
    user, group, time = owner[taken], state.group[taken], state.time[taken]
    order = np.lexsort((group, time, user))
    source_codes = np.array([SOURCES.index(name) for name in SOURCE_OF_MECHANISM], np.uint8)
    return JoinLog(
        offsets=_offsets(state.joined),
        group=group[order],
        time=time[order],
        users=_names("u", len(world.users)),
        groups=_names("g", len(world.groups)),
        tick="day",
        origin=(world.section.start - UNIX_EPOCH).days,
        observed_from=world.users.arrival,
        observed_until=np.full(len(world.users), world.days - 1, np.int32),
        source=source_codes[state.mechanism[taken][order]],
        seed_group=state.seed_group[taken][order],
    )


def _names(letter: str, count: int) -> pa.StringArray:
    """Names whose sorted order is the order of ids: u0000, u0001, ..."""
    width = len(str(max(count - 1, 0)))
    return pa.array([f"{letter}{i:0{width}d}" for i in range(count)], pa.string())
