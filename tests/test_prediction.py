from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from gateway.errors import LogError
from gateway.evaluate import auc_with_interval, predict_later, split_by_time
from gateway.log.join_log import JoinLog
from gateway.targets import named_targets
from tests import naive
from tests.worlds import first_groups, linked_log


@given(st.integers(0, 200))
def test_auc__is_scikit_learns_and_its_error_that_of_all_pairs(seed):
    rng = np.random.default_rng(seed)
    score, outcome = rng.integers(0, 6, 25).astype(float), rng.random(25) < 0.4
    outcome[:2], outcome[2:4] = True, False
    auc, low, high = auc_with_interval(score, outcome)
    assert auc == pytest.approx(roc_auc_score(outcome, score), abs=1e-12)
    half = 1.959963984540054 * naive.delong_error(score, outcome)
    assert (low, high) == pytest.approx((max(auc - half, 0), min(auc + half, 1)), abs=1e-9)


def test_auc__interval_holds_the_truth_as_often_as_it_says():
    """Two normal populations one standard deviation apart: AUC = Phi(1 / sqrt 2) = 0.7602."""
    rng = np.random.default_rng(1)
    outcome = np.arange(200) < 60
    held = 0
    for _ in range(400):
        _, low, high = auc_with_interval(rng.normal(size=200) + outcome, outcome)
        held += low <= 0.760250 <= high
    # 400 draws at 95 %: standard error 1.1 %; Wald's interval itself is a little short.
    assert 0.91 < held / 400 < 0.985


def test_auc__without_one_of_the_outcomes_is_not_a_number():
    assert np.isnan(auc_with_interval(np.arange(3.0), np.ones(3, bool))).all()


def example():
    """Target t; a quarter of its joiners have joined it by tick 3, and ties with it are past."""
    rows = [
        ("ann", "a", 1), ("ann", "t", 6),
        ("bea", "a", 3), ("bea", "b", 3), ("bea", "t", 4),
        ("cat", "a", 1), ("cat", "t", 3),
        ("dan", "b", 2), ("dan", "c", 9),
        ("eve", "t", 8),
    ]  # fmt: skip
    user, group, time = zip(*rows, strict=True)
    return JoinLog.from_arrays(list(user), list(group), list(time))


def test_split__asks_those_who_have_joined_something_but_no_target(monkeypatch):
    joins = example()
    targets = named_targets(joins, "t")
    monkeypatch.setattr("gateway.evaluate.prediction.check_learnable", lambda *_: None)
    split = split_by_time(joins, targets, share=0.25)
    assert split.tick == 3
    assert split.past.users.to_pylist() == ["ann", "bea", "cat", "dan"]
    assert split.asked.tolist() == [True, True, False, True]
    assert split.later[split.asked].tolist() == [True, True, False]
    assert split.past.observed_until.tolist() == [3] * 4
    soon = split_by_time(joins, targets, share=0.25, horizon=2)
    assert soon.later[soon.asked].tolist() == [False, True, False]


def test_predict_later__finds_the_groups_that_lead_to_targets():
    joins = linked_log(3, users=2_000, days=60)
    table = predict_later(joins, first_groups(joins, 2), horizon=15).to_pylist()
    auc = {(row["detector"], row["feature"]): row["auc"] for row in table}
    # Groups 3 to 5 send half of their joiners, within 8 days; chance is 0.5.
    assert auc["frequentist", "max"] > 0.55
    assert auc["survival", "sum"] > 0.55
    assert {row["n_users"] for row in table} == {table[0]["n_users"]}
    published = {r["detector"]: r["published_low"] for r in table if r["published_low"]}
    assert published == {"frequentist": 0.64, "survival": 0.72}


def test_predict_later__detectors_do_not_see_what_comes_after_the_split():
    """Users' outcomes after the split change the answer, not the features."""
    joins = linked_log(3, users=400)
    targets = first_groups(joins, 2)
    split = split_by_time(joins, targets)
    kept = (joins.time <= split.tick) | (np.arange(joins.n_joins) % 3 > 0)
    other = JoinLog.from_arrays(
        joins.user()[kept], joins.group[kept], joins.time[kept], users=joins.users.to_pylist(),
        groups=joins.groups.to_pylist(), observed_until=joins.observed_until,
        observed_from=joins.observed_from,
    )  # fmt: skip
    user = other.user()[targets.mask[other.group]]
    _, first = np.unique(user, return_index=True)
    share = np.mean(other.time[targets.mask[other.group]][first] <= split.tick)
    # A little less, so that rounding does not go on to the next joiner.
    again = split_by_time(other, targets, share=float(share) - 1e-9)
    assert again.tick == split.tick
    assert again.past.equals(split.past)


def test_split__says_when_nobody_goes_on():
    joins = linked_log(3, users=100)
    targets = first_groups(joins, 2)
    kept = (joins.time <= 20) | ~targets.mask[joins.group]
    quiet = JoinLog.from_arrays(
        joins.user()[kept], joins.group[kept], joins.time[kept], groups=joins.groups.to_pylist()
    )
    with pytest.raises(LogError, match="all or none do"):
        split_by_time(quiet, targets, share=0.999)
