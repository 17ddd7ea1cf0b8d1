from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import bootstrap

from gateway.errors import GatewayError
from gateway.evaluate import mean_interval, summarise_replicates


def test_mean_interval__by_hand():
    # Mean 2, standard deviation 1, three worlds. Student's t with two degrees of freedom
    # has the quantile (2p - 1) sqrt(2 / (4 p (1 - p))): 4.3027 at p = 0.975.
    mean, low, high = mean_interval(np.array([1.0, 2.0, 3.0]))
    half = 0.95 * np.sqrt(2 / (4 * 0.975 * 0.025)) / np.sqrt(3)
    assert mean == 2
    assert abs(low - (2 - half)) < 1e-12
    assert abs(high - (2 + half)) < 1e-12


def test_mean_interval__is_near_the_bootstrap_of_many_worlds():
    values = np.random.default_rng(0).gamma(4.0, size=400)
    _, low, high = mean_interval(values)
    expected = bootstrap((values,), np.mean, rng=np.random.default_rng(1)).confidence_interval
    # A tenth of the interval's length: what 400 skewed values and 9,999 resamples leave.
    assert abs(low - expected.low) < 0.1 * (high - low)
    assert abs(high - expected.high) < 0.1 * (high - low)


def test_mean_interval__does_not_vanish_when_all_worlds_agree():
    assert mean_interval(np.zeros(100), binary=True)[2] > 0.03
    # A share of fifty groups that is zero everywhere is no yes or no.
    assert mean_interval(np.zeros(100)) == (0, 0, 0)


def test_summarise_replicates__takes_false_shares_for_a_yes_or_no():
    table = pa.table({"metric": ["false_share_q05", "share_hub_at_50"] * 5, "value": [0.0] * 10})
    got = summarise_replicates(table, by=["metric"])
    assert got["ci_high"].to_pylist()[0] > 0.3
    assert got["ci_high"].to_pylist()[1] == 0


def test_mean_interval__leaves_out_what_is_not_known():
    assert mean_interval(np.array([1.0, 2.0, 3.0, np.nan])) == mean_interval(np.arange(1.0, 4.0))
    assert np.isnan(mean_interval(np.array([np.nan]))[0])


def test_summarise_replicates__has_one_row_for_each_combination():
    table = pa.table(
        {
            "detector": ["b", "a", "a", "b", "a"],
            "value": [1.0, 2.0, 4.0, None, 6.0],
        }
    )
    got = summarise_replicates(table, by=["detector"])
    assert got["detector"].to_pylist() == ["a", "b"]
    assert got["value"].to_pylist() == [4.0, 1.0]
    assert got["n_worlds"].to_pylist() == [3, 1]
    assert got["ci_low"].to_pylist()[1] is None


def test_summarise_replicates__does_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    table = pa.table({"k": rng.integers(0, 3, 40), "value": rng.random(40)})
    got = summarise_replicates(table.take(rng.permutation(40)), by=["k"])
    expected = summarise_replicates(table, by=["k"])
    # The order of a sum: rounding.
    np.testing.assert_allclose(got["value"], expected["value"], rtol=1e-14)


def test_summarise_replicates__names_a_missing_column():
    with pytest.raises(GatewayError, match="detector is not a column"):
        summarise_replicates(pa.table({"value": [1.0]}), by=["detector"])
