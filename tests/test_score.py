from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from sklearn.naive_bayes import BernoulliNB

from gateway.errors import LogError
from gateway.log.join_log import JoinLog
from gateway.score import (
    UNRESOLVED,
    LogisticScorer,
    MarkovScorer,
    PrefixLoss,
    SklearnScorer,
    assign_folds,
    build_prefixes,
    reliability_table,
    score_joins,
)
from gateway.score.calibration import fit_calibrator, fit_expectation
from gateway.score.logistic import PENALTIES
from gateway.score.quality import measure_quality
from gateway.targets import TargetSet
from tests import naive
from tests.worlds import first_groups, random_log

# The bag of groups alone, as scikit-learn knows it.
PLAIN = {"keep": None, "covariates": False}


def everybody(prefixes):
    return np.ones(prefixes.n_users, bool)


@pytest.fixture(scope="module")
def log():
    return random_log(1)


@pytest.fixture(scope="module")
def targets(log):
    return first_groups(log, 2)


@pytest.fixture(scope="module")
def prefixes(log, targets):
    return build_prefixes(log, targets, horizon=10)


@given(st.integers(0, 200), st.sampled_from([None, 1, 5, 30]))
def test_build_prefixes__equals_its_twin(seed, horizon):
    joins = random_log(seed, users=8)
    targets = first_groups(joins, 2)
    p = build_prefixes(joins, targets, horizon=horizon)
    got = list(zip(p.user().tolist(), p.group.tolist(), p.label.tolist(), strict=True))
    assert got == naive.labels(joins, targets, horizon)


def test_build_prefixes__by_hand():
    # u: a at 1; b and c tie at 3; the target t at 5; d at 9 (after it: not at risk).
    # v: a at 2, b at 9; observed until 10.
    joins = JoinLog.from_arrays(
        ["u", "u", "u", "u", "u", "v", "v"], ["a", "b", "c", "t", "d", "a", "b"],
        [1, 3, 3, 5, 9, 2, 9], observed_until=10,
    )  # fmt: skip
    p = build_prefixes(joins, TargetSet(np.array([0, 0, 0, 0, 1], bool), "t"), horizon=3)
    assert joins.groups.to_pylist() == ["a", "b", "c", "d", "t"]
    assert p.group.tolist() == [0, 1, 2, 0, 1]
    assert p.starts_block.tolist() == [True, True, False, True, True]
    assert p.ends_block.tolist() == [True, False, True, True, True]
    # a at 1 looks to 4: no; the ties at 3 look to 6: yes; v's a at 2: no; b at 9 looks
    # to 12, beyond the observation.
    assert p.label.tolist() == [0, 1, 1, 0, UNRESOLVED]
    assert p.blocks_before().tolist() == [0, 1, 1, 0, 1]


def test_build_prefixes__a_join_tied_with_the_target_is_not_at_risk():
    joins = JoinLog.from_arrays([0, 0, 0, 1], [0, 1, 2, 0], [1, 4, 4, 1])
    p = build_prefixes(joins, TargetSet(np.array([False, False, True]), "t"))
    assert p.group.tolist() == [0, 0]


def test_prefix_loss__equals_the_expanded_matrix(prefixes):
    rng = np.random.default_rng(0)
    w, b = rng.normal(size=prefixes.n_groups), -0.3
    users = rng.random(prefixes.n_users) < 0.7
    got = PrefixLoss(prefixes, users, penalty=2.5)(w, b)[:3]
    expected = naive.loss_and_gradient(prefixes, users, w, b, 2.5)
    # The same sums in another order.
    for a, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-10, atol=1e-10)


def test_prefix_loss__gradient_is_the_slope_of_the_loss(prefixes):
    rng = np.random.default_rng(3)
    loss = PrefixLoss(prefixes, everybody(prefixes), penalty=1.0)
    w, step = rng.normal(size=prefixes.n_groups), rng.normal(size=prefixes.n_groups)
    h = 1e-5
    slope = (loss(w + h * step, 0.1)[0] - loss(w - h * step, 0.1)[0]) / (2 * h)
    # Central differences: error of order h squared times the third derivative.
    np.testing.assert_allclose(loss(w, 0.1)[1] @ step, slope, rtol=1e-6)


def test_prefix_loss__curvature_is_the_hessian_diagonal_at_zero(prefixes):
    users = everybody(prefixes)
    x, y, _ = naive.expanded(prefixes, users)
    loss = PrefixLoss(prefixes, users, penalty=4.0)
    p = (y.sum() + 0.5) / (len(y) + 1)
    expected = p * (1 - p) * (x**2).sum(axis=0) + 4.0
    np.testing.assert_allclose(loss.curvature()[: prefixes.n_groups], expected, rtol=1e-12)


@pytest.mark.parametrize("penalty", [0.5, 10.0])
def test_logistic__has_scikit_learns_coefficients(prefixes, penalty):
    users = everybody(prefixes)
    x, y, _ = naive.expanded(prefixes, users)
    model = LogisticScorer(penalty=penalty, tolerance=1e-14, **PLAIN).fit(prefixes, users)
    sk = LogisticRegression(C=1 / penalty, solver="newton-cholesky", tol=1e-10).fit(x, y)
    # Both stop near the same optimum; the gradient tolerance of L-BFGS is 1e-6 in scaled
    # weights, which leaves about five digits.
    np.testing.assert_allclose(model.weights, sk.coef_[0], atol=2e-5)
    np.testing.assert_allclose(model.intercept, sk.intercept_[0], atol=2e-5)
    assert (model.weights[:2] == 0.0).all()


def test_logistic__logits_equal_sets_of_joins(prefixes):
    model = LogisticScorer(penalty=1.0, **PLAIN).fit(prefixes, everybody(prefixes))
    got = model.logits(prefixes, everybody(prefixes))
    expected = naive.prefix_logits(prefixes, model.weights, model.intercept)
    for a, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-10, atol=1e-12)


def test_logistic__the_log_odds_jump_is_the_coefficient(prefixes):
    model = LogisticScorer(penalty=1.0, **PLAIN).fit(prefixes, everybody(prefixes))
    logits = model.logits(prefixes, everybody(prefixes))
    np.testing.assert_allclose(
        logits.after - logits.before, model.weights[prefixes.group], atol=1e-12
    )


def test_tune__takes_the_penalty_with_the_least_loss_on_held_out_users(prefixes):
    users = everybody(prefixes)
    held_out = (prefixes.chance * 2.0**20) % 1.0 < 0.2
    losses = {}
    for penalty in PENALTIES:
        model = LogisticScorer(penalty=penalty, tolerance=1e-12, **PLAIN).fit(prefixes, ~held_out)
        loss = naive.loss_and_gradient(prefixes, held_out, model.weights, model.intercept, 0.0)
        losses[penalty] = loss[0]
    tuned = LogisticScorer(**PLAIN).tune(prefixes, users)
    assert tuned.penalty == min(losses, key=losses.__getitem__)


def test_tune__on_a_sample_asks_no_more_users_than_that():
    prefixes = build_prefixes(joins := random_log(3, users=400), first_groups(joins, 2), horizon=10)
    share = (prefixes.chance * 2.0**20) % 1.0
    half = len(prefixes.group) // 2
    few = LogisticScorer(most_rows=half, **PLAIN).tune(prefixes, everybody(prefixes))
    # Half of those held out, and half of the others.
    asked = (share < 0.1) | ((share >= 0.2) & (share < 0.6))
    others = LogisticScorer(most_rows=half, **PLAIN).tune(
        replace(prefixes, label=np.where(asked[prefixes.user()], prefixes.label, np.int8(0))),
        everybody(prefixes),
    )
    assert few.penalty == others.penalty
    np.testing.assert_array_equal(few.start.weights, others.start.weights)


def test_sklearn_scorer__equals_the_logistic_scorer(log, targets):
    ours = score_joins(
        log, targets, horizon=10, scorer=LogisticScorer(penalty=2.0, tolerance=1e-14, **PLAIN)
    )
    sk = SklearnScorer(LogisticRegression(C=0.5, solver="newton-cholesky", tol=1e-10))
    theirs = score_joins(log, targets, horizon=10, scorer=sk)
    # As far as the two optimisers agree, see above.
    np.testing.assert_allclose(ours.after, theirs.after, atol=2e-5)
    # Before a first join the one has its own intercept, the other the base rate.
    later = ours.prefixes.blocks_before() > 0
    np.testing.assert_allclose(ours.before[later], theirs.before[later], atol=2e-5)


@pytest.mark.parametrize("classifier", [BernoulliNB(), HistGradientBoostingClassifier(max_iter=5)])
def test_sklearn_scorer__takes_any_classifier(log, targets, classifier):
    dense = isinstance(classifier, HistGradientBoostingClassifier)
    scores = score_joins(log, targets, horizon=10, scorer=SklearnScorer(classifier, dense=dense))
    assert scores.scorer == type(classifier).__name__
    assert ((scores.after > 0) & (scores.after < 1)).all()


@given(st.integers(0, 30))
def test_scores__never_see_the_future(seed):
    """Later joins of a user in the other fold change nothing of that user's past scores."""
    joins = random_log(seed, users=40)
    targets = first_groups(joins, 2)
    cut = 20
    user = joins.user()
    fold = assign_folds(joins, folds=2, seed=1)
    probe = np.flatnonzero(fold == 0)[0]
    drop = (user == probe) & (joins.time >= cut)
    kept = JoinLog.from_arrays(
        user[~drop], joins.group[~drop], joins.time[~drop],
        users=joins.users.to_pylist(), groups=joins.groups.to_pylist(), observed_until=39,
    )  # fmt: skip
    scorer = LogisticScorer(penalty=5.0)
    options = {"scorer": scorer, "folds": 2, "calibration": "none"}
    full = score_joins(joins, targets, **options)
    past = score_joins(kept, targets, **options)
    a = (full.prefixes.user() == probe) & (full.prefixes.time < cut)
    b = (past.prefixes.user() == probe) & (past.prefixes.time < cut)
    np.testing.assert_array_equal(full.after[a], past.after[b])
    np.testing.assert_array_equal(full.before[a], past.before[b])


def test_scores__row_order_and_tie_order_change_nothing(log, targets):
    rng = np.random.default_rng(0)
    order = rng.permutation(log.n_joins)
    shuffled = JoinLog.from_arrays(
        log.user()[order], log.group[order], log.time[order],
        users=log.users.to_pylist(), groups=log.groups.to_pylist(), observed_until=39,
    )  # fmt: skip
    a = score_joins(log, targets, horizon=10)
    b = score_joins(shuffled, targets, horizon=10)
    np.testing.assert_array_equal(a.after, b.after)
    np.testing.assert_array_equal(a.expected, b.expected)


def test_scores__renumbering_groups_changes_nothing_but_rounding(log, targets):
    names = [f"n{(i * 7) % 12:02d}" for i in range(12)]
    other = JoinLog.from_arrays(
        log.user(), np.array(names)[log.group], log.time, users=log.users.to_pylist()
    )
    mask = np.isin(other.groups.to_pylist(), names[:2])
    a = score_joins(log, targets, horizon=10)
    b = score_joins(other, TargetSet(mask, "renamed"), horizon=10)
    key_a = [(u, names[g]) for u, g in zip(a.prefixes.user(), a.prefixes.group, strict=True)]
    key_b = [
        (u, other.groups[g].as_py())
        for u, g in zip(b.prefixes.user(), b.prefixes.group, strict=True)
    ]
    found = dict(zip(key_b, b.after, strict=True))
    # Sums run in another order, and L-BFGS stops a step earlier or later: 1e-7 of the
    # loss, which is a few 1e-5 of a probability.
    np.testing.assert_allclose(a.after, [found[k] for k in key_a], atol=1e-4)


@pytest.mark.compiled
def test_scores__same_bits_for_one_and_two_threads(log, targets):
    import numba

    from gateway._numba import set_threads

    before = numba.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            set_threads(threads)
            found.append(score_joins(log, targets, horizon=10))
    finally:
        numba.set_num_threads(before)
    for name in ("before", "after", "expected", "at_end"):
        np.testing.assert_array_equal(getattr(found[0], name), getattr(found[1], name))


def test_scores__first_join_starts_from_the_base_rate_where_the_scorer_knows_none(log, targets):
    s = score_joins(log, targets, horizon=10, folds=3, scorer=MarkovScorer())
    p, first = s.prefixes, s.prefixes.blocks_before() == 0
    fold = s.fold[p.user()]
    for k in range(3):
        fits = first & p.trains & (fold != k)
        y = p.label[fits]
        np.testing.assert_allclose(
            s.before[first & (fold == k)], (y.sum() + 0.5) / (len(y) + 1), rtol=1e-12
        )


@pytest.mark.parametrize("calibration", ["none", "platt", "isotonic"])
def test_scores__a_users_own_outcome_does_not_enter_its_score(calibration):
    joins = random_log(4, users=120)
    targets = first_groups(joins, 2)
    fold = assign_folds(joins, folds=5, seed=1)
    probe = np.flatnonzero(fold == 2)[:3]
    at = np.isin(joins.user(), probe)
    # The probes' target joins move to the last day: their outcomes change, their past does not.
    time = np.where(at & targets.mask[joins.group], 39, joins.time)
    other = JoinLog.from_arrays(
        joins.user(), joins.group, time, users=joins.users.to_pylist(),
        groups=joins.groups.to_pylist(), observed_until=39,
    )  # fmt: skip
    a = score_joins(joins, targets, calibration=calibration)
    b = score_joins(other, targets, calibration=calibration)
    rows = np.flatnonzero(np.isin(a.prefixes.user(), probe))
    order = list(zip(b.prefixes.user(), b.prefixes.group, strict=True))
    mine = zip(a.prefixes.user()[rows], a.prefixes.group[rows], strict=True)
    same = [order.index(pair) for pair in mine]
    assert len(rows) > 3
    for name in ("before", "after", "at_end", "expected"):
        # Sums over the other users are cut into chunks by all rows, whose number has changed.
        np.testing.assert_allclose(getattr(a, name)[rows], getattr(b, name)[same], rtol=1e-14)


def test_assign_folds__depend_on_the_name_alone(log):
    some = JoinLog.from_arrays(
        log.user()[:100], log.group[:100], log.time[:100],
        users=log.users.to_pylist(), groups=log.groups.to_pylist(),
    )  # fmt: skip
    np.testing.assert_array_equal(
        assign_folds(some, folds=5, seed=1), assign_folds(log, folds=5, seed=1)
    )


def test_score_joins__says_why_nothing_can_be_learnt(log):
    with pytest.raises(LogError, match="within the horizon"):
        score_joins(log, first_groups(log, 2), horizon=10_000)


def test_calibrator__platt_undoes_a_scale():
    rng = np.random.default_rng(0)
    z = rng.normal(size=20_000)
    y = (rng.random(20_000) < 1 / (1 + np.exp(-(2 * z - 1)))).astype(np.int8)
    p = fit_calibrator(z, y, method="platt")(np.array([0.0, 1.0]))
    # 20,000 outcomes: standard error of a fitted probability about 0.005.
    np.testing.assert_allclose(p, 1 / (1 + np.exp([1.0, -1.0])), atol=0.02)


def test_calibrator__platt_gives_the_base_rate_where_logits_mislead():
    z = np.linspace(-1, 1, 200)
    y = (z < -0.2).astype(np.int8)
    p = fit_calibrator(z, y, method="platt")(np.array([-3.0, 3.0]))
    np.testing.assert_allclose(p, y.mean(), rtol=1e-12)


def test_calibrator__isotonic_is_monotone_and_inside_zero_one():
    rng = np.random.default_rng(1)
    z = rng.normal(size=500)
    y = (rng.random(500) < 0.2).astype(np.int8)
    p = fit_calibrator(z, y, method="isotonic")(np.linspace(-4, 4, 50))
    assert (np.diff(p) >= 0).all()
    assert p.min() >= 0.001
    assert p.max() <= 0.999


def test_expectation__centres_outcomes_within_every_bin():
    log = random_log(1, users=600)
    p = build_prefixes(log, first_groups(log, 2), horizon=10)
    rng = np.random.default_rng(2)
    sizes = np.diff(np.append(np.flatnonzero(p.starts_block), len(p.group)))
    before = np.repeat(rng.uniform(0.1, 0.5, len(sizes)), sizes)
    label = (rng.random(len(before)) < 0.1 + 0.05 * p.blocks_before()).astype(np.int8)
    p, z = replace(p, label=label), logit(before)
    found = fit_expectation(p, everybody(p), z, np.array([1.0, 0.0]))
    e = np.empty(len(before))
    found.fill(p, everybody(p), before, e)
    bins = len(before) // 100
    late = p.time >= np.quantile(p.time, (bins - 1) / bins)
    old = p.tenure() >= np.quantile(p.tenure(), 9 / 10)
    tied = p.block_size() == 2
    # The score equations of a logistic regression with an indicator for each bin make
    # sum(y - e) zero in each bin, up to its weak penalty and tolerance.
    for part in (p.blocks_before() == 0, p.blocks_before() == 1, late, old, tied):
        assert 5 < part.sum() < len(part)
        assert abs((label - e)[part].mean()) < 1e-3


def test_parts__are_the_whole_in_order(prefixes):
    parts = list(prefixes.parts(30))
    assert len(parts) > 3
    for name in ("group", "time", "starts_block", "ends_block", "label", "chance"):
        got = np.concatenate([getattr(part, name) for _, _, part in parts])
        np.testing.assert_array_equal(got, getattr(prefixes, name))
    for users, rows, part in parts:
        np.testing.assert_array_equal(part.offsets + rows.start,
                                      prefixes.offsets[users.start : users.stop + 1])  # fmt: skip
        np.testing.assert_array_equal(part.tenure(), prefixes.tenure()[rows])


def test_prefixes__tenure_and_block_size_by_hand(log, targets):
    p = build_prefixes(log, targets)
    for i, (u, t) in enumerate(zip(p.user(), p.time, strict=True)):
        mine = p.time[p.offsets[u] : p.offsets[u + 1]]
        assert p.tenure()[i] == t - mine[0]
        assert p.block_size()[i] == (mine == t).sum()


def test_quality__is_the_mean_of_scikit_learns_over_folds():
    rng = np.random.default_rng(0)
    p = np.round(rng.random(2_000), 2)
    y = (rng.random(2_000) < p).astype(np.int8)
    fold = rng.integers(0, 5, 2_000).astype(np.int8)
    found = {q.metric: q for q in measure_quality(p, y, fold)}
    measures = {"auc": roc_auc_score, "log_loss": log_loss, "brier": brier_score_loss}
    for name, measure in measures.items():
        by_fold = [measure(y[fold == k], p[fold == k]) for k in range(5)]
        # The same sums in another order.
        np.testing.assert_allclose(found[name].value, np.mean(by_fold), rtol=1e-12)
    assert found["auc"].ci_low < found["auc"].value < found["auc"].ci_high
    assert found["base_rate"].value == y.mean()


def test_auc_without_groups__is_that_of_shares_by_joins_so_far_and_calendar():
    """Row by row, with scikit-learn's area, from shares among the other folds' users."""
    from sklearn.metrics import roc_auc_score

    joins = random_log(3, users=900)
    scores = score_joins(joins, first_groups(joins, 2))
    rows = scores.prefixes
    at = np.flatnonzero(rows.trains)
    user, y = rows.user()[at], rows.label[at].astype(int)
    so_far = [int((rows.user()[: i + 1] == u).sum()) for i, u in zip(at, user, strict=True)]
    bins = len(at) // 1_000
    assert bins > 1
    cuts = np.unique(np.quantile(rows.time[at], np.arange(1, bins) / bins))
    cell = list(
        zip(
            np.searchsorted([1, 2, 3, 4, 6, 9, 13, 20, 40], so_far, side="right").tolist(),
            (rows.time[at][:, None] >= cuts).sum(axis=1).tolist(),
            strict=True,
        )
    )
    areas = []
    for k in range(5):
        mine = scores.fold[user] == k
        base, seen = y[~mine].mean(), {}
        for c, outcome in zip(np.array(cell)[~mine].tolist(), y[~mine], strict=True):
            seen.setdefault(tuple(c), []).append(outcome)
        p = [(sum(seen.get(c, [])) + base) / (len(seen.get(c, [])) + 1) for c in cell]
        areas.append(roc_auc_score(y[mine], np.array(p)[mine]))
    (got,) = (q for q in scores.quality if q.metric == "auc_without_groups")
    assert got.value == pytest.approx(np.mean(areas), rel=1e-12)
    # No group says anything here: time alone tells outcomes apart.
    assert got.ci_low > 0.55


@pytest.mark.parametrize("horizon", [None, 12])
def test_baselines__are_those_of_plain_counts(horizon):
    """Row by row, with scikit-learn's area; with a horizon, also against any later time."""
    joins = random_log(3, users=300)
    targets = first_groups(joins, 2)
    scores = score_joins(joins, targets, horizon=horizon)
    found = {q.metric: q.value for q in scores.quality}
    ever = build_prefixes(joins, targets)
    names = {"auc": scores.prefixes} | ({"auc_any_time": ever} if horizon else {})
    assert ("auc_any_time" in found) == (horizon is not None)
    for name, rows in names.items():
        known = rows.trains
        user, fold = rows.user(), scores.fold[rows.user()]
        own, last, so_far = [], [], []
        for k in range(5):
            others, at = known & (fold != k), np.flatnonzero(known & (fold == k))
            seen = rows.resolved & (fold != k)
            weight = seen / rows.block_size()
            hits = weight * (rows.label == 1)
            base = (hits.sum() + 0.5) / (weight.sum() + 1)
            share = [
                (hits[rows.group == g].sum() + 20 * base) / (weight[rows.group == g].sum() + 20)
                for g in range(rows.n_groups)
            ]
            tied = [(user == user[i]) & (rows.time == rows.time[i]) for i in at]
            p = [np.mean([share[g] for g in rows.group[mine]]) for mine in tied]
            y = rows.label[at]
            last.append(roc_auc_score(y, p))
            own.append(roc_auc_score(y, scores.at_end[at]))
            position = np.searchsorted(
                [1, 2, 3, 4, 6, 9, 13, 20, 40],
                np.arange(len(user)) - rows.offsets[user] + 1,
                "right",
            )
            rate = [
                (rows.label[others & (position == b)].sum() + rows.label[others].mean())
                / (np.sum(others & (position == b)) + 1)
                for b in range(10)
            ]
            so_far.append(roc_auc_score(y, np.array(rate)[position[at]]))
        assert found[name] == pytest.approx(np.mean(own), rel=1e-12)
        assert found[f"{name}_last_group"] == pytest.approx(np.mean(last), rel=1e-12)
        assert found[f"{name}_joins_so_far"] == pytest.approx(np.mean(so_far), rel=1e-12)


def test_reliability__bins_hold_everything_and_equal_predictions_stay_together():
    rng = np.random.default_rng(0)
    p = np.repeat([0.1, 0.3, 0.7], 100)
    y = (rng.random(300) < p).astype(np.int8)
    table = reliability_table(p, y).to_pydict()
    assert table["n"] == [100, 100, 100]
    np.testing.assert_allclose(table["predicted"], [0.1, 0.3, 0.7], rtol=1e-12)
    expected = [y[p == v].mean() for v in (0.1, 0.3, 0.7)]
    np.testing.assert_allclose(table["observed"], expected, rtol=1e-12)
