from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gateway.world import Role, draw_world
from tests.worlds import small_config


@pytest.fixture(scope="module")
def world():
    return draw_world(small_config("world.users=5000"))


def assert_same(got, expected):
    """Compare two dataclasses of arrays, one level down too."""
    for name, value in vars(expected).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(got, name), value)
        else:
            assert_same(getattr(got, name), value)


def test_draw_world__same_seed_same_world(world):
    again = draw_world(small_config("world.users=5000"))
    for part in ("users", "groups", "friendships"):
        assert_same(getattr(again, part), getattr(world, part))


def test_draw_world__a_role_more_moves_no_user(world):
    other = draw_world(small_config("world.users=5000", "world.roles.homophily=7"))
    assert_same(other.users, world.users)
    np.testing.assert_array_equal(other.friendships.friend, world.friendships.friend)


def test_users__interests_are_shares_with_the_configured_means(world):
    interest = world.users.interest
    np.testing.assert_allclose(interest.sum(axis=1), 1.0, atol=1e-6)  # float32 rounding
    # Beta(0.05 x 20, 0.95 x 20): standard deviation 0.048; 5,000 users.
    assert abs(interest[:, 0].mean() - 0.05) < 4 * 0.048 / np.sqrt(5000)


def test_users__occasions_have_the_mean_of_the_config(world):
    # Lognormal-Poisson: variance m + m^2 (exp(s^2) - 1) with m = 9, s = 0.9.
    sd = np.sqrt(9 + 81 * (np.exp(0.81) - 1))
    assert abs(world.users.occasions.mean() - 9.0) < 4 * sd / np.sqrt(5000)


def test_users__occasions_follow_the_power_law_with_its_cutoff():
    settings = (
        "world.activity_law=power", "world.activity_exponent=1.7", "world.activity_cutoff=6",
        "world.most_occasions=40",
    )  # fmt: skip
    occasions = draw_world(small_config(*settings, "world.users=5000")).users.occasions
    n = np.arange(1, 41)
    p = n**-1.7 * np.exp(-n / 6.0)
    expected = 5000 * p / p.sum()
    # Counts from 12 on are one bin, so that each is expected to hold 40 users or more.
    got = np.bincount(np.minimum(occasions, 12), minlength=13)[1:]
    assert got.sum() == 5000
    pooled = np.append(expected[:11], expected[11:].sum())
    assert stats.chisquare(got, pooled).pvalue > 0.001  # a fixed seed


def test_users__occasions_follow_the_poisson_lognormal_law():
    occasions = draw_world(
        small_config("world.users=5000", "world.joins_per_user=0.7", "world.activity_sigma=2.0")
    ).users.occasions
    # P(n) as an integral over the normal law of log rates (Bulmer 1974, eq. 1), by midpoints.
    z = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    rate = 0.7 * np.exp(2.0 * z - 2.0)
    expected = 5000 * np.array([stats.poisson.pmf(n, rate).mean() for n in range(8)])
    expected = np.append(expected, 5000 - expected.sum())
    got = np.bincount(np.minimum(occasions, 8), minlength=9)
    assert stats.chisquare(got, expected).pvalue > 0.001  # a fixed seed


def test_users__have_no_more_occasions_than_the_most():
    for law in ("lognormal", "power"):
        settings = (f"world.activity_law={law}", "world.activity_exponent=0.5")
        world = draw_world(small_config(*settings, "world.most_occasions=7"))
        assert world.users.occasions.max() == 7


def test_topics__skewed_are_zipfs_for_interests_and_groups():
    world = draw_world(
        small_config("world.topic_skew=1.0", "world.users=5000", "world.groups=4000")
    )
    share = 1 / np.arange(1, 7)
    share /= share.sum()
    plain = world.groups.role != Role.TARGET
    got = np.bincount(world.groups.topic[plain], minlength=8)[2:]
    assert stats.chisquare(got, plain.sum() * share).pvalue > 0.001  # a fixed seed
    # Dirichlet of total 4: standard deviation below sqrt(p / 5); 5,000 users; two kinds of 0.05.
    interest = world.users.interest[:, 2:].mean(axis=0)
    np.testing.assert_array_less(
        np.abs(interest - 0.9 * share), 4 * np.sqrt(share / 5) / np.sqrt(5000)
    )


@pytest.mark.parametrize(
    "setting", ["topic_skew=1.0", "appeal_limit=3.0", "appeal_tail=1.5", "gap_shape=0.5"]
)
def test_draw_world__one_law_more_leaves_the_other_draws_as_they_were(world, setting):
    other = draw_world(small_config("world.users=5000", f"world.{setting}"))
    for name in ("country", "created", "harm", "role", "strength", "operator"):
        np.testing.assert_array_equal(getattr(other.groups, name), getattr(world.groups, name))
    np.testing.assert_array_equal(other.users.occasions, world.users.occasions)
    assert np.array_equal(other.users.interest, world.users.interest) == ("topic" not in setting)


def test_appeal__is_cut_off_and_keeps_its_order():
    plain = draw_world(small_config("world.groups=4000")).groups
    cut = draw_world(small_config("world.groups=4000", "world.appeal_limit=3.0")).groups
    ordinary = plain.role == Role.ORDINARY
    appeal = cut.appeal[ordinary]
    assert appeal.max() < 3.0
    # One law cut off: its quantiles are those of the truncated normal.
    law = stats.truncnorm(-np.inf, np.log(3.0) / 1.4)
    assert stats.kstest(np.log(appeal) / 1.4, law.cdf).pvalue > 0.001  # a fixed seed
    order = np.argsort(plain.appeal[ordinary])
    assert (np.diff(appeal[order]) >= 0).all()


def test_appeal__has_the_pareto_factor_where_it_is_not_planted():
    plain = draw_world(small_config("world.groups=4000")).groups
    tailed = draw_world(small_config("world.groups=4000", "world.appeal_tail=1.5")).groups
    factor = tailed.appeal / plain.appeal
    planted = ~np.isin(plain.role, (Role.ORDINARY, Role.TARGET))
    assert (factor[planted] == 1.0).all()
    assert stats.kstest(factor[~planted], stats.pareto(1.5).cdf).pvalue > 0.001  # a fixed seed


def test_groups__hold_the_planted_roles(world):
    counts = np.bincount(world.groups.role, minlength=len(Role))
    expected = {Role.TARGET: 16, Role.INFLUENCE: 6, Role.HOMOPHILY: 6, Role.HUB: 3}
    assert {role: counts[role] for role in expected} == expected
    acts = world.groups.strength > 0
    assert (world.groups.role[acts] == Role.INFLUENCE).all()


def test_groups__mixes_are_shares_and_only_targets_and_homophily_hold_harm(world):
    mix, role = world.groups.mix, world.groups.role
    np.testing.assert_allclose(mix.sum(axis=1), 1.0, atol=1e-6)
    holds = mix[:, :2].sum(axis=1) > 0
    assert set(role[holds].tolist()) == {Role.TARGET, Role.HOMOPHILY}


def test_no_effect__leaves_every_strength_at_zero():
    config = small_config("world.roles.influence_strength=0.0")
    assert (draw_world(config).groups.strength == 0).all()
