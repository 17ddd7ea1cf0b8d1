"""p-values of one group, and what many of them at once allow to say."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binom, false_discovery_control

from gateway.arrays import Float64
from gateway.detect.shrinkage import ratio

__all__ = ["benjamini_hochberg", "binomial_bound"]

Counts = npt.NDArray[np.integer[Any]]


def binomial_bound(successes: Counts, trials: Counts, expected: Float64) -> Float64:
    """Return P(Bin(trials, expected / trials) >= successes), NaN without trials.

    Hoeffding (1956, Ann. Math. Stat. 27(3), theorem 4): an upper bound on the upper tail
    of a sum of independent, unlike Bernoulli variables of that mean wherever the sum is at
    least its mean plus one. Nearer to the mean it is no bound, nor is it small there.
    """
    return np.asarray(binom.sf(successes - 1, trials, ratio(expected, trials)))


def benjamini_hochberg(p: Float64, alias: npt.NDArray[np.int64] | None = None) -> Float64:
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
