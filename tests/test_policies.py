"""Interventions as arrays: the strongest holds, whatever the order, the cut or the repeats."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gateway.simulate import (
    Demotion,
    EdgeFilter,
    GysjSeedFilter,
    InviteCap,
    InviteFriction,
    live_through,
)
from gateway.simulate.moderation import Moderation
from gateway.simulate.occasion_kernels import UNCONFIRMED, friction_of
from gateway.simulate.policies import as_policies
from gateway.simulate.tables import CELL, NO_DAY, empty_table
from gateway.world import draw_world
from gateway.world.model import NEVER
from tests import naive
from tests.worlds import small_config

DAYS, GROUPS = 30, 6


def some(*members: int, n: int = GROUPS) -> np.ndarray:
    return np.isin(np.arange(n), members)


MIXED = (
    Demotion(5, some(0, 1), 0.8),
    Demotion(0, some(1, 2), 0.3),
    Demotion(12, some(2), 0.5),
    InviteFriction(7, some(3), 0.2),
    InviteFriction(7, some(3, 4), 0.6),
    GysjSeedFilter(9, some(0, 5)),
    GysjSeedFilter(3, some(5)),
    InviteCap(4, 10),
    InviteCap(20, 2),
    InviteCap(25, 7),
    Demotion(DAYS, some(0), 1.0),
)


def by_day(interventions):
    """The arrays, a row for each day: two cuts into steps can mean the same."""
    policies = as_policies(tuple(interventions), n_groups=GROUPS, days=DAYS)
    return [policies.seed_filter[policies.step], policies.demotion[policies.step],
            policies.friction[policies.step], policies.invite_cap[policies.step]]  # fmt: skip


def assert_same(got, expected):
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_policies__equal_their_twin_on_every_day():
    assert_same(by_day(MIXED), naive.policies_by_day(MIXED, n_groups=GROUPS, days=DAYS))


def test_policies__do_not_depend_on_the_order():
    expected = by_day(MIXED)
    assert_same(by_day(MIXED[::-1]), expected)
    for first in itertools.permutations(MIXED[:3]):
        assert_same(by_day([*first, *MIXED[3:]]), expected)


def test_policies__given_twice_or_cut_in_pieces_are_the_same():
    whole = [Demotion(4, some(0, 1, 2), 0.4), InviteFriction(4, some(0, 1, 2), 0.4)]
    pieces = [kind(4, some(*part), 0.4) for kind in (Demotion, InviteFriction)
              for part in ((0, 1), (1, 2))]  # fmt: skip
    assert_same(by_day(pieces), by_day(whole))
    assert_same(by_day([*MIXED, *MIXED]), by_day(MIXED))


def test_policies__of_nothing_hold_on_no_day():
    seed_filter, demotion, friction, cap = by_day([])
    assert not seed_filter.any()
    assert not demotion.any()
    assert not friction.any()
    assert (cap == NEVER).all()


def test_friction__of_a_member_is_the_largest_over_the_groups():
    policies = as_policies(MIXED, n_groups=GROUPS, days=DAYS)
    cells = empty_table(5, CELL)
    cells.group = [4, -1, 3, 0, 5]
    cells.source = [0, 0, UNCONFIRMED, 0, 0]
    early, late = (policies.friction[policies.step[day]] for day in (6, 7))
    assert friction_of(early, cells, 0, 5) == 0.0  # before its start
    assert friction_of(late, cells, 0, 5) == 0.6
    assert friction_of(late, cells, 1, 4) == 0.0  # only asked to join group 3


@pytest.fixture(scope="module")
def world():
    return draw_world(small_config("world.users=150", "world.groups=60", "world.roles.inviter=3"))


def outcome(world, *interventions):
    state = live_through(world, interventions=interventions).state
    return np.concatenate([state.group, state.source])


def test_demotions__of_different_shares_each_keep_their_own(world):
    """Each group reaches users as its own intervention says, not as the last one does."""
    every, none = np.ones(60, bool), np.zeros(60, bool)
    strong, weak = Demotion(50, every, 1.0), Demotion(50, none, 0.1)
    expected = outcome(world, strong)
    np.testing.assert_array_equal(outcome(world, strong, weak), expected)
    np.testing.assert_array_equal(outcome(world, weak, strong), expected)
    assert (outcome(world) != expected).any()


def test_interventions__that_start_after_the_end_change_nobody(world):
    every, late = np.ones(60, bool), world.days
    policies = (GysjSeedFilter(late, every), Demotion(late, every, 1.0),
                InviteFriction(late, every, 1.0), InviteCap(late, 0))  # fmt: skip
    np.testing.assert_array_equal(outcome(world, *policies), outcome(world))


def test_interventions__a_later_start_adds_to_an_earlier_one(world):
    every = np.ones(60, bool)
    first, second = Demotion(40, every, 0.5), Demotion(90, every, 1.0)
    day = live_through(world).state.time
    got = live_through(world, interventions=(first, second)).state
    expected = live_through(world, interventions=(first,)).state
    np.testing.assert_array_equal(got.group[day < 90], expected.group[day < 90])
    shown = got.source & 127
    late = (got.group >= 0) & (got.time >= 90) & (got.time < NO_DAY)
    assert late.any()
    assert not (late & (shown < 4)).any()  # neither recommended nor in a feed


def test_edge_filter__ends_its_pairs_alone(world):
    joins = live_through(world).joins()
    led = (joins.seed_group >= 0) & (joins.inviter < 0)
    pairs = np.unique(np.stack([joins.seed_group[led], joins.group[led]], axis=1), axis=0)
    seed, group = pairs[: len(pairs) // 2].T.astype(np.int64)
    other = live_through(world, interventions=(EdgeFilter(seed, group),)).joins()
    led = (other.seed_group >= 0) & (other.inviter < 0)
    got = set((other.seed_group[led].astype(np.int64) * 60 + other.group[led]).tolist())
    assert not got & set((seed * 60 + group).tolist())
    assert got & set((pairs[:, 0].astype(np.int64) * 60 + pairs[:, 1]).tolist())


def test_spared_users__live_as_if_nothing_acted(world):
    """Nobody acts on them: with all of them spared the platform is the factual one."""
    every = np.ones(60, bool)
    acting = (GysjSeedFilter(0, every), Demotion(0, every, 1.0), InviteFriction(0, every, 1.0))
    state = live_through(world, interventions=acting, spared=np.ones(150, bool)).state
    got = np.concatenate([state.group, state.source])
    np.testing.assert_array_equal(got, outcome(world))
    half = np.arange(150) < 75
    joins = live_through(world, interventions=acting, spared=half).joins()
    recommended = joins.user()[(joins.seed_group >= 0) & (joins.inviter < 0)]
    assert (recommended < 75).any()
    assert not (recommended >= 75).any()


def test_friction_by_sender__drops_what_these_send_to_members(world):
    every, nobody = np.ones(60, bool), np.zeros(150, bool)
    limited = np.arange(150) % 2 == 0
    factual = outcome(world)
    np.testing.assert_array_equal(outcome(world, InviteFriction(0, every, 1.0, nobody)), factual)
    other = live_through(world, interventions=(InviteFriction(0, every, 1.0, limited),))
    joins = other.joins()
    by_user = (joins.inviter >= 0) & (joins.seed_group < 0)
    earlier = np.arange(joins.n_joins) - joins.offsets[:-1][joins.user()] > 0
    told = by_user & earlier & (joins.time > joins.time[joins.offsets[:-1][joins.user()]])
    assert told.any()
    assert not limited[joins.inviter[told]].any()


def test_strikes__of_a_group_do_not_depend_on_the_members_of_another(world):
    """Else a paired run would give other labels to groups that nothing has touched."""
    members = np.full(60, 30)
    fewer = members.copy()
    touched = int(np.flatnonzero(world.groups.harm.sum(axis=1) > 0)[0])
    fewer[touched] = 3
    drawn = []
    for counts in (members, fewer):
        moderation = Moderation(world, world.config.moderation)
        moderation.begin_month(0, counts)
        drawn.append(moderation.strikes())
    others = np.arange(60) != touched
    for name in ("count", "severe"):
        got, expected = (getattr(strikes, name)[others] for strikes in drawn[::-1])
        assert expected.sum() > 50
        np.testing.assert_array_equal(got, expected)
    assert drawn[1].count[touched].sum() < drawn[0].count[touched].sum()


def test_strikes__have_the_moments_of_their_law(world):
    """Poisson of mean harm x members, a binomial share of them severe; 4 standard errors."""
    moderation = Moderation(world, world.config.moderation)
    members = np.full(60, 400)
    n_months = len(moderation.months)
    for month in range(n_months):
        moderation.begin_month(month, members)
    strikes = moderation.strikes()
    mean = (world.groups.harm * 400).sum() * n_months
    got = strikes.count.sum()
    assert abs(got - mean) < 4 * np.sqrt(mean)
    share = world.config.moderation.severe_share
    assert abs(strikes.severe.sum() - share * got) < 4 * np.sqrt(got * share * (1 - share))
