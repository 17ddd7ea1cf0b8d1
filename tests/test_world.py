from __future__ import annotations

import numpy as np
import pytest

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
