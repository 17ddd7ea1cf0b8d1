"""How well a ranking finds the planted gateways."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

__all__ = [
    "Measure",
    "at_top",
    "average_precision",
    "bootstrap_interval",
    "precision_at",
    "recall_at",
    "share_among",
    "share_at",
    "spearman_among",
]

Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
# A metric as a function of which groups there are: positions, repeated in a bootstrap.
Measure = Callable[[npt.NDArray[np.int64]], float]


def average_precision(
    score: Float64, relevant: Mask, weight: npt.NDArray[np.int64] | None = None
) -> float:
    """Return average precision, equal scores taken together; NaN if nothing is relevant.

    Without weights scikit-learn's definition: the mean over relevant groups of the
    precision down to and including their score. With them (a bootstrap's counts) a group
    stands for ``weight`` groups but meets itself only once: resampled copies of a gateway
    that count each other as hits would tilt the bootstrap upwards.

    Examples
    --------
    >>> score, relevant = np.array([4.0, 3.0, 2.0, 1.0]), np.array([1, 0, 1, 0], bool)
    >>> round(average_precision(score, relevant), 4)
    0.8333
    """
    w = np.ones(len(score)) if weight is None else weight.astype(np.float64)
    if not (relevant & (w > 0)).any():
        return float("nan")
    _, level = np.unique(-score, return_inverse=True)
    total = np.cumsum(np.bincount(level, weights=w))[level] - w
    hits = np.cumsum(np.bincount(level, weights=w * relevant))[level] - w
    precision = (1 + hits[relevant]) / (1 + total[relevant])
    return float((w[relevant] * precision).sum() / w[relevant].sum())


def share_at(score: Float64, member: Mask, k: int) -> float:
    """Return the expected share of ``member`` among the top k, ties broken at random.

    Groups that stand above the k-th score count in full; those that tie with it share
    the places that are left. So the order of ties cannot matter.

    Examples
    --------
    >>> share_at(np.array([3.0, 2.0, 2.0]), np.array([True, True, False]), 2)
    0.75
    """
    k = min(k, len(score))
    if k == 0:
        return float("nan")
    edge = np.partition(score, len(score) - k)[len(score) - k]
    above, level = score > edge, score == edge
    left = k - np.count_nonzero(above)
    share_of_level = np.count_nonzero(member & level) / np.count_nonzero(level)
    return float((np.count_nonzero(member & above) + left * share_of_level) / k)


def precision_at(score: Float64, relevant: Mask, k: int) -> float:
    """Return the expected share of relevant groups among the top k."""
    return share_at(score, relevant, k)


def recall_at(score: Float64, relevant: Mask, k: int) -> float:
    """Return the expected share of the relevant groups that are among the top k."""
    n = np.count_nonzero(relevant)
    return share_at(score, relevant, k) * min(k, len(score)) / n if n else float("nan")


def at_top(
    measure: Callable[[Float64, Mask, int], float], score: Float64, member: Mask, k: int
) -> Measure:
    """Bind a measure of the top k to one score and one kind of group."""
    return lambda i: measure(score[i], member[i], k)


def share_among(member: Mask, among: Mask) -> float:
    """Return the share of ``member`` in ``among``; NaN where that is empty."""
    n = np.count_nonzero(among)
    return np.count_nonzero(member & among) / n if n else float("nan")


def spearman_among(x: Float64, y: Float64, among: Mask) -> float:
    """Return Spearman's rank correlation within a mask; NaN where it is not defined."""
    x, y = x[among], y[among]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(spearmanr(x, y).statistic)


def bootstrap_interval(
    measure: Measure,
    n: int,
    *,
    rng: np.random.Generator,
    draws: int = 500,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return a percentile interval of ``measure`` over resampled groups.

    Efron (1979). ``measure`` takes positions, shape (n,), drawn with replacement. It
    answers for the draw of groups within one world, not for the draw of worlds: that
    needs replicates.
    """
    values = np.array([measure(rng.integers(0, n, size=n)) for _ in range(draws)])
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
