"""Area under the ROC curve with DeLong's interval."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata

__all__ = ["auc_with_interval"]

Float64 = npt.NDArray[np.float64]


def auc_with_interval(
    score: Float64, outcome: npt.NDArray[np.bool_], *, level: float = 0.95
) -> tuple[float, float, float]:
    """Return AUC and interval, NaN where an outcome is missing; equal scores count half.

    The interval is value +- z s, cut to [0, 1], with the variance from the structural
    components: for each case the share of controls below it, for each control the share of
    cases above it. It takes users as independent and the score as given. Near 0 or 1, or
    with few cases, a Wald interval is too narrow; with one of either kind there is none.

    Parameters
    ----------
    score
        Larger means more likely, shape (n,).
    outcome
        Shape (n,).
    level
        Of the interval, in (0, 1).

    References
    ----------
    DeLong, DeLong, Clarke-Pearson (1988), Biometrics 44(3); in O(n log n) by midranks,
    Sun, Xu (2014), IEEE Signal Process. Lett. 21(11).

    Examples
    --------
    >>> auc, low, high = auc_with_interval(
    ...     np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    ... )
    >>> round(auc, 2)
    0.75
    """
    cases, controls = score[outcome], score[~outcome]
    m, n = len(cases), len(controls)
    if m == 0 or n == 0:
        return float("nan"), float("nan"), float("nan")
    together = rankdata(np.concatenate([cases, controls]))
    below = (together[:m] - rankdata(cases)) / n
    above = 1.0 - (together[m:] - rankdata(controls)) / m
    auc = float(below.mean())
    if m == 1 or n == 1:
        return auc, float("nan"), float("nan")
    half = norm.ppf((1 + level) / 2) * np.sqrt(below.var(ddof=1) / m + above.var(ddof=1) / n)
    return auc, float(max(auc - half, 0.0)), float(min(auc + half, 1.0))
