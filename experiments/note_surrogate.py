"""A surrogate of the note's numbers in simulated worlds, and inference with it.

Synthetic likelihood (Wood 2010, Nature 466, 1102): given the parameters x, the numbers of a
world are normal, on the scales of ``note_numbers.transform``. Their mean is a response surface
(Box, Wilson 1951, J. R. Stat. Soc. B 13, 1) in x, x squared, the presence of gateways and of
look-alikes, and both times x, one ridge regression per number over the worlds of all
hypotheses; their covariance is that of its cross-validated residuals, shrunk (Ledoit, Wolf
2004, J. Multivar. Anal. 88, 365), so that what the surface misses counts as noise. The
published numbers add their own discrepancies to it.

The posterior, and with it the marginal likelihood Z of any subset of the numbers, is by adaptive
importance sampling around the mode (Cappe et al. 2008, Stat. Comput. 18, 447). A number's
predictive density given others is a ratio, p(y_j | y_S) = Z(S + j) / Z(S): the log predictive
score, and between two hypotheses the log Bayes factor of the number.

Limits: a surface of second order is right near the worlds that it was fitted to; a number far
from all of them gets a density that is an extrapolation. The covariance is the same everywhere.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares
from scipy.special import logsumexp
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, cross_val_predict

__all__ = ["Normal", "Posterior", "Surface", "fit_surfaces", "infer", "predict"]

Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
ALPHAS = np.logspace(-0.5, 3.5, 9)
FOLDS = 10
# Intercepts of the hypotheses are hardly shrunk, interactions and squares more than slopes.
PRESENCE, INTERACTION, SQUARE = 10.0, 0.3, 0.3
# The proposal is adapted until the sample's effective size is so many times the parameters, or
# so often; until then weights are flattened, so that a covariance can be told from them.
LEAST, ADAPTATIONS = 8, 6
# Of the proposal's covariance over the posterior's.
WIDER = 1.15
_LOG_2PI = float(np.log(2 * np.pi))


class Normal(NamedTuple):
    """A normal distribution of parameters: mean, shape (d,), and covariance, shape (d, d)."""

    mean: Float64
    cov: Float64


class Surface(NamedTuple):
    """Mean a + B x + Q x^2 and covariance of k numbers under one hypothesis.

    Shapes (k,), (k, d), (k, d), (k, k).
    """

    a: Float64
    b: Float64
    q: Float64
    cov: Float64

    def mean(self, x: Float64) -> Float64:
        """Return the mean at points, shape (..., d)."""
        return np.asarray(self.a + x @ self.b.T + x**2 @ self.q.T)

    def of(self, numbers: Mask) -> Surface:
        """Return that of some of the numbers."""
        return Surface(
            self.a[numbers], self.b[numbers], self.q[numbers], self.cov[np.ix_(numbers, numbers)]
        )


class Posterior(NamedTuple):
    """Equally weighted draws, shape (n, d), log Z, and the effective share of the sample."""

    draws: Float64
    log_evidence: float
    efficiency: float

    def normal(self) -> Normal:
        """Return the normal distribution of the draws' moments."""
        return Normal(self.draws.mean(axis=0), np.cov(self.draws.T))


def features(x: Float64, there: Mask) -> Float64:
    """Return the surface's terms, shape (n, 4 d + 3), for presence of the planted kinds."""
    g, a = (there[:, [i]] - 0.5 for i in (0, 1))
    presence = PRESENCE * np.hstack([g, a, g * a])
    return np.hstack([x, SQUARE * x**2, presence, INTERACTION * g * x, INTERACTION * a * x])


class Fit(NamedTuple):
    """The regression of all hypotheses: intercepts (k,), weights (k, 4 d + 3), residuals (n, k)."""

    intercept: Float64
    weight: Float64
    residual: Float64

    def surface(self, there: tuple[bool, bool], cov: Float64) -> Surface:
        """Return the surface where gateways and look-alikes are there or not."""
        d = (self.weight.shape[1] - 3) // 4
        gateways, alikes = (float(one) - 0.5 for one in there)
        slope, square, presence, by_gateway, by_alike = np.split(
            self.weight, [d, 2 * d, 2 * d + 3, 3 * d + 3], axis=1
        )
        a = self.intercept + PRESENCE * presence @ np.array([gateways, alikes, gateways * alikes])
        b = slope + INTERACTION * (gateways * by_gateway + alikes * by_alike)
        return Surface(a, b, SQUARE * square, cov)


def fit(x: Float64, there: Mask, y: Float64, cluster: npt.NDArray[np.int64]) -> Fit:
    """Fit the response surface; the penalty of each number is chosen by cross-validation.

    Worlds of a cluster (the same seed, perhaps the same point under other hypotheses) are held out
    together. A number that a world does not have (a correlation of a constant) takes the mean of
    the others.
    """
    y = np.where(np.isnan(y), np.nanmean(y, axis=0), y)
    z = features(x, there)
    folds = GroupKFold(min(FOLDS, len(np.unique(cluster))))
    residual = np.array(
        [y - cross_val_predict(Ridge(a), z, y, cv=folds, groups=cluster) for a in ALPHAS]
    )
    best = (residual**2).mean(axis=1).argmin(axis=0)
    ridge = Ridge(ALPHAS[best]).fit(z, y)
    chosen = np.take_along_axis(residual, best[None, None, :], axis=0)[0]
    return Fit(np.asarray(ridge.intercept_), np.asarray(ridge.coef_), chosen)


def fit_surfaces(
    x: Float64, presence: Mask, y: Float64, cluster: npt.NDArray[np.int64], *, near: Mask
) -> dict[tuple[bool, bool], Surface]:
    """Return a surface per hypothesis; the covariance is of the worlds that are ``near``."""
    found = fit(x, presence, y, cluster)
    residual = found.residual[near]
    scale = _scale(residual)
    cov = np.asarray(LedoitWolf(assume_centered=True).fit(residual / scale).covariance_)
    cov = cov * np.outer(scale, scale)
    return {there: found.surface(there, cov) for there in product((True, False), repeat=2)}


def _scale(residual: Float64) -> Float64:
    """Root mean square of each number: shrinkage is towards variances in like units."""
    return np.asarray(np.sqrt((residual**2).mean(axis=0)) + 1e-9)


def infer(
    surface: Surface,
    y: Float64,
    *,
    prior: Normal,
    rng: np.random.Generator,
    discrepancy: Float64 | None = None,
    n: int = 4000,
) -> Posterior:
    """Return the posterior of x given the surface's numbers.

    Parameters
    ----------
    surface
        Of the numbers in ``y``, as many as there are; none gives the prior with log Z = 0.
    y
        The numbers, transformed.
    prior
        Of x.
    rng
        Draws.
    discrepancy
        Deviations that are added to the surface's covariance, shape (k,).
    n
        Size of the sample, and of those before it that adapt the proposal.
    """
    cov = surface.cov + (0 if discrepancy is None else np.diag(discrepancy**2))
    noise, start = np.linalg.cholesky(cov), np.linalg.cholesky(prior.cov)
    white, back = np.linalg.inv(noise), np.linalg.inv(start)

    def misses(x: Float64) -> Float64:
        return np.concatenate([white @ (surface.mean(x) - y), back @ (x - prior.mean)])

    def slope(x: Float64) -> Float64:
        return np.vstack([white @ (surface.b + 2 * surface.q * x), back])

    mode = least_squares(misses, prior.mean, jac=slope, method="lm", max_nfev=200).x
    jacobian = slope(mode)
    proposal = Normal(mode, np.linalg.inv(jacobian.T @ jacobian))
    for _ in range(ADAPTATIONS):
        draws, log_weight = _weighted(surface, y, prior, proposal, white, n, rng)
        power, weight = _tempered(log_weight, least=LEAST * len(mode))
        proposal = Normal(weight @ draws, np.cov(draws.T, aweights=weight))
        if power == 1.0:
            break
    draws, log_weight = _weighted(surface, y, prior, proposal, white, n, rng)
    total = float(logsumexp(log_weight))
    weight = np.exp(log_weight - total)
    chosen = rng.choice(n, n, p=weight)
    return Posterior(draws[chosen], total - np.log(n), float(1 / (weight**2).sum() / n))


def _tempered(log_weight: Float64, *, least: float) -> tuple[float, Float64]:
    """Return weights to a power of at most 1 with an effective size of ``least``, and the power."""
    power = 1.0
    while True:
        weight = np.exp(power * log_weight - logsumexp(power * log_weight))
        if 1 / (weight**2).sum() >= least or power < 1e-3:
            return power, weight
        power *= 0.8


def _weighted(
    surface: Surface, y: Float64, prior: Normal, proposal: Normal, white: Float64, n: int,
    rng: np.random.Generator,
) -> tuple[Float64, Float64]:  # fmt: skip
    """Draw from the wider proposal; log weights are prior times likelihood over proposal."""
    wide = Normal(proposal.mean, WIDER * proposal.cov)
    root = np.linalg.cholesky(wide.cov)
    draws = wide.mean + rng.standard_normal((n, len(wide.mean))) @ root.T
    miss = (surface.mean(draws) - y) @ white.T
    log_likelihood = (
        -0.5 * (miss**2).sum(axis=1) - 0.5 * len(y) * _LOG_2PI + np.log(np.diag(white)).sum()
    )
    return draws, log_likelihood + log_density(draws, prior) - log_density(draws, wide)


def log_density(x: Float64, normal: Normal) -> Float64:
    """Return the log density of a normal distribution at points, shape (n, d)."""
    root = np.linalg.cholesky(normal.cov)
    z = np.linalg.solve(root, (x - normal.mean).T)
    constant = 0.5 * len(normal.mean) * _LOG_2PI + np.log(np.diag(root)).sum()
    return np.asarray(-0.5 * (z**2).sum(axis=0) - constant)


def predict(
    surface: Surface, draws: Float64, rng: np.random.Generator, discrepancy: Float64 | None = None
) -> Float64:
    """Return numbers of new worlds, one per draw of the parameters, shape (n, k)."""
    cov = surface.cov + (0 if discrepancy is None else np.diag(discrepancy**2))
    noise = rng.standard_normal((len(draws), len(surface.a))) @ np.linalg.cholesky(cov).T
    return surface.mean(draws) + noise


def predict_given(
    surface: Surface, y: Float64, given: Mask, draws: Float64, discrepancy: Float64
) -> tuple[Float64, Float64]:
    """Return mean, shape (n, k - k_given), and covariance of the others given some of the numbers.

    The draws are of the posterior given those; what they have in common with the others beside
    the parameters enters through the covariance.
    """
    cov = surface.cov + np.diag(discrepancy**2)
    other = ~given
    gain = np.linalg.solve(cov[np.ix_(given, given)], cov[np.ix_(given, other)]).T
    mean = surface.mean(draws)
    found = mean[:, other] + (y[given] - mean[:, given]) @ gain.T
    return found, cov[np.ix_(other, other)] - gain @ cov[np.ix_(given, other)]
