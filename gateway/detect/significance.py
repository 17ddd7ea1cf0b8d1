"""p-values and exact intervals of one group, and what many at once allow to say.

No prior takes part in an interval: where groups differ by no more than chance a prior fitted
to them has no width, and with it the interval would have none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import beta, binom, false_discovery_control, gamma

from gateway.arrays import Float64, Int64
from gateway.detect.shrinkage import ratio

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


Number = npt.NDArray[Any]
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
