"""Joiners of g against joins of other groups at the same prognostic score."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from gateway.arrays import Float64, Int64
from gateway.config.detectors import MatchingOptions
from gateway.detect.detection import Detection
from gateway.detect.findings import Findings
from gateway.detect.measure import Measure, Quantity
from gateway.detect.quantiles import quantiles
from gateway.detect.shrinkage import normal_prior, ratio
from gateway.detect.significance import binomial_bound
from gateway.log.join_log import JoinLog
from gateway.score import Scores
from gateway.score.prefixes import POSITION_EDGES
from gateway.targets import TargetSet

__all__ = ["MATCHING", "MatchingOptions", "detect_by_matching"]


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

    Parameters
    ----------
    joins, targets, scores
        The log, the target set, and scores of that log for that set.
    options
        Choices; by default ``MatchingOptions()``.

    Returns
    -------
    Detection
        ``estimate`` is RD_g, ``n_joiners`` the matched joiners, ``n_events`` those of them
        with a target join; extra column ``statistic``.

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
    expected = _sums(tables, tables.n * events / total, size)
    variance = _sums(
        tables,
        tables.n * tables.others * events * (total - events) / (total**2 * (total - 1.0)),
        size,
    )
    weight = _sums(tables, tables.n * tables.others / total, size)
    n, x = (np.rint(_sums(tables, part, size)).astype(np.int64) for part in tables[1:3])
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
    return found.rank(
        MATCHING, joins, targets, min_joiners=options.min_joiners, alpha=options.alpha
    )


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


def _counted(stratum: Int64, group: npt.NDArray[np.int32], shape: tuple[int, int]) -> csr_array:
    """Count rows by stratum and group."""
    return csr_array((np.ones(len(group)), (stratum, group)), shape=shape)


def _entries(counts: csr_array) -> tuple[Int64, Int64, Float64]:
    """Row, column and value of all entries, in order."""
    counts.sum_duplicates()
    entries = counts.tocoo()
    return entries.row.astype(np.int64), entries.col.astype(np.int64), entries.data


def _sums(tables: _Table, x: Float64, n_groups: int) -> Float64:
    return np.bincount(tables.group, weights=x, minlength=n_groups).astype(np.float64)


def _shrink(difference: Float64, error: Float64, ranked: npt.NDArray[np.bool_]) -> Float64:
    """Posterior mean under a normal prior from the ranked groups."""
    mean, spread = normal_prior(difference[ranked], error[ranked])
    with np.errstate(invalid="ignore"):
        share = spread / (spread + error)
    return np.asarray(mean + share * (difference - mean))
