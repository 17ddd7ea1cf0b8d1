"""What the statistics look like where nothing is true: the empirical null."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

__all__ = ["COARSE", "FEWEST_INERT", "Null", "null_of_bulk", "null_of_inert"]

Float64 = npt.NDArray[np.float64]

FEWEST_INERT = 10
# Quartiles of the standard normal distribution lie so far apart.
_NORMAL_IQR = 1.348980
# Below this variance of the number of events a statistic is too coarse to fit a null on:
# P(A or more) of a count of two or three is far from uniform.
COARSE = 2.0
_FEWEST_BULK = 20


@dataclass(frozen=True)
class Null:
    """Root statistics of groups without effect are Normal(centre, scale^2 + spread^2 V).

    Parameters
    ----------
    centre
        Of the bulk, in standard errors.
    scale
        Of the bulk, at least 1.
    bias, spread
        Mean and standard deviation of the systematic error of log rate ratios, from
        negative controls; V is the group's variance, 1 / sqrt(V) its standard error.
    """

    centre: float = 0.0
    scale: float = 1.0
    bias: float = 0.0
    spread: float = 0.0

    def standardise(self, root: Float64, variance: Float64) -> Float64:
        """Return the statistics so that they are standard normal where nothing is true."""
        centre = self.centre + self.bias * np.sqrt(variance)
        return np.asarray((root - centre) / self.scales(variance))

    def scales(self, variance: Float64) -> Float64:
        """Return the standard deviation of each group's root under the null."""
        return np.sqrt(self.scale**2 + self.spread**2 * variance)


def null_of_bulk(root: Float64, variance: Float64) -> Null:
    """Take centre and scale from the middle half of all groups (Efron 2004).

    Most groups send nobody: their quartiles are those of the null. It never makes the
    test less strict than the theoretical null: the centre is at least 0, the scale 1.

    Parameters
    ----------
    root, variance
        Of the candidates, shape (n,).

    References
    ----------
    Efron (2004), "Large-scale simultaneous hypothesis testing: the choice of a null
    hypothesis", J. Am. Stat. Assoc. 99(465).
    """
    bulk = root[variance >= COARSE]
    if len(bulk) < _FEWEST_BULK:
        return Null()
    low, middle, high = np.quantile(bulk, [0.25, 0.5, 0.75])
    return Null(centre=max(0.0, float(middle)), scale=max(1.0, float(high - low) / _NORMAL_IQR))


def null_of_inert(root: Float64, variance: Float64) -> Null:
    """Fit the systematic error of negative controls by maximum likelihood.

    Their log rate ratios are Normal(bias, spread^2 + 1 / V_g): empirical calibration
    (Schuemie et al. 2014, section 2.3).

    Parameters
    ----------
    root, variance
        Of groups known to have no effect, shape (n,), variances of at least ``COARSE``.

    References
    ----------
    Schuemie, Ryan, DuMouchel, Suchard, Madigan (2014), "Interpreting observational
    studies: why empirical calibration is needed to correct p-values", Statistics in
    Medicine 33(2).
    """
    error = 1.0 / np.sqrt(variance)
    ratio = root * error

    def loss(x: Float64) -> float:
        square = np.exp(2 * x[1]) + error**2
        return float(0.5 * np.sum(np.log(square) + (ratio - x[0]) ** 2 / square))

    begin = np.array([np.average(ratio, weights=variance), np.log(0.1)])
    found = minimize(loss, begin, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-8})
    return Null(bias=float(found.x[0]), spread=float(np.exp(found.x[1])))
