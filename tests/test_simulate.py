from __future__ import annotations

import hashlib

import numba
import numpy as np
import pytest

from gateway._numba import set_threads
from gateway.joins import SOURCES
from gateway.simulate import draw_strikes, simulate
from gateway.simulate.platform import _offsets
from gateway.simulate.platform_kernels import draw_days
from gateway.simulate.recommender import CHUNKS, fit_recommender
from gateway.world import Role, draw_world
from tests import naive
from tests.worlds import small_config


def digest(joins) -> str:
    arrays = (joins.offsets, joins.group, joins.time, joins.source, joins.seed_group)
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


@pytest.fixture(scope="module")
def world():
    return draw_world(small_config())


@pytest.fixture(scope="module")
def joins(world):
    return simulate(world)


def test_simulate__same_bits_for_any_threads_and_chunks(world, joins):
    before = numba.get_num_threads()
    found = set()
    try:
        for threads in (1, 2):
            for chunk in (0, 1, 7):
                set_threads(threads)
                numba.set_parallel_chunksize(chunk)
                found.add(digest(simulate(world)))
    finally:
        numba.set_num_threads(before)
        numba.set_parallel_chunksize(0)
    assert found == {digest(joins)}


def test_simulate__equals_its_twin_where_nobody_looks_at_anybody():
    config = small_config(
        "world.users=60", "simulation.intent=1.0", "simulation.recommendation=0.0",
        "simulation.friends=0.0",
    )  # fmt: skip
    world = draw_world(config)
    joins = simulate(world)
    got = list(zip(joins.user().tolist(), joins.group.tolist(), joins.time.tolist(), strict=True))
    expected = naive.simulate(world, config.simulation)
    assert sorted(got) == sorted(expected)
    assert len(got) > 200
    # A gateway's joiners are there, so that the boost is part of what was compared.
    assert np.isin(joins.group, np.flatnonzero(world.groups.strength > 0)).any()


def test_draw_days__equals_its_twin(world):
    start = _offsets(world.users.occasions)
    day = np.empty(start[-1], np.int32)
    draw_days(5, 1, start, world.users.arrival, world.days, day)
    expected = naive.draw_days(5, 1, world.users.occasions, world.users.arrival, world.days)
    assert day.tolist() == [d for days in expected for d in days]


def test_draw_days__is_uniform_from_arrival_to_the_end():
    # Conditional on their number, the events of a Poisson process are uniform (Kingman
    # 1993, section 2.4): mean (a + n) / 2; 20,000 events, so its standard error is 0.4.
    start = np.arange(0, 20_001, 10, dtype=np.int64)
    arrival = np.full(2_000, 20, np.int32)
    day = np.empty(20_000, np.int32)
    draw_days(9, 1, start, arrival, 220, day)
    assert day.min() == 20
    assert day.max() == 219
    assert abs(day.mean() + 0.5 - 120.0) < 4 * 200 / np.sqrt(12 * 20_000)


def test_recommender__equals_sets_of_members():
    from gateway.simulate.platform import _empty_state

    rng = np.random.default_rng(0)
    start = np.arange(0, 41 * 6, 6, dtype=np.int64)
    state = _empty_state(start)
    state.joined[:] = rng.integers(0, 7, 40)
    for u in range(40):
        state.group[start[u] : start[u + 1]] = rng.permutation(15)[:6]
    members = [set() for _ in range(15)]
    for u in range(40):
        for i in range(start[u], start[u] + state.joined[u]):
            members[state.group[i]].add(u)
    fitted = fit_recommender(state, 15, 4)
    for g, expected in enumerate(naive.nearest_groups(members, 4)):
        got = fitted.neighbour[g][fitted.neighbour[g] >= 0]
        assert got.tolist() == [h for h, _ in expected]
        # The same few roundings in the same order: equal to the last bit but for the sum.
        cosines = np.diff(fitted.weight[g], prepend=0.0)[: len(expected)]
        np.testing.assert_allclose(cosines, [c for _, c in expected], rtol=1e-12)
    assert CHUNKS > 1


def test_simulate__obeys_the_platform(world, joins):
    user = joins.user()
    pairs = user.astype(np.int64) * joins.n_groups + joins.group
    assert len(np.unique(pairs)) == joins.n_joins
    assert (joins.time >= world.users.arrival[user]).all()
    assert (joins.time >= world.groups.created[joins.group]).all()
    assert (joins.time < world.days).all()
    assert (np.diff(joins.offsets) <= world.users.occasions).all()


def test_simulate__recommended_groups_come_from_a_group_of_the_user(joins):
    user, gysj = joins.user(), joins.source == SOURCES.index("gysj")
    assert gysj.any()
    member = set(zip(user.tolist(), joins.group.tolist(), strict=True))
    seeds = zip(user[gysj].tolist(), joins.seed_group[gysj].tolist(), strict=True)
    assert all(pair in member for pair in seeds)
    assert (joins.seed_group[~gysj] == -1).all()


def test_simulate__uses_every_mechanism(joins):
    counts = np.bincount(joins.source, minlength=len(SOURCES))
    used = [SOURCES[i] for i in np.flatnonzero(counts)]
    assert used == ["gysj", "search", "newsfeed_story_header"]


def test_simulate__another_seed_gives_another_log(joins):
    other = simulate(draw_world(small_config("experiment.seed=6")))
    assert digest(other) != digest(joins)


def test_influence__raises_later_harm_joins_of_joiners():
    """The planted mechanism works: with beta, members join more harm groups afterwards."""

    def harm_after(strength):
        config = small_config(f"world.roles.influence_strength={strength}", "world.users=4000")
        world = draw_world(config)
        joins = simulate(world)
        gateway = world.groups.role == Role.INFLUENCE
        harm = (world.groups.role == Role.TARGET) & (world.groups.topic == 0)
        user = joins.user()
        first = np.full(joins.n_users, 10**6)
        np.minimum.at(first, user[gateway[joins.group]], joins.time[gateway[joins.group]])
        after = joins.time > first[user]
        return (harm[joins.group] & after).sum() / after.sum()

    without, with_it = harm_after(0.0), harm_after(2.5)
    # About 4,500 later joins, 5 % of them harm groups: a standard error of 0.3 points;
    # exp(2.5) = 12 times the taste is far beyond doubling.
    assert with_it > 2 * without


def test_strikes__fall_on_planted_targets_of_their_kind_only(world, joins):
    strikes = draw_strikes(world, joins)
    planted = world.groups.role == Role.TARGET
    struck = strikes.count.sum(axis=1)
    assert (struck[~planted] == 0).all()
    assert (struck[planted & (world.groups.topic == 0), 1] == 0).all()
    assert struck[planted & (world.groups.topic == 0), 0].sum() > 0


def test_strikes__mean_is_harm_times_members(world, joins):
    strikes = draw_strikes(world, joins)
    month = strikes.months.index("2020-06")
    members = np.bincount(joins.group[joins.time < 152], minlength=joins.n_groups)
    expected = (world.groups.harm[:, 0] * members).sum()
    got = strikes.count[:, month, 0].sum()
    # A sum of Poisson draws: variance equals mean.
    assert abs(got - expected) < 4 * np.sqrt(expected)


def test_strikes__long_table_holds_every_strike(world, joins):
    strikes = draw_strikes(world, joins)
    table = strikes.to_arrow(joins.groups)
    assert sum(table["strikes"].to_pylist()) == strikes.count.sum()
    assert table["strikes"].to_numpy().min() > 0
