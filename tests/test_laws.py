"""The simulator meets theory: the laws of experiments/verification.py at a smaller size."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from experiments.verification import (
    BUNCHED,
    LAWS,
    POINTS_PER_USER,
    by_quantiles,
    by_tail,
    occasion_times,
    weights_at_midpoints,
)

SEED = 3
# A fixed seed: of twelve right laws, one in a hundred sets of seeds has a p-value below this.
LEAST = 0.001


@pytest.mark.compiled
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law__is_what_the_simulator_draws_from(law):
    assert law.__doc__ is not None  # the equation and its source
    check = law(SEED, 3_000)
    assert check.p_value > LEAST
    # Pointwise bands of 95 %; neighbouring points move together, hence not 5 % of them.
    inside = (check.low <= check.sample) & (check.sample <= check.high)
    assert inside.mean() > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law__gives_p_values_that_are_not_small_too_often(law):
    p = np.array([law(seed, 2_000).p_value for seed in range(20, 40)])
    # Of 20 uniform p-values the least is below .0005 with a chance of 1 %.
    assert p.min() > 0.0005
    assert stats.binomtest(int((p < 0.2).sum()), 20, 0.2, alternative="greater").pvalue > 0.001


def test_by_quantiles__finds_a_wrong_law():
    draws = np.random.default_rng(0).normal(0.1, 1.0, 4_000)
    assert by_quantiles("", "", draws, stats.norm(0.1)).p_value > LEAST
    assert by_quantiles("", "", draws, stats.norm()).p_value < LEAST


def test_by_quantiles__bands_hold_95_per_cent_of_samples():
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(200):
        check = by_quantiles("", "", rng.exponential(size=300), stats.expon())
        middle = len(check.sample) // 2
        inside.append(check.low[middle] <= check.sample[middle] <= check.high[middle])
    # Binomial(200, .95): standard error 1.5 points.
    assert np.mean(inside) == pytest.approx(0.95, abs=4 * 0.0154)


def test_by_tail__finds_a_wrong_law():
    counts, edges = np.random.default_rng(0).poisson(3.0, 4_000), np.arange(12)
    assert by_tail("", "", counts, edges, stats.poisson(3.0).sf(edges - 1)).p_value > LEAST
    assert by_tail("", "", counts, edges, stats.poisson(3.2).sf(edges - 1)).p_value < LEAST


def test_weights__have_the_mean_and_the_limits():
    weight = weights_at_midpoints(12.0, 300.0)
    assert weight.mean() == pytest.approx(12.0, rel=0.002)  # midpoints cut the tail a little
    low, high = weight.min(), 300.0
    assert weight.max() < high
    for x in (8.0, 20.0, 100.0):
        expected = ((low / x) ** 2 - (low / high) ** 2) / (1 - (low / high) ** 2)
        assert np.mean(weight > x) == pytest.approx(expected, abs=1e-4)  # one midpoint or two


def test_occasion_times__bunch_where_the_shape_is_small():
    gaps = np.diff(occasion_times(SEED, 200, gap_shape=BUNCHED), axis=1)
    even = np.diff(occasion_times(SEED, 200, gap_shape=1.0), axis=1)
    assert gaps.shape == (200, POINTS_PER_USER - 1)
    # Variance of a share: Beta(a, 5a) has 5/36 / (6a + 1): .041 at a = .4, .020 at 1.
    assert gaps.var() > 1.5 * even.var()
