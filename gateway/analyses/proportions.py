"""Shares, their differences and ratios: intervals, tests, power."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, norm
from scipy.stats.contingency import relative_risk

from gateway.arrays import Mask
from gateway.detect.self_controlled.sensitivity import e_values

_Z = float(norm.ppf(0.975))
Interval = tuple[float, float]
UNKNOWN: Interval = (math.nan, math.nan)


class Share(NamedTuple):
    """``k`` of ``n``."""

    k: int
    n: int

    @classmethod
    def of(cls, hit: Mask, among: Mask | None = None) -> Share:
        """Return the share of a mask, within another one where it is given."""
        if among is not None:
            hit = hit[among]
        return cls(int(np.count_nonzero(hit)), len(hit))

    @property
    def value(self) -> float:
        """The share, NaN of nobody."""
        return self.k / self.n if self.n else math.nan


def wilson(share: Share) -> Interval:
    """Return Wilson's 95 % interval (1927, J. Am. Stat. Assoc. 22, 209) of a share.

    Examples
    --------
    >>> low, high = wilson(Share(47, 100))
    >>> round(low, 3), round(high, 3)
    (0.375, 0.567)
    """
    if share.n == 0:
        return UNKNOWN
    found = binomtest(share.k, share.n).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def difference(one: Share, other: Share) -> Interval:
    """Return the 95 % interval of ``one`` minus ``other``, shares of independent samples.

    Newcombe (1998), Stat. Med. 17, 873, method 10: Wilson's limits l and u of each share
    in the square-and-add form d - sqrt((p1 - l1)^2 + (u2 - p2)^2) and its mirror image.
    It stays within -1 and 1, and holds its level where Wald's interval does not.
    """
    if one.n == 0 or other.n == 0:
        return UNKNOWN
    (l1, u1), (l2, u2), p1, p2 = wilson(one), wilson(other), one.value, other.value
    return (p1 - p2 - math.hypot(p1 - l1, u2 - p2), p1 - p2 + math.hypot(u1 - p1, p2 - l2))


def risk_ratio(one: Share, other: Share) -> tuple[float, Interval]:
    """Return the ratio of two shares and its 95 % interval on the log scale.

    Katz et al. (1978), Biometrics 34, 469. NaN where a count is zero: then the ratio says
    nothing that the difference does not say better.
    """
    if min(one.k, other.k) == 0:
        return math.nan, UNKNOWN
    found = relative_risk(one.k, one.n, other.k, other.n)
    interval = found.confidence_interval(0.95)
    return float(found.relative_risk), (float(interval.low), float(interval.high))


def e_value(ratio: float, interval: Interval) -> tuple[float, float]:
    """Return the E-values of a risk ratio and of its interval's end nearer to one.

    VanderWeele, Ding (2017), Ann. Intern. Med. 167, 268: RR + sqrt(RR (RR - 1)), of the
    inverse below one; 1 where the interval holds one. It is the least risk ratio that an
    unmeasured confounder would need with exposure *and* outcome to explain the ratio
    away. It knows of confounding alone: immortal time is another bias, and outcomes that
    are not rare make it too large.

    Examples
    --------
    >>> [round(x, 2) for x in e_value(3.9, (1.8, 8.7))]
    [7.26, 3.0]
    """
    if math.isnan(ratio):
        return UNKNOWN
    nearer = interval[0] if ratio >= 1 else interval[1]
    holds_one = interval[0] <= 1 <= interval[1]
    return _e_value(ratio), 1.0 if holds_one else _e_value(nearer)


def _e_value(ratio: float) -> float:
    return float(e_values(np.array([max(ratio, 1 / ratio)]), event_share=0.0)[0])


def two_sided_p(one: Share, other: Share) -> float:
    """Return the p-value of equal shares: z with the pooled share."""
    pooled = Share(one.k + other.k, one.n + other.n).value
    se = math.sqrt(pooled * (1 - pooled) * (1 / one.n + 1 / other.n)) if _both(one, other) else 0.0
    return float(2 * norm.sf(abs(one.value - other.value) / se)) if se > 0 else math.nan


def equivalence_p(one: Share, other: Share, *, margin: float) -> float:
    """Return the p-value of the two one-sided tests that the shares are about equal.

    Small says that their ratio lies between 1 / (1 + ``margin``) and 1 + ``margin``. Schuirmann
    (1987), J. Pharmacokinet. Biopharm. 15, 657, on the log scale with the standard error of
    ``risk_ratio``; the larger of the two one-sided p-values. A margin in ratio, not in points,
    asks the same of rare outcomes as of common ones. NaN where a count is zero.
    """
    ratio, (low, high) = risk_ratio(one, other)
    if math.isnan(ratio) or not high > low:
        return math.nan
    se, bound = math.log(high / low) / (2 * _Z), math.log1p(margin)
    z = math.log(ratio)
    return float(max(norm.sf((z + bound) / se), norm.cdf((z - bound) / se)))


def power(share: float, effect: float, n1: int, n2: int, *, alpha: float = 0.05) -> float:
    """Return the chance to find that shares differ by ``effect`` around ``share``.

    Two-sided z test at level ``alpha``, both tails counted, variance of the common share
    (Fleiss, Levin, Paik 2003, ch. 4). For an effect fixed beforehand: at the *observed*
    effect power is the p-value again (Hoenig, Heisey 2001, Am. Stat. 55, 19).
    """
    se = math.sqrt(share * (1 - share) * (1 / n1 + 1 / n2)) if min(n1, n2) else 0.0
    if not se > 0:
        return math.nan
    z = float(norm.isf(alpha / 2))
    return float(norm.sf(z - effect / se) + norm.cdf(-z - effect / se))


def minimal_detectable(share: float, n1: int, n2: int, *, wanted: float = 0.8) -> float:
    """Return the least difference that a two-sided 5 % test finds with power ``wanted``."""
    if min(n1, n2) == 0:
        return math.nan
    se = math.sqrt(share * (1 - share) * (1 / n1 + 1 / n2))
    return float((_Z + norm.ppf(wanted)) * se)


def users_needed(share: float, effect: float, *, wanted: float = 0.8) -> float:
    """Return the users in each of two equal arms with which ``effect`` is found.

    The inverse of ``minimal_detectable``: 2 p (1 - p) ((z_.975 + z_wanted) / effect)^2. For
    the plan of an experiment, with an effect fixed beforehand; NaN for none.

    Examples
    --------
    >>> round(users_needed(0.1, 0.02))
    3532
    """
    if not effect:
        return math.nan
    return float(2 * share * (1 - share) * ((_Z + norm.ppf(wanted)) / effect) ** 2)


def trend(dose: npt.NDArray[np.integer], outcome: Mask) -> tuple[float, Interval, float]:
    """Return how much the risk rises for one more of a dose, its 95 % interval, and a p-value.

    Slope of the least-squares line through the outcomes, its variance by White (1980,
    Econometrica 48, 817; HC0): sum (x - mean)^2 e^2 / (sum (x - mean)^2)^2. The p-value is
    that of the trend test (Cochran 1954, Biometrics 10, 417; Armitage 1955, Biometrics 11,
    375). NaN where nobody differs in dose, the p-value also where nobody does in outcome.

    Parameters
    ----------
    dose
        Non-negative, shape (n_users,).
    outcome
        Shape (n_users,).
    """
    if len(dose) == 0 or np.ptp(dose) == 0:
        return math.nan, UNKNOWN, math.nan
    x, p = dose - dose.mean(), float(outcome.mean())
    spread = float(x @ x)
    slope = float(x @ outcome) / spread
    se = math.sqrt(float((x * (outcome - p - slope * x)) @ (x * (outcome - p - slope * x))))
    se /= spread
    of_none = math.sqrt(p * (1 - p) / spread)
    p_value = float(2 * norm.sf(abs(slope) / of_none)) if of_none > 0 else math.nan
    return slope, (slope - _Z * se, slope + _Z * se), p_value


def clustered_share(hit: Mask, cluster: npt.NDArray[np.integer]) -> tuple[float, Interval]:
    """Return the share of hits among rows and a 95 % interval for rows that come in clusters.

    The ratio estimator (Cochran 1977, Sampling Techniques, 6.3): with a_c hits among the
    n_c rows of cluster c, variance C / (C - 1) sum (a_c - p n_c)^2 / n^2. NaN limits below
    two clusters; limits are cut at 0 and 1.

    Parameters
    ----------
    hit
        Shape (n_rows,).
    cluster
        Which rows belong together (a user's), shape (n_rows,).
    """
    if len(hit) == 0:
        return math.nan, UNKNOWN
    _, code = np.unique(cluster, return_inverse=True)
    p = float(hit.mean())
    residual = np.bincount(code, weights=hit - p)
    n_clusters = len(residual)
    if n_clusters < 2:
        return p, UNKNOWN
    se = math.sqrt(n_clusters / (n_clusters - 1) * float((residual**2).sum())) / len(hit)
    return p, (max(0.0, p - _Z * se), min(1.0, p + _Z * se))


def _both(one: Share, other: Share) -> bool:
    return min(one.n, other.n) > 0
