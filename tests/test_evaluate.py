from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.detect import SpikeOptions, detect_spikes
from gateway.evaluate import (
    EVALUATION_SCHEMA,
    average_precision,
    evaluate_planted,
    precision_at,
    recall_at,
    share_at,
)
from gateway.evaluate.ranking import bootstrap_interval
from gateway.score import score_joins
from tests.worlds import first_groups, linked_log


def test_average_precision__by_hand():
    # Relevant at ranks 1 and 3 of 4: (1/1 + 2/3) / 2.
    got = average_precision(np.array([4.0, 3.0, 2.0, 1.0]), np.array([1, 0, 1, 0], bool))
    assert abs(got - (1 + 2 / 3) / 2) < 1e-12


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=30))
def test_average_precision__equals_scikit_learn_with_ties(rows):
    from sklearn.metrics import average_precision_score

    score, relevant = (np.array(column) for column in zip(*rows, strict=True))
    if relevant.any():
        expected = average_precision_score(relevant, score)
        assert abs(average_precision(score.astype(float), relevant) - expected) < 1e-12


def test_average_precision__bootstrap_is_not_tilted_by_copies():
    # A ranking without any skill: resampled copies that hit each other would raise it.
    rng = np.random.default_rng(0)
    score, relevant = rng.random(2_000), rng.random(2_000) < 0.01
    value = average_precision(score, relevant)
    draws = []
    for _ in range(400):
        weight = np.bincount(rng.integers(0, 2_000, 2_000), minlength=2_000)
        draws.append(average_precision(score, relevant, weight))
    plain = []
    for _ in range(400):
        i = rng.integers(0, 2_000, 2_000)
        plain.append(average_precision(score[i], relevant[i]))
    assert abs(np.mean(draws) - value) < 0.5 * (np.mean(plain) - value)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6),
    st.integers(1, 6),
)
def test_share_at__is_the_mean_over_all_orders_of_ties(rows, k):
    score = np.array([float(s) for s, _ in rows])
    member = np.array([m for _, m in rows])
    k = min(k, len(rows))
    shares = [
        member[list(order)][:k].mean()
        for order in itertools.permutations(range(len(rows)))
        if (np.diff(score[list(order)]) <= 0).all()
    ]
    assert abs(share_at(score, member, k) - np.mean(shares)) < 1e-12


def test_precision_and_recall__agree_on_the_hits():
    rng = np.random.default_rng(0)
    score, relevant = rng.random(200), rng.random(200) < 0.2
    hits = precision_at(score, relevant, 50) * 50
    assert abs(recall_at(score, relevant, 50) * relevant.sum() - hits) < 1e-9


def test_bootstrap_interval__covers_a_mean():
    # Nominal 95 % for a mean of 200 normals; 200 trials have standard error 1.5 points.
    hits = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=200)
        low, high = bootstrap_interval(lambda i, x=x: x[i].mean(), 200, rng=rng, draws=200)
        hits += low <= 0.0 <= high
    assert 0.89 <= hits / 200 <= 0.99


@pytest.fixture(scope="module")
def detection():
    joins = linked_log(2, users=300)
    targets = first_groups(joins, 2)
    scores = score_joins(joins, targets, horizon=10)
    return detect_spikes(joins, targets, scores, options=SpikeOptions(min_joiners=5))


def test_evaluate_planted__measures_the_ranking(detection):
    role = np.array(["influence" if i % 3 == 0 else "ordinary" for i in range(12)])
    role[1] = "homophily"
    table = evaluate_planted(detection, role, np.ones(12), seed=1)
    assert table.schema.equals(EVALUATION_SCHEMA)
    got = {r["metric"]: r for r in table.to_pylist()}
    among = detection.candidate
    expected = average_precision(-detection.rank[among].astype(float), role[among] == "influence")
    assert got["average_precision"]["value"] == expected
    shares = [v["value"] for k, v in got.items() if k.endswith("at_50") and "recall" not in k]
    # Precision and the shares of all other roles add up to one.
    assert abs(sum(shares) - 1.0) < 1e-12
    row = got["average_precision"]
    assert row["ci_low"] <= row["value"] <= row["ci_high"]
    assert got["spearman_strength"]["value"] is None


def test_evaluate_planted__same_seed_same_intervals(detection):
    role = np.array(["influence", "ordinary"] * 6)
    a = evaluate_planted(detection, role, np.arange(12.0), seed=1)
    assert a.equals(evaluate_planted(detection, role, np.arange(12.0), seed=1))
    assert not a.equals(evaluate_planted(detection, role, np.arange(12.0), seed=2))
