"""The note's method: groups after whose joining the predicted probability spikes."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from scipy.special import logit
from scipy.stats import norm

from gateway.arrays import Float64, Int64, Mask
from gateway.config.detectors import SpikeOptions
from gateway.detect.detection import Detection
from gateway.detect.findings import Findings
from gateway.detect.intervals import clopper_pearson
from gateway.detect.measure import Measure, Quantity
from gateway.detect.shrinkage import ratio, shrink_shares, tells_nothing
from gateway.detect.significance import binomial_bound
from gateway.detect.spike_cells import chunk_count, standardised_spikes
from gateway.detect.spike_kernels import (
    COLUMNS,
    add_by_group,
    add_tables,
    own_history_z,
)
from gateway.log.join_log import JoinLog
from gateway.score import Scores
from gateway.targets import TargetSet

__all__ = ["SPIKE", "Rule", "SpikeOptions", "detect_spikes", "find_spikes"]

Rule = Literal["absolute", "log_odds", "own_history", "standardised"]

SPIKE = Measure(
    detector="spike",
    estimate=Quantity(
        "excess share who go on",
        "share of joiners who join a target later, minus the share that their joins before "
        "let expect",
        unit="points",
        no_effect=0.0,
    ),
    score=Quantity(
        "share of joiners that spike",
        "share of joiners whose probability spikes at the join, shrunken towards that of all "
        "joiners",
        unit="share",
    ),
    joiners="joiners whose probability was evaluated",
    events="joiners whose probability spiked",
    test="whether more joiners join a target later than their joins before let expect",
)
# Five points of probability; a doubling of the odds; the cut of Iglewicz and Hoaglin
# (1993) for a modified z-score. The standardised rule takes a quantile instead.
DEFAULT_THRESHOLD = {"absolute": 0.05, "log_odds": float(np.log(2.0)), "own_history": 3.5}
# A median and a MAD of fewer than three earlier jumps say nothing.
FEWEST_EARLIER_JUMPS = 3
# Probabilities of 0 and 1 have no log-odds.
_CLIP = 1e-12


def detect_spikes(
    joins: JoinLog,
    targets: TargetSet,
    scores: Scores,
    *,
    options: SpikeOptions | None = None,
) -> Detection:
    r"""Rank groups by the shrunken share of their joiners whose probability spikes.

    *Jump.* D = ``Scores.after`` - ``Scores.before``. With the logistic scorer it is the group's
    part of the jump: the probability after the join less that at the same time and number of
    joins with a group of weight zero, an average one, in its place. What moves at every join,
    whichever group is joined, is on both sides. With any other scorer it is p_i - p_{i-1}.

    *Score.* k_g of n_g scored joiners spike. The share is shrunk towards the pooled one
    by an empirical-Bayes beta-binomial model: score = (k_g + a) / (n_g + a + b), with a
    and b by moments with weights n_g (Kleinman 1973).

    *Estimate.* With y the outcome after a join and e its expectation from the joins before
    (``Scores.expected``), R_g = mean(y - e) over the m resolved joiners: what is tested.
    Its interval is Clopper and Pearson's for mean y, less mean e. By Hoeffding (1956) it
    holds for unlike outcomes too, and it lies above 0 just where the p-value ``binomial``
    is below .025.

    *p-value.* T_g = sum(y - e) / sqrt(sum e (1 - e)) over the resolved
    joiners. ``normal`` takes its upper tail from the normal distribution, which is too
    short where few outcomes are expected. ``binomial`` takes P(Bin(m, mean e) >= sum y),
    by Hoeffding (1956) an upper bound on the tail of the sum of unlike Bernoulli variables
    wherever sum y >= sum e + 1 (nearer to the mean it is no bound, nor small). Use
    ``normal`` to compare only: it does not hold its level, and nothing is flagged. Both
    rest on e, and e knows the joins before, their number, ties, calendar and tenure, no
    more (``score.calibration.fit_expectation``). A binomial test on the *spikes* would be
    invalid: all joiners of a group share one noisy weight.

    *When it misleads.* A group that merely attracts users who were going anyway has a
    high score and a small p-value too: membership is news about the user, whether or not
    it changes the user. In the logistic scorer the jump of the raw log-odds is the group's
    weight over the spread of the history, the same for all its joiners in a fold who joined at
    a like place.

    Parameters
    ----------
    joins, targets, scores
        The log, the target set, and scores of that log for that set.
    options
        Choices; by default ``SpikeOptions()``.

    Returns
    -------
    Detection
        With the extra columns ``mean_jump`` (mean D), ``realised_effect`` (R_g, the
        estimate), ``statistic`` (T_g) and ``n_resolved``.

    References
    ----------
    Kleinman (1973), "Proportions with extraneous variance: single and independent
    samples", J. Am. Stat. Assoc. 68(341). Hoeffding (1956), "On the distribution of the
    number of successes in independent trials", Ann. Math. Stat. 27(3). Benjamini,
    Hochberg (1995), J. R. Stat. Soc. B 57(1).
    """
    options = options or SpikeOptions()
    table = _sums_by_group(scores, find_spikes(scores, options=options))
    joiners, spiking, resolved, outcomes = table[:, :4].astype(np.int64).T
    jumps, expected, variance = table[:, 4:7].T
    ranked = ~targets.mask & (joiners >= options.min_joiners)
    score = shrink_shares(spiking, joiners, among=ranked)
    if tells_nothing(spiking[ranked], joiners[ranked]):
        score = np.full(joins.n_groups, float(spiking.sum() > 0))
    statistic = _statistic(outcomes - expected, variance)
    mean_expected = ratio(expected, resolved)
    low, high = clopper_pearson(outcomes, resolved)
    found = Findings(
        score=score,
        estimate=ratio(outcomes, resolved) - mean_expected,
        ci_low=low - mean_expected,
        ci_high=high - mean_expected,
        n_joiners=joiners,
        n_events=spiking,
        p_value=_p_values(outcomes, resolved, expected, statistic, options.p_value),
        extra={
            "mean_jump": ratio(jumps, joiners),
            "realised_effect": ratio(outcomes, resolved) - mean_expected,
            "statistic": statistic,
            "n_resolved": resolved,
        },
    )
    return found.rank(
        replace(SPIKE, holds_level=options.p_value == "binomial"),
        joins,
        targets,
        min_joiners=options.min_joiners,
        alpha=options.alpha,
        flaggable=spiking >= options.min_spiking,
    )


def find_spikes(scores: Scores, *, options: SpikeOptions) -> Mask:
    """Return which rows are spikes, bool, shape (n_rows,).

    A fall is no spike under any rule, even where most others fall further.
    """
    if options.rule == "standardised":
        return standardised_spikes(scores, options.quantile)
    threshold = options.threshold
    least = DEFAULT_THRESHOLD[options.rule] if threshold is None else threshold
    found = np.empty(len(scores.before), np.bool_)
    for rows, part in scores.parts():
        rises = part.after > part.before
        np.logical_and(_size_of_jump(part, options.rule) > least, rises, out=found[rows])
    return found


def _size_of_jump(scores: Scores, rule: Rule) -> Float64:
    """Return the jump in the rule's own unit."""
    if rule == "log_odds":
        after, before = (np.clip(p, _CLIP, 1 - _CLIP) for p in (scores.after, scores.before))
        return np.asarray(logit(after) - logit(before))
    jump = scores.after - scores.before
    if rule == "own_history":
        z = np.empty(len(jump))
        rows = scores.prefixes
        own_history_z(rows.offsets, rows.starts_block, jump, FEWEST_EARLIER_JUMPS, z)
        return z
    return np.asarray(jump)


def _sums_by_group(scores: Scores, spike: Mask) -> Float64:
    """Sums over the joiners of each group, shape (n_groups, COLUMNS)."""
    rows = scores.prefixes
    chunks = chunk_count(len(rows.group), table=rows.n_groups)
    # Rows of a table begin at lines of the cache.
    room = np.empty((chunks * rows.n_groups + 1) * COLUMNS)
    skip = -room.ctypes.data // room.itemsize % COLUMNS
    tables = room[skip : skip + chunks * rows.n_groups * COLUMNS]
    tables = tables.reshape(chunks, rows.n_groups, COLUMNS)
    bounds = np.linspace(0, len(rows.group), chunks + 1).astype(np.int64)
    add_by_group(
        bounds, rows.group, spike, scores.before, scores.after, rows.label, scores.expected,
        tables,
    )  # fmt: skip
    add_tables(tables)
    return np.asarray(tables[0])


def _statistic(surplus: Float64, variance: Float64) -> Float64:
    """T_g, zero where nothing is resolved."""
    t: Float64 = np.divide(
        surplus, np.sqrt(variance), out=np.zeros(len(surplus)), where=variance > 0
    )
    return t


def _p_values(
    outcomes: Int64, resolved: Int64, expected: Float64, statistic: Float64, tail: str
) -> Float64:
    """NaN where nothing is resolved."""
    if tail == "normal":
        return np.where(resolved > 0, norm.sf(statistic), np.nan)
    return binomial_bound(outcomes, resolved, expected)
