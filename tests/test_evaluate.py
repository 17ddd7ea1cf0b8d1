from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from gateway.detect import Detection, SpikeOptions, detect_spikes, measure_of, rank_groups
from gateway.evaluate import (
    EVALUATION_SCHEMA,
    average_precision,
    clear_effects,
    evaluate_effects,
    evaluate_planted,
    precision_at,
    recall_at,
    share_at,
)
from gateway.evaluate.ranking import bootstrap_interval, ndcg
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


def test_clear_effects__wants_more_than_its_own_noise():
    effect = np.array([0.5, 0.1, -0.5, np.nan, 0.2, 0.0])
    error = np.array([0.1, 0.1, 0.1, 0.1, 0.0, 0.0])
    got = clear_effects(effect, error)
    # The fifth is known exactly; the last is exactly nothing.
    assert got.tolist() == [True, False, False, False, True, False]


def test_clear_effects__calls_few_where_nothing_is_true():
    # Benjamini-Hochberg at 5 %: some call in about one of twenty worlds.
    rng = np.random.default_rng(0)
    worlds = 400
    called = sum(clear_effects(rng.standard_normal(200), np.ones(200)).any() for _ in range(worlds))
    # 0.05 plus three standard errors of a share of 400.
    assert called / worlds < 0.05 + 3 * np.sqrt(0.05 * 0.95 / worlds)


def _detection(score):
    n = len(score)
    nothing = np.full(n, np.nan)
    return Detection(
        measure=measure_of("test"), groups=pa.array([f"g{i}" for i in range(n)]),
        candidate=np.ones(n, bool),
        score=score, estimate=nothing, ci_low=nothing, ci_high=nothing, p_value=nothing,
        q_value=nothing, n_joiners=np.full(n, 30), n_events=np.zeros(n, np.int64),
        flagged=score > 2.5, rank=rank_groups(score, np.ones(n, bool)),
    )  # fmt: skip


def _values(table):
    return dict(zip(table["metric"].to_pylist(), table["value"].to_pylist(), strict=True))


def test_evaluate_effects__by_hand():
    # Ranked a, b, c, d; the effects of a and c are clear: gains 4, 0, 2, 0.
    detection = _detection(np.array([4.0, 3.0, 2.0, 1.0]))
    effect, error = np.array([4.0, 0.1, 2.0, -0.1]), np.full(4, 0.1)
    table = evaluate_effects(detection, effect, error, truth="direct", seed=1)
    got = _values(table)
    gained, ideal = 4 + 2 / np.log2(4), 4 + 2 / np.log2(3)
    assert abs(got["ndcg"] - gained / ideal) < 1e-12
    assert abs(got["average_precision"] - (1 + 2 / 3) / 2) < 1e-12
    # Ranks of the effects: 4, 2, 3, 1 against 4, 3, 2, 1: 1 - 6 x 2 / (4 x 15).
    assert abs(got["spearman"] - 0.8) < 1e-12
    assert got["precision_flagged"] == 0.5
    assert table.schema == EVALUATION_SCHEMA
    assert set(table["truth"].to_pylist()) == {"direct"}


def test_evaluate_effects__leaves_out_groups_without_a_measured_effect():
    detection = _detection(np.array([9.0, 4.0, 3.0]))
    effect, error = np.array([np.nan, 1.0, 0.0]), np.array([np.nan, 0.1, 0.1])
    got = _values(evaluate_effects(detection, effect, error, truth="total", seed=1))
    assert got["average_precision"] == 1.0
    assert got["n_clear"] == 1.0


def test_evaluate_planted__counts_false_calls_at_each_nominal_rate():
    detection = replace(
        _detection(np.array([4.0, 3.0, 2.0, 1.0])), q_value=np.array([0.01, 0.07, 0.15, np.nan])
    )
    role = np.array(["influence", "homophily", "influence", "ordinary"])
    got = _values(evaluate_planted(detection, role, np.ones(4), seed=1))
    assert [got[f"n_called_q{q}"] for q in ("05", "10", "20")] == [1, 2, 3]
    assert [got[f"false_share_q{q}"] for q in ("05", "10")] == [0, 0.5]
    assert abs(got["false_share_q20"] - 1 / 3) < 1e-12


def test_evaluate_planted__false_share_is_zero_where_nothing_is_called():
    detection = replace(_detection(np.array([2.0, 1.0])), q_value=np.array([0.9, 1.0]))
    got = _values(evaluate_planted(detection, np.array(["ordinary"] * 2), np.ones(2), seed=1))
    assert got["false_share_q05"] == 0


@given(
    rows=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), min_size=2, max_size=60),
    k=st.none() | st.integers(1, 70),
)
def test_ndcg__is_scikit_learns_with_ties_and_any_k(rows, k):
    score, gain = np.array(rows, float).T
    got = ndcg(score, gain, k)
    if not gain.any():
        assert np.isnan(got)
        return
    expected = float(ndcg_score(gain[None], score[None], k=k))
    assert got == pytest.approx(expected, rel=1e-13)
