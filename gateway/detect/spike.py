"""The note's method: groups after whose joining the predicted probability spikes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import logit
from scipy.stats import norm

from gateway.arrays import Float64, Int64, Mask, UInt8, even_cuts
from gateway.config.detectors import SpikeOptions
from gateway.detect.detection import Detection, Findings
from gateway.detect.measure import Measure, Quantity
from gateway.detect.quantiles import quantiles
from gateway.detect.significance import (
    binomial_bound,
    clopper_pearson,
    ratio,
    shrink_shares,
    tells_nothing,
)
from gateway.detect.spike_kernels import (
    COLUMNS,
    DECILES,
    add_by_group,
    add_shift,
    add_tables,
    mark_spikes,
    own_history_z,
    place_in_cells,
    standardise,
    sum_by_fold,
)
from gateway.log.join_log import JoinLog
from gateway.log.work import room
from gateway.score import Scores
from gateway.score.prefixes import POSITION_EDGES
from gateway.targets import TargetSet

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
    joins: JoinLog, targets: TargetSet, scores: Scores, *, options: SpikeOptions | None = None
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
    bounds = even_cuts(len(rows.group), chunks)
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


_DECILES = np.arange(1, DECILES + 1) / (DECILES + 1)
# A spread that is only rounding, relative to the mean of the cell.
_ROUNDING = 1e-9
# Sums over fewer rows than this are made in one go; over more, in chunks whose number does
# not depend on the threads.
_ROWS_PER_CHUNK = 1 << 18
_MOST_CHUNKS = 16


@dataclass(frozen=True, eq=False)
class _Cells:
    """Cells c = position bin x decile of the probability before."""

    cell: UInt8  # shape (n_rows,)
    # Of the jumps D in each cell; sd is zero where they differ by no more than rounding.
    mean: Float64
    sd: Float64


def standardised_spikes(scores: Scores, quantile: float) -> Mask:
    """Return which rows rise by a z above zero and at or above a quantile of all rows' z.

    See ``standardised_jumps``; at the quantile itself too: it may be the largest value,
    shared by many rows, which rounding must not tell apart.

    Parameters
    ----------
    quantile
        In (0, 1).
    """
    if not len(scores.before):
        return np.zeros(0, bool)
    z = standardised_jumps(scores)
    least = float(quantiles(z, quantile)[0]) - _ROUNDING
    found = room("spike", np.bool_, len(z))
    bounds = even_cuts(len(z), _MOST_CHUNKS)
    mark_spikes(bounds, z, scores.before, scores.after, least, _ROUNDING, found)
    return found


def standardised_jumps(scores: Scores) -> Float64:
    """Return the jumps D, standardised in cells and centred by fold, shape (n_rows,).

    z = (D - m_c) / s_c in cell c, zero in cells whose jumps do not vary. The users of a fold
    share the weights that were learnt from the others: what all joiners of a group in a fold
    have in common beyond its joiners elsewhere is the error of one fit. So z is moved, by
    mean(z | g) - mean(z | g, fold): users with the same history get the same z.
    """
    cells, rows = _place(scores), scores.prefixes
    z = room("z", np.float64, len(cells.cell))
    bounds = even_cuts(len(z), _MOST_CHUNKS)
    standardise(bounds, cells.cell, scores.before, scores.after, cells.mean, cells.sd, z)
    total = np.zeros((int(scores.fold.max()) + 1, rows.n_groups))
    if len(total) > 1:
        count = np.zeros_like(total)
        sum_by_fold(rows.offsets, scores.fold, rows.group, z, total, count)
        mean = total.sum(axis=0) / np.maximum(count.sum(axis=0), 1.0)
        users = even_cuts(rows.n_users, _MOST_CHUNKS)
        shift = mean - total / np.maximum(count, 1.0)
        add_shift(users, rows.offsets, scores.fold, rows.group, shift, z)
    return z


def _place(scores: Scores) -> _Cells:
    rows, n = scores.prefixes, len(scores.before)
    cuts = np.unique(quantiles(scores.before, _DECILES))
    width = len(cuts) + 1
    cuts = np.append(cuts, np.full(DECILES - len(cuts), np.inf))
    # First cell of each number of blocks before; from the last on they are the same.
    blocks = np.arange(POSITION_EDGES[-1] + 1)
    first = (np.searchsorted(POSITION_EDGES, blocks, side="right") * width).astype(np.uint8)
    shape = chunk_count(n), (len(POSITION_EDGES) + 1) * width
    users = even_cuts(rows.n_users, shape[0])
    cell = room("cell", np.uint8, n)
    count, mean, spread = np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape)
    place_in_cells(
        users, rows.offsets, rows.starts_block, scores.before, scores.after, first, cuts, cell,
        count, mean, spread,
    )  # fmt: skip
    count_, mean_, spread_ = _pooled(count, mean, spread)
    sd = np.sqrt(spread_ / np.maximum(count_ - 1, 1))
    sd[sd <= _ROUNDING * np.abs(mean_)] = 0.0
    return _Cells(cell, mean_, sd)


def _pooled(count: Int64, mean: Float64, spread: Float64) -> tuple[Int64, Float64, Float64]:
    """Moments of all chunks together (Chan, Golub, LeVeque 1983, Am. Stat. 37(3))."""
    n, m, s = count[0], mean[0], spread[0]
    for k, other, squares in zip(count[1:], mean[1:], spread[1:], strict=True):
        total, apart = n + k, other - m
        share = np.divide(k, total, out=np.zeros(len(k)), where=total > 0)
        m = m + apart * share
        s = s + squares + apart**2 * n * share
        n = total
    return n, m, s


def chunk_count(rows: int, *, table: int = 0) -> int:
    """Into how many chunks rows are cut, each with sums of its own: one where they are few.

    A power of two: as many for each of two or four cores. ``table``: sums of each chunk.
    """
    most = int(np.clip(rows // max(_ROWS_PER_CHUNK, 8 * table), 1, _MOST_CHUNKS))
    return 1 << (most.bit_length() - 1)
