"""Empirical-Bayes priors by moments: small groups are drawn towards what all groups show."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.arrays import Float64, Mask

Number = npt.NDArray[Any]
# A spread between groups below this, relative to its mean, counts as none: full shrinkage.
_LEAST_SPREAD = 1e-9


def ratio(top: Number, bottom: Number) -> Float64:
    """Return top over bottom, NaN where the bottom is not positive."""
    top = np.asarray(top, dtype=np.float64)
    found: Float64 = np.divide(top, bottom, out=np.full(len(bottom), np.nan), where=bottom > 0)
    return found


def tells_nothing(k: Number, n: Number) -> bool:
    """Whether no trial succeeds, or every one: then all groups tie."""
    return bool(k.sum() in (0, n.sum()))


def beta_prior(k: Number, n: Number) -> tuple[float, float]:
    """Moments of a beta prior for shares k / n; an even prior where nothing can be told.

    Weights n; Kleinman (1973), "Proportions with extraneous variance", J. Am. Stat. Assoc.
    68(341).
    """
    if len(n) < 2 or tells_nothing(k, n):
        return 1.0, 1.0
    total = n.sum()
    p = k.sum() / total
    spread = float((n * (k / n - p) ** 2).sum())
    groups = len(n) - 1
    excess = spread - p * (1 - p) * groups
    most = p * (1 - p) * (total - (n.astype(float) ** 2).sum() / total - groups)
    overdispersion = float(np.clip(excess / most if most > 0 else 0.0, 1e-6, 1 - 1e-6))
    size = (1 - overdispersion) / overdispersion
    return float(p * size), float((1 - p) * size)


def shrink_shares(k: Number, n: Number, *, among: Mask) -> Float64:
    """Shrink shares k / n towards the pooled one; the groups ``among`` give the prior.

    Beta-binomial: the posterior mean (k + a) / (n + a + b), with (a, b) from ``beta_prior``.
    """
    a, b = beta_prior(k[among], n[among])
    return np.asarray((k + a) / (n + a + b))


def gamma_prior(observed: Number, expected: Float64) -> tuple[float, float]:
    """Moments of a gamma prior (shape, rate) for relative rates observed / expected.

    With observed ~ Poisson(expected x rate) and the rate of mean m and variance v,
    Var(observed) = m expected + v expected^2 (Clayton, Kaldor 1987, Biometrics 43(3));
    m is the pooled ratio. Without any event an even prior, Gamma(1, 1).
    """
    total = float(expected.sum())
    if total <= 0.0 or observed.sum() == 0:
        return 1.0, 1.0
    mean = float(observed.sum()) / total
    excess = float(((observed - mean * expected) ** 2).sum()) - mean * total
    spread = max(excess / float((expected**2).sum()), _LEAST_SPREAD * mean**2)
    return mean**2 / spread, mean / spread


def normal_prior(estimate: Float64, variance: Float64) -> tuple[float, float]:
    """Mean and variance of a normal prior for estimates with known sampling variances.

    The mean is weighted by precision, the variance is DerSimonian and Laird's (1986,
    Control. Clin. Trials 7(3), equation 8), zero where the estimates vary no more than
    their errors.
    """
    if len(estimate) < 2:
        return (float(estimate[0]) if len(estimate) else 0.0), 0.0
    w = 1.0 / variance
    mean = float((w * estimate).sum() / w.sum())
    heterogeneity = float((w * (estimate - mean) ** 2).sum())
    scale = float(w.sum() - (w**2).sum() / w.sum())
    return mean, max((heterogeneity - (len(w) - 1)) / scale, 0.0) if scale > 0 else 0.0
