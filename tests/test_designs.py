"""Experiments on a seed filter: the estimators, and what interference does to them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gateway.config import parse_config
from gateway.counterfactual.designs import (
    Trial,
    _per_user,
    co_membership_clusters,
    run_trial,
    true_averted,
)
from gateway.errors import GatewayError
from gateway.pipeline import obtain_inputs
from gateway.world import Role
from tests.worlds import SMALL

# Whole simulations: minutes as plain Python.
pytestmark = pytest.mark.compiled

WORLD = (
    "world.users=4000", "world.groups=150", "world.roles.influence=0",
    "world.roles.recommender=12", "world.roles.recommender_strength=0.8",
)  # fmt: skip
START = 50


def test_per_user__of_units_of_one_is_the_difference_of_two_means():
    """Oracle: SciPy's two-sample statistic with unequal variances."""
    rng = np.random.default_rng(3)
    outcome, chosen = rng.poisson(2.0, 40), np.arange(40) % 2 == 0
    got = _per_user(outcome, np.arange(40), chosen)
    control, treated = outcome[~chosen], outcome[chosen]
    test = stats.ttest_ind(control, treated, equal_var=False)
    assert got.estimate == pytest.approx(40 * (control.mean() - treated.mean()))
    assert got.estimate / got.error == pytest.approx(test.statistic)


def test_per_user__of_clusters_by_hand():
    """Two clusters an arm: control 2 + 4 joins of 1 + 3 users, treated 1 + 1 of 2 + 2.

    Means 6 / 4 and 2 / 4; residuals .5 and -.5, variance .5, times 2 clusters / 4^2; 0 in the
    other arm.
    """
    unit = np.array([0, 1, 1, 1, 2, 2, 3, 3])
    outcome = np.array([2, 4, 0, 0, 1, 0, 0, 1])
    got = _per_user(outcome, unit, np.array([False, False, True, True]))
    assert got.estimate == pytest.approx(8 * (1.5 - 0.5))
    assert got.error == pytest.approx(8 * np.sqrt(0.5 * 2 / 16))
    assert got.units == 4


def test_detectable__is_2_8_errors():
    trial = Trial(30.0, 10.0, 5)
    assert trial.detectable == pytest.approx(28.0, abs=0.05)
    assert trial.found
    assert not Trial(-19.0, 10.0, 5).found


@pytest.fixture(scope="module")
def inputs():
    return obtain_inputs(parse_config(SMALL, overrides=list(WORLD)))


def trials(inputs, by, count=6, **more):
    groups = inputs.history.world.groups.role == Role.RECOMMENDER
    return [
        run_trial(
            inputs.history, inputs.targets.mask, groups, by=by, start=START, seed=seed, **more
        )
        for seed in range(count)
    ]


def test_trials__by_user_meet_the_truth_and_those_by_edge_exceed_it(inputs):
    """Who is not shown a target by one seed joins some all the same: pairs do not see it."""
    groups = inputs.history.world.groups.role == Role.RECOMMENDER
    truth = true_averted(inputs.history, inputs.targets.mask, groups, start=START)
    assert truth > 50
    by_user = trials(inputs, "user")
    mean = np.mean([trial.estimate for trial in by_user])
    error = np.mean([trial.error for trial in by_user])
    # Halves of the same users: their errors are not independent, so that of one is allowed.
    assert abs(mean - truth) < 3 * error
    by_edge = trials(inputs, "edge", 3)
    assert np.mean([trial.estimate for trial in by_edge]) > truth
    assert by_edge[0].units == groups.sum() * inputs.targets.mask.sum()
    again = trials(inputs, "edge", 1)
    assert again[0] == by_edge[0]


def test_trials__by_cluster_need_clusters_and_count_them(inputs):
    with pytest.raises(GatewayError, match="needs clusters"):
        trials(inputs, "cluster", 1)
    with pytest.raises(GatewayError, match="by must be one of user, entity, edge, cluster"):
        trials(inputs, "groups", 1)
    clusters = co_membership_clusters(inputs.joins, before=START, count=20, seed=1)
    assert len(np.unique(clusters)) > 15
    trial = trials(inputs, "cluster", 1, clusters=clusters)[0]
    assert trial.units == clusters.max() + 1
    assert trial.error > 0
