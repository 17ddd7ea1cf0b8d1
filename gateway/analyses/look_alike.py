"""The look-alike check: do the joiners of a group join more targets after it than before?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaln

from gateway.arrays import Float64, Int32, Int64, Mask
from gateway.log.join_log import JoinLog
from gateway.log.sorting import count_values
from gateway.score import Prefixes
from gateway.targets import TargetSet

_Z = 1.959963984540054
"""97.5 % quantile of the normal distribution."""


@dataclass(frozen=True)
class OddsRatio:
    """Target joins of a group's joiners after their join of it, against chance."""

    # Joiners whose own joins leave it open how many targets stand after the join: those with
    # joins before and after, some of them but not all of targets. The counts below are theirs.
    n_informative: int
    # Their joins in earlier and in later ticks.
    joins_before: int
    joins_after: int
    # How many of these are of target groups.
    targets_before: int
    targets_after: int
    # ``targets_after`` if each joiner's target joins lay among the joins by chance.
    expected: float
    # Odds that a join after is of a target, against a join before, and the 95 % interval; 0 and
    # infinity where they have no end, NaN where nothing can be said.
    ratio: float
    ci_low: float
    ci_high: float


def common_odds_ratio(
    *, joins_before: Int64, joins_after: Int64, targets_before: Int64, targets_after: Int64
) -> OddsRatio:
    r"""Estimate the odds ratio that the fourfold tables of many users have in common.

    Time is counted in joins, not in ticks. Of a user with :math:`m_0` joins before the join
    of the group and :math:`m_1` after it, :math:`e` of these m of targets, the number *a* of
    targets after is hypergeometric if nothing changes, with mean :math:`e m_1 / m` and
    variance :math:`m_0 m_1 e (m - e) / (m^2 (m - 1))`; at odds ratio :math:`\psi` it is
    Fisher's noncentral hypergeometric, :math:`P(a) \propto \binom{m_1}{a} \binom{m_0}{e - a}
    \psi^a`. The estimate solves :math:`\sum a = \sum E_\psi(a)` over users (conditional
    maximum likelihood; Breslow, Day 1980, equation 4.25), the ends of the interval
    :math:`\sum a - \sum E_\psi(a) = \pm 1.96 (\sum V_\psi(a))^{1/2}`. So the interval leaves
    out 1 just where the test of Mantel and Haenszel (1959) without a correction of
    continuity rejects at 5 %. It holds however few joins each user has, as long as there are
    many users; with few target joins in all it is approximate.

    Parameters
    ----------
    joins_before, joins_after
        Joins of each user, targets included, int64, shape (n_users,).
    targets_before, targets_after
        How many of these are of targets, int64, shape (n_users,).

    Examples
    --------
    Ten users with a join before and two after, one of the three of a target:

    >>> one, after = np.ones(10, np.int64), np.arange(10) < 8
    >>> found = common_odds_ratio(joins_before=one, joins_after=2 * one,
    ...                           targets_before=one - after, targets_after=one * after)
    >>> round(found.expected, 2), round(found.ratio, 6)
    (6.67, 2.0)
    """
    targets = targets_before + targets_after
    least, most = np.maximum(0, targets - joins_before), np.minimum(targets, joins_after)
    open_ = least < most
    m0, m1, e, a = (x[open_] for x in (joins_before, joins_after, targets, targets_after))
    total = int(a.sum())
    counts = (len(a), int(m0.sum()), int(m1.sum()), int(e.sum()) - total, total)
    if not len(a):
        return OddsRatio(*counts, 0.0, float("nan"), float("nan"), float("nan"))
    moments = _moments(m0, m1, e)

    def solve(z: float) -> float:
        """Return the odds ratio at which the count is z standard deviations above its mean."""

        def above(log_ratio: float) -> float:
            mean, variance = moments(log_ratio)
            return total - mean - z * float(np.sqrt(variance))

        return float(np.exp(_root(above)))

    is_least, is_most = total == int(least[open_].sum()), total == int(most[open_].sum())
    low = 0.0 if is_least else solve(_Z)
    high = float("inf") if is_most else solve(-_Z)
    ratio = 0.0 if is_least else float("inf") if is_most else solve(0.0)
    return OddsRatio(*counts, moments(0.0)[0], ratio, low, high)


def _moments(m0: Int64, m1: Int64, e: Int64) -> Callable[[float], tuple[float, float]]:
    """Return sum of means and of variances over users as a function of the log odds ratio."""
    # Users with the same margins have the same distribution.
    margins, users = np.unique(np.stack([m0, m1, e]), axis=1, return_counts=True)
    m0, m1, e = margins
    least = np.maximum(0, e - m0)
    size = np.minimum(e, m1) - least + 1
    first = np.cumsum(size) - size
    a = np.arange(int(size.sum())) + np.repeat(least - first, size)
    m0, m1, e = (np.repeat(x, size) for x in margins)
    log_weight = _log_choose(m1, a) + _log_choose(m0, e - a)

    def moments(log_ratio: float) -> tuple[float, float]:
        log_p = log_weight + a * log_ratio
        p = np.exp(log_p - np.repeat(np.maximum.reduceat(log_p, first), size))
        p /= np.repeat(np.add.reduceat(p, first), size)
        mean = np.add.reduceat(p * a, first)
        variance = np.add.reduceat(p * (a - np.repeat(mean, size)) ** 2, first)
        return float(users @ mean), float(users @ variance)

    return moments


def _log_choose(n: Int64, k: Int64) -> Float64:
    return np.asarray(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))


def _root(decreasing: Callable[[float], float]) -> float:
    low, high = -1.0, 1.0
    while decreasing(low) < 0.0:
        low *= 2.0
    while decreasing(high) > 0.0:
        high *= 2.0
    return float(brentq(decreasing, low, high))


class Histories:
    """The tie blocks of a log's joins at risk, and its target joins.

    Made once for a log, it answers for a few rows at a time, by binary search: explaining
    ten groups of a hundred million joins costs little more than finding their rows.

    Parameters
    ----------
    rows
        Its joins at risk, of any horizon.
    """

    def __init__(self, joins: JoinLog, targets: TargetSet, rows: Prefixes) -> None:
        self.joins, self.rows = joins, rows
        self.target_join: Int64 = np.flatnonzero(targets.mask[joins.group])
        self.target_user = owner(joins.offsets, self.target_join)

    @cached_property
    def last(self) -> Int64:
        """Last row of each block, int64, shape (n_blocks,)."""
        return np.flatnonzero(self.rows.ends_block)

    def block(self, row: Int64) -> Int64:
        """Return the block of each row."""
        return np.searchsorted(self.last, row)

    def first(self, block: Int64) -> Int64:
        """Return the first row of each block."""
        return np.where(block > 0, self.last[block - 1] + 1, 0)

    def user(self, row: Int64) -> Int64:
        """Return the user of each row."""
        return owner(self.rows.offsets, row)

    def reached(self, user: Int64) -> Mask:
        """Whether each user ever joined a target."""
        return np.isin(user, self.target_user)

    def around(self, g: int) -> tuple[Int64, Int64, Int64, Int64]:
        """Count the other joins of group g's joiners, each int64, shape (n_joiners,).

        Joins before and after the tick of the join of g, and those of targets among them;
        joins in the same tick are neither.
        """
        joins = self.joins
        at = np.flatnonzero(joins.group == g)
        who, when = owner(joins.offsets, at), joins.time[at].astype(np.int64)
        begin, end = joins.offsets[who], joins.offsets[who + 1]
        first = _first_at(joins.time, begin, at, when)
        after = _first_at(joins.time, at, end, when + 1)
        upto = [np.searchsorted(self.target_join, x) for x in (begin, first, after, end)]
        return first - begin, end - after, upto[1] - upto[0], upto[3] - upto[2]

    def next_of(self, g: int) -> Float64:
        """Count the next joins of group g's joiners by group, shape (n_groups + 1,).

        As in ``gateway.detect.chain.Chain``: the joins of a block are averaged over their
        orders, so from a block of a joins each of the b of the next one counts 1 / (a b),
        each other join within it 1 / a, and a first target join after it 1 / a; these
        last ones make up the last cell.
        """
        rows = self.rows
        mine = np.flatnonzero(rows.group == g)
        block, user = self.block(mine), self.user(mine)
        size = self.last[block] + 1 - self.first(block)
        onward = self.last[block] + 1 < rows.offsets[user + 1]
        weight = 1.0 / size
        after = block[onward] + 1
        b = self.last[after] + 1 - self.first(after)
        next_, to = _spread(self.first(after), b, weight[onward] / b)
        shared = size > 1
        within, ties = _spread(self.first(block[shared]), size[shared], weight[shared])
        other = rows.group[within] != g
        places = np.concatenate([rows.group[next_], rows.group[within[other]]])
        weights = np.concatenate([to, ties[other]])
        gone = float(weight[~onward & self.reached(user)].sum())
        return np.append(np.bincount(places, weights, rows.n_groups), gone)

    @cached_property
    def next_of_all(self) -> Float64:
        """``next_of`` summed over all groups.

        Every join but those of a first block is the next one of some join, with weights
        that add up to one; of a first block of b joins each is, but for 1 / b.
        """
        rows = self.rows
        with_rows = np.flatnonzero(np.diff(rows.offsets))
        first = rows.offsets[with_rows]
        size = self.last[self.block(first)] + 1 - first
        row, weight = _spread(first, size, 1.0 / size)
        never = np.bincount(rows.group[row], weight, rows.n_groups)
        gone = float(np.count_nonzero(self.reached(with_rows)))
        return np.append(count_values(rows.group, rows.n_groups) - never, gone)


def owner(offsets: Int64, at: Int64) -> Int64:
    """Return which user's range of ``offsets`` holds each position."""
    return np.searchsorted(offsets, at, side="right") - 1


def _first_at(time: Int32, low: Int64, high: Int64, when: Int64) -> Int64:
    """Return the first place of each range that is not before ``when``, else its end."""
    while (is_open := low < high).any():
        middle = (low + high) // 2
        is_before = is_open & (time[np.where(is_open, middle, 0)] < when)
        low = np.where(is_before, middle + 1, low)
        high = np.where(is_open & ~is_before, middle, high)
    return low


def _spread(first: Int64, size: Int64, weight: Float64) -> tuple[Int64, Float64]:
    """Rows of blocks, one block after the other, and each row's weight."""
    begin = np.cumsum(size) - size
    return np.arange(int(size.sum())) + np.repeat(first - begin, size), np.repeat(weight, size)
