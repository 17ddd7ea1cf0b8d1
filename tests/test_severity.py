"""Severity: which strikes of a group are severe, where groups differ in it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gateway.config.platform import ModerationSection
from gateway.simulate import live_through
from gateway.simulate.moderation import Moderation
from gateway.world import draw_world
from tests.worlds import small_config


def drawn(spread: float, share: float = 0.3, groups: int = 120) -> np.ndarray:
    """Severity of each group of a world."""
    world = draw_world(small_config("world.users=20", f"world.groups={groups}"))
    section = ModerationSection(severe_share=share, severe_spread=spread)
    return Moderation(world, section).severity


def test_severity__is_beta_over_groups_and_severe_strikes_beta_binomial():
    """Mean s, variance rho s (1 - s) (Skellam 1948); within 4 standard errors.

    The standard error of the variance is that of the law itself, whose tails are not normal.
    """
    s, rho, n = 0.3, 0.4, 20_000
    got = drawn(rho, s, n)
    law = stats.beta(s * (1 - rho) / rho, (1 - s) * (1 - rho) / rho)
    assert law.var() == pytest.approx(rho * s * (1 - s))
    assert stats.kstest(got, law.cdf).pvalue > 1e-3
    severe = np.random.default_rng(4).binomial(12, got)
    expected = stats.betabinom(12, *law.args)
    fourth = expected.expect(lambda k: (k - expected.mean()) ** 4)
    error = np.sqrt((fourth - expected.var() ** 2) / n)
    assert abs(severe.mean() - expected.mean()) < 4 * expected.std() / np.sqrt(n)
    assert abs(severe.var() - expected.var()) < 4 * error


@pytest.mark.parametrize(("spread", "share"), [(0.0, 0.2), (0.5, 0.0), (0.5, 1.0)])
def test_severity__without_spread_is_the_share_of_every_group(spread, share):
    np.testing.assert_array_equal(drawn(spread, share), np.full(120, share))


def test_severity__changes_which_strikes_are_severe_and_nothing_else():
    alike, spread = (
        live_through(draw_world(small_config(f"moderation.severe_spread={rho}")))
        for rho in (0.0, 0.5)
    )
    np.testing.assert_array_equal(spread.strikes.count, alike.strikes.count)
    np.testing.assert_array_equal(spread.state, alike.state)
    for given, expected in zip(spread.labels[:3], alike.labels[:3], strict=True):
        np.testing.assert_array_equal(given, expected)
    assert (spread.strikes.severe != alike.strikes.severe).any()


def test_severity__of_a_group_holds_in_every_month():
    """Its own share, not one for each month: severe strikes of two months go along."""
    world = draw_world(small_config("world.users=20", "moderation.severe_spread=0.6"))
    moderation = Moderation(world, world.config.moderation)
    members = np.full(120, 400)
    for month in (0, 1):
        moderation.begin_month(month, members)
    strikes = moderation.strikes()
    struck = strikes.count[:, :2].sum(axis=2) > 50
    busy = struck.all(axis=1)
    share = (strikes.severe[busy, :2] / np.maximum(strikes.count[busy, :2], 1)).sum(axis=2)
    assert busy.sum() >= 8
    # At 50 strikes the binomial error of a share is .07 at most.
    np.testing.assert_allclose(share, moderation.severity[busy, None] * [1, 1], atol=0.3)
    assert np.corrcoef(share.T)[0, 1] > 0.9
