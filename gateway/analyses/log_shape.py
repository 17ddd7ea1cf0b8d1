"""The shape of a join log: how unequal users and groups are, and how joins follow each other.

Published numbers of this kind are what a simulated platform can be calibrated to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.arrays import Int32, Int64, Mask
from gateway.log.join_log import JoinLog

# P(another join given k joins) for k from 1 to so many.
LAST_K = 5
# The rank-size slope is fitted on groups with more members than this.
SMALL_GROUP = 10
# An exponent from fewer groups says little: its standard error is (alpha - 1) / sqrt(n).
FEWEST_IN_TAIL = 50


@dataclass(frozen=True)
class LogShape:
    """The statistics of one log; NaN where the log cannot say."""

    # Joins, users with a join, groups with a member.
    n_joins: int
    n_users: int
    n_groups: int
    # Joins per user.
    joins_mean: float
    joins_median: float
    joins_p90: float
    joins_max: int
    one_join: float  # share of users with exactly one join
    # P(another join given k joins), k = 1 to 5: of the users with k joins or more, the share with
    # more than k.
    another: tuple[float, ...]
    # Members per group.
    size_mean: float
    size_median: float
    size_max: int
    # Mean and standard deviation of the log of the size: the lognormal's maximum likelihood.
    size_mu: float
    size_sigma: float
    gini: float  # Gini coefficient of the sizes, in [0, 1)
    # Slope of log size on log rank by least squares, groups of more than 10 members.
    rank_slope: float
    # Power-law exponent of the sizes from ``tail_from`` on, and how many groups that is.
    tail_exponent: float
    tail_from: float
    tail_groups: int
    # P(next join in the category of the one before), and the sum of squared shares of joins by
    # category: the same for joins drawn at random.
    same_category: float
    chance: float
    # Ticks between a user's joins.
    gap_median: float
    gap_mean: float
    gap_p90: float

    def to_dict(self) -> dict[str, float]:
        """Return every statistic by name; ``another`` becomes ``another_1``, ``another_2``, ..."""
        values = {name: value for name, value in vars(self).items() if name != "another"}
        values |= {f"another_{k}": share for k, share in enumerate(self.another, 1)}
        return {name: float(value) for name, value in values.items()}

    def to_arrow(self) -> pa.Table:
        """Return the statistics as a table: statistic, value (null where the log cannot say)."""
        found = self.to_dict()
        values = pa.array(list(found.values()), pa.float64(), from_pandas=True)
        return pa.table({"statistic": pa.array(list(found)), "value": values})


class _Tail(NamedTuple):
    exponent: float
    begin: float
    groups: int


def log_shape(
    joins: JoinLog, category: npt.ArrayLike | None = None, *, tail_from: int | None = None
) -> LogShape:
    """Measure the shape of a join log.

    Users without a join and groups without a member are left out: most logs do not know of
    them. No statistic depends on the order within a tie block but ``same_category``; there
    joins of one user in one tick stand by group id.

    Parameters
    ----------
    category
        Category of each group, any values that can be sorted, shape (n_groups,); of a
        simulated group its main topic.
    tail_from
        Size from which the tail is fitted. None: the size from which the power law fits
        best, by the distance of Kolmogorov and Smirnov, among those that leave 50 groups.

    Raises
    ------
    ValueError
        If there is not one category for each group.

    Notes
    -----
    Tail: Clauset, Shalizi, Newman (2009), "Power-law distributions in empirical data", SIAM
    Review 51, 661: exponent by eq. 3.7, beginning by section 3.3. That a power law fits
    best from some size on does not mean that it fits: of a lognormal law it is an apparent
    exponent. Gini: mean absolute difference over twice the mean. Gaps say less of users
    than it seems: users with many joins have many short ones.

    Examples
    --------
    >>> joins = JoinLog.from_arrays([0, 0, 0, 1], [0, 1, 2, 0], [3, 5, 9, 4])
    >>> shape = log_shape(joins, ["a", "a", "b"])
    >>> shape.joins_mean, shape.one_join, shape.another[:2], shape.same_category, shape.gap_mean
    (2.0, 0.5, (0.5, 1.0), 0.5, 3.0)
    """
    counts = np.diff(joins.offsets)
    counts, sizes = counts[counts > 0], joins.sizes()
    sizes = np.sort(sizes[sizes > 0])[::-1]
    follows = _follows(joins)
    gaps = (joins.time[1:] - joins.time[:-1])[follows]
    same, chance = _category_shares(joins, category, follows)
    tail = _fit_tail(sizes, tail_from)
    return LogShape(
        n_joins=joins.n_joins,
        n_users=len(counts),
        n_groups=len(sizes),
        joins_mean=float(counts.mean()),
        joins_median=float(np.median(counts)),
        joins_p90=float(np.quantile(counts, 0.9)),
        joins_max=int(counts.max()),
        one_join=float((counts == 1).mean()),
        another=tuple(_ratio(counts > k, counts >= k) for k in range(1, LAST_K + 1)),
        size_mean=float(sizes.mean()),
        size_median=float(np.median(sizes)),
        size_max=int(sizes.max()),
        size_mu=float(np.log(sizes).mean()),
        size_sigma=float(np.log(sizes).std()),
        gini=_gini(sizes),
        rank_slope=_rank_slope(sizes[sizes > SMALL_GROUP]),
        tail_exponent=tail.exponent,
        tail_from=tail.begin,
        tail_groups=tail.groups,
        same_category=same,
        chance=chance,
        gap_median=_quantile(gaps, 0.5),
        gap_mean=float(gaps.mean()) if len(gaps) else np.nan,
        gap_p90=_quantile(gaps, 0.9),
    )


def _follows(joins: JoinLog) -> Mask:
    """Whether the join after the first, second, ... is of the same user, shape (n_joins - 1,)."""
    user = joins.user()
    return np.asarray(user[1:] == user[:-1])


def _category_shares(
    joins: JoinLog, category: npt.ArrayLike | None, follows: Mask
) -> tuple[float, float]:
    """P(next join in the same category), and the sum of squared shares."""
    if category is None:
        return np.nan, np.nan
    values, code = np.unique(np.asarray(category), return_inverse=True)
    if len(code) != joins.n_groups:
        raise ValueError(
            f"category must have one value per group, {joins.n_groups}; got {len(code)}"
        )
    of_join = code[joins.group]
    share = np.bincount(of_join, minlength=len(values)) / joins.n_joins
    same = (of_join[1:] == of_join[:-1])[follows]
    return float(same.mean()) if len(same) else np.nan, float((share**2).sum())


def _ratio(part: Mask, whole: Mask) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else np.nan


def _quantile(values: Int32, share: float) -> float:
    return float(np.quantile(values, share)) if len(values) else np.nan


def _gini(sizes: Int64) -> float:
    """Of sizes from the largest to the smallest."""
    n = len(sizes)
    rank = np.arange(n, 0, -1)
    return float((2 * rank - n - 1) @ sizes / (n * sizes.sum()))


def _rank_slope(sizes: Int64) -> float:
    """Of sizes from the largest to the smallest; NaN for fewer than two different ones."""
    if len(sizes) < 2 or sizes[0] == sizes[-1]:
        return np.nan
    x, y = np.log(np.arange(1, len(sizes) + 1)), np.log(sizes)
    x = x - x.mean()
    return float(x @ y / (x @ x))


def _fit_tail(sizes: Int64, begin: int | None) -> _Tail:
    """Of sizes from the largest to the smallest; NaN where too few or all alike are left."""
    begins = np.unique(sizes[FEWEST_IN_TAIL - 1 :]) if begin is None else [begin]
    fits = [(_distance(sizes, fit), fit) for b in begins if (fit := _fit_from(sizes, int(b)))]
    return min(fits)[1] if fits else _Tail(np.nan, np.nan, 0)


def _fit_from(sizes: Int64, begin: int) -> _Tail | None:
    """Clauset et al. (2009), eq. 3.7."""
    tail = sizes[sizes >= begin]
    if len(tail) < FEWEST_IN_TAIL or tail[0] == begin:
        return None
    return _Tail(1 + len(tail) / float(np.log(tail / (begin - 0.5)).sum()), begin, len(tail))


def _distance(sizes: Int64, fit: _Tail) -> float:
    """Largest difference of the tail's distribution from the fitted one."""
    tail = sizes[: fit.groups]
    values, counts = np.unique(tail, return_counts=True)
    upto = np.cumsum(counts) / fit.groups
    expected = 1 - ((values + 0.5) / (fit.begin - 0.5)) ** (1 - fit.exponent)
    return float(np.abs(upto - expected).max())
