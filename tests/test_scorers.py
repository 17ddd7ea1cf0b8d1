"""The scorers beside logistic: boosted and markov."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from gateway.detect import SpikeOptions, detect_spikes
from gateway.log.join_log import JoinLog
from gateway.pipeline import execute
from gateway.score import BoostedScorer, MarkovScorer, build_prefixes, score_joins
from gateway.score.prefixes import block_mean, running_count, running_maximum, running_sum
from gateway.targets import TargetSet, named_targets
from tests import naive
from tests.worlds import first_groups, linked_log, random_log, small_config

SCORERS = {"boosted": BoostedScorer(iterations=20), "markov": MarkovScorer()}
each_scorer = pytest.mark.parametrize("scorer", SCORERS.values(), ids=list(SCORERS))


@given(st.integers(0, 300))
def test_running_features__equal_their_twin(seed):
    joins = random_log(seed, users=6, days=8)
    p = build_prefixes(joins, first_groups(joins, 2))
    x = np.random.default_rng(seed).normal(size=len(p.group))
    parts = [running_count(p), running_sum(p, x), running_maximum(p, x)]
    got = np.column_stack([part.after for part in parts] + [part.at_end for part in parts])
    np.testing.assert_allclose(got, naive.running(p, x), atol=1e-12)
    for i, mean in enumerate(block_mean(p, x)):
        same = (p.user() == p.user()[i]) & (p.time == p.time[i])
        assert mean == pytest.approx(x[same].mean(), abs=1e-12)


def test_markov__by_hand():
    """a is followed by the target for one of two, b for none of one; prior of one row."""
    joins = JoinLog.from_arrays(["u", "u", "v", "v"], ["a", "t", "a", "b"], [1, 2, 1, 2])
    p = build_prefixes(joins, named_targets(joins, "t"))
    model = MarkovScorer(prior=1.0).fit(p, np.ones(2, bool))
    base = 1.5 / 4.0
    np.testing.assert_allclose(model.chance[:2], [(1 + base) / 3, base / 2])
    logits = model.logits(p, np.ones(2, bool))
    np.testing.assert_allclose(expit(logits.before), [base, base, model.chance[0]])
    np.testing.assert_allclose(expit(logits.at_end), model.chance[p.group])


@each_scorer
def test_scorer__does_not_see_what_comes_later(scorer):
    """Without everybody's last block, the rows before it are scored the same."""
    joins = linked_log(6, users=120)
    targets = first_groups(joins, 2)
    whole = build_prefixes(joins, targets)
    half = whole.chance < 0.5
    model = scorer.fit(whole, half)
    logits = model.logits(whole, ~half)
    last = whole.blocks_before() == block_counts(whole)[whole.user()] - 1
    kept = np.zeros(joins.n_joins, bool)
    # A user's rows are the user's first joins.
    place = np.arange(len(last)) - whole.offsets[whole.user()]
    kept[(joins.offsets[whole.user()] + place)[~last]] = True
    cut = JoinLog.from_arrays(
        joins.user()[kept], joins.group[kept], joins.time[kept], users=joins.users.to_pylist(),
        groups=joins.groups.to_pylist(),
    )  # fmt: skip
    again = model.logits(build_prefixes(cut, targets), ~half)
    for got, expected in zip(again, logits, strict=True):
        # Running sums of other users come first in the total that they are taken from.
        np.testing.assert_allclose(got, expected[~last], rtol=1e-9, atol=1e-9)


def block_counts(p):
    return np.bincount(p.user()[p.starts_block], minlength=p.n_users)


@each_scorer
def test_scorer__learns_from_its_training_users_alone(scorer):
    joins = linked_log(6, users=120)
    p = build_prefixes(joins, first_groups(joins, 2))
    half = p.chance < 0.5
    rows = half[p.user()]
    other = replace(p, label=np.where(rows, p.label, 1 - p.label).astype(np.int8))
    everybody = np.ones(p.n_users, bool)
    got = scorer.fit(other, half).logits(other, everybody)
    expected = scorer.fit(p, half).logits(p, everybody)
    for one, two in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, two)


@each_scorer
def test_scorer__tells_who_goes_on_and_gives_the_same_twice(scorer):
    joins = linked_log(8, users=600)
    targets = first_groups(joins, 2)
    scores = score_joins(joins, targets, scorer=scorer)
    auc = next(q.value for q in scores.quality if q.metric == "auc")
    assert auc > 0.6
    again = score_joins(joins, targets, scorer=scorer)
    np.testing.assert_array_equal(again.after, scores.after)
    d = detect_spikes(joins, targets, scores, options=SpikeOptions(min_joiners=5))
    assert np.median(d.rank[3:6]) <= np.median(d.rank[6:])


@each_scorer
def test_scorer__does_not_depend_on_the_order_of_ties(scorer):
    joins = linked_log(9, users=150, days=6)
    targets = first_groups(joins, 2)
    new = np.random.default_rng(0).permutation(joins.n_groups)
    moved = JoinLog.from_arrays(
        joins.user(), new[joins.group], joins.time, users=joins.users.to_pylist()
    )
    mask = np.zeros(joins.n_groups, bool)
    mask[new[:2]] = True
    a = score_joins(joins, targets, scorer=scorer)
    b = score_joins(moved, TargetSet(mask, "the same"), scorer=scorer)
    key = [s.prefixes.user().astype(np.int64) * 1_000 + g for s, g in
           ((a, new[a.prefixes.group]), (b, b.prefixes.group))]  # fmt: skip
    one, two = a.after[np.argsort(key[0])], b.after[np.argsort(key[1])]
    # Sums within a block run in another order; a tree may split between two such sums.
    assert np.quantile(np.abs(one - two), 0.99) < 1e-6


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["boosted", "markov"])
def test_run__with_another_scorer_names_it(name, tmp_path):
    result = execute(small_config(f"score.scorer={name}"), folder=tmp_path / "r")
    assert f"scorer:{name}" in result.table("evaluation")["detector"].to_pylist()
