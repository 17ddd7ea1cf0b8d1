"""The shape of a log: against a twin, and against what the README of the real logs says."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from gateway.analyses.log_shape import FEWEST_IN_TAIL, log_shape
from gateway.log.join_log import JoinLog
from tests import naive

DATA = Path(__file__).parents[2] / "shared" / "data"

# What the README says of the Meetup log, and half a unit of its last digit.
MEETUP = {
    "n_joins": (45_583, 0), "n_users": (24_631, 0), "n_groups": (602, 0),
    "joins_mean": (1.85, 0.005), "joins_median": (1, 0), "joins_p90": (4, 0),
    "joins_max": (42, 0), "one_join": (0.67, 0.005),
    "another_1": (0.33, 0.005), "another_2": (0.52, 0.005), "another_3": (0.60, 0.005),
    "another_4": (0.65, 0.005), "another_5": (0.68, 0.005),
    "size_mean": (76, 0.5), "size_median": (24, 0), "size_max": (951, 0),
    "size_mu": (3.17, 0.005), "size_sigma": (1.65, 0.005), "gini": (0.69, 0.005),
    "rank_slope": (-1.06, 0.005), "tail_exponent": (2.74, 0.005), "tail_from": (172, 0),
    "same_category": (0.48, 0.005), "chance": (0.13, 0.005),
    # The README's times were finer than days: a gap can be one day off.
    "gap_median": (28, 0.5), "gap_mean": (78, 0.5), "gap_p90": (235, 1.0),
}  # fmt: skip


def rows(rng: np.random.Generator, *, users: int = 40, groups: int = 15) -> np.ndarray:
    """User, group and time of joins without ties within a user, skewed on both sides."""
    user = np.minimum(rng.geometric(0.08, 400), users) - 1
    group = np.minimum(rng.geometric(0.15, 400), groups) - 1
    pairs = np.unique(np.stack([user, group]), axis=1)
    return np.vstack([pairs, rng.permutation(pairs.shape[1])])


@pytest.mark.parametrize("seed", range(5))
def test_log_shape__equals_its_twin(seed):
    rng = np.random.default_rng(seed)
    user, group, time = rows(rng)
    category = rng.integers(0, 4, group.max() + 1)
    got = log_shape(JoinLog.from_arrays(user, group, time), category).to_dict()
    expected = naive.log_shape(list(zip(user, group, time, strict=True)), category)
    assert {name: got[name] for name in expected} == pytest.approx(expected, rel=1e-12)


@pytest.mark.skipif(not DATA.is_dir(), reason="the folder of real logs is not here")
def test_log_shape__gives_the_published_shape_of_meetup():
    joins = JoinLog.read(DATA / "meetup_nashville_joins.csv.gz")
    with (DATA / "meetup_nashville_groups.csv").open(encoding="utf-8", newline="") as stream:
        category = {row["group"]: row["category"] for row in csv.DictReader(stream)}
    got = log_shape(joins, [category[name] for name in joins.groups.to_pylist()]).to_dict()
    wrong = {
        name: got[name]
        for name, (value, error) in MEETUP.items()
        if abs(got[name] - value) > error + 1e-9  # a binary 0.675 is no decimal one
    }
    assert wrong == {}
    assert got["tail_groups"] >= FEWEST_IN_TAIL


def test_tail__finds_the_exponent_of_a_power_law():
    # Discrete Pareto from 20 on, 4,000 groups: standard error (2.5 - 1) / sqrt(4000) = 0.024.
    rng = np.random.default_rng(4)
    sizes = (19.5 * (1 - rng.random(4_000)) ** (-1 / 1.5) + 0.5).astype(int)
    sizes = np.minimum(sizes, 3_000)
    user = np.concatenate([np.arange(n) for n in sizes])
    joins = JoinLog.from_arrays(user, np.repeat(np.arange(4_000), sizes), user * 0)
    got = log_shape(joins, tail_from=20)
    assert got.tail_exponent == pytest.approx(2.5, abs=4 * 0.024)
    assert got.tail_groups == 4_000
    # Chosen by the data: somewhere in a law that holds everywhere, with its exponent.
    free = log_shape(joins)
    assert free.tail_exponent == pytest.approx(2.5, abs=4 * 1.5 / np.sqrt(free.tail_groups))


def test_rank_slope__is_that_of_zipfs_law():
    # Sizes 3000 / rank: a slope of -1 but for the rounding of sizes.
    sizes = 3_000 // np.arange(1, 250)
    user = np.concatenate([np.arange(n) for n in sizes])
    got = log_shape(JoinLog.from_arrays(user, np.repeat(np.arange(249), sizes), user * 0))
    assert got.rank_slope == pytest.approx(-1.0, abs=0.03)
    assert got.size_mu == pytest.approx(np.log(sizes).mean())
    assert got.gap_median == 0.0


def test_lognormal__is_its_maximum_likelihood():
    sizes = np.random.default_rng(0).integers(1, 500, 60)
    user = np.concatenate([np.arange(n) for n in sizes])
    got = log_shape(JoinLog.from_arrays(user, np.repeat(np.arange(60), sizes), user * 0))
    shape, _, scale = stats.lognorm.fit(sizes, floc=0)
    assert (got.size_mu, got.size_sigma) == pytest.approx((np.log(scale), shape), rel=1e-4)


def test_log_shape__says_nan_where_the_log_cannot_say():
    got = log_shape(JoinLog.from_arrays([0, 1], [0, 0], [3, 4])).to_dict()
    unknown = {name for name, value in got.items() if np.isnan(value)}
    assert unknown == {
        "another_2", "another_3", "another_4", "another_5", "rank_slope", "tail_exponent",
        "tail_from", "same_category", "chance", "gap_median", "gap_mean", "gap_p90",
    }  # fmt: skip
    assert got["another_1"] == 0.0


def test_log_shape__leaves_out_users_without_a_join_and_groups_without_a_member():
    joins = JoinLog.from_arrays(
        [0, 0, 1], [0, 1, 0], [1, 2, 3], users=["a", "b", "c"], groups=["x", "y", "z"]
    )
    got = log_shape(joins)
    assert (got.n_users, got.n_groups, got.joins_mean, got.size_mean) == (2, 2, 1.5, 1.5)


def test_log_shape__wants_a_category_for_each_group():
    joins = JoinLog.from_arrays([0, 1], [0, 1], [3, 4])
    with pytest.raises(ValueError, match="one value per group, 2; got 3"):
        log_shape(joins, ["a", "b", "c"])


def test_to_arrow__holds_every_statistic():
    shape = log_shape(JoinLog.from_arrays([0, 1], [0, 0], [3, 4]))
    table = shape.to_arrow()
    assert table["statistic"].to_pylist() == list(shape.to_dict())
    assert table["value"].null_count == 12
