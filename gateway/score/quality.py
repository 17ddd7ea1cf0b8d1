"""How good the scores are: discrimination, sharpness, calibration."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import binomtest, t

from gateway.arrays import Float64, Int64
from gateway.score.prefixes import POSITION_EDGES, NewColumn, Prefixes, block_mean
from gateway.tabular import schema_of

# Probabilities of outcome 0, and of outcome 1, each in order.
_ByOutcome = tuple[Float64, Float64]
_EPSILON = float(np.finfo(np.float64).eps)
_ROWS = 1 << 18
_POSITIONS = len(POSITION_EDGES) + 1
# Calendar bins of the predictor that knows no group, and rows to each cell of it.
_CALENDAR_BINS = 30
_ROWS_PER_CELL = 100
# Joins at the base rate that are added to a last group's.
_LAST_PRIOR = 20.0
_RELIABILITY = schema_of(
    "bin int32, n int64, predicted double, observed double, ci_low double, ci_high double"
)


@dataclass(frozen=True)
class Quality:
    """One measure, with a 95 % interval from its spread over folds (None without one)."""

    metric: str
    value: float
    ci_low: float | None = None
    ci_high: float | None = None


def measure_quality(
    p: Float64, label: npt.NDArray[np.int8], fold: npt.NDArray[np.int8]
) -> tuple[Quality, ...]:
    """Measure out-of-fold probabilities against outcomes.

    A measure is its mean over the K folds, since each fold has a model of its own; its
    interval is mean +- t(K - 1) sd / sqrt(K). Folds share training users, so the interval
    is approximate and a little narrow. Where some fold has only one outcome, the measure
    is that of all rows, without an interval.

    Parameters
    ----------
    p
        Probabilities, shape (n,).
    label
        Outcomes 0 or 1, shape (n,).
    fold
        Fold of each row's user, shape (n,).
    """
    parts = [(p[(fold == k) & (label == 0)], p[(fold == k) & (label == 1)])
             for k in np.unique(fold)]  # fmt: skip
    return _measure([(np.sort(low), np.sort(high)) for low, high in parts])


def measure_scores(
    prefixes: Prefixes, p: Float64, fold: npt.NDArray[np.int8], *, new_column: NewColumn
) -> tuple[Quality, ...]:
    """Measure probabilities at the ends of blocks, shape (n_rows,), on the rows to train on.

    As ``measure_quality``; ``fold`` is of each user, and ``new_column`` makes columns to work
    in.
    """
    present = np.unique(fold)
    of_user = np.searchsorted(present, fold)
    return _measure(_by_outcome(prefixes, p, of_user, len(present), new_column))


def _measure(parts: list[_ByOutcome]) -> tuple[Quality, ...]:
    zeros, ones = (sum(len(part[k]) for part in parts) for k in (0, 1))
    found: list[Quality] = []
    if zeros and ones:
        if len(parts) < 2 or not all(len(x) for part in parts for x in part):
            low, high = (np.sort(np.concatenate(x)) for x in zip(*parts, strict=True))
            parts = [(low, high)]
        found = [_over_folds(name, np.array([measure(*part) for part in parts]))
                 for name, measure in _MEASURES.items()]  # fmt: skip
    n = zeros + ones
    return (*found, Quality("base_rate", ones / n), Quality("n_rows", float(n)))


def _by_outcome(
    prefixes: Prefixes,
    p: Float64,
    of_user: npt.NDArray[np.int64],
    folds: int,
    new_column: NewColumn,
) -> list[_ByOutcome]:
    """Gather the probabilities of the rows to train on by fold and outcome, and sort them."""

    def places(users: slice, part: Prefixes) -> npt.NDArray[np.int64]:
        of_row = np.repeat(of_user[users], np.diff(part.offsets))[part.trains]
        return 2 * of_row + part.label[part.trains]

    sizes = np.zeros(2 * folds, np.int64)
    for users, _, part in prefixes.parts():
        sizes += np.bincount(places(users, part), minlength=2 * folds)
    columns = [new_column(f"quality_{k}", np.float64, n) for k, n in enumerate(sizes.tolist())]
    end = np.zeros(2 * folds, np.int64)
    for users, rows, part in prefixes.parts():
        place, found = places(users, part), p[rows][part.trains]
        for k, column in enumerate(columns):
            mine = found[place == k]
            column[end[k] : end[k] + len(mine)] = mine
            end[k] += len(mine)
    for column in columns:
        column.sort()
    return list(zip(columns[::2], columns[1::2], strict=True))


def _over_folds(name: str, folds: Float64) -> Quality:
    """Return the mean over folds and its interval, from the value in each fold."""
    value = float(folds.mean())
    if len(folds) < 2:
        return Quality(name, value)
    half = float(t.ppf(0.975, len(folds) - 1) * folds.std(ddof=1) / np.sqrt(len(folds)))
    return Quality(name, value, value - half, value + half)


def _auc(low: Float64, high: Float64) -> float:
    """Share of pairs in the right order (Mann, Whitney 1947), equal ones half."""
    below = 0
    for first in range(0, len(high), _ROWS):
        # In order: a search for such values finds its way through the cache.
        some = high[first : first + _ROWS]
        below += int(np.searchsorted(low, some, side="left").sum())
        below += int(np.searchsorted(low, some, side="right").sum())
    return below / 2.0 / len(low) / len(high)


def _log_loss(low: Float64, high: Float64) -> float:
    # As scikit-learn: 0 and 1 are moved in by a rounding error.
    lost = _total(lambda p: np.log1p(-np.clip(p, _EPSILON, 1.0 - _EPSILON)), low)
    lost += _total(lambda p: np.log(np.clip(p, _EPSILON, 1.0 - _EPSILON)), high)
    return -lost / (len(low) + len(high))


def _brier(low: Float64, high: Float64) -> float:
    miss = _total(np.square, low) + _total(lambda p: np.square(1.0 - p), high)
    return miss / (len(low) + len(high))


def _total(of: Callable[[Float64], Float64], x: Float64) -> float:
    return sum(float(of(x[first : first + _ROWS]).sum()) for first in range(0, len(x), _ROWS))


_MEASURES = {"auc": _auc, "log_loss": _log_loss, "brier": _brier}


def measure_baselines(
    prefixes: Prefixes, p: Float64, fold: npt.NDArray[np.int8], *, new_column: NewColumn
) -> tuple[Quality, ...]:
    """Return the AUC of predictors that anything learnt should beat; none without an outcome.

    ``auc_without_groups``: from the number of joins so far and the calendar.
    ``auc_joins_so_far``: from the number of joins so far alone. ``auc_last_group``: the share of
    the outcome after joins of the last group. All learn from the users of the other folds, each
    with the base rate added. With a horizon, ``auc_any_time`` and its like are the AUC of the
    same scores, and of the baselines, against whether a target is joined at any later time.

    ``p``, ``fold`` and ``new_column`` as in ``measure_scores``.
    """
    found = (
        *_by_time(prefixes, fold, "auc_without_groups", calendar=True),
        *_trivial(prefixes, fold, "auc", new_column),
    )
    if prefixes.reached is None or prefixes.trains.sum() == 0:
        return found
    ever = prefixes.at_any_time(new_column)
    if all(np.array_equal(a.label, b.label) for (_, _, a), (_, _, b) in
           zip(prefixes.parts(), ever.parts(), strict=True)):  # fmt: skip
        return found
    auc = _auc_alone(ever, p, fold, "auc_any_time", new_column)
    return (*found, *auc, *_trivial(ever, fold, "auc_any_time", new_column))


def _trivial(
    prefixes: Prefixes, fold: npt.NDArray[np.int8], name: str, new_column: NewColumn
) -> tuple[Quality, ...]:
    """Both trivial predictors against the labels of some rows."""
    last = _last_group_shares(prefixes, fold, new_column)
    return (
        *_by_time(prefixes, fold, f"{name}_joins_so_far", calendar=False),
        *_auc_alone(prefixes, last, fold, f"{name}_last_group", new_column),
    )


def _auc_alone(
    prefixes: Prefixes, p: Float64, fold: npt.NDArray[np.int8], name: str, new_column: NewColumn
) -> tuple[Quality, ...]:
    measured = measure_scores(prefixes, p, fold, new_column=new_column)
    return tuple(replace(q, metric=name) for q in measured if q.metric == "auc")


def _last_group_shares(
    prefixes: Prefixes, fold: npt.NDArray[np.int8], new_column: NewColumn
) -> Float64:
    """Share of outcome 1 after joins of each row's last group, learnt from the other folds.

    The mean over the groups of a block, each of whose joins count as one in all;
    ``_LAST_PRIOR`` joins at the base rate are added.
    """
    shape = int(fold.max(initial=0)) + 1, prefixes.n_groups
    n, k = np.zeros(shape), np.zeros(shape)
    for users, _, part in prefixes.parts():
        known = part.resolved
        row_fold = np.repeat(fold[users], np.diff(part.offsets))[known].astype(np.int64)
        at, weight = row_fold * shape[1] + part.group[known], 1.0 / part.block_size()[known]
        n += np.bincount(at, weight, n.size).reshape(shape)
        k += np.bincount(at, weight * (part.label[known] == 1), n.size).reshape(shape)
    n, k = n.sum(axis=0) - n, k.sum(axis=0) - k
    base = (k.sum(axis=1, keepdims=True) + 0.5) / (n.sum(axis=1, keepdims=True) + 1.0)
    share = (k + _LAST_PRIOR * base) / (n + _LAST_PRIOR)
    found = new_column("last_group", np.float64, len(prefixes.group))
    for users, rows, part in prefixes.parts():
        own = share[np.repeat(fold[users], np.diff(part.offsets)), part.group]
        found[rows] = block_mean(part, own)
    return found


def _by_time(
    prefixes: Prefixes, fold: npt.NDArray[np.integer], name: str, *, calendar: bool
) -> tuple[Quality, ...]:
    """Return the AUC of shares by the number of joins so far, and the calendar where asked."""
    cuts = np.zeros(0)
    if calendar:
        time = np.concatenate([part.time[part.trains] for _, _, part in prefixes.parts()])
        bins = int(np.clip(len(time) // (_ROWS_PER_CELL * _POSITIONS), 1, _CALENDAR_BINS))
        cuts = np.unique(np.quantile(time, np.arange(1, bins) / bins, overwrite_input=True))
    folds = int(fold.max()) + 1
    counts = [
        _count_cells(part, fold[users], cuts, folds=folds) for users, _, part in prefixes.parts()
    ]
    return _auc_by_cell(name, np.sum(counts, axis=0))


def _count_cells(
    prefixes: Prefixes, fold: npt.NDArray[np.integer], cuts: Float64, *, folds: int
) -> Int64:
    """Count the rows to train on, shape (folds, n_cells, 2): by fold, cell and outcome.

    A cell is a bin of the number of joins so far and one of calendar time, of which ``cuts``
    are where bins begin, but the first. ``fold`` is of each user.
    """
    row = np.flatnonzero(prefixes.trains)
    user = np.searchsorted(prefixes.offsets, row, side="right") - 1
    so_far = row - prefixes.offsets[user] + 1
    position = np.searchsorted(POSITION_EDGES, so_far, side="right")
    calendar = np.searchsorted(cuts, prefixes.time[row], side="right")
    shape = (folds, _POSITIONS, len(cuts) + 1, 2)
    at = np.ravel_multi_index(
        (fold[user].astype(np.int64), position, calendar, prefixes.label[row]), shape
    )
    return np.bincount(at, minlength=int(np.prod(shape))).reshape(folds, -1, 2)


def _auc_by_cell(name: str, counts: Int64) -> tuple[Quality, ...]:
    """Return the AUC of the share of outcome 1 in each cell, in a tuple; none without an outcome.

    Who came earlier has longer to go on until the log ends, and who has joined much so far
    is at another place in the history: both tell outcomes apart without any group, most of
    all without a horizon. The share is that among the users of the other folds, one row of the
    base rate added. ``counts`` are those of ``_count_cells``.
    """
    counts = counts[counts.sum(axis=(1, 2)) > 0]
    total = counts.sum(axis=0)
    if not total.sum(axis=0).all():
        return ()
    others = (total - counts).astype(np.float64)
    n = others.sum(axis=(1, 2), keepdims=True)
    # A single fold has nobody else to learn from: the same value for all.
    base = others[..., 1].sum(axis=1, keepdims=True) / np.maximum(n[..., 0], 1.0)
    p = (others[..., 1] + base) / (others.sum(axis=2) + 1.0)
    if len(counts) < 2 or not counts.sum(axis=1).all():
        return (Quality(name, _auc_of_cells(p.ravel(), counts.reshape(-1, 2))),)
    return (_over_folds(name, np.array([_auc_of_cells(*k) for k in zip(p, counts, strict=True)])),)


def _auc_of_cells(p: Float64, counts: Int64) -> float:
    """Share of pairs in the right order, equal ones half, of counts by predicted value."""
    _, at = np.unique(p, return_inverse=True)
    low, high = (np.bincount(at, counts[:, y]) for y in (0, 1))
    below = np.cumsum(low) - low / 2.0
    return float(high @ below) / float(low.sum()) / float(high.sum())


def reliability_table(p: Float64, label: npt.NDArray[np.int8], *, bins: int = 10) -> pa.Table:
    """Return mean prediction and observed share in bins of equal count.

    Intervals are Wilson's, 95 %; rows of one user are correlated, so they are a little
    narrow. Equal predictions are never split over two bins.
    """
    cuts = np.unique(np.quantile(p, np.arange(1, bins) / bins))
    found: list[dict[str, Any]] = []
    for low, high in itertools.pairwise([-np.inf, *cuts, np.inf]):
        inside = (p > low) & (p <= high)
        if inside.any():
            y, q = label[inside], p[inside]
            ci = binomtest(int(y.sum()), len(y)).proportion_ci(method="wilson")
            found.append({"bin": len(found), "n": len(y), "predicted": q.mean(),
                          "observed": y.mean(), "ci_low": ci.low, "ci_high": ci.high})  # fmt: skip
    return pa.Table.from_pylist(found, _RELIABILITY)
