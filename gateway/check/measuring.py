"""One log of a check: made, given to the detectors, and what they said measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.arrays import Mask
from gateway.check.planting import Planted, Planting, eligible, plant
from gateway.check.rearranging import (
    Rearranged,
    permute_labels,
    permute_within_users,
    placebo_targets,
    reverse_time,
    sample_users,
)
from gateway.config.swept import CheckSection
from gateway.detect import UNRANKED, Detection, Measure
from gateway.detect.measure import words_of
from gateway.errors import GatewayError, Problem
from gateway.evaluate import average_precision, evaluation_table, spearman_among
from gateway.log.join_log import JoinLog
from gateway.targets import TargetSet

Run = Callable[[JoinLog, TargetSet], Mapping[str, Detection]]
"""Runs every detector on a log; findings by name of the detector."""

CALLED_AT = 0.05
# Not all of the eligible groups are made gateways: the others are what they are told from.
_MOST_PLANTED = 3
# Mean delay of a join that follows, where none is given: this part of the log's length.
_DELAY = 10


@dataclass(frozen=True, eq=False)
class Measured:
    """What detectors said of one log.

    Parameters
    ----------
    evaluation
        ``EVALUATION_SCHEMA``; the column ``truth`` names the log.
    calls
        The flagged groups: ``detector``, ``group``, ``rank``, ``estimate``, ``ci_low``,
        ``ci_high``, ``p_value``, ``q_value``. Where time is reversed, those of the log as it is.
    planted
        The planted gateways: ``group``, ``role``, ``strength``, ``n_joiners``, ``added``; None
        for another log.
    summary
        What was done to the log, and what detectors note of it as it is, as text by key.
    measures
        What the numbers of each detector mean.
    """

    evaluation: pa.Table
    calls: pa.Table
    planted: pa.Table | None
    summary: Mapping[str, str]
    measures: Mapping[str, Measure]


def measure_log(
    joins: JoinLog, targets: TargetSet, section: CheckSection, *, seed: int, run: Run
) -> Measured:
    """Make one log of a check, run the detectors on it, and measure what they say.

    Parameters
    ----------
    joins, targets
        The log as it is, and its target set.
    section
        Which log is made of it.
    seed
        Of all that is drawn for it.
    run
        Runs the detectors.

    Raises
    ------
    GatewayError
        If the log cannot be made, or a detector cannot use it.
    """
    if section.log is None:
        rule = "is missing: a sweep over [check] says which log is made, or use 'gateway check'"
        raise GatewayError(str(Problem("check.log", rule)))
    if section.users is not None:
        joins = sample_users(joins, section.users, seed=seed)
        of_sample = {"n_users": str(joins.n_users), "n_joins": str(joins.n_joins)}
        measured = _measure(joins, targets, section, seed=seed, run=run)
        return replace(measured, summary={**of_sample, **measured.summary})
    return _measure(joins, targets, section, seed=seed, run=run)


def _measure(
    joins: JoinLog, targets: TargetSet, section: CheckSection, *, seed: int, run: Run
) -> Measured:
    if section.log == "planted":
        changed = permute_within_users(joins, seed=seed) if section.permuted else None
        joins = joins if changed is None else changed.joins
        planted = plant(joins, targets, _planting(joins, targets, section), seed=seed)
        measured = _measure_planted(planted, targets, run)
        if changed is None:
            return measured
        into = {"planted_into": "with each user's groups permuted among that user's joins"}
        return replace(measured, summary={**_said(changed), **into, **measured.summary})
    if section.log == "placebo_targets":
        found = run(joins, placebo_targets(joins, targets, seed=seed))
        return _measured(_table(section.log, found, _calls), found, {})
    if section.log == "time_reversed":
        forwards, changed = run(joins, targets), reverse_time(joins)
        backwards = run(changed.joins, targets)
        table = _table(
            section.log, forwards, lambda found: _directions(found, backwards[found.detector])
        )
        notes = [
            f"{words_of(name)}: {note}" for name, one in forwards.items() for note in one.notes
        ]
        said = _said(changed) | ({"notes": "; ".join(notes)} if notes else {})
        return _measured(table, forwards, said)
    permute = permute_labels if section.log == "labels_permuted" else permute_within_users
    changed = permute(joins, seed=seed)
    found = run(changed.joins, targets)
    return _measured(_table(str(section.log), found, _calls), found, _said(changed))


_OF_CALLS = ["detector", "group", "rank", "estimate", "ci_low", "ci_high", "p_value", "q_value"]


def _measured(
    evaluation: pa.Table,
    found: Mapping[str, Detection],
    said: Mapping[str, str],
    planted: pa.Table | None = None,
) -> Measured:
    tables = [one.to_arrow() for one in found.values()]
    calls = pa.concat_tables([one.filter(one["flagged"]).select(_OF_CALLS) for one in tables])
    measures = {name: one.measure for name, one in found.items()}
    return Measured(evaluation, calls, planted, said, measures)


def _planting(joins: JoinLog, targets: TargetSet, section: CheckSection) -> Planting:
    there = len(eligible(joins, targets, section.min_joiners))
    if there < _MOST_PLANTED:
        raise GatewayError(
            f"gateways cannot be planted: {there:,} groups beside the targets have "
            f"{section.min_joiners:,} members, {_MOST_PLANTED} are needed"
        )
    first, last = joins.span
    delay = section.within if section.within is not None else max(1, (last - first) // _DELAY)
    if section.within is None and joins.tick == "second":
        delay = f"{delay}s"
    is_sent = section.sent > 0.0
    return Planting(
        ratio=None if is_sent else section.ratio,
        sent=section.sent if is_sent else None,
        within=delay if is_sent else None,
        count=min(section.gateways, there // _MOST_PLANTED),
        where=section.where,
        mechanism=section.mechanism,
        min_joiners=section.min_joiners,
    )


def _measure_planted(planted: Planted, targets: TargetSet, run: Run) -> Measured:
    found = run(planted.joins, targets)
    table = _table("planted", found, lambda d: _calls(d) | _against(d, planted))
    said = {"n_added": str(int(planted.added.sum())), "n_unplaced": str(planted.n_unplaced)}
    gateways = planted.to_arrow().filter(pa.array(planted.gateway))
    return _measured(table, found, said, gateways)


def _said(changed: Rearranged) -> dict[str, str]:
    traces = ", ".join(f"{name} {fate}" for name, fate in changed.traces.items())
    return {"traces": traces or "the log has none", "n_lost": str(changed.n_lost)}


def _table(
    log: str, found: Mapping[str, Detection], measure: Callable[[Detection], dict[str, float]]
) -> pa.Table:
    rows = [
        (name, log, metric, value, np.nan, np.nan)
        for name, detection in found.items()
        for metric, value in measure(detection).items()
    ]
    return evaluation_table(rows)


def _calls(found: Detection) -> dict[str, float]:
    """How many groups are called, how small the p-values are, and what the intervals hold."""
    tested = found.candidate & ~np.isnan(found.p_value)
    holds = _holds(found, _no_effect(found), found.candidate)
    return {
        "n_tested": _count(tested),
        "n_flagged": _count(found.flagged),
        "n_small_q": _count(found.q_value[tested] < CALLED_AT),
        "n_small_p": _count(found.p_value[tested] < CALLED_AT),
        "n_intervals": float(len(holds)),
        "n_holding": float(np.sum(holds)),
    }


def _no_effect(found: Detection) -> npt.NDArray[np.float64]:
    """Return the estimate of each group if it did nothing; NaN where none is known."""
    value = found.measure.estimate.no_effect
    if isinstance(value, str):
        return np.asarray(found.extra.get(value, np.full(len(found.rank), np.nan)), np.float64)
    return np.full(len(found.rank), np.nan if value is None else value)


def _holds(found: Detection, value: npt.NDArray[np.float64], among: Mask) -> Mask:
    """Whether each interval of some groups holds a value, where both are known."""
    known = among & ~np.isnan(found.ci_low) & ~np.isnan(found.ci_high) & ~np.isnan(value)
    return np.asarray(((found.ci_low <= value) & (value <= found.ci_high))[known])


def _against(found: Detection, planted: Planted) -> dict[str, float]:
    """How well the planted gateways are found; those that are not ranked stand last."""
    candidate, gateway, ranked = found.candidate, planted.gateway, found.rank != UNRANKED
    last = len(found.rank) + 1
    score = -np.where(ranked, found.rank, last).astype(np.float64)
    n_ranked = int(np.count_nonzero(gateway & ranked))
    measures = {
        "average_precision": average_precision(score[candidate], gateway[candidate]),
        "n_planted": _count(gateway),
        "n_added": float(planted.added.sum()),
        "n_unplaced": float(planted.n_unplaced),
        "n_planted_ranked": float(n_ranked),
        "precision_by_chance": n_ranked
        / np.count_nonzero(gateway)
        * precision_by_chance(int(np.count_nonzero(candidate & ranked)), n_ranked),
        "n_found": _count(gateway & found.flagged),
    }
    ratio = planted.planting.ratio
    if ratio is not None and found.measure.claims == "change" and found.measure.estimate.is_log:
        holds = _holds(found, np.full(len(gateway), ratio), gateway)
        measures |= {"n_planted_intervals": float(len(holds)),
                     "n_planted_holding": float(np.sum(holds))}  # fmt: skip
    return measures


def precision_by_chance(n: int, n_relevant: int) -> float:
    """Return the mean average precision of n groups in a random order; zero without a relevant one.

    The group in position i is relevant with the chance k / n, and the precision there has then
    the mean (1 + (i - 1) (k - 1) / (n - 1)) / i. Their sum over i, with the harmonic number H:
    (H + (k - 1) / (n - 1) (n - H)) / n.

    Examples
    --------
    >>> precision_by_chance(2, 1)
    0.75
    """
    if not n_relevant:
        return 0.0
    harmonic = float(np.sum(1.0 / np.arange(1, n + 1)))
    others = (n_relevant - 1) / max(n - 1, 1)
    return (harmonic + others * (n - harmonic)) / n


def _directions(forwards: Detection, backwards: Detection) -> dict[str, float]:
    both = (forwards.rank != UNRANKED) & (backwards.rank != UNRANKED)
    return {
        "n_tested": _count(~np.isnan(forwards.p_value)),
        "n_forwards": _count(forwards.flagged),
        "n_backwards": _count(backwards.flagged),
        "n_both_ways": _count(forwards.flagged & backwards.flagged),
        "n_forwards_small_q": _count(np.nan_to_num(forwards.q_value, nan=1.0) < CALLED_AT),
        "n_backwards_small_q": _count(np.nan_to_num(backwards.q_value, nan=1.0) < CALLED_AT),
        "rank_correlation": spearman_among(forwards.score, backwards.score, both),
    }


def _count(mask: Mask) -> float:
    return float(np.count_nonzero(mask))
