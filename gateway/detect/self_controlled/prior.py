"""Association as a prior for effects, as far as the log itself supports it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.arrays import Float64

# Standard deviations of log ratios that are looked at: below the least the groups are alike.
_SPREADS = np.geomspace(3e-3, 5.0, 60)


@dataclass(frozen=True, eq=False)
class Prior:
    """beta_g ~ Normal(intercept + slope x association_g, spread^2), spread not quite known.

    Parameters
    ----------
    spread, weight
        Standard deviations, and the posterior probability of each; shape (n,).
    intercept, slope
        For each spread; slopes are not negative.
    covariance
        Shape (n, 2, 2): of intercept and slope.
    """

    spread: Float64
    weight: Float64
    intercept: Float64
    slope: Float64
    covariance: Float64

    def posterior(
        self, estimate: Float64, error: Float64, association: Float64
    ) -> tuple[Float64, Float64]:
        """Return posterior mean and standard deviation of each group, shape (n_groups,).

        Where ``error`` is not finite the group says nothing, and both are those of the prior.
        """
        known = np.isfinite(error)
        precision = np.where(known, 1.0 / np.where(known, error, 1.0) ** 2, 0.0)
        own = np.where(known, estimate, 0.0)
        mean, square = np.zeros((2, len(own)))
        for tau, p, a, b, c in zip(
            self.spread, self.weight, self.intercept, self.slope, self.covariance, strict=True
        ):
            k = precision * tau**2 / (1.0 + precision * tau**2)
            middle = k * own + (1.0 - k) * (a + b * association)
            line = c[0, 0] + 2 * c[0, 1] * association + c[1, 1] * association**2
            mean += p * middle
            square += p * (middle**2 + tau**2 * (1.0 - k) + (1.0 - k) ** 2 * line)
        return mean, np.sqrt(np.maximum(square - mean**2, 0.0))


def fit_prior(estimate: Float64, error: Float64, association: Float64) -> Prior:
    r"""Fit a prior of the effects to all groups' estimates by marginal likelihood.

    estimate_g ~ Normal(a + b x_g, tau^2 + error_g^2): normal empirical-Bayes regression. For a
    given tau, a and b >= 0 are those of weighted least squares; the restricted marginal
    likelihood of tau, a and b integrated out, weighs a grid of tau under a flat prior. With the
    best tau alone intervals are too short: where the estimates vary little more than their
    errors it is often 0.

    b is not negative: association may raise what a log says of a group, or say nothing. Where
    it does not go with change within users b is near 0, and nothing is borrowed.

    *When it misleads.* A look-alike and a gateway of the same association are drawn to the same
    mean: of a group with few events the rank is mostly its association's. The prior is for
    ranks; what is called rests on the estimates alone.

    Parameters
    ----------
    estimate, error
        Within-user log ratios and their standard errors, finite, shape (n,).
    association
        x, how much more often its joiners go to targets than others, shape (n,), finite.

    References
    ----------
    Fay, Herriot (1979), "Estimates of income for small places: an application of James-Stein
    procedures to census data", J. Am. Stat. Assoc. 74(366), section 2. Gelman (2006), "Prior
    distributions for variance parameters in hierarchical models", Bayesian Analysis 1(3), for
    the flat prior of tau.
    """
    fits = [_given_spread(tau, estimate, error, association) for tau in _SPREADS]
    likelihood, half, intercept, slope, covariance = (np.array(x) for x in zip(*fits, strict=True))
    likelihood -= half
    # Equal steps of log tau are steps of tau in proportion to it.
    weight = np.exp(likelihood - likelihood.max()) * _SPREADS
    return Prior(_SPREADS, weight / weight.sum(), intercept, slope, covariance)


def gain_of(estimate: Float64, error: Float64, predictor: Float64) -> float:
    """Return the log likelihood ratio of b in ``fit_prior``'s model against b = 0; not negative.

    Each side at its own tau: how much better a predictor tells the effects than their mean does.
    """
    best = (
        max(_given_spread(tau, estimate, error, x)[0] for tau in _SPREADS)
        for x in (predictor, np.zeros(len(predictor)))
    )
    with_it, without = best
    return with_it - without


def _given_spread(
    tau: float, y: Float64, error: Float64, x: Float64
) -> tuple[float, float, float, float, Float64]:
    """Return the log-likelihood, half the log information, intercept, slope, covariance."""
    if len(y) == 0:
        return 0.0, 0.0, 0.0, 0.0, np.zeros((2, 2))
    variance = tau**2 + error**2
    total = float(np.sum(1.0 / variance))
    share = 1.0 / variance / total
    centre, level = float(share @ x), float(share @ y)
    square = float(share @ (x - centre) ** 2)
    slope = float(share @ ((x - centre) * (y - level))) / square if square > 0 else 0.0
    information, covariance = total, np.zeros((2, 2))
    covariance[0, 0] = 1.0 / total
    if slope > 0:
        information *= total * square
        off = np.array([-centre, 1.0])
        covariance += np.outer(off, off) / (total * square)
    slope = max(slope, 0.0)
    rest = y - level - slope * (x - centre)
    loss = np.sum(np.log(variance) + rest**2 / variance)
    half = 0.5 * float(np.log(information))
    return -0.5 * float(loss), half, level - slope * centre, slope, covariance
