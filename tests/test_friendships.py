"""The friend graph: its laws, its theory, and networkx as the judge of its shape."""

from __future__ import annotations

import dataclasses
import math

import networkx as nx
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from gateway._numba import set_threads
from gateway.config.platform import WorldSection
from gateway.randomness import Purpose, generator
from gateway.world import draw_world
from gateway.world import friendships as module
from gateway.world.friendships import CHUNKS, draw_friendships
from gateway.world.friendships_kernels import draw_introductions, draw_pairs
from gateway.world.users import draw_users
from tests import naive
from tests.worlds import small_config


def draw(seed=3, chunks=CHUNKS, **settings):
    section = WorldSection(**settings)
    users = draw_users(section, seed=seed)
    return section, users, draw_friendships(section, users, seed=seed, chunks=chunks)


def ends(graph):
    return np.repeat(np.arange(len(graph.offsets) - 1), np.diff(graph.offsets)), graph.friend


def blocks(users):
    return users.country * np.int64(users.interest.shape[1]) + users.interest.argmax(axis=1)


def as_sets(graph):
    rows = np.split(graph.friend, graph.offsets[1:-1])
    return [set(row.tolist()) for row in rows]


def as_networkx(users, graph):
    """The graph with the attributes of its users, for somebody else's measures."""
    user, friend = ends(graph)
    network = nx.empty_graph(len(users))
    network.add_edges_from(zip(user.tolist(), friend.tolist(), strict=True))
    for name, values in (("block", blocks(users)), ("country", users.country)):
        nx.set_node_attributes(network, dict(enumerate(values.tolist())), name)
    return network


# Some 24 blocks of 100 to 400 users, so that nobody knows a whole block.
SIZE = {"users": 5_000, "topics": 8}


@pytest.fixture(scope="module")
def world():
    return draw(**SIZE)


@pytest.fixture(scope="module")
def network(world):
    _, users, graph = world
    return as_networkx(users, graph)


# Laws -------------------------------------------------------------------------------------


@pytest.mark.compiled
def test_draw_friendships__same_bits_for_any_threads_and_chunks():
    expected = draw(users=1_000)[2]
    before = numba.get_num_threads()
    try:
        for threads in (1, 2):
            for chunk in (0, 1, 7):
                set_threads(threads)
                numba.set_parallel_chunksize(chunk)
                got = draw(users=1_000, chunks=3 + threads + chunk)[2]
                np.testing.assert_array_equal(got.offsets, expected.offsets)
                np.testing.assert_array_equal(got.friend, expected.friend)
    finally:
        numba.set_num_threads(before)
        numba.set_parallel_chunksize(0)


@settings(max_examples=25)
@given(
    users=st.integers(1, 90),
    mean_friends=st.floats(0.0, 30.0),
    friend_tail=st.floats(2.0, 10.0, exclude_min=True),
    friend_homophily=st.floats(0.0, 1.0),
    friend_country=st.floats(0.0, 1.0),
    friend_clustering=st.floats(0.0, 0.9),
)
def test_draw_friendships__rows_are_sorted_simple_and_mutual(**settings):
    _, users, graph = draw(**settings)
    assert graph.offsets.dtype == np.int64
    assert graph.friend.dtype == np.int32
    assert (len(graph.offsets), graph.offsets[-1]) == (len(users) + 1, len(graph.friend))
    user, friend = ends(graph)
    assert (user != friend).all()
    key = user * len(users) + friend
    assert (np.diff(key) > 0).all()
    np.testing.assert_array_equal(np.sort(friend * np.int64(len(users)) + user), key)


@pytest.mark.parametrize("mean", [0.5, 6.0, 11.3])
def test_draw_friendships__number_of_edges_is_that_of_the_config(mean):
    _, _, graph = draw(users=900, mean_friends=mean)
    assert len(graph.friend) == 2 * round(900 * mean / 2)


def test_draw_friendships__ends_where_pairs_run_out():
    _, _, graph = draw(users=12, mean_friends=10_000.0)
    assert (np.diff(graph.offsets) <= 11).all()
    # Two or three of the 66 pairs may be unlucky for 20 rounds of 16 attempts.
    assert len(graph.friend) >= 2 * 60
    assert len(draw(users=1)[2].friend) == 0
    assert len(draw(users=50, mean_friends=0.0)[2].friend) == 0


def test_friendships__change_no_user_and_no_group():
    one = draw_world(small_config())
    keys = {"mean_friends": 9, "friend_tail": 4, "friend_homophily": 0.1, "friend_clustering": 0.2}
    other = draw_world(small_config(*(f"world.{key}={value}" for key, value in keys.items())))
    assert len(other.friendships.friend) > len(one.friendships.friend)
    for name, expected in vars(one.groups).items():
        np.testing.assert_array_equal(getattr(other.groups, name), expected)
    for name in ("interest", "country", "arrival", "occasions"):
        np.testing.assert_array_equal(getattr(other.users, name), getattr(one.users, name))


def test_friendships__depend_on_countries_and_interests_alone():
    section, users, expected = draw(users=400)
    busy = dataclasses.replace(users, arrival=users.arrival[::-1], occasions=users.occasions + 1)
    got = draw_friendships(section, busy, seed=3)
    np.testing.assert_array_equal(got.friend, expected.friend)
    other = draw_friendships(section, users, seed=4)
    assert not np.array_equal(other.friend, expected.friend)


# Theory -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", [2.2, 3.0, 5.0])
def test_draw_weights__follow_a_pareto_law_cut_off_at_both_ends(tail):
    n, mean = 20_000, 12.0
    weights = module._draw_weights(np.random.default_rng(1), n, mean, tail)
    high = module.CUT * mean
    low = module._lowest(mean, high, tail)
    assert low <= weights.min()
    assert weights.max() <= high
    assert module._pareto_mean(low, high, tail) == pytest.approx(mean)

    def share_below(x):
        return (1 - (low / x) ** (tail - 1)) / (1 - (low / high) ** (tail - 1))

    # Kolmogorov: sqrt(n) D above 2.2 has a chance of 1e-4.
    assert stats.kstest(weights, share_below).statistic * math.sqrt(n) < 2.2


def test_draw_weights__of_a_small_world_stop_where_two_would_be_friends_twice():
    weights = module._draw_weights(np.random.default_rng(1), 1_000, 12.0, 2.1)
    assert weights.max() ** 2 / (12.0 * 1_000) <= 1.0
    assert weights.max() > 80.0  # of at most sqrt(12,000) = 110


@given(share=st.floats(0.0, 1.0), closed=st.floats(0.0, 0.9))
def test_before_closure__gives_the_share_after_it(share, closed):
    before = module._before_closure(share, closed)
    assert (1 - closed) * before + closed * before**2 == pytest.approx(share, abs=1e-12)


@pytest.mark.compiled
@pytest.mark.parametrize("closed", [0.0, 0.5])
def test_friendships__stay_within_blocks_and_countries_as_often_as_expected(closed):
    _, users, graph = draw(**SIZE, friend_clustering=closed)
    user, friend = ends(graph)
    weight = module._draw_weights(generator(3, Purpose.FRIENDSHIPS), len(users), 12.0, 3.0)
    block = blocks(users)
    q_block = np.bincount(block, weight) / weight.sum()
    q_country = np.bincount(users.country, weight) / weight.sum()
    # e_rs of Karrer and Newman's planted mixture, lambda = share beyond chance, on two levels.
    within = np.bincount(np.arange(len(q_block)) // users.interest.shape[1], q_block**2)
    chance_at_home = (within / q_country[: len(within)]).sum()
    expected_block = 0.5 + 0.25 * chance_at_home + 0.25 * (q_block**2).sum()
    expected_country = 0.75 + 0.25 * (q_country**2).sum()
    # 30,000 edges: standard error 0.003. Heavy users know much of their block, and who is
    # drawn again is drawn elsewhere: up to 0.03 less.
    assert expected_block - 0.03 < (block[user] == block[friend]).mean() < expected_block + 0.01
    home = (users.country[user] == users.country[friend]).mean()
    assert expected_country - 0.03 < home < expected_country + 0.01


@pytest.mark.compiled
def test_friendships__of_pure_homophily_stay_within_blocks():
    _, users, graph = draw(**SIZE, friend_homophily=1.0, friend_clustering=0.0)
    user, friend = ends(graph)
    # All but the NEGLIGIBLE share that a way may leave to the next.
    assert (blocks(users)[user] == blocks(users)[friend]).mean() > 0.998


@pytest.mark.compiled
@pytest.mark.parametrize("closed", [0.0, 0.5])
def test_degrees__are_in_proportion_to_the_weights(closed):
    _, users, graph = draw(users=40_000, topics=3, friend_clustering=closed)
    weight = module._draw_weights(generator(3, Purpose.FRIENDSHIPS), len(users), 12.0, 3.0)
    degree = np.diff(graph.offsets)
    for low, high in ((6, 7), (7, 10), (10, 20), (20, 60)):
        some = (weight >= low) & (weight < high)
        # A degree scatters around its weight by less than twice its root: at least 1,300
        # users of a class, so four standard errors are below 0.06.
        assert degree[some].mean() / weight[some].mean() == pytest.approx(1.0, abs=0.06)
    some = weight >= 60
    assert 0.85 < degree[some].mean() / weight[some].mean() < 1.03


@pytest.mark.compiled
@pytest.mark.parametrize("tail", [2.5, 3.0, 3.5])
def test_degrees__have_the_tail_of_the_config(tail):
    _, _, graph = draw(users=40_000, topics=3, friend_tail=tail)
    got = fit_exponent(np.diff(graph.offsets), 30, 250)
    # Standard error below 0.08. Degrees scatter around the weights, which adds the more to
    # a class the smaller it is and so makes the tail a little steeper.
    assert got == pytest.approx(tail, abs=0.2)


def fit_exponent(degree, low, high):
    """Maximum likelihood of P(k) ~ k^-a on low..high (Clauset et al. 2009, eq. 3.5, cut off)."""
    k, support = degree[(degree >= low) & (degree <= high)], np.arange(low, high + 1)

    def loss(a):
        return a * np.log(k).mean() + np.log(np.sum(support ** (-a)))

    return optimize.minimize_scalar(loss, bounds=(1.1, 9.0), method="bounded").x


# networkx ---------------------------------------------------------------------------------


@pytest.mark.compiled
def test_network__is_the_one_that_was_drawn(world, network):
    section, users, graph = world
    assert network.number_of_edges() == len(users) * section.mean_friends / 2
    assert [network.degree(u) for u in range(len(users))] == np.diff(graph.offsets).tolist()
    # Nearly everybody is in touch with nearly everybody, as on real platforms.
    assert len(max(nx.connected_components(network), key=len)) > 0.98 * len(users)


@pytest.mark.compiled
def test_clustering__is_that_of_real_friendships(world, network):
    section, _, _ = world
    # Mean local clustering: 0.16 in Facebook's regions (Wilson et al. 2009), 0.17 Orkut,
    # 0.31 Flickr, 0.33 LiveJournal (Mislove et al. 2007).
    local = nx.clustering(network)
    assert 0.1 < np.mean(list(local.values())) < 0.3
    # It falls with k as 3 c / (k - 1) and somewhat slower, as chance adds triangles.
    for low, high in ((8, 12), (12, 20), (20, 40)):
        some = [local[u] * (k - 1) for u, k in network.degree if low <= k < high]
        assert 1.0 < np.mean(some) / (3 * section.friend_clustering) < 2.0


@pytest.mark.compiled
def test_triangles__are_as_many_as_introductions_at_least(world, network):
    section, _, _ = world
    introductions = network.number_of_edges() * section.friend_clustering
    triangles = sum(nx.triangles(network).values()) / 3
    # All introductions but the NEGLIGIBLE share that may fail close one each.
    assert triangles >= introductions - module.NEGLIGIBLE * network.number_of_edges()
    wedges = sum(k * (k - 1) / 2 for _, k in network.degree)
    assert nx.transitivity(network) == pytest.approx(3 * triangles / wedges)
    assert nx.transitivity(network) > 0.06


@pytest.mark.compiled
def test_clustering__without_introductions_is_chance():
    _, users, graph = draw(**SIZE, friend_clustering=0.0, friend_homophily=0.0, friend_country=0.0)
    got = nx.average_clustering(as_networkx(users, graph))
    # Chung-Lu: (<k^2> - <k>)^2 / (n <k>^3) (Newman 2003, SIAM Review 45, 167, eq. 73).
    k = np.diff(graph.offsets).astype(float)
    expected = (np.mean(k**2) - k.mean()) ** 2 / (len(k) * k.mean() ** 3)
    assert got == pytest.approx(expected, rel=0.25)


@pytest.mark.compiled
def test_assortativity__is_that_of_the_config(network):
    # Newman (2003), Phys. Rev. E 67, 026126, eq. 2; for the tolerance see the shares above.
    by_block = nx.attribute_assortativity_coefficient(network, "block")
    by_country = nx.attribute_assortativity_coefficient(network, "country")
    assert by_block == pytest.approx(0.5, abs=0.03)
    assert by_country == pytest.approx(0.5 + 0.5 * 0.5, abs=0.03)
    # Real friendships: 0.07 (Orkut) to 0.23 (Facebook, Ugander et al. 2011).
    assert 0.03 < nx.degree_assortativity_coefficient(network) < 0.25


# Kernels and their twins ------------------------------------------------------------------


def rows(friends):
    offsets = np.cumsum([0, *map(len, friends)], dtype=np.int64)
    return offsets, np.array([w for mine in friends for w in sorted(mine)], np.int32)


def some_friends(seed, n_places, n_pairs):
    rng = np.random.default_rng(seed)
    pairs = rng.integers(0, n_places, (n_pairs, 2))
    return naive.befriend([set() for _ in range(n_places)], pairs[pairs[:, 0] != pairs[:, 1]])


def places(n_places, n_blocks, seed=0):
    """Weights of sorted places, as ``draw_pairs`` takes them, and what its twin takes."""
    rng = np.random.default_rng(seed)
    block = np.sort(rng.integers(0, n_blocks, n_places)).astype(np.uint16)
    total = np.concatenate([[0.0], np.cumsum(rng.pareto(1.5, n_places) + 1)])
    steps = np.arange(n_places) * total[-1] / n_places
    guide = (np.searchsorted(total, steps, side="right") - 1).astype(np.int32)
    low = np.searchsorted(block, np.arange(n_blocks), side="left")
    high = np.searchsorted(block, np.arange(n_blocks), side="right")
    return total, guide, block, low, high


@pytest.mark.parametrize("n_pairs", [1, 40, 400])
def test_draw_pairs__equals_its_twin(n_pairs):
    total, guide, block, low, high = places(50, 4)
    friends = some_friends(1, 50, 120)
    first, second = np.full(n_pairs, -1, np.int32), np.full(n_pairs, -1, np.int32)
    draw_pairs(7, 6, 2, 0.3, total, guide, block, low, high, *rows(friends), first, second)
    expected = naive.draw_pairs(7, 6, 2, 0.3, total, block, low, high, friends, n_pairs)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == expected
    # With 400 pairs some find nobody any more, which is part of what was compared.
    assert (n_pairs < 400) == (second.min() >= 0)


@pytest.mark.parametrize("n_pairs", [1, 60, 600])
def test_draw_introductions__equals_its_twin(n_pairs):
    friends = some_friends(2, 60, 110)
    first, second = np.full(n_pairs, -1, np.int32), np.full(n_pairs, -1, np.int32)
    draw_introductions(7, 6, 2, 0.6, *rows(friends), first, second)
    expected = naive.draw_introductions(7, 6, 2, 0.6, friends, n_pairs)
    got = list(zip(first.tolist(), second.tolist(), strict=True))
    assert got == expected
    assert all(w < 0 or friends[u] & friends[w] for u, w in got)
    assert {1, 2, 3, 4} <= {len(mine) for mine in friends}  # every way of picking was met


def test_join__equals_sets_of_friends():
    friends = some_friends(3, 70, 150)
    rng = np.random.default_rng(4)
    first, second = rng.integers(0, 70, (2, 2_000)).astype(np.int32)
    second[first == second] = -1  # rows of up to 60 friends: both ways of sorting are met
    joined = module._join(module.Friendships(*rows(friends)), first, second, CHUNKS)
    expected = naive.befriend(friends, zip(first.tolist(), second.tolist(), strict=True))
    assert as_sets(joined) == expected
    assert (np.diff(joined.offsets) == [len(mine) for mine in expected]).all()


def test_rename__equals_sets_of_friends():
    friends = some_friends(5, 80, 900)
    order = np.random.default_rng(6).permutation(80).astype(np.int32)
    renamed = module._rename(module.Friendships(*rows(friends)), order)
    expected = {int(order[p]): sorted(int(order[q]) for q in friends[p]) for p in range(80)}
    got = np.split(renamed.friend, renamed.offsets[1:-1])
    assert {u: row.tolist() for u, row in enumerate(got)} == expected


@pytest.mark.compiled
def test_draw_pairs__gives_everybody_the_share_that_is_due():
    total, guide, block, low, high = places(40, 3)
    nobody = rows([set()] * 40)
    due = np.diff(total) / total[-1]
    n_pairs = int(1 / due.max())  # at most one pair each, so that no repeat is refused
    met = np.zeros(40)
    n_rounds = 3_000
    shifts = np.random.default_rng(8).random(n_rounds)
    for number, shift in enumerate(shifts):
        first, second = np.empty(n_pairs, np.int32), np.empty(n_pairs, np.int32)
        draw_pairs(7, 6, number, shift, total, guide, block, low, high, *nobody, first, second)
        began = np.bincount(first, minlength=40)
        assert (np.abs(began - n_pairs * due) < 1).all()
        met += np.bincount(second, minlength=40)
    # u meets w with chance weight_w / (weight of u's block without u).
    same = block[:, None] == block
    np.fill_diagonal(same, val=False)
    chance = same * due / (same * due).sum(axis=1, keepdims=True)
    expected = n_rounds * n_pairs * (due[:, None] * chance).sum(axis=0)
    # Chi-square with about 37 degrees of freedom: above 75 has a chance of 2e-4.
    assert ((met - expected) ** 2 / expected).sum() < 75


@pytest.mark.compiled
def test_draw_introductions__every_friend_has_the_same_chance():
    # User 0 knows 1 to 6, and user i knows i - 1 more, who know nobody else.
    pairs = [(0, i) for i in range(1, 7)]
    pairs += [(i, 10 * i + j) for i in range(1, 7) for j in range(i - 1)]
    friends = naive.befriend([set() for _ in range(70)], pairs)
    offsets, friend = rows(friends)
    met = np.zeros(70)
    for number in range(4_000):
        first, second = np.full(4, -1, np.int32), np.full(4, -1, np.int32)
        draw_introductions(7, 6, number, number % 100 / 100, offsets, friend, first, second)
        ours = (first >= 1) & (second >= 1) & (first <= 6) & (second <= 6)
        met += np.bincount(first[ours], minlength=70) + np.bincount(second[ours], minlength=70)
    got, expected = met[1:7], met.sum() / 6
    assert expected > 700
    # Chi-square with 5 degrees of freedom, less so as ends come in twos: above 24, 2e-4.
    assert ((got - expected) ** 2 / expected).sum() < 24
