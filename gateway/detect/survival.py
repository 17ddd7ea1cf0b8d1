"""The hazard of the first target join before and after a join of g."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from gateway.arrays import Float64, Int32, Int64, Mask
from gateway.config.detectors import SurvivalOptions
from gateway.detect.detection import Detection, Findings
from gateway.detect.measure import Measure, Quantity
from gateway.detect.significance import binomial_bound, gamma_prior, garwood, ratio
from gateway.detect.survival_kernels import (
    add_memberships,
    add_squares,
    deal_out,
    find_spans,
    rank_ticks,
)
from gateway.log.join_log import JoinLog
from gateway.targets import TargetSet

Clock = Literal["calendar", "tenure"]

SURVIVAL = Measure(
    detector="survival",
    estimate=Quantity(
        "relative hazard",
        "first target joins of the group's members over those expected of as many users at risk",
        is_log=True,
        no_effect=1.0,
    ),
    score=Quantity(
        "shrunken relative hazard", "the same ratio, shrunken towards that of all groups"
    ),
    joiners="joiners at risk after the join",
    events="members whose first target join came while they were at risk",
    test="whether members join a first target more often than others at risk at the same time",
    holds_level=False,
)
# A table of where to look among the event times stays in the processor's cache.
CELLS = 2**15


class _Spans(NamedTuple):
    """When each user is at risk: ticks t with start < t <= leave; shape (n_users,) each.

    The first ``n_rows`` joins of a user are before its leaving. Ticks on the clock count
    from ``zero``.
    """

    begins: Mask
    start: Int64
    leave: Int64
    event: Mask
    n_rows: Int64
    zero: Int64


class _Hazard(NamedTuple):
    """Distinct event times, and what is summed up over them: step functions, zero first."""

    times: Int64
    cumulative: Float64
    linear: Float64
    quadratic: Float64
    events: int


def detect_survival(
    joins: JoinLog, targets: TargetSet, *, options: SurvivalOptions | None = None
) -> Detection:
    r"""Rank groups by the hazard of a first target join among their joiners.

    A user is at risk from the tick after the first join until the first target join or the
    end of observation; membership of g begins in the tick after the join and is a
    time-varying exposure. At each tick t with d_t first target joins among R_t users at
    risk, R_gt of them members of g, the members expect d_t R_gt / R_t. So E_g is the sum
    over g's joiners of the Nelson-Aalen cumulative hazard between their join and their
    leaving, O_g the number of them that leave by a target join, and (O_g, E_g, V_g), V_g
    hypergeometric, is the log-rank (Mantel-Haenszel) statistic of members against
    non-members. A join of g in the tick of the first target join exposes nobody.

    The estimate is O_g / E_g with Garwood's interval; the score (O_g + a) / (E_g + b), the
    relative hazard under an empirical-Bayes gamma prior. The p-value is the binomial bound
    on O_g with the risk sets taken as given (a hypergeometric count is a sum of Bernoulli
    variables; Vatutin, Mikhailov 1982). Extra columns: ``hazard_ratio``,
    (O_g / E_g) / ((D - O_g) / (D - E_g)), members against the others (Pike 1972);
    ``excess_hazard``, Aalen's additive one, (O_g - E_g) over the ticks at risk;
    ``statistic``, (O_g - E_g) / sqrt V_g.

    *When it misleads.* The comparison is between users, so whoever is inclined to the
    targets raises the hazard of every group that such users like: look-alikes score as
    high as gateways. *The p-value does not hold its level where users differ in activity*:
    the active join more of everything, so that the members of any group are more active
    than the others at risk. On a log of 3 M joins at random, with lognormal activity and
    nothing true in it, q < .05 holds for 2,481 of 14,959 groups
    (``experiments/bench_detectors.py``): nothing is flagged. Censoring is taken to be
    independent of the outcome.

    Cost: O(joins), single-threaded, 8 bytes a join.

    Returns
    -------
    Detection
        ``estimate`` is O_g / E_g, ``n_joiners`` the joiners at risk after the join,
        ``n_events`` is O_g.

    References
    ----------
    Mantel (1966), Cancer Chemother. Rep. 50(3); Peto, Peto (1972), J. R. Stat. Soc. A
    135(2); Aalen (1978), Ann. Stat. 6(4); Pike (1972), J. R. Stat. Soc. A 135(2), in
    discussion; Clayton, Kaldor (1987), Biometrics 43(3), for the prior; Garwood (1936),
    Biometrika 28(3/4), for the interval.
    """
    options = options or SurvivalOptions()
    spans = _spans(joins, targets, clock=options.clock)
    hazard = _pooled_hazard(spans)
    joined, left = _ranks(joins, spans, hazard.times)
    counts, sums = _sums(joins, spans, hazard, joined, left)
    size, n, observed = joins.n_groups, counts[:, 0].copy(), counts[:, 1].copy()
    expected, linear, ticks = sums.T.copy()
    squares = _squares(joins, spans, hazard, joined, left)
    deviation = np.sqrt(np.maximum(linear - squares, 0.0))
    ranked = ~targets.mask & (n >= options.min_joiners)
    a, b = gamma_prior(observed[ranked], expected[ranked])
    low, high = garwood(observed, expected)
    others = ratio(hazard.events - observed, hazard.events - expected)
    found = Findings(
        score=(observed + a) / (expected + b),
        estimate=ratio(observed, expected),
        ci_low=low,
        ci_high=high,
        n_joiners=n,
        n_events=observed,
        p_value=binomial_bound(observed, np.full(size, hazard.events), expected),
        extra={
            "hazard_ratio": ratio(ratio(observed, expected), others),
            "excess_hazard": ratio(observed - expected, ticks),
            "statistic": ratio(observed - expected, deviation),
        },
    )
    return found.rank(
        SURVIVAL, joins, targets, min_joiners=options.min_joiners, alpha=options.alpha
    )


def _spans(joins: JoinLog, targets: TargetSet, *, clock: Clock) -> _Spans:
    n = joins.n_users
    begins, event = np.empty(n, bool), np.empty(n, bool)
    start, leave, n_rows = (np.empty(n, np.int64) for _ in range(3))
    find_spans(
        joins.offsets, joins.group, joins.time, targets.mask, joins.observed_until, begins,
        start, leave, event, n_rows,
    )  # fmt: skip
    zero = start if clock == "tenure" else np.zeros(n, np.int64)
    return _Spans(begins, start, leave, event, n_rows, zero)


def _pooled_hazard(spans: _Spans) -> _Hazard:
    """Sums over event times of d / R and of the parts of the hypergeometric variance."""
    leave = spans.leave - spans.zero
    entry = (spans.start - spans.zero)[spans.begins]
    times, deaths = np.unique(leave[spans.event], return_counts=True)
    d = deaths.astype(np.float64)
    entered = np.searchsorted(np.sort(entry), times, side="left")
    left = np.searchsorted(np.sort(leave[spans.begins]), times, side="left")
    size = (entered - left).astype(np.float64)
    scale = d * (size - d) / np.maximum(size - 1.0, 1.0)

    def steps(x: Float64) -> Float64:
        return np.concatenate([[0.0], np.cumsum(x)])

    return _Hazard(
        times, steps(d / size), steps(scale / size), steps(scale / size**2), int(d.sum())
    )


def _ranks(joins: JoinLog, spans: _Spans, times: Int64) -> tuple[Int32, Int32]:
    """Ranks of the joins and of the users' leaving among the event times."""
    shift, begin = _index(times)
    # Joins that nobody is at risk after have no rank, and nobody looks at them.
    joined, left = np.empty(joins.n_joins, np.int32), np.empty(joins.n_users, np.int32)
    rank_ticks(
        joins.offsets, joins.time, spans.zero, spans.leave, spans.n_rows, times, begin, shift,
        joined, left,
    )  # fmt: skip
    return joined, left


def _index(times: Int64) -> tuple[int, Int32]:
    """Where the times of each cell of 2^shift ticks begin; at most ``CELLS`` cells."""
    span = int(times[-1] - times[0]) if len(times) else 0
    shift = max(span.bit_length() - CELLS.bit_length() + 1, 0)
    edges = np.arange((span >> shift) + 2, dtype=np.int64) << shift
    return shift, np.searchsorted(times - times[:1], edges).astype(np.int32)


def _sums(
    joins: JoinLog, spans: _Spans, hazard: _Hazard, joined: Int32, left: Int32
) -> tuple[Int64, Float64]:
    """By group: memberships, events; rise of the hazard and of ``linear``, ticks."""
    counts, sums = np.zeros((joins.n_groups, 2), np.int64), np.zeros((joins.n_groups, 3))
    add_memberships(
        joins.offsets, joins.group, joins.time, spans.leave, spans.event, spans.n_rows, joined,
        left, hazard.cumulative, hazard.linear, counts, sums,
    )  # fmt: skip
    return counts, sums


def _squares(joins: JoinLog, spans: _Spans, hazard: _Hazard, joined: Int32, left: Int32) -> Float64:
    """Sum over event times of c (R_g / R)^2, c = d (R - d) / (R - 1).

    The variance's part in R_g is a sum over memberships; this one, in R_g^2, is one over the
    stretches of time between the comings and goings of a group's members, in which R_g stays.
    """
    join_end, leave_end = (np.zeros(len(hazard.times) + 2, np.int64) for _ in range(2))
    comer, leaver = np.empty(int(spans.n_rows.sum()), np.int32), np.empty(len(left), np.int32)
    rows = joins.offsets, joins.group, spans.n_rows
    deal_out(*rows, joined, left, join_end, leave_end, comer, leaver)
    state = np.zeros((joins.n_groups, 3))
    add_squares(*rows, join_end, leave_end, comer, leaver, hazard.quadratic, state)
    return state[:, 0]
