"""Local false sign rates: an empirical-Bayes mixture over the effects of all groups."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

__all__ = ["false_sign_rates"]

Float64 = npt.NDArray[np.float64]

# Standard deviations of the mixture: from an effect of 2 % to one of e^2.5 = 12 times.
GRID = np.concatenate([[0.0], np.geomspace(0.02, 2.5, 15)])
# Dirichlet weight of the point at zero: Stephens' choice, which leans to "no effect".
NULL_WEIGHT = 10.0
_ROUNDS = 200
_CLOSE = 1e-5


def false_sign_rates(estimate: Float64, error: Float64) -> Float64:
    """Return P(effect <= 0) of each group, given all of them.

    The effects are drawn from a mixture of a point at zero and normals around it whose
    weights are fitted by EM with a penalty (Stephens 2017, eq. 2.2 to 2.9); the estimates
    are normal around them.

    Parameters
    ----------
    estimate, error
        Shape (n,), errors positive.

    Returns
    -------
    numpy.ndarray
        Shape (n,), in [0, 1]; small where a positive effect is sure. For a negative one
        the same with the sign turned.

    References
    ----------
    Stephens (2017), "False discovery rates: a new deal", Biostatistics 18(2).
    """
    spread = np.sqrt(error[:, None] ** 2 + GRID**2)
    log_density = norm.logpdf(estimate[:, None], 0.0, spread)
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    part = density * _weights(density)
    part /= part.sum(axis=1, keepdims=True)
    shrink = GRID[1:] ** 2 / spread[:, 1:] ** 2
    mean, sd = shrink * estimate[:, None], np.sqrt(shrink) * error[:, None]
    below = norm.cdf(-mean / sd)
    return np.asarray(np.clip(part[:, 0] + np.sum(part[:, 1:] * below, axis=1), 0.0, 1.0))


def _weights(density: Float64) -> Float64:
    """Fit the weights of the mixture by EM."""
    penalty = np.zeros(len(GRID))
    penalty[0] = NULL_WEIGHT - 1
    weight = np.full(len(GRID), 1 / len(GRID))
    for _ in range(_ROUNDS):
        part = density * weight
        new = (part / part.sum(axis=1, keepdims=True)).sum(axis=0) + penalty
        new /= new.sum()
        moved = float(np.abs(new - weight).max())
        weight = new
        if moved < _CLOSE:
            break
    return weight
