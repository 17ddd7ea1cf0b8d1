from __future__ import annotations

import dataclasses

import numba
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from gateway._numba import set_threads
from gateway.detect import detect_spikes, find_spikes, spike_cells
from gateway.detect import quantiles as quantiles_module
from gateway.detect import spike as spike_module
from gateway.detect.quantiles import quantiles
from gateway.score import LogisticScorer, PrefixLoss, build_prefixes, crossfit, score_joins
from gateway.score import packed as packed_module
from gateway.score.calibration import expectation_edges
from gateway.score.descent import minimise
from gateway.score.large import PARTS, _fit_line, _Sums
from gateway.score.packed import PackedLoss, fit_packed, pack_rows
from gateway.score.packed_kernels import GROUP, LABEL, TRAINS, exponential
from gateway.score.prefixes import POSITION_EDGES
from gateway.score.quality import measure_quality
from tests import naive
from tests.worlds import first_groups, linked_log

COLUMNS = ("before", "after", "at_end", "expected")


@pytest.fixture(scope="module")
def log():
    joins = linked_log(2, users=400)
    return joins, first_groups(joins, 2)


@pytest.fixture(scope="module", params=[None, 9])
def prefixes(request, log):
    return build_prefixes(*log, horizon=request.param)


@pytest.fixture
def classes(prefixes):
    return np.random.default_rng(4).integers(0, 5, prefixes.n_users)


@pytest.fixture
def large(monkeypatch):
    """Every log counts as large."""
    monkeypatch.setattr(crossfit, "LARGE", 0)


@pytest.fixture
def thread_setting():
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


def test_exponential__is_exp_to_the_last_places():
    x = np.concatenate([np.linspace(-700, 700, 20_001), np.linspace(-1, 1, 2_001)])
    got = np.array([exponential(value) for value in x])
    # Two roundings of the last step of Horner's rule and of the remainder.
    np.testing.assert_allclose(got, np.exp(x), rtol=5e-16)


def test_pack_rows__equals_the_twin(prefixes, classes):
    rows = pack_rows(prefixes, classes, 5)
    got = [
        (bool(c < 0), bool(c >> TRAINS & 1), bool(c >> LABEL & 1), int(c & GROUP))
        for c in rows.code
    ]
    assert got == naive.packed(prefixes, classes, 5)
    for k in range(5):
        first, end = rows.first_of_class[k : k + 2]
        assert (rows.code[first:end] < 0).sum() <= (classes == k).sum()


@pytest.mark.parametrize("room", [7, 256])
def test_packed_loss__equals_the_loss_on_the_expanded_matrix(prefixes, classes, room, monkeypatch):
    monkeypatch.setattr(packed_module, "ROOM", room)
    rng = np.random.default_rng(1)
    w, b, chosen = rng.normal(size=prefixes.n_groups), -0.4, np.array([1, 0, 1, 1, 0], bool)
    loss = PackedLoss(pack_rows(prefixes, classes, 5), chosen, penalty=2.5)
    expected = naive.loss_and_gradient(prefixes, chosen[classes], w, b, 2.5)
    # The same sums in another order.
    for a, e in zip(loss(w, b), expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-10, atol=1e-10)
    x, y, _ = naive.expanded(prefixes, chosen[classes])
    assert (loss.n_rows, loss.n_positive) == (len(y), y.sum())
    np.testing.assert_array_equal(loss.later_rows(), x.sum(axis=0))


@pytest.mark.usefixtures("thread_setting")
def test_packed_loss__has_the_same_bits_for_any_threads(prefixes, classes):
    rows, w = pack_rows(prefixes, classes, 5), np.linspace(-1, 1, prefixes.n_groups)
    found = []
    for count in (1, 2):
        set_threads(count)
        found.append(PackedLoss(rows, np.ones(5, bool), penalty=1.0)(w, 0.1))
    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])


@pytest.mark.parametrize("penalty", [0.5, 30.0])
def test_fit_packed__finds_the_minimum_of_scipy(prefixes, penalty):
    everybody = np.ones(prefixes.n_users, bool)
    loss = PrefixLoss(prefixes, everybody, penalty=penalty)
    best = LogisticScorer(penalty=penalty, tolerance=1e-14).fit(prefixes, everybody)
    rows = pack_rows(prefixes, np.zeros(prefixes.n_users, np.int8), 1)
    got = fit_packed(PackedLoss(rows, np.ones(1, bool), penalty=penalty), tolerance=1e-12)
    least = loss(best.weights, best.intercept)[0]
    # A minimum is flat: its value is known to twice as many digits as its place.
    assert got.value == pytest.approx(least, rel=1e-10)
    assert got.converged
    np.testing.assert_allclose(got.x[:-1], best.weights, atol=1e-4)


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


def test_fit_line__is_scikit_learns_platt():
    rng = np.random.default_rng(0)
    z = rng.normal(-2, 1, 3_000)
    label = (rng.random(3_000) < expit(0.7 * z + 0.3)).astype(np.int8)

    def lost(t):
        return np.logaddexp(0, t[0] * z + t[1]).sum() - (label * (t[0] * z + t[1])).sum()

    expected = minimize(lost, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8}).x
    # Nelder-Mead stops where the loss, of order 1000, no longer changes.
    np.testing.assert_allclose(_fit_line(z, label), expected, atol=1e-4)


def test_expectation__gradient_and_hessian_equal_the_twin(prefixes):
    rng = np.random.default_rng(6)
    p, n = prefixes, len(prefixes.group)
    x, line = np.append(rng.normal(size=p.n_groups), -1.0), np.array([1.2, 0.3, -2.0])
    edges = expectation_edges(p.time, p.tenure())
    theta = rng.normal(size=1 + sum(len(edge) + 1 for edge in edges)) / 5
    users = [np.arange(p.n_users) % PARTS == j for j in range(PARTS)]
    z = line[0] * naive.prefix_logits(p, x[:-1], x[-1])[0] + line[1]
    z[p.blocks_before() == 0] = line[2]
    at, column = np.empty((n, 4), int), 1
    values = (p.blocks_before(), p.block_size(), p.time, p.tenure())
    for k, (edge, value) in enumerate(zip(edges, values, strict=True)):
        at[:, k] = column + np.searchsorted(edge, value, side="right")
        column += len(edge) + 1
    known = p.resolved
    expected = naive.expectation_sums(z[known], at[known], p.label[known], theta)
    got = _Sums(p, [x] * PARTS, line, edges).of(users)(theta)
    # The same sums in another order.
    for a, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("horizon", [None, 9])
def test_score_large__agrees_with_the_thorough_way(log, horizon, monkeypatch):
    # A given penalty: on so few users the choice among penalties is a matter of the draw.
    scorer = LogisticScorer(penalty=10.0, tolerance=1e-12)
    expected = score_joins(*log, scorer=scorer, horizon=horizon)
    monkeypatch.setattr(crossfit, "LARGE", 0)
    got = score_joins(*log, scorer=scorer, horizon=horizon)
    for name in COLUMNS:
        # Two optimisers near one optimum; scikit-learn's Newton stops at a gradient of 1e-4,
        # where the coefficient of a bin with one outcome alone is still on its way to infinity.
        off = np.abs(getattr(got, name) / getattr(expected, name) - 1) > 5e-3
        assert off.mean() < (0.01 if name == "expected" else 1e-9)
    for a, e in zip(got.quality, expected.quality, strict=True):
        assert a.value == pytest.approx(e.value, rel=1e-3)


@pytest.mark.usefixtures("large", "thread_setting")
def test_score_large__has_the_same_bits_for_any_threads(log):
    found = []
    for count in (1, 2):
        set_threads(count)
        found.append(score_joins(*log, horizon=9))
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(found[0], name), getattr(found[1], name))


@pytest.mark.usefixtures("large")
def test_score_large__rows_of_a_block_are_scored_without_order(log):
    rows = (scores := score_joins(*log, horizon=9)).prefixes
    for first in np.flatnonzero(rows.starts_block):
        end = first + 1 + np.flatnonzero(rows.ends_block[first:])[0]
        for name in ("before", "at_end", "expected"):
            assert len(set(getattr(scores, name)[first:end].tolist())) == 1


def test_measure_quality__of_many_rows_is_that_of_few():
    rng = np.random.default_rng(3)
    p = np.round(rng.random(5_000), 2)
    label, fold = (rng.random(5_000) < p).astype(np.int8), rng.integers(0, 4, 5_000)
    few, many = (measure_quality(p, label, fold, many=many) for many in (False, True))
    for a, e in zip(many, few, strict=True):
        assert a.metric == e.metric
        assert a.value == pytest.approx(e.value, rel=1e-12)


@pytest.mark.parametrize("kind", ["spread", "rounded", "heavy", "constant", "one apart"])
def test_quantiles__are_numpys_bit_for_bit(kind, monkeypatch):
    monkeypatch.setattr(quantiles_module, "FEW", 1)
    rng = np.random.default_rng(5)
    x = {
        "spread": rng.random(4_321), "rounded": np.round(rng.random(4_000), 1),
        "heavy": rng.standard_cauchy(3_000), "constant": np.full(100, 0.3),
        "one apart": np.where(np.arange(6_000) == 2_345, 0.7, 0.3),
    }[kind]  # fmt: skip
    shares = np.concatenate([np.arange(11) / 10, [0.95, 0.999]])
    np.testing.assert_array_equal(quantiles(x, shares), np.quantile(x, shares))


@pytest.mark.parametrize("rows_per_chunk", [10, 10**9])
def test_standardised_jump__equals_the_twin(log, rows_per_chunk, monkeypatch):
    monkeypatch.setattr(spike_cells, "_ROWS_PER_CHUNK", rows_per_chunk)
    scores = score_joins(*log, horizon=9)
    cuts = np.unique(np.quantile(scores.before, np.arange(1, 10) / 10))
    expected = naive.standardised(
        scores.prefixes, scores.before, scores.after, cuts, POSITION_EDGES
    )
    np.testing.assert_allclose(spike_cells.standardised_jumps(scores), expected, atol=1e-9)


def test_detect_spikes__chunks_change_nothing_but_rounding(log, monkeypatch):
    scores = score_joins(*log, horizon=9)
    expected = detect_spikes(*log, scores)
    for module in (spike_module, spike_cells):
        monkeypatch.setattr(module, "chunk_count", lambda rows, table=0: 7)  # noqa: ARG005
    got = detect_spikes(*log, scores)
    np.testing.assert_array_equal(got.n_events, expected.n_events)
    np.testing.assert_array_equal(got.n_joiners, expected.n_joiners)
    for name in ("mean_jump", "realised_effect", "statistic"):
        np.testing.assert_allclose(got.extra[name], expected.extra[name], rtol=1e-9, atol=1e-12)


def test_find_spikes__a_mask_of_rows(log):
    scores = score_joins(*log, horizon=9)
    fallen = dataclasses.replace(scores, after=scores.before)
    assert not find_spikes(fallen, options=spike_module.SpikeOptions()).any()
