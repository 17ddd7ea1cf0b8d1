from __future__ import annotations

import hashlib

import numba
import numpy as np
import pytest

from gateway._numba import kernel, set_threads, threads, threads_at_most
from gateway.log.join_log import SOURCES
from gateway.simulate import live_through, occasion_kernels, simulate
from gateway.simulate.log import count_sizes
from gateway.simulate.occasion_kernels import UNCONFIRMED
from gateway.simulate.platform import Cut
from gateway.simulate.platform_kernels import wind_up
from gateway.simulate.recommender import (
    SPARE_FRIENDS,
    count_friends_found,
    fit_recommender,
    no_recommender,
)
from gateway.simulate.replay import relived_stage
from gateway.simulate.sources import SOURCE_TABLE, Mechanism, confirmation, cumulative_weights
from gateway.simulate.tables import CELL, LINE, NO_DAY, SHELF, USER, empty_table, last_rows_freed
from gateway.world import Role, draw_world
from gateway.world.model import NEVER
from tests import naive
from tests.worlds import small_config

ALL_ROLES = (
    "world.roles.recommender=3", "world.roles.inviter=3", "world.roles.fellow_traveller=3",
    "world.drift_share=0.2", "world.leaving=0.2",
)  # fmt: skip


# As it is, so small a world is lived through on one thread.
CHUNKS = Cut(least_users=300)


def digest(history) -> str:
    sent = history.invitations
    arrays = [
        history.state, history.stage.users, history.stage.finds, history.stage.neighbour,
        sent.letters, sent.taken, *history.labels[:3],
    ]  # fmt: skip
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


@pytest.fixture(scope="module")
def world():
    return draw_world(small_config(*ALL_ROLES))


@pytest.fixture(scope="module")
def history(world):
    return live_through(world)


CHAIN = (
    "simulation.pymk_share=0.4", "simulation.found_weight=3.0", "simulation.pymi_featuring=2.0",
    "world.featured_holdout=0.4", "world.invite_chance=0.8", "simulation.invitation=0.4",
    "simulation.recommendation=0.14",
)  # fmt: skip


@pytest.fixture(scope="module")
def chained():
    """A platform on which found friends invite each other and PYMI features some users."""
    return live_through(draw_world(small_config(*ALL_ROLES, *CHAIN)))


@pytest.fixture(scope="module")
def joins(history):
    return history.joins()


@pytest.mark.compiled
@pytest.mark.parametrize("platform_", ["history", "chained"])
def test_simulate__same_bits_for_any_threads_and_chunks(platform_, request):
    history = request.getfixturevalue(platform_)
    world = history.world
    before = numba.get_num_threads()
    found = set()
    try:
        for threads in (1, 2):
            for chunk in (0, 1, 7):
                set_threads(threads)
                numba.set_parallel_chunksize(chunk)
                found.add(digest(live_through(world, cut=CHUNKS)))
    finally:
        numba.set_num_threads(before)
        numba.set_parallel_chunksize(0)
    assert found == {digest(history)}


@pytest.mark.parametrize(("seats", "bag"), [(1, 1), (7, 2)])
def test_simulate__same_bits_for_any_number_of_users_in_flight(world, history, seats, bag):
    """One seat is one user after the other: an occasion at a time, as its definition has it."""
    assert digest(live_through(world, cut=Cut(seats=seats, bag=bag))) == digest(history)


def test_simulate__equals_its_twin_where_nobody_looks_at_anybody():
    config = small_config(
        "world.users=60", "simulation.intent=1.0", "simulation.recommendation=0.0",
        "simulation.friends=0.0", "simulation.invitation=0.0",
    )  # fmt: skip
    world = draw_world(config)
    joins = simulate(world)
    got = list(zip(joins.user().tolist(), joins.group.tolist(), joins.time.tolist(), strict=True))
    expected = naive.simulate(world)
    assert sorted(got) == sorted(expected)
    assert len(got) > 200
    # A gateway's joiners are there, so that the influence is part of what was compared.
    assert np.isin(joins.group, np.flatnonzero(world.groups.strength > 0)).any()


def test_occasions__equal_their_twin(world, history):
    users = world.users
    expected = naive.occasion_days(5, 1, users.occasions, users.arrival, users.departure)
    assert history.state.time.tolist() == [day for days in expected for day in days]


def test_occasions__equal_their_twin_where_they_are_bunched():
    world = draw_world(small_config("world.users=100", "world.gap_shape=0.4"))
    users = world.users
    expected = naive.occasion_days(5, 1, users.occasions, users.arrival, users.departure, 0.4)
    got = live_through(world).state.time
    assert got.tolist() == [day for days in expected for day in days]


@pytest.mark.compiled
def test_simulate__same_bits_for_any_threads_where_occasions_are_bunched():
    world = draw_world(small_config("world.gap_shape=0.4", "world.leaving=0.3"))
    before, found = numba.get_num_threads(), set()
    try:
        for threads in (1, 2):
            set_threads(threads)
            found.add(digest(live_through(world, cut=CHUNKS)))
    finally:
        numba.set_num_threads(before)
    assert len(found) == 1


def test_occasions__where_bunched_stay_in_order_within_the_stay():
    world = draw_world(small_config("world.gap_shape=0.1", "world.leaving=0.5"))
    state, users = live_through(world).state, world.users
    user = np.repeat(np.arange(len(users)), users.occasions)
    same = user[1:] == user[:-1]
    assert (np.diff(state.time.astype(int))[same] >= 0).all()
    assert (state.time >= users.arrival[user]).all()
    assert (state.time < users.departure[user]).all()


@pytest.mark.compiled
def test_occasions__are_uniform_from_arrival_to_the_end():
    # Given their number, the points of a Poisson process are uniform (Kingman 1993,
    # section 2.4). First of 4 uniform points: mean 1/5, sd sqrt(4/150) = 0.163.
    n = 4_000
    users, due = empty_table(n, USER), np.full(n, NO_DAY, np.uint16)
    users.start, users.occasions, users.departure = 4 * np.arange(n), 4, 220
    wind_up(users, empty_table(4 * n, CELL), due, np.full(n, 20, np.int32), 1.0, 9, 1)
    first = (users.clock - 20) / 200
    assert abs(first.mean() - 0.2) < 4 * 0.163 / np.sqrt(n)
    assert abs(first.std() - 0.163) < 0.01
    np.testing.assert_array_equal(due, users.clock.astype(int))


def test_take_from__is_the_first_group_whose_cumulative_weight_exceeds_the_point(world, history):
    """Indexed search on the shelves of a world, against the running total of all groups."""
    take_from = kernel(occasion_kernels.take_from)
    stage, groups = history.stage, world.groups
    rng = np.random.default_rng(1)
    n_topics = world.section.topics
    near = (groups.role == Role.TARGET) & (groups.topic == 0)
    for c in range(len(world.countries)):
        reach = np.where(groups.country == c, 1.0, 1 - world.section.home_bias) * groups.appeal
        for k in range(n_topics + 2):
            weights = (near if k == n_topics + 1 else groups.mix[:, k]) * reach
            first, end = stage.shelf_start[c * (n_topics + 2) + k :][:2]
            for x in (*rng.random(20), 2**-33, 1 - 2**-33):
                got = take_from(stage.shelf, first, end, x)
                expected = naive.pick(weights, x * np.cumsum(weights)[-1])
                assert got == (expected if weights.any() else -1)


def test_source_row__is_the_first_that_ends_beyond_the_point(history):
    source_row = kernel(occasion_kernels.source_row)
    source = history.stage.source
    for x in (*np.random.default_rng(2).random(200), 2**-33, 1 - 2**-33):
        assert source_row(source, x) == np.flatnonzero(source.end > x)[0]


def test_tables__rows_lie_on_lines_of_the_cache(history):
    for table in (history.stage.users, history.stage.groups):
        assert table.itemsize == LINE
        assert table.ctypes.data % LINE == 0
    assert SHELF.itemsize == 16
    assert CELL.itemsize == 12


def test_recommender__equals_sets_of_members():
    rng = np.random.default_rng(0)
    users, cells = empty_table(40, USER), empty_table(40 * 6, CELL)
    users.start = np.arange(0, 40 * 6, 6)
    users.taken = rng.integers(0, 7, 40)
    cells.group = -1
    members = [set() for _ in range(15)]
    for u in range(40):
        mine = slice(users[u].start, users[u].start + users[u].taken)
        cells.group[mine] = rng.permutation(15)[: users[u].taken]
        cells.source[mine] = rng.choice([1, 1 + UNCONFIRMED], users[u].taken, p=[0.8, 0.2])
        for g, s in zip(cells.group[mine], cells.source[mine], strict=True):
            if s < UNCONFIRMED:
                members[g].add(u)
    fitted = no_recommender(2, 15, 4)
    fit_recommender(fitted, 1, users, cells)
    assert (fitted.neighbour[0] == -1).all()
    for g, expected in enumerate(naive.nearest_groups(members, 4)):
        got = fitted.neighbour[1, g][fitted.neighbour[1, g] >= 0]
        assert got.tolist() == [h for h, _ in expected]
        # The same few roundings in the same order: equal but for those of the running sum.
        cosines = np.diff(fitted.weight[1, g], prepend=0.0)[: len(expected)]
        np.testing.assert_allclose(cosines, [c for _, c in expected], rtol=1e-12)


def test_simulate__obeys_the_platform(world, joins):
    user = joins.user()
    pairs = user.astype(np.int64) * joins.n_groups + joins.group
    assert len(np.unique(pairs)) == joins.n_joins
    assert (joins.time >= world.users.arrival[user]).all()
    assert (joins.time < world.users.departure[user]).all()
    assert (joins.time >= world.groups.created[joins.group]).all()
    assert (np.diff(joins.offsets) <= world.users.occasions).all()


def test_simulate__recommended_groups_come_from_a_group_of_the_user(joins):
    user, seeded = joins.user(), joins.seed_group >= 0
    assert seeded.any()
    member = set(zip(user.tolist(), joins.group.tolist(), strict=True))
    seeds = zip(user[seeded].tolist(), joins.seed_group[seeded].tolist(), strict=True)
    assert all(pair in member for pair in seeds)
    recommended = {SOURCES.index("gysj"), SOURCES.index("groups_discover_tab")}
    assert (joins.seed_group[np.isin(joins.source, list(recommended))] >= 0).all()


def test_simulate__uses_every_source(joins):
    counts = np.bincount(joins.source, minlength=len(SOURCES))
    assert counts[0] == 0
    assert (counts[1:] > 0).all()


def test_sources__are_the_ten_of_the_note_with_its_confirmation():
    assert {row.name for row in SOURCE_TABLE} == set(SOURCES[1:])
    shares = dict(zip((row.name for row in SOURCE_TABLE), confirmation(), strict=True))
    published = {
        "gysj": 0.930, "mobile_group_join": 0.921, "mobile_add_members": 0.624, "search": 0.912,
        "group_mall": 0.865, "newsfeed_story_header": 0.886, "newsfeed_reshared_story": 0.903,
        "messenger_group_attachment": 0.906,
    }  # fmt: skip
    for name, share in published.items():
        assert round(shares[name], 3) == share
    ends = cumulative_weights(dict.fromkeys(Mechanism, 0.25), {})
    assert ends[-1] == 1.0
    assert abs(np.diff(ends, prepend=0)[:2].sum() - 0.25) < 1e-12


@pytest.mark.compiled
def test_requests__are_confirmed_with_the_sources_probability():
    history = live_through(draw_world(small_config("world.users=6000")))
    requests = history.requests().to_pandas()
    for row in SOURCE_TABLE:
        mine = requests[requests["source"] == row.name]
        error = np.sqrt(row.confirmed * (1 - row.confirmed) / max(len(mine), 1))
        assert abs(mine["confirmed"].mean() - row.confirmed) < 4 * error + 1e-12, row.name
    confirmed = requests[requests["confirmed"]]
    assert len(confirmed) == history.joins().n_joins < len(requests)


def test_simulate__another_seed_gives_another_log(history):
    assert digest(live_through(draw_world(small_config(*ALL_ROLES, "experiment.seed=6")))) != (
        digest(history)
    )


@pytest.mark.compiled
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
    # Some 4,000 later joins, 5 % of them harm groups: a standard error of 0.3 points;
    # exp(2.5) = 12 times the taste is far beyond doubling.
    assert with_it > 2 * without


def test_strikes__fall_on_planted_targets_of_their_kind_only(world, history):
    strikes = history.strikes
    planted = world.groups.role == Role.TARGET
    struck = strikes.count.sum(axis=1)
    assert (struck[~planted] == 0).all()
    assert (struck[planted & (world.groups.topic == 0), 1] == 0).all()
    assert struck[planted & (world.groups.topic == 0), 0].sum() > 0
    assert (strikes.severe <= strikes.count).all()


def test_strikes__mean_is_harm_times_members(world, history, joins):
    strikes = history.strikes
    month = strikes.months.index("2020-06")
    members = np.bincount(joins.group[joins.time < 152], minlength=joins.n_groups)
    expected = (world.groups.harm[:, 0] * members).sum()
    got = strikes.count[:, month, 0].sum()
    # A sum of Poisson draws: variance equals mean.
    assert abs(got - expected) < 4 * np.sqrt(expected)


def test_strikes__long_table_holds_every_strike(history, joins):
    table = history.strikes.to_arrow(joins.groups)
    assert sum(table["strikes"].to_pylist()) == history.strikes.count.sum()
    assert table["strikes"].to_numpy().min() > 0


@pytest.mark.compiled
def test_labels__follow_strikes_after_a_delay_and_stop_recommendations():
    config = small_config("world.users=3000", "moderation.non_rec_strikes=10")
    history = live_through(draw_world(config))
    joins, non_rec = history.joins(), history.labels.non_rec
    labelled = non_rec < NEVER
    assert 0 < labelled.sum() < 20
    assert (history.strikes.count.sum(axis=(1, 2))[labelled] >= 10).all()
    recommended = np.isin(joins.source, [SOURCES.index("gysj")])
    late = joins.time >= non_rec[joins.group]
    assert not (recommended & late).any()
    assert (recommended & labelled[joins.group]).any()


def test_labels__are_not_given_where_moderation_does_not_act():
    history = live_through(draw_world(small_config("moderation.acts=false")))
    assert (history.labels.non_rec == NEVER).all()


def test_invitations__go_to_friends_and_carry_groups_of_the_sender(world, history, joins):
    sent = history.invitations
    assert sent.count > 100
    f = world.friendships
    member = set(zip(joins.user().tolist(), joins.group.tolist(), strict=True))
    for i in range(sent.count):
        u, v = sent.sender[i], sent.receiver[i]
        assert v in f.friend[f.offsets[u] : f.offsets[u + 1]]
        assert (u, sent.group[i]) in member
    assert sent.taken[: sent.count].sum() > 0


@pytest.mark.parametrize("platform_", ["history", "chained"])
def test_invitations__drawn_again_are_those_of_every_night(platform_, request):
    history = request.getfixturevalue(platform_)
    sent = history.invitations
    columns = (sent.time, sent.sender, sent.receiver, sent.group, sent.taken)
    got = list(zip(*(column.tolist() for column in columns), strict=True))
    assert got == naive.invitations(history)
    assert sent.taken.any()


def test_recommender__of_any_day_can_be_fitted_again(world, history):
    """The last of all layers is the one that the platform kept."""
    layers = relived_stage(history)
    last = (world.days - 1) // world.config.simulation.refit_days
    assert len(layers.neighbour) == last + 1
    assert (layers.neighbour[0] == -1).all()
    assert (layers.neighbour[1] != layers.neighbour[last]).any()
    np.testing.assert_array_equal(layers.neighbour[last], history.stage.neighbour[0])
    np.testing.assert_array_equal(layers.weight[last], history.stage.weight[0])


def test_recommender__is_not_fitted_where_nobody_looks_at_it_and_nobody_joins_otherwise():
    """The other world looks once in 10^300 times: it is fitted for nothing."""
    ends = ("simulation.friends=0.3", "simulation.invitation=0.3", "simulation.intent=0.4")
    worlds = [
        draw_world(small_config(f"simulation.recommendation={r}", *ends)) for r in (0, 1e-300)
    ]
    without, idle = (live_through(world) for world in worlds)
    assert (without.stage.neighbour == -1).all()
    assert (relived_stage(without).neighbour == -1).all()
    assert (idle.stage.neighbour >= 0).any()
    assert without.state.tobytes() == idle.state.tobytes()


def test_pymk__finds_nobody_where_there_are_no_friendships():
    got = live_through(draw_world(small_config("world.mean_friends=0.0")))
    assert got.world.config.simulation.pymk_share > 0
    assert got.stage.users.found.sum() == 0


@pytest.mark.compiled
def test_threads_at_most__holds_within_and_after_an_error():
    before = threads()
    with pytest.raises(ValueError, match="ours"), threads_at_most(1):  # noqa: PT012
        assert threads() == 1
        with threads_at_most(8):
            assert threads() == 1
        raise ValueError("ours")
    assert threads() == before


def test_simulate__gives_the_log_of_the_history_whose_room_it_takes(world, joins):
    assert simulate(world).equals(joins)


@pytest.mark.parametrize("n", [1, 7, 5_000])
def test_last_rows_freed__keeps_the_first(n):
    table = empty_table(50_000, CELL)
    table.group = np.arange(50_000)
    kept = last_rows_freed(table, n)
    assert kept.group.tolist() == list(range(n))


def test_invitations__accepted_ones_are_joins_with_that_inviter(history, joins):
    sent = history.invitations
    taken = np.flatnonzero(sent.taken[: sent.count])
    user = joins.user()
    found = {
        (u, g, i) for u, g, i in zip(user.tolist(), joins.group.tolist(), joins.inviter.tolist(),
                                     strict=True)
    }  # fmt: skip
    for i in taken:
        assert (sent.receiver[i], sent.group[i], sent.sender[i]) in found


@pytest.mark.compiled
def test_pymi__raises_invitations_of_users_who_have_it():
    world = draw_world(small_config("world.users=6000", "world.holdout=0.5"))
    history = live_through(world)
    joins, sent = history.joins(), history.invitations
    # Whoever sends has a friend; who has none is as likely in either arm.
    pairs = np.unique(np.stack([sent.sender, sent.group]), axis=1)
    held_out = world.users.arms.pymi
    with_it, without = (
        arm[pairs[0]].sum() / arm[joins.user()].sum() for arm in (~held_out, held_out)
    )
    # 25,000 joins a side at about 25 %: a standard error of 0.4 points on a ratio of 1.3
    # (less where chances are cut at 1).
    assert with_it > 1.1 * without


def test_gysj_holdout__is_never_exposed_and_never_joins_by_gysj(world, history, joins):
    held_out = world.users.arms.gysj
    exposed = history.exposed()
    assert (exposed[held_out] == NEVER).all()
    assert (exposed[~held_out] < NEVER).any()
    by_gysj = joins.source == SOURCES.index("gysj")
    assert not held_out[joins.user()[by_gysj]].any()


def test_pymi__raises_the_chance_of_being_invited_of_users_whom_it_features(chained):
    """The arm is on who is invited, whoever invites: held out, 1 / factor of the invitations."""
    users, sent = chained.world.users, chained.invitations
    got, held = np.bincount(sent.receiver, minlength=800), users.arms.pymi_featured
    rate = got[held].mean() / got[~held].mean()
    # Some 9,000 invitations in lots by friends: 20 lots a user, a standard error of 4 %.
    assert rate == pytest.approx(1 / 2, abs=0.08)
    by_held, by_others = (
        held[sent.receiver[users.arms.pymi_featured[sent.sender] == arm]].mean()
        for arm in (True, False)
    )
    assert by_held == pytest.approx(by_others, abs=0.08)


def test_pymi__features_everybody_where_nobody_is_held_out(history):
    """The factor is what the holdout misses: without one the platform is as it is with PYMI."""
    config = small_config(*ALL_ROLES, "simulation.pymi_featuring=5.0")
    assert digest(live_through(draw_world(config))) == digest(history)


def test_pymk__finds_friends_who_invite_each_other_and_join_by_it(chained):
    """Friending, inviting, joining: a pair of strangers at the start ends in a membership."""
    f, sent = chained.world.friendships, chained.invitations
    at_start = {(u, v) for u in range(800) for v in f.friend[f.offsets[u] : f.offsets[u + 1]]}
    finds = [list(finds_of(chained, u)) for u in range(800)]
    found = {(u, v): day for u in range(800) for v, day in finds[u]}
    pairs = list(zip(sent.sender.tolist(), sent.receiver.tolist(), strict=True))
    late = np.array([pair not in at_start for pair in pairs])
    assert all(sent.time[i] >= found[pairs[i]] for i in np.flatnonzero(late))
    assert (late & sent.taken).sum() > 20
    # Of a user's own and found friends on the day, a found one weighs three times as much.
    share = expected = 0.0
    for i, (u, _) in enumerate(pairs):
        here = sum(day <= sent.time[i] for _, day in finds[u])
        expected += 3 * here / (3 * here + f.offsets[u + 1] - f.offsets[u])
        share += late[i]
    assert share == pytest.approx(expected, rel=0.05)


def test_pymk__shows_nobody_who_is_held_out_of_being_featured(chained):
    shown, featured = count_friends_found(chained.stage)
    arms = chained.world.users.arms
    assert not featured[arms.pymk_featured].any()
    assert shown[arms.pymk_featured].any()
    assert featured[~arms.pymk_featured].any()


def test_super_inviters__are_the_top_share_with_ties(history):
    sent = history.invitations
    counts = np.bincount(sent.sender[: sent.count], minlength=800)
    got = sent.super_inviters(800)
    assert got.sum() >= 8
    assert counts[got].min() > counts[~got].max()
    assert (counts > counts[got].min()).sum() < 8


def finds_of(history, u):
    """(friend, day) of those whom PYMK found for user u, the last one first."""
    at = history.stage.last_find[u]
    for _ in range(history.stage.users[u].found):
        find = history.stage.finds[at]
        yield int(find.friend), int(find.day)
        at = find.before


def test_pymk__adds_mutual_friends_of_friends(world, history):
    f = world.friendships
    pairs = {(u, v, day) for u in range(len(world.users)) for v, day in finds_of(history, u)}
    assert pairs
    neighbours = [set(f.friend[f.offsets[u] : f.offsets[u + 1]].tolist()) for u in range(800)]
    for u, v, day in pairs:
        assert (v, u, day) in pairs
        assert v not in neighbours[u]
        assert neighbours[u] & neighbours[v]
        assert day % 30 == 0


@pytest.mark.parametrize(("platform_", "share"), [("history", 0.05), ("chained", 0.4)])
def test_pymk__equals_its_twin(platform_, share, request):
    history = request.getfixturevalue(platform_)
    world, days = history.world, range(30, history.world.days, 30)
    expected = naive.found_friends(world, days, share=share, room=SPARE_FRIENDS)
    got = [list(finds_of(history, u)) for u in range(len(world.users))]
    assert got == [found[::-1] for found in expected]


def test_count_sizes__counts_the_memberships_of_each_group(history, joins):
    expected = np.bincount(joins.group, minlength=joins.n_groups)
    np.testing.assert_array_equal(count_sizes(history.stage), expected)


@pytest.mark.compiled
def test_inviter_gateways__bring_members_into_targets():
    config = small_config("world.users=4000", "world.roles.inviter=8", "world.roles.influence=0")
    world = draw_world(config)
    joins = simulate(world)
    operators = set(world.groups.operator[world.groups.role == Role.INVITER].tolist())
    by_operator = np.isin(joins.inviter, list(operators)) & (joins.seed_group >= 0)
    assert by_operator.sum() > 10
    into = world.groups.role[joins.group[by_operator]]
    assert (into == Role.TARGET).all()
    assert (world.groups.role[joins.seed_group[by_operator]] == Role.INVITER).all()


@pytest.mark.compiled
def test_recommender_gateways__lead_to_targets_by_recommendation():
    config = small_config(
        "world.users=4000", "world.roles.recommender=8", "world.roles.influence=0",
        "world.roles.recommender_strength=0.9",
    )  # fmt: skip
    world = draw_world(config)
    joins = simulate(world)
    seeded = joins.seed_group >= 0
    role = world.groups.role
    from_gateway = role[joins.seed_group[seeded]] == Role.RECOMMENDER
    into_target = role[joins.group[seeded]] == Role.TARGET
    assert into_target[from_gateway].mean() > 3 * into_target[~from_gateway].mean()


@pytest.mark.compiled
def test_fellow_travellers__are_joined_by_drifting_users_on_the_way():
    config = small_config(
        "world.users=4000", "world.roles.fellow_traveller=6", "world.drift_share=0.3"
    )
    world = draw_world(config)
    joins = simulate(world)
    user = joins.user()
    start = world.users.drift_start[user].astype(np.int64)
    on_the_way = (joins.time >= start) & (joins.time < start + 60)
    travelling = world.groups.role[joins.group] == Role.FELLOW_TRAVELLER
    assert on_the_way[travelling].mean() > 3 * on_the_way[~travelling].mean()


@pytest.mark.compiled
def test_half_life__weakens_the_influence():
    def targets(half_life):
        config = small_config(
            "world.users=4000", "world.roles.influence_strength=3.0",
            f"world.roles.influence_half_life={half_life}",
        )  # fmt: skip
        world = draw_world(config)
        joins = simulate(world)
        return (world.groups.role[joins.group] == Role.TARGET).sum()

    # Poisson-like counts of some thousands: standard errors of about 2 %.
    assert targets(5.0) < 0.9 * targets(0.0)
