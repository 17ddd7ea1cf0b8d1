"""Do a detector's scores of the past tell who joins a target later?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import norm, rankdata

from gateway.arrays import Float64, Mask
from gateway.detect import UNRANKED, Detection, detectors_for, run_detector
from gateway.detect.registry import entry_of
from gateway.errors import LogError
from gateway.log import Duration, ticks_in
from gateway.log.join_log import JoinLog
from gateway.score import Scores, score_joins
from gateway.tabular import schema_of
from gateway.targets import TargetSet, check_learnable

PUBLISHED: Mapping[str, tuple[float, float]] = {
    "frequentist": (0.64, 0.83),
    "survival": (0.72, 0.90),
}
"""Ranges of AUC that the note's descendant reports for its two families of definitions."""

PREDICTION_SCHEMA = schema_of(
    "detector string, feature string, auc float64, ci_low float64, ci_high float64, "
    "n_users int64, n_later int64, published_low float64, published_high float64"
)


@dataclass(frozen=True, eq=False)
class Split:
    """A log cut at a tick: what detectors may learn from, and what came after.

    Parameters
    ----------
    tick
        The last tick of the past.
    past
        Joins up to and including it, of the users who have one; observation ends there.
    asked
        bool, shape (past.n_users,): users without a target join so far who are observed
        for at least one more tick.
    later
        bool, shape (past.n_users,): whether they join a target after it.
    """

    tick: int
    past: JoinLog
    asked: Mask
    later: Mask


def split_by_time(
    joins: JoinLog, targets: TargetSet, *, share: float = 0.5, horizon: Duration | None = None
) -> Split:
    """Cut a log after the tick by which ``share`` of those who ever join a target had done so.

    Parameters
    ----------
    joins, targets
        The log and the target set.
    share
        In (0, 1).
    horizon
        Ticks after the cut within which a target join counts; users who are not observed
        that long are not asked. None counts any later one, whatever the follow-up.

    Raises
    ------
    LogError
        If log or past cannot teach a classifier, or nobody or everybody asked joins a target
        later.
    """
    check_learnable(joins, targets)
    user, is_target = joins.user(), targets.mask[joins.group]
    # Joins of a user are sorted by time: the first of each is the earliest.
    _, first = np.unique(user[is_target], return_index=True)
    tick = int(np.quantile(joins.time[is_target][first], share, method="inverted_cdf"))
    is_past = joins.time <= tick
    kept = np.zeros(joins.n_users, np.bool_)
    kept[user[is_past]] = True
    dense = np.cumsum(kept) - 1
    past = JoinLog.from_arrays(
        dense[user[is_past]],
        joins.group[is_past],
        joins.time[is_past],
        users=joins.users.filter(pa.array(kept)),
        groups=joins.groups,
        tick=joins.tick,
        origin=joins.origin,
        observed_from=None if joins.observed_from is None else joins.observed_from[kept],
        observed_until=np.minimum(joins.observed_until, tick)[kept],
    )
    check_learnable(past, targets)
    within = is_target & ~is_past
    ticks = None if horizon is None else ticks_in(horizon, joins.tick, what="horizon")
    if ticks is not None:
        within &= joins.time <= np.int64(tick) + ticks
    enough = joins.observed_until >= np.int64(tick) + (1 if ticks is None else ticks)
    reached, later = np.zeros(joins.n_users, np.bool_), np.zeros(joins.n_users, np.bool_)
    reached[user[is_target & is_past]] = True
    later[user[within]] = True
    split = Split(tick, past, (~reached & enough)[kept], later[kept])
    if not 0 < np.count_nonzero(split.later[split.asked]) < np.count_nonzero(split.asked):
        raise LogError(
            "some users without a target join before the split must join one after it, and "
            f"some must not; of {np.count_nonzero(split.asked):,} users all or none do"
        )
    return split


def predict_later(
    joins: JoinLog,
    targets: TargetSet,
    *,
    detectors: Sequence[str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    share: float = 0.5,
    horizon: Duration | None = None,
    seed: int = 1,
) -> pa.Table:
    """Measure how well scores of the past tell who joins a target later.

    Every detector sees the past alone. A group's value is its score less the median score
    of the ranked groups, zero if it is not ranked; a user's features are the maximum, the
    mean and the sum of the values of the groups joined in the past. Beside the detectors
    stand the number of joins (``joins``), which asks nothing about which groups they are,
    and the scorer itself (``scorer``), cross-fitted on the past, at the user's last join.

    It is a test of association: a look-alike, which sends nobody, predicts as well as a
    gateway. Groups that nobody joined before the split are unknown to all.

    Parameters
    ----------
    joins, targets
        The log and the target set.
    detectors
        Names of detectors; None for all that the log has the columns for.
    options
        Options of some of them by name.
    share, horizon
        See ``split_by_time``; the horizon is the detectors' too.
    seed
        Seed of folds.

    Returns
    -------
    pyarrow.Table
        Columns of ``PREDICTION_SCHEMA``; the published ranges where there are some.

    Raises
    ------
    LogError
        See ``split_by_time``.
    """
    split = split_by_time(joins, targets, share=share, horizon=horizon)
    scores = score_joins(split.past, targets, horizon=horizon, seed=seed)
    rows = [_row(split, "joins", "count", np.diff(split.past.offsets).astype(np.float64)),
            _row(split, "scorer", "last", _last_probability(scores))]  # fmt: skip
    for name in detectors_for(split.past) if detectors is None else detectors:
        given = scores if entry_of(name).needs_scores else None
        found = run_detector(
            name, split.past, targets, scores=given, horizon=horizon, seed=seed,
            options=entry_of(name).options(**(options or {}).get(name, {})),
        )  # fmt: skip
        rows += [_row(split, name, feature, x) for feature, x in _features(split.past, found)]
    return pa.Table.from_pylist(rows, schema=PREDICTION_SCHEMA)


def _row(split: Split, detector: str, feature: str, x: Float64) -> dict[str, Any]:
    later = split.later[split.asked]
    measured = auc_with_interval(x[split.asked], later)
    auc, low, high = (None if np.isnan(value) else value for value in measured)
    published = PUBLISHED.get(detector, (None, None))
    return {
        "detector": detector,
        "feature": feature,
        "auc": auc,
        "ci_low": low,
        "ci_high": high,
        "n_users": len(later),
        "n_later": int(np.count_nonzero(later)),
        "published_low": published[0],
        "published_high": published[1],
    }


def _features(past: JoinLog, found: Detection) -> Iterator[tuple[str, Float64]]:
    """Maximum, mean and sum over each user's groups, shape (n_users,) each."""
    ranked = found.rank != UNRANKED
    centre = float(np.median(found.score[ranked])) if ranked.any() else 0.0
    value = np.where(ranked, found.score - centre, 0.0)[past.group]
    total = np.add.reduceat(value, past.offsets[:-1])
    yield "max", np.maximum.reduceat(value, past.offsets[:-1])
    yield "mean", total / np.diff(past.offsets)
    yield "sum", total


def _last_probability(scores: Scores) -> Float64:
    """Probability after the user's last block, zero for users without a scored join."""
    rows = scores.prefixes
    found, has_row = np.zeros(rows.n_users), np.diff(rows.offsets) > 0
    found[has_row] = scores.at_end[(rows.offsets[1:] - 1)[has_row]]
    return found


def auc_with_interval(
    score: Float64, outcome: Mask, *, level: float = 0.95
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
