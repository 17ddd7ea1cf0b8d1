"""The hazard of the first target join before and after a join of g."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import gamma

from gateway.detect.detection import Detection
from gateway.detect.findings import Findings, count_by_group, sum_by_group
from gateway.detect.shrinkage import gamma_prior, ratio
from gateway.detect.significance import binomial_bound
from gateway.joins import JoinLog
from gateway.score import build_prefixes
from gateway.targets import TargetSet

__all__ = ["Clock", "SurvivalOptions", "detect_survival"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Clock = Literal["calendar", "tenure"]


@dataclass(frozen=True)
class SurvivalOptions:
    """Choices of the survival detector.

    Parameters
    ----------
    clock
        What users at risk are compared at: the same tick of the ``calendar``, or the same
        ``tenure``, ticks since the user's first join.
    min_joiners
        A group with fewer joiners who stay at risk after the join is not ranked.
    alpha
        False-discovery rate of the flags.
    """

    clock: Clock = "calendar"
    min_joiners: int = 20
    alpha: float = 0.05


class _AtRisk(NamedTuple):
    """Who is at risk when: ticks t with entry < t <= leave; rows are joins within that span."""

    entry: Int64
    leave: Int64
    event: npt.NDArray[np.bool_]
    group: npt.NDArray[np.int32]
    joined: Int64
    until: Int64
    followed: npt.NDArray[np.bool_]


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

    Score = (O_g + a) / (E_g + b), the relative hazard under an empirical-Bayes gamma prior;
    the interval is its posterior's. The p-value is the binomial bound on O_g with the risk
    sets taken as given (a hypergeometric count is a sum of Bernoulli variables; Vatutin,
    Mikhailov 1982). Extra columns: ``hazard_ratio``, (O_g / E_g) / ((D - O_g) / (D - E_g)),
    members against the others (Pike 1972); ``excess_hazard``, Aalen's additive one,
    (O_g - E_g) over the ticks at risk; ``statistic``, (O_g - E_g) / sqrt V_g.

    *When it misleads.* The comparison is between users, so whoever is inclined to the
    targets raises the hazard of every group that such users like: look-alikes score as
    high as gateways. *The p-value does not hold its level where users differ in activity*:
    the active join more of everything, so that the members of any group are more active
    than the others at risk. On a log of 3 M joins at random, with lognormal activity and
    nothing true in it, q < .05 flags 2,481 of 14,959 groups
    (``experiments/bench_detectors.py``). Censoring is taken to be independent of the outcome.

    Cost: O(joins log joins), for the sorting behind V_g.

    Parameters
    ----------
    joins, targets
        The log and the target set.
    options
        Choices; by default ``SurvivalOptions()``.

    Returns
    -------
    Detection
        ``estimate`` is O_g / E_g, ``n_joiners`` the joiners at risk after the join,
        ``n_spiking`` is O_g.

    References
    ----------
    Mantel (1966), Cancer Chemother. Rep. 50(3); Peto, Peto (1972), J. R. Stat. Soc. A
    135(2); Aalen (1978), Ann. Stat. 6(4); Pike (1972), J. R. Stat. Soc. A 135(2), in
    discussion; Clayton, Kaldor (1987), Biometrics 43(3), for the prior.
    """
    options = options or SurvivalOptions()
    risk = _at_risk(joins, targets, clock=options.clock)
    hazard = _pooled_hazard(risk)
    size = joins.n_groups
    n = count_by_group(risk.group, size)
    observed = count_by_group(risk.group[risk.followed], size)
    expected = sum_by_group(risk.group, _over(hazard, hazard.cumulative, risk), size)
    ticks = sum_by_group(risk.group, (risk.until - risk.joined).astype(np.float64), size)
    deviation = np.sqrt(_variance(risk, hazard, size))
    ranked = ~targets.mask & (n >= options.min_joiners)
    a, b = gamma_prior(observed[ranked], expected[ranked])
    posterior = gamma(observed + a, scale=1.0 / (expected + b))
    others = ratio(hazard.events - observed, hazard.events - expected)
    found = Findings(
        score=(observed + a) / (expected + b),
        estimate=ratio(observed, expected),
        ci_low=np.asarray(posterior.ppf(0.025)),
        ci_high=np.asarray(posterior.ppf(0.975)),
        n_joiners=n,
        n_spiking=observed,
        p_value=binomial_bound(observed, np.full(size, hazard.events), expected),
        extra={
            "hazard_ratio": ratio(ratio(observed, expected), others),
            "excess_hazard": ratio(observed - expected, ticks),
            "statistic": ratio(observed - expected, deviation),
        },
    )
    return found.rank(
        "survival", joins, targets, min_joiners=options.min_joiners, alpha=options.alpha
    )


def _at_risk(joins: JoinLog, targets: TargetSet, *, clock: Clock) -> _AtRisk:
    """Spans of users and of their memberships, on the clock."""
    rows = build_prefixes(joins, targets)
    user, has_row = rows.user(), np.diff(rows.offsets) > 0
    entry = joins.time[joins.offsets[:-1][has_row]].astype(np.int64)
    leave = joins.observed_until.astype(np.int64)
    is_target = targets.mask[joins.group]
    first = np.full(joins.n_users, np.iinfo(np.int64).max)
    np.minimum.at(first, joins.user()[is_target], joins.time[is_target].astype(np.int64))
    event = first <= leave
    leave = np.minimum(leave, first)
    start = np.zeros(joins.n_users, np.int64)
    start[has_row] = entry
    zero = start if clock == "tenure" else np.zeros(joins.n_users, np.int64)
    stays = rows.time < leave[user]
    user, joined = user[stays], rows.time[stays].astype(np.int64)
    return _AtRisk(
        entry=(start - zero)[has_row],
        leave=(leave - zero)[has_row],
        event=(event & (leave > start))[has_row],
        group=rows.group[stays],
        joined=joined - zero[user],
        until=(leave - zero)[user],
        followed=event[user],
    )


def _pooled_hazard(risk: _AtRisk) -> _Hazard:
    """Sums over event times of d / R and of the parts of the hypergeometric variance."""
    times, deaths = np.unique(risk.leave[risk.event], return_counts=True)
    d = deaths.astype(np.float64)
    entered = np.searchsorted(np.sort(risk.entry), times, side="left")
    left = np.searchsorted(np.sort(risk.leave), times, side="left")
    size = (entered - left).astype(np.float64)
    scale = d * (size - d) / np.maximum(size - 1.0, 1.0)

    def steps(x: Float64) -> Float64:
        return np.concatenate([[0.0], np.cumsum(x)])

    return _Hazard(
        times, steps(d / size), steps(scale / size), steps(scale / size**2), int(d.sum())
    )


def _at(hazard: _Hazard, steps: Float64, time: Int64) -> Float64:
    """Value of a step function, its step at ``time`` included."""
    return np.asarray(steps[np.searchsorted(hazard.times, time, side="right")])


def _over(hazard: _Hazard, steps: Float64, risk: _AtRisk) -> Float64:
    """Rise of a step function over each membership."""
    return _at(hazard, steps, risk.until) - _at(hazard, steps, risk.joined)


def _variance(risk: _AtRisk, hazard: _Hazard, n_groups: int) -> Float64:
    """Sum over event times of c (R_g / R)(1 - R_g / R), c = d (R - d) / (R - 1).

    The part in R_g is a sum over memberships; that in R_g^2 is one over the stretches of
    time between the comings and goings of a group's members, during which R_g stays.
    """
    group = np.concatenate([risk.group, risk.group]).astype(np.int64)
    tick = np.concatenate([risk.joined, risk.until])
    change = np.repeat([1, -1], len(risk.group))
    order = np.lexsort((tick, group))
    group, tick = group[order], tick[order]
    # All of a group's members have left when the next group begins: one sum does for all.
    members = np.cumsum(change[order])
    at = _at(hazard, hazard.quadratic, tick)
    rise = np.diff(at, append=0.0)
    within = np.append(group[1:] == group[:-1], False) if len(group) else np.zeros(0, bool)
    squares = np.where(within, rise * members.astype(np.float64) ** 2, 0.0)
    linear = sum_by_group(risk.group, _over(hazard, hazard.linear, risk), n_groups)
    quadratic = np.bincount(group, weights=squares, minlength=n_groups)
    return np.maximum(linear - quadratic, 0.0)
