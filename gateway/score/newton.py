"""Small logistic regressions from sums over blocks of rows, as scikit-learn would fit them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, LinAlgWarning, norm, solve
from scipy.sparse import csr_array
from scipy.special import expit

from gateway.errors import LogError

__all__ = ["Rows", "fit_logistic"]

Float64 = npt.NDArray[np.float64]
# Gives (x, outcome) block by block, from the first on, as often as it is asked.
Rows = Callable[[], Iterable[tuple[csr_array, npt.NDArray[np.int8]]]]

# Those of scikit-learn's newton-cholesky: the same steps, ended at the same one. A tighter
# end would be another answer than that of the rows in memory.
_TOLERANCE = 1e-4
_MOST_STEPS = 100
_HALVINGS = 21
_ENOUGH = 2.0**-11
_ROUNDING = 16 * np.finfo(np.float64).eps


class _Sums(NamedTuple):
    loss: float
    gradient: Float64
    hessian: Float64


def fit_logistic(rows: Rows, *, penalised: npt.NDArray[np.bool_], c: float) -> Float64:
    """Return the coefficients, shape (n_columns,).

    What scikit-learn's ``LogisticRegression(C=c, solver="newton-cholesky")`` does, step by
    step, on sums over blocks: the same coefficients but for the order of the sums.

    Parameters
    ----------
    rows
        Blocks of n_columns columns each; an intercept is a column of ones.
    penalised
        bool, shape (n_columns,): whose squares the penalty counts; not an intercept's.
    c
        Inverse penalty, in the unit of one row.

    Raises
    ------
    LogError
        When no step leads on: the columns are as good as collinear.
    """
    w = np.zeros(len(penalised))
    here = _add_up(rows, w, penalised, c)
    for _ in range(_MOST_STEPS):
        step = _newton_step(here)
        w, there = _search(rows, w, step, here, penalised, c)
        if np.abs(there.gradient).max() <= _TOLERANCE and (
            0.5 * float(step @ here.hessian @ step) <= _TOLERANCE
        ):
            break
        here = there
    return w


def _add_up(rows: Rows, w: Float64, penalised: npt.NDArray[np.bool_], c: float) -> _Sums:
    """Means over all rows, and the penalty, at some coefficients."""
    n, loss = 0, 0.0
    gradient, hessian = np.zeros(len(w)), np.zeros((len(w), len(w)))
    for x, y in rows():
        z = x @ w
        p = expit(z)
        loss += float((np.logaddexp(0.0, z) - y * z).sum())
        gradient += x.T @ (p - y)
        weighted = x.multiply((p * (1 - p))[:, None])
        hessian += (x.T @ weighted).toarray()
        n += len(y)
    penalty = penalised / (c * n)
    return _Sums(
        loss / n + 0.5 * float(penalty @ w**2),
        gradient / n + penalty * w,
        hessian / n + np.diag(penalty),
    )


def _newton_step(here: _Sums) -> Float64:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", LinAlgWarning)
            step: Float64 = solve(here.hessian, -here.gradient, check_finite=False, assume_a="sym")
    except (LinAlgError, LinAlgWarning) as error:
        raise _stuck() from error
    if here.gradient @ step > 0:
        raise _stuck()
    return step


def _search(
    rows: Rows, w: Float64, step: Float64, here: _Sums, penalised: npt.NDArray[np.bool_], c: float
) -> tuple[Float64, _Sums]:
    """Halve the step until the loss falls enough, or by rounding alone."""
    slope, t = _ENOUGH * float(here.gradient @ step), 1.0
    for _ in range(_HALVINGS):
        there = _add_up(rows, w + t * step, penalised, c)
        change = there.loss - here.loss
        tiny = abs(change) <= abs(here.loss * _ROUNDING)
        if change <= t * slope or (tiny and norm(there.gradient, 1) < norm(here.gradient, 1)):
            return w + t * step, there
        t *= 0.5
    raise _stuck()


def _stuck() -> LogError:
    return LogError("the scores cannot be calibrated: their bins are as good as collinear")
