from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from gateway._numba import kernel, set_threads
from gateway.log.join_log import JoinLog
from gateway.log.work import HERE, Work, working
from gateway.score import LogisticScorer, PrefixLoss, SklearnScorer, build_prefixes, score_joins
from gateway.score.calibration import Line, expectation_edges, expectation_gradient, fit_calibrator
from gateway.score.descent import minimise
from gateway.score.prefix_loss import (
    STEP_PENALTY,
    STEPS,
    Form,
    bins_to_steps,
    pack_rows,
    steps_to_bins,
)
from gateway.score.prefix_loss_kernels import (
    BLOCK,
    CALENDAR,
    GROUP,
    LABEL,
    TENURES,
    TRAINS,
    exponential,
)
from tests import naive
from tests.workers import Posting, posted
from tests.worlds import first_groups, linked_log

# The bag of groups alone, as other libraries know it.
PLAIN = {"keep": None, "covariates": False}
COLUMNS = ("before", "after", "at_end", "expected")


@pytest.fixture(scope="module")
def log():
    joins = linked_log(2, users=400)
    return joins, first_groups(joins, 2)


@pytest.fixture(scope="module", params=[None, 9])
def prefixes(request, log):
    return build_prefixes(*log, horizon=request.param)


@pytest.fixture
def some(prefixes):
    return np.random.default_rng(4).random(prefixes.n_users) < 0.6


@pytest.fixture
def thread_setting():
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


def test_exponential__is_exp_to_the_last_places():
    x = np.concatenate([np.linspace(-700, 700, 20_001), np.linspace(-1, 1, 2_001)])
    compiled = kernel(exponential)
    got = np.array([compiled(value) for value in x])
    # Two roundings of the last step of Horner's rule and of the remainder.
    np.testing.assert_allclose(got, np.exp(x), rtol=5e-16)


def test_pack_rows__equals_the_twin(prefixes, some):
    form = Form.learn(prefixes, some, keep=0.9)
    code, cell, first = pack_rows(prefixes, some, form)
    bits = (BLOCK, TRAINS, LABEL)
    got = [(bool(c < 0), *(bool(c >> bit & 1) for bit in bits), int(c & GROUP)) for c in code]
    codes, bins = naive.packed(prefixes, some, form)
    assert got == codes
    early, late = np.divmod(cell & 0xFFFF, TENURES), np.divmod(cell >> 16, CALENDAR)
    np.testing.assert_array_equal(np.column_stack([*early, *late]), bins)
    np.testing.assert_array_equal(first[:-1][np.diff(first) > 0], np.flatnonzero(code < 0))
    assert not np.diff(first)[~some].any()


def test_form__cuts_the_calendar_at_quantiles_of_the_rows_that_teach(prefixes, some):
    time = prefixes.time[prefixes.trains & some[prefixes.user()]]
    n = len(time) // 100
    assert 3 < n < CALENDAR
    cuts = Form.learn(prefixes, some, keep=None).cuts
    expected = np.unique(np.ceil(np.quantile(time, np.arange(1, n) / n)))
    np.testing.assert_array_equal(cuts[: len(expected)], expected)
    assert (cuts[len(expected) :] > prefixes.time.max()).all()


def test_steps__are_the_differences_between_bins():
    steps = np.arange(1.0, STEPS + 1)
    bins = steps_to_bins(steps)
    np.testing.assert_array_equal(bins_to_steps(bins), steps)
    np.testing.assert_array_equal(bins[:4], [0, 1, 3, 6])
    assert [bins[k] for k in np.cumsum([0, *naive.BINS[:-1]])] == [0.0] * 4


@pytest.mark.parametrize("keep", [None, 0.8])
def test_prefix_loss__with_covariates_equals_the_loss_on_their_matrix(prefixes, some, keep):
    rng = np.random.default_rng(1)
    form = Form.learn(prefixes, some, keep=keep)
    w, b, d = rng.normal(size=prefixes.n_groups), -0.4, rng.normal(size=STEPS) / 10
    loss = PrefixLoss(prefixes, some, penalty=2.5, form=form)
    rows = prefixes.trains & some[prefixes.user()]
    x, y = naive.design(prefixes, form)[2][rows], prefixes.label[rows]
    z = x @ np.concatenate([w, d]) + b
    value = np.sum(np.log1p(np.exp(z)) - y * z) + 1.25 * w @ w + STEP_PENALTY / 2 * d @ d
    slopes = x.T @ (expit(z) - y) + np.concatenate([2.5 * w, STEP_PENALTY * d])
    found = loss(w, b, d)
    expected = value, slopes[: len(w)], (expit(z) - y).sum(), slopes[len(w) :]
    # The same sums in another order.
    for a, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-9, atol=1e-9)
    rate = (y.sum() + 0.5) / (len(y) + 1)
    squares = rate * (1 - rate) * (x**2).sum(axis=0)
    curvature = loss.curvature()
    np.testing.assert_allclose(curvature[: len(w)], squares[: len(w)] + 2.5, rtol=1e-9)
    np.testing.assert_allclose(curvature[len(w) + 1 :], squares[len(w) :] + STEP_PENALTY, rtol=1e-9)


def test_fit__with_covariates_finds_the_minimum_of_scipy(prefixes, some):
    form = Form.learn(prefixes, some, keep=0.9)
    loss, n = PrefixLoss(prefixes, some, penalty=5.0, form=form), prefixes.n_groups

    def value(x):
        found, gradient, slope, steps = loss(x[:n], x[n], x[n + 1 :])
        return found, np.concatenate([gradient, [slope], steps])

    options = {"maxiter": 5_000, "maxfun": 5_000, "ftol": 1e-15, "gtol": 1e-7}
    best = minimize(value, np.zeros(n + 1 + STEPS), jac=True, method="L-BFGS-B", options=options)
    got = LogisticScorer(penalty=5.0, tolerance=1e-12, form=form).fit(prefixes, some)
    found = np.concatenate([got.weights, [got.intercept], bins_to_steps(got.effects)])
    # A minimum is flat: its value is known to twice as many digits as its place.
    assert value(found)[0] == pytest.approx(best.fun, rel=1e-10)
    np.testing.assert_allclose(found, best.x, atol=1e-3)


def test_prefix_loss__equals_the_loss_on_the_expanded_matrix(prefixes, some):
    rng = np.random.default_rng(1)
    w, b = rng.normal(size=prefixes.n_groups), -0.4
    loss = PrefixLoss(prefixes, some, penalty=1.0).at(2.5)
    expected = naive.loss_and_gradient(prefixes, some, w, b, 2.5)
    # The same sums in another order.
    for a, e in zip(loss(w, b)[:3], expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-10, atol=1e-10)
    _, y, _ = naive.expanded(prefixes, some)
    assert (loss.n_rows, loss.n_positive) == (len(y), y.sum())


def test_prefix_loss__of_a_user_longer_than_a_block():
    user = np.repeat([0, 1, 2], [700, 5, 3])
    group = np.concatenate([1 + np.arange(700), np.arange(1, 6), [7, 8, 0]])
    joins = JoinLog.from_arrays(user, group, np.arange(708) // 2)
    prefixes = build_prefixes(joins, first_groups(joins, 1))
    assert np.diff(prefixes.offsets).max() == 700
    everybody = np.ones(prefixes.n_users, bool)
    w = np.random.default_rng(1).normal(size=prefixes.n_groups) / 20
    expected = naive.loss_and_gradient(prefixes, everybody, w, -1.0, 0.5)
    got = PrefixLoss(prefixes, everybody, penalty=0.5)(w, -1.0)
    # The same sums in another order.
    for a, e in zip(got[:3], expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("thread_setting")
def test_prefix_loss__has_the_same_bits_for_any_threads(prefixes, some):
    w, found = np.linspace(-1, 1, prefixes.n_groups), []
    for count in (1, 2):
        set_threads(count)
        found.append(PrefixLoss(prefixes, some, penalty=1.0)(w, 0.1))
    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_prefix_loss__has_the_same_bits_whoever_adds_it_up(prefixes, some):
    w, found, steps = np.linspace(-1, 1, prefixes.n_groups), [], np.linspace(0, 1, STEPS)
    form = Form.learn(prefixes, some, keep=0.9)
    for workers in (HERE, Posting(3)):
        with working(Work(workers)):
            loss = PrefixLoss(prefixes, some, penalty=1.0, form=form)
            found.append([loss.curvature(), *loss(w, 0.1, steps)])
    assert len(workers.states) == 3
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_prefixes__are_laid_out_anew_where_they_are_sent(log):
    whole = build_prefixes(*log, horizon=30, seed=3)
    some = whole.of_range(20, 60)
    for sent in (whole, some, some.of_range(5, 7), some.of_users(np.arange(40) % 3 == 0)):
        got = posted(sent)
        for name in ("offsets", "group", "time", "starts_block", "ends_block", "label", "chance"):
            np.testing.assert_array_equal(getattr(got, name), getattr(sent, name))


@pytest.mark.parametrize("penalty", [0.5, 30.0])
def test_fit__finds_the_minimum_of_scipy(prefixes, penalty):
    everybody = np.ones(prefixes.n_users, bool)
    loss = PrefixLoss(prefixes, everybody, penalty=penalty)

    def value(x):
        found, gradient, slope, _ = loss(x[:-1], x[-1])
        return found, np.append(gradient, slope)

    options = {"maxiter": 5_000, "maxfun": 5_000, "ftol": 1e-15, "gtol": 1e-7}
    best = minimize(value, np.zeros(prefixes.n_groups + 1), jac=True, method="L-BFGS-B",
                    options=options)  # fmt: skip
    scorer = LogisticScorer(penalty=penalty, tolerance=1e-12, **PLAIN)
    got = scorer.fit(prefixes, everybody)
    # A minimum is flat: its value is known to twice as many digits as its place.
    assert loss(got.weights, got.intercept)[0] == pytest.approx(best.fun, rel=1e-10)
    assert got.converged
    np.testing.assert_allclose(got.weights, best.x[:-1], atol=1e-4)


def test_fit__ends_near_the_least_loss_wherever_it_starts(prefixes, some):
    everybody, scorer = np.ones(prefixes.n_users, bool), LogisticScorer(penalty=10.0, **PLAIN)
    least = PrefixLoss(prefixes, everybody, penalty=10.0)
    best = replace(scorer, tolerance=1e-13).fit(prefixes, everybody)
    lowest = least(best.weights, best.intercept)[0]
    near = scorer.near(scorer.fit(prefixes, some))
    for each, tolerance in ((scorer, 1e-7), (near, 1e-5)):
        model = each.fit(prefixes, everybody)
        # The tolerance is an estimate of this distance: right within a factor of some.
        assert least(model.weights, model.intercept)[0] / lowest - 1 < 10 * tolerance


def test_minimise__finds_the_minimum_of_a_skew_quadratic():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(60, 60))
    a = a @ a.T + np.eye(60)
    b = rng.normal(size=60)
    found = minimise(
        lambda x: (float(0.5 * x @ a @ x - b @ x), a @ x - b), np.zeros(60), tolerance=1e-12
    )
    # Half of -g'd is the distance in value, which is quadratic in the distance in place.
    np.testing.assert_allclose(found.x, np.linalg.solve(a, b), atol=1e-4)


def test_fit_calibrator__is_scikit_learns_platt_on_the_rows_that_count():
    rng = np.random.default_rng(0)
    z = rng.normal(-2, 1, 3_000)
    label = (rng.random(3_000) < expit(0.7 * z + 0.3)).astype(np.int8)
    counts = rng.random(3_000) < 0.8
    expected = LogisticRegression(C=1e6, solver="newton-cholesky", tol=1e-10).fit(
        z[counts, None], label[counts]
    )
    got = fit_calibrator(z, np.where(counts, label, np.int8(-1)), method="platt")
    # Newton's last step leaves 1e-6 of twice the log-likelihood: 1e-3 standard errors of .05.
    assert got.slope == pytest.approx(expected.coef_[0, 0], abs=1e-4)
    assert got.intercept == pytest.approx(expected.intercept_[0], abs=1e-4)
    assert fit_calibrator(z, np.zeros(3_000, np.int8), method="platt") == Line()


def test_expectation__gradient_and_hessian_equal_the_twin(prefixes, some):
    rng = np.random.default_rng(6)
    p, n = prefixes, len(prefixes.group)
    line = np.array([1.2, 0.3])
    edges = expectation_edges(p.time, p.tenure())
    theta = rng.normal(size=1 + sum(len(edge) + 1 for edge in edges)) / 5
    logits = naive.prefix_logits(p, rng.normal(size=p.n_groups), -1.0)[0]
    z = line[0] * logits + line[1]
    at, column = np.empty((n, 4), int), 1
    values = (p.blocks_before(), p.block_size(), p.time, p.tenure())
    for k, (edge, value) in enumerate(zip(edges, values, strict=True)):
        at[:, k] = column + np.searchsorted(edge, value, side="right")
        column += len(edge) + 1
    known = p.resolved & some[p.user()]
    expected = naive.expectation_sums(z[known], at[known], p.label[known], theta)
    got = expectation_gradient(p, np.flatnonzero(some), logits, line, edges)(theta)
    # The same sums in another order.
    for a, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("calibration", ["none", "platt", "isotonic"])
def test_score_joins__a_linear_model_is_scored_as_any_other(log, calibration):
    """Weights in one kernel, or logits of a classifier fold by fold: the same columns."""
    options = {"horizon": 9, "calibration": calibration}
    scorer = LogisticScorer(penalty=2.0, tolerance=1e-14, **PLAIN)
    ours = score_joins(*log, scorer=scorer, **options)
    classifier = LogisticRegression(C=0.5, solver="newton-cholesky", tol=1e-10)
    theirs = score_joins(*log, scorer=SklearnScorer(classifier), **options)
    # Before a first join the one has its own intercept, the other the base rate, and the
    # expectation is learnt from both.
    later = ours.prefixes.blocks_before() > 0
    for name, rows in (("before", later), ("after", slice(None)), ("at_end", slice(None))):
        # Inner fits end at 100 times the tolerance. A step of isotonic may be cut elsewhere.
        off = np.abs(getattr(ours, name)[rows] - getattr(theirs, name)[rows]) > 1e-4
        assert off.mean() <= (0.02 if calibration == "isotonic" else 0.0)


@pytest.mark.usefixtures("thread_setting")
def test_score_joins__has_the_same_bits_for_any_threads(log):
    found = []
    for count in (1, 2):
        set_threads(count)
        found.append(score_joins(*log, horizon=9))
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(found[0], name), getattr(found[1], name))


def test_score_joins__rows_of_a_block_are_scored_without_order(log):
    rows = (scores := score_joins(*log, horizon=9)).prefixes
    assert (np.diff(np.flatnonzero(rows.starts_block)) > 1).any()
    for first in np.flatnonzero(rows.starts_block):
        end = first + 1 + np.flatnonzero(rows.ends_block[first:])[0]
        for name in ("before", "at_end", "expected"):
            assert len(set(getattr(scores, name)[first:end].tolist())) == 1
