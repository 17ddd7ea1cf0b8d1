"""The line of the calibrator, fitted to columns longer than memory.

scikit-learn makes half a dozen arrays as long as the rows. Here they are columns in files,
and its steps are taken with its own loss and the same sums over whole columns: the same
bits. From sums block by block the line would have other last bits, which of the scores that
are equal but for rounding tie would change with it, and the area under the curve.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, solve
from sklearn._loss import HalfBinomialLoss

from gateway.score.calibration import WEAK, fit_line

__all__ = ["fit_long_line"]

Float64 = npt.NDArray[np.float64]
NewColumn = Callable[[str], Float64]

# Of newton-cholesky in scikit-learn.
_TOLERANCE = 1e-4
_MOST_STEPS = 100


class _Columns(NamedTuple):
    """Logit, outcome, and room for what is computed of each row."""

    z: Float64
    y: Float64
    raw: Float64
    loss: Float64
    gradient: Float64
    hessian: Float64


def fit_long_line(z: Float64, y: Float64, *, new_column: NewColumn) -> tuple[float, float]:
    """Return what ``fit_line`` gives, to the bit.

    Parameters
    ----------
    z
        Logits, shape (n,), a mapped column.
    y
        Outcomes 0 or 1, as floats; both must occur.
    new_column
        Makes a column of n floats by its name.
    """
    names = ("raw", "loss", "gradient", "hessian")
    rows = _Columns(z, y, *(new_column(f"line_{name}") for name in names))
    found = _newton(rows)
    if found is None:
        # Something that scikit-learn has a way out of: rare, and then in memory.
        return fit_line(z, y.astype(np.int8))
    return float(found[0]), float(found[1])


def _newton(rows: _Columns) -> Float64 | None:
    """Take full steps until scikit-learn would stop; None where it would do anything else."""
    line, penalty = np.zeros(2), 1.0 / (WEAK * len(rows.z))
    _predict(rows, line)
    least = _loss(rows, line, penalty)[0]
    for _ in range(_MOST_STEPS):
        gradient, hessian = _slopes(rows, line, penalty)
        if hessian is None:
            return None
        try:
            step = solve(hessian, -gradient, check_finite=False, assume_a="sym")
        except LinAlgError:
            return None
        decrease = float(gradient @ step)
        line = line + step
        _step(rows, step)
        loss, gradient = _loss(rows, line, penalty)
        if decrease > 0 or not loss - least <= 2.0**-11 * decrease:
            return None
        least = loss
        if np.abs(gradient).max() <= _TOLERANCE and 0.5 * (step @ hessian @ step) <= _TOLERANCE:
            return line
    return None


def _predict(rows: _Columns, line: Float64) -> None:
    np.multiply(rows.z, line[0], out=rows.raw)
    np.add(rows.raw, line[1], out=rows.raw)


def _step(rows: _Columns, step: Float64) -> None:
    """Move the predictions along a step, as a sum: not the prediction of the new line."""
    np.multiply(rows.z, step[0], out=rows.loss)
    np.add(rows.loss, step[1], out=rows.loss)
    np.add(rows.raw, rows.loss, out=rows.raw)


def _loss(rows: _Columns, line: Float64, penalty: float) -> tuple[float, Float64]:
    """Mean loss and its gradient."""
    n = len(rows.z)
    HalfBinomialLoss().loss_gradient(
        rows.y, rows.raw, loss_out=rows.loss, gradient_out=rows.gradient, n_threads=1
    )
    loss = float(rows.loss.sum() / n) + 0.5 * penalty * float(line[:1] @ line[:1])
    return loss, _gradient(rows, line, penalty)


def _gradient(rows: _Columns, line: Float64, penalty: float) -> Float64:
    np.divide(rows.gradient, len(rows.z), out=rows.gradient)
    (slope,) = rows.z[:, None].T @ rows.gradient + penalty * line[:1]
    return np.array([slope, rows.gradient.sum()])


def _slopes(rows: _Columns, line: Float64, penalty: float) -> tuple[Float64, Float64 | None]:
    """Gradient and Hessian; no Hessian where many rows do not bend."""
    n, z = len(rows.z), rows.z[:, None]
    HalfBinomialLoss().gradient_hessian(
        rows.y, rows.raw, gradient_out=rows.gradient, hessian_out=rows.hessian, n_threads=1
    )
    gradient = _gradient(rows, line, penalty)
    np.divide(rows.hessian, n, out=rows.hessian)
    flat = sum(np.count_nonzero(rows.hessian[at : at + 2**16] <= 0) for at in range(0, n, 2**16))
    if flat > 0.25 * n:
        return gradient, None
    np.abs(rows.hessian, out=rows.hessian)
    (mixed,), whole = z.T @ rows.hessian, rows.hessian.sum()
    np.multiply(rows.hessian, rows.z, out=rows.loss)
    (bend,) = (z.T @ rows.loss[:, None])[0]
    return gradient, np.array([[bend + penalty, mixed], [mixed, whole]])
