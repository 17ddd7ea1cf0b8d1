"""Shrinkage, exact intervals and p-values of groups, and what many at once allow to say.

Empirical-Bayes priors by moments draw small groups towards what all groups show. No prior takes
part in an interval: where groups differ by no more than chance a prior fitted to them has no
width, and with it the interval would have none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import beta, binom, false_discovery_control, gamma

from gateway.arrays import Float64, Int64, Mask

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


Counts = npt.NDArray[np.integer[Any]]


def binomial_bound(successes: Counts, trials: Counts, expected: Float64) -> Float64:
    """Return P(Bin(trials, expected / trials) >= successes), NaN without trials.

    Hoeffding (1956, Ann. Math. Stat. 27(3), theorem 4): an upper bound on the upper tail
    of a sum of independent, unlike Bernoulli variables of that mean wherever the sum is at
    least its mean plus one. Nearer to the mean it is no bound, nor is it small there.
    """
    return np.asarray(binom.sf(successes - 1, trials, ratio(expected, trials)))


def benjamini_hochberg(p: Float64, alias: Int64 | None = None) -> Float64:
    """Return q-values over the tested groups (Benjamini, Hochberg 1995); NaN stays NaN.

    Groups of one ``alias``, shape (n_groups,), are tested once: they share their p-value.
    """
    q = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    if len(tested):
        names = tested if alias is None else alias[tested]
        _, once, of = np.unique(names, return_index=True, return_inverse=True)
        q[tested] = false_discovery_control(p[tested[once]])[of]
    return q


_TAIL = 0.025


def clopper_pearson(k: Number, n: Number) -> tuple[Float64, Float64]:
    """Return the exact interval of a share, each end NaN without trials.

    It leaves out a share where P(k or more), or P(k or fewer), is below .025. By Hoeffding
    (1956, theorem 4) it holds the mean of unlike shares too.

    References
    ----------
    Clopper, Pearson (1934), Biometrika 26(4).

    Examples
    --------
    >>> low, high = clopper_pearson(np.array([20, 0]), np.array([40, 40]))
    >>> low.round(3), high.round(3)
    (array([0.338, 0.   ]), array([0.662, 0.088]))
    """
    # Quantiles are slow, and most groups of a large log share their two counts with others.
    pairs, of = np.unique(k + 1j * n, return_inverse=True)
    some, all_ = pairs.real, pairs.imag
    with np.errstate(invalid="ignore"):
        low = np.where(some == 0, 0.0, beta.ppf(_TAIL, some, all_ - some + 1))
        high = np.where(some == all_, 1.0, beta.isf(_TAIL, some + 1, all_ - some))
    low[all_ == 0] = high[all_ == 0] = np.nan
    return low[of], high[of]


def garwood(observed: Number, expected: Float64) -> tuple[Float64, Float64]:
    """Return the exact interval of observed / expected for a Poisson count.

    Each end is NaN where nothing is expected.

    References
    ----------
    Garwood (1936), Biometrika 28(3/4).

    Examples
    --------
    >>> low, high = garwood(np.array([10]), np.array([5.0]))
    >>> low.round(2), high.round(2)
    (array([0.96]), array([3.68]))
    """
    some = expected > 0
    scale = np.where(some, expected, np.nan)
    low = np.where(observed > 0, gamma.ppf(_TAIL, np.maximum(observed, 1)), 0.0)
    return low / scale, gamma.isf(_TAIL, observed + 1) / scale
