"""From logits to probabilities that mean what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from gateway.arrays import Float64, Mask
from gateway.score.calibration_kernels import line_sums

Calibration = Literal["none", "platt", "isotonic"]
Calibrator = Callable[[Float64], Float64]

# Probabilities of 0 and 1 have no log-odds.
CLIP = 1e-12
# Sums are added chunk by chunk, the same ones whatever the threads.
CHUNKS = 16
_LANES = 256
_NEWTON_STEPS = 50
# Twice the log-likelihood that is left to gain; the estimate's own error is worth one.
_CLOSE = 1e-6
_LONGEST = 2.0
# A penalty too weak to be seen, in the unit of one row, only so that a bin in which every
# outcome is the same does not send its intercept to infinity.
_RIDGE = 1e-6


@dataclass(frozen=True)
class Line:
    """The logistic function of slope x logit + intercept."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, z: Float64) -> Float64:
        """Return probabilities of logits, shape (n,)."""
        return np.asarray(expit(self.slope * z + self.intercept))


def fit_calibrator(z: Float64, label: npt.NDArray[np.int8], *, method: Calibration) -> Calibrator:
    """Fit a map from logits to probabilities.

    Parameters
    ----------
    z
        Out-of-fold logits, shape (n,).
    label
        Outcomes, shape (n,): 0, 1, or below zero for rows that do not count.
    method
        ``none``: the logistic function. ``platt``: logistic regression on the logit
        (Platt 1999); where its slope is not positive, which happens when there is nothing
        to learn, the base rate for all. ``isotonic``: a monotone step function (Zadrozny,
        Elkan 2002); it can give 0 and 1, which are moved in by half a row, 1 / (2 n). Its
        rows are copied into memory.
    """
    n, positive = (int(np.count_nonzero(label >= least)) for least in (0, 1))
    if method == "none" or positive in (0, n):
        return Line()
    if method == "isotonic":
        # Late: half a second to load.
        from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415

        isotonic = IsotonicRegression(out_of_bounds="clip").fit(z[label >= 0], label[label >= 0])
        edge = 0.5 / n
        return lambda x: np.clip(isotonic.predict(x), edge, 1 - edge)

    def sums(theta: Float64) -> tuple[Float64, Float64]:
        lanes, found = np.empty((CHUNKS, 5, _LANES)), np.empty((CHUNKS, 5))
        line_sums(z, label, chunks_of(len(z)), theta[0], theta[1], lanes, found)
        gs, gi, ss, si, ii = found.sum(axis=0)
        return np.array([gs, gi]), np.array([[ss, si], [si, ii]])

    slope, intercept = newton(sums, np.array([1.0, 0.0]), np.ones(2, bool)).tolist()
    return Line(slope, intercept) if slope > 0.0 else Line(0.0, float(logit(positive / n)))


def newton(
    sums: Callable[[Float64], tuple[Float64, Float64]], start: Float64, free: Mask
) -> Float64:
    """Find where a log-loss is least by Newton's method; variables that are not free stay.

    Along a step the slope of a convex loss grows: where it is steeper uphill at the end than
    it was downhill at the beginning, the step was too long. No variable moves by more than
    ``_LONGEST`` at once: a bin of a few rows would else be thrown to where p is 0 or 1.

    Parameters
    ----------
    sums
        Gradient, shape (n,), and Hessian, shape (n, n), at a point.
    start
        Where to begin, shape (n,).
    free
        bool, shape (n,).
    """
    x = start.copy()
    gradient, hessian = _with_ridge(sums, x)
    for _ in range(_NEWTON_STEPS):
        step = np.zeros(len(x))
        step[free] = -np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
        slope = -float(gradient @ step)
        if slope <= _CLOSE:
            break
        step *= min(1.0, _LONGEST / np.abs(step).max())
        slope = -float(gradient @ step)
        for _ in range(_NEWTON_STEPS):
            gradient, hessian = _with_ridge(sums, x + step)
            if float(gradient @ step) <= slope:
                break
            step *= 0.5
        x += step
    return x


def _with_ridge(
    sums: Callable[[Float64], tuple[Float64, Float64]], x: Float64
) -> tuple[Float64, Float64]:
    gradient, hessian = sums(x)
    return gradient + _RIDGE * x, hessian + _RIDGE * np.eye(len(x))


def chunks_of(n: int) -> npt.NDArray[np.int64]:
    """Return where the chunks of n rows or users begin, and the end."""
    return np.linspace(0, n, CHUNKS + 1).astype(np.int64)
