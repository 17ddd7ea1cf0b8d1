"""Joiners of g against joins of other groups at the same prognostic score."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.sparse import csr_array
from scipy.special import gammaln

from gateway.arrays import Float64, Int32, Int64, Mask
from gateway.config.detectors import MatchingOptions
from gateway.detect.detection import Detection, Findings, sum_by_group
from gateway.detect.measure import Measure, Quantity
from gateway.detect.quantiles import quantiles
from gateway.detect.significance import binomial_bound, normal_prior, ratio
from gateway.log.join_log import JoinLog
from gateway.score import Scores
from gateway.score.prefixes import POSITION_EDGES
from gateway.targets import TargetSet

MATCHING = Measure(
    detector="matching",
    estimate=Quantity(
        "risk difference",
        "share of joiners who join a target later, minus that of joins of other groups at "
        "the same prognostic score",
        unit="points",
        no_effect=0.0,
    ),
    score=Quantity(
        "shrunken risk difference",
        "the same difference, shrunken towards that of all groups",
        unit="points",
    ),
    joiners="joiners that have a match",
    events="matched joiners who join a target later",
    test="whether more joiners go on than of the joins that they are matched with",
)


class _Table(NamedTuple):
    """One 2 x 2 table for each pair of a group and a stratum that it has joiners in."""

    group: Int64
    n: Float64
    events: Float64
    others: Float64
    other_events: Float64


def detect_by_matching(
    joins: JoinLog, targets: TargetSet, scores: Scores, *, options: MatchingOptions | None = None
) -> Detection:
    r"""Rank groups by the target joins of their joiners beyond matched joins of other groups.

    Each resolved join of g is matched with the joins of all other groups in its stratum:
    the same quantile bin of p_{i-1}, the probability of a target join before the join
    (a prognostic score, Hansen 2008), and the same bin of joins so far. Over strata with
    n joiners of g, x of them with a target join, and m and y among the rest,

    RD_g = sum((x m - y n) / (n + m)) / sum(n m / (n + m))

    is Mantel and Haenszel's risk difference. Its variance is the hypergeometric one of the
    numerator (that of the Cochran-Mantel-Haenszel test) over the squared denominator, and
    its interval is RD_g +- 1.96 of its standard errors, within [-1, 1]. Score: RD_g
    shrunken towards the mean of all groups by a normal prior with moments. p-value: the
    binomial bound on the number of events of g given the margins of every stratum;
    ``statistic`` is the Cochran-Mantel-Haenszel z without correction.

    *When it misleads.* It removes what the score knows, no more: two users with the same
    p_{i-1} can differ in everything that their joins have not shown yet, and the very join
    of g is the news. So a look-alike that attracts the inclined early on scores like a
    gateway. Rows of one user appear in several strata, so the p-value is approximate.

    Cost: O(joins log joins).

    Returns
    -------
    Detection
        ``estimate`` is RD_g, ``n_joiners`` the matched joiners, ``n_events`` those of them
        with a target join; extra columns ``statistic`` and, of flagged groups, ``gamma``,
        Rosenbaum's bound: see ``bias_explained``.

    References
    ----------
    Hansen (2008), "The prognostic analogue of the propensity score", Biometrika 95(2);
    Mantel, Haenszel (1959), J. Natl. Cancer Inst. 22(4); Greenland, Robins (1985),
    Biometrics 41(1), equation 6, for RD.
    """
    options = options or MatchingOptions()
    tables = _tables(scores, options.strata)
    size = joins.n_groups
    total = tables.n + tables.others
    events = tables.events + tables.other_events
    expected = sum_by_group(tables.group, tables.n * events / total, size)
    variance = sum_by_group(
        tables.group,
        tables.n * tables.others * events * (total - events) / (total**2 * (total - 1.0)),
        size,
    )
    weight = sum_by_group(tables.group, tables.n * tables.others / total, size)
    n, x = (
        np.rint(sum_by_group(tables.group, part, size)).astype(np.int64) for part in tables[1:3]
    )
    difference, error = ratio(x - expected, weight), ratio(variance, weight**2)
    ranked = ~targets.mask & (n >= options.min_joiners) & (error > 0)
    half = 1.96 * np.sqrt(error)
    found = Findings(
        score=_shrink(difference, error, ranked),
        estimate=difference,
        ci_low=np.maximum(difference - half, -1.0),
        ci_high=np.minimum(difference + half, 1.0),
        n_joiners=n,
        n_events=x,
        p_value=binomial_bound(x, n, expected),
        extra={"statistic": ratio(x - expected, np.sqrt(variance))},
    )
    ranked_ = found.rank(
        MATCHING, joins, targets, min_joiners=options.min_joiners, alpha=options.alpha
    )
    tested = np.count_nonzero(~np.isnan(ranked_.p_value))
    called = np.flatnonzero(ranked_.flagged)
    gamma = np.full(size, np.nan)
    for g in called:
        mine = tables.group == g
        gamma[g] = bias_explained(
            *(part[mine] for part in tables[1:]), level=options.alpha * len(called) / tested
        )
    return replace(ranked_, extra={**found.extra, "gamma": gamma})


def bias_explained(
    n: Float64, events: Float64, others: Float64, other_events: Float64, *, level: float
) -> float:
    r"""Return the hidden bias up to which a call stands, Rosenbaum's Gamma, at least 1.

    Two joins of one stratum may differ in their odds of being the group's by a factor of
    Gamma at most, because of something that no score knows. Then, if the group does nothing,
    the events among its n joiners are largest in distribution where what is hidden goes with
    the outcome itself: in each stratum the extended hypergeometric distribution with the odds
    ratio Gamma, that is, with weights C(n, t) C(others, all events - t) Gamma^t; in a pair of
    which one has the event, McNemar's case, Gamma / (1 + Gamma). It is a sum of independent
    Bernoulli variables, as many as the number of events in the stratum can vary by, so that
    ``binomial_bound`` bounds the upper tail. The result is the Gamma at which this bound
    reaches ``level``.

    Parameters
    ----------
    n, events, others, other_events
        Joiners of the group, those with an event, other joins and those with one; shape
        (n_strata,) each.
    level
        Largest p-value of a call, in (0, .5).

    Returns
    -------
    float
        1 where the group is not called even without hidden bias.

    References
    ----------
    Rosenbaum (2002), "Observational Studies", 2nd ed., chapter 4; Rosenbaum, Krieger (1990),
    "Sensitivity of two-sample permutation inferences in observational studies", J. Am. Stat.
    Assoc. 85(410). Harkness (1965), Ann. Math. Stat. 36(3), for the sum of Bernoulli variables.

    Examples
    --------
    Of 10 pairs with one event, it is the group's in all: (Gamma / (1 + Gamma))^10 = .05.

    >>> pairs = np.ones(10)
    >>> round(bias_explained(pairs, pairs, pairs, 0 * pairs, level=0.05), 3)
    2.863
    """
    every = events + other_events
    low, high = np.maximum(0.0, every - others), np.minimum(n, every)
    varies = high > low
    fixed, low = float(low[~varies].sum()), low[varies]
    length = (high[varies] - low + 1).astype(np.int64)
    first = np.cumsum(length) - length
    of = np.repeat(np.arange(len(length)), length)
    t = np.arange(len(of)) - first[of] + low[of]
    n_, others_, every_ = (part[varies][of] for part in (n, others, every))
    weight = -(gammaln(t + 1) + gammaln(n_ - t + 1) + gammaln(every_ - t + 1))
    weight -= gammaln(others_ - every_ + t + 1)
    x, trials = round(events.sum() - low.sum() - fixed), int(length.sum()) - len(length)

    def above(log_gamma: float) -> float:
        log = weight + log_gamma * t
        chance = np.exp(log - np.maximum.reduceat(log, first)[of])
        mean = np.add.reduceat(chance * t, first) / np.add.reduceat(chance, first) - low
        p = binomial_bound(np.array([x]), np.array([trials]), np.array([mean.sum()]))
        return float(p[0]) - level

    if not len(first) or above(0.0) >= 0.0:
        return 1.0
    end = 1.0
    while above(end) < 0.0:
        end *= 2.0
    return float(np.exp(brentq(above, 0.0, end)))


def _tables(scores: Scores, strata: int) -> _Table:
    """Count joiners and events by group and stratum; strata without any other join are left out."""
    # Stratum: quantile bin of p_{i-1} (equal values share one) x joins so far.
    cuts = np.unique(quantiles(scores.before, np.arange(1, strata) / strata))
    shape = (len(POSITION_EDGES) + 1) * (len(cuts) + 1), scores.prefixes.n_groups
    joiners, with_event = csr_array(shape), csr_array(shape)
    for _, part in scores.parts():
        kept, event = part.prefixes.resolved, part.prefixes.label == 1
        bin_ = np.searchsorted(cuts, part.before, side="left")
        stratum = part.prefixes.position() * (len(cuts) + 1) + bin_
        joiners = joiners + _counted(stratum[kept], part.prefixes.group[kept], shape)
        with_event = with_event + _counted(stratum[event], part.prefixes.group[event], shape)
    (of, group, n), (its, whose, events) = _entries(joiners), _entries(with_event)
    x = np.zeros(len(n))
    x[np.searchsorted(of * shape[1] + group, its * shape[1] + whose)] = events
    others = np.bincount(of, weights=n, minlength=1)[of] - n
    other_events = np.bincount(of, weights=x, minlength=1)[of] - x
    matched = others > 0
    return _Table(
        group[matched], n[matched], x[matched], others[matched], other_events[matched]
    )  # fmt: skip


def _counted(stratum: Int64, group: Int32, shape: tuple[int, int]) -> csr_array:
    """Count rows by stratum and group."""
    return csr_array((np.ones(len(group)), (stratum, group)), shape=shape)


def _entries(counts: csr_array) -> tuple[Int64, Int64, Float64]:
    """Row, column and value of all entries, in order."""
    counts.sum_duplicates()
    entries = counts.tocoo()
    return entries.row.astype(np.int64), entries.col.astype(np.int64), entries.data


def _shrink(difference: Float64, error: Float64, ranked: Mask) -> Float64:
    """Posterior mean under a normal prior from the ranked groups."""
    mean, spread = normal_prior(difference[ranked], error[ranked])
    with np.errstate(invalid="ignore"):
        share = spread / (spread + error)
    return np.asarray(mean + share * (difference - mean))
