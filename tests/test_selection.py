"""Quantiles, ranks and small fits of columns longer than memory, against those in memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from gateway.errors import LogError
from gateway.joins_io.partitioned import new_column
from gateway.score.calibration import fit_line
from gateway.score.line import fit_long_line
from gateway.score.newton import fit_logistic
from gateway.score.selection import area_under_curve, exact_quantiles

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)


def _pieces(x: np.ndarray, n: int = 3) -> list[np.ndarray]:
    return np.array_split(x, n)


@given(
    x=st.lists(st.one_of(FINITE, st.sampled_from([0.0, -0.0, 1.0])), min_size=1, max_size=40),
    q=st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
def test_exact_quantiles__are_those_of_numpy_to_the_bit(x, q) -> None:
    values, shares = np.array(x), np.array(q)
    with np.errstate(all="ignore"):
        got = exact_quantiles(lambda: _pieces(values), shares)
        expected = np.quantile(values, shares)
    assert got.tolist() == expected.tolist() or np.isnan(expected).any()


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.float64])
def test_exact_quantiles__take_whole_numbers_and_ties(kind) -> None:
    values = (np.random.default_rng(1).zipf(1.3, 5_000) % 10**6).astype(kind)
    shares = np.arange(1, 30) / 30
    got = exact_quantiles(lambda: _pieces(values, 7), shares)
    assert got.tolist() == np.quantile(values, shares).tolist()


def test_exact_quantiles__of_none_are_none() -> None:
    assert len(exact_quantiles(lambda: iter([np.ones(3)]), np.zeros(0))) == 0


@pytest.mark.parametrize("most", [1, 7, 100, 10**6])
def test_area_under_curve__is_that_of_scikit_learn(most, tmp_path) -> None:
    rng = np.random.default_rng(2)
    score = np.round(rng.normal(size=2_000), 2)
    positive = rng.random(2_000) < 0.2 + 0.1 * np.sign(score)
    pieces = list(zip(_pieces(score), _pieces(positive), strict=True))
    got = area_under_curve(lambda: pieces, count=2_000, most=most, folder=tmp_path)
    assert not list(tmp_path.iterdir())
    # Both add ratios of whole numbers; scikit-learn adds many of them.
    assert got == pytest.approx(roc_auc_score(positive, score), abs=1e-12)


def _rows(n: int = 3_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    bins = rng.integers(0, 5, n)
    x = np.column_stack([rng.normal(size=n), np.eye(5)[bins]])
    p = 1 / (1 + np.exp(-(x[:, 0] - 2 + 0.3 * bins)))
    return x, (rng.random(n) < p).astype(np.int8)


@pytest.mark.parametrize("c", [1e6, 0.1])
def test_fit_logistic__takes_the_steps_of_scikit_learn(c) -> None:
    x, y = _rows()
    blocks = [(csr_array(a), b) for a, b in zip(_pieces(x), _pieces(y), strict=True)]
    got = fit_logistic(lambda: blocks, penalised=np.ones(6, bool), c=c)
    model = LogisticRegression(C=c, solver="newton-cholesky", fit_intercept=False).fit(x, y)
    # The same steps from sums in another order: rounding times the condition of the system.
    np.testing.assert_allclose(got, model.coef_[0], rtol=0, atol=1e-11)


def test_fit_logistic__leaves_an_intercept_unpenalised() -> None:
    x, y = _rows()
    rows = [(csr_array(np.column_stack([x[:, 0], np.ones(len(x))])), y)]
    got = fit_logistic(lambda: rows, penalised=np.array([True, False]), c=0.01)
    model = LogisticRegression(C=0.01, solver="newton-cholesky").fit(x[:, :1], y)
    expected = [model.coef_[0, 0], model.intercept_[0]]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


def test_fit_logistic__says_when_columns_are_collinear() -> None:
    x = csr_array(np.ones((50, 2)))
    y = (np.arange(50) % 2).astype(np.int8)
    with pytest.raises(LogError, match="collinear"):
        fit_logistic(lambda: [(x, y)], penalised=np.zeros(2, bool), c=1.0)


@pytest.mark.parametrize("seed", range(8))
def test_fit_long_line__is_that_of_scikit_learn_to_the_bit(tmp_path, seed) -> None:
    rng = np.random.default_rng(seed)
    n = int(10 ** rng.uniform(1.3, 4.5))
    z = rng.normal(-3, rng.uniform(0.05, 1.5), n)
    label = (rng.random(n) < 1 / (1 + np.exp(-0.8 * z - 0.5))).astype(np.int8)
    label[:2] = 0, 1
    with threadpool_limits(limits=1, user_api="blas"):
        expected = fit_line(z, label)
        got = fit_long_line(
            z, label.astype(float), new_column=lambda name: new_column(tmp_path, name, float, n)
        )
    assert got == expected


def test_fit_long_line__leaves_odd_cases_to_scikit_learn(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("gateway.score.line._newton", lambda _: None)
    z, label = np.array([-1.0, 0.0, 1.0, 2.0]), np.array([0, 1, 0, 1], np.int8)
    got = fit_long_line(
        z, label.astype(float), new_column=lambda name: new_column(tmp_path, name, float, 4)
    )
    assert got == fit_line(z, label)
