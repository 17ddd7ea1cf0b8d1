"""How good the scores are: discrimination, sharpness, calibration."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import binomtest, t

from gateway.score.prefixes import POSITION_EDGES, NewColumn, Prefixes

__all__ = ["Quality", "measure_quality", "measure_scores", "reliability_table", "without_groups"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
# Probabilities of outcome 0, and of outcome 1, each in order.
_ByOutcome = tuple[Float64, Float64]
_EPSILON = float(np.finfo(np.float64).eps)
_ROWS = 1 << 18
_POSITIONS = len(POSITION_EDGES) + 1
# Calendar bins of the predictor that knows no group, and rows to each cell of it.
_CALENDAR_BINS = 30
_ROWS_PER_CELL = 100


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


def without_groups(prefixes: Prefixes, fold: npt.NDArray[np.integer]) -> tuple[Quality, ...]:
    """Return the measure ``auc_without_groups``; ``fold``: of each user."""
    time = np.concatenate([part.time[part.trains] for _, _, part in prefixes.parts()])
    bins = int(np.clip(len(time) // (_ROWS_PER_CELL * _POSITIONS), 1, _CALENDAR_BINS))
    cuts = np.unique(np.quantile(time, np.arange(1, bins) / bins, overwrite_input=True))
    folds = int(fold.max()) + 1
    counts = [
        _count_cells(part, fold[users], cuts, folds=folds) for users, _, part in prefixes.parts()
    ]
    return _auc_without_groups(np.sum(counts, axis=0))


def _count_cells(
    prefixes: Prefixes, fold: npt.NDArray[np.integer], cuts: Float64, *, folds: int
) -> Int64:
    """Count the rows to train on, shape (folds, n_cells, 2): by fold, cell and outcome.

    A cell is a bin of the number of joins so far and one of calendar time.

    Parameters
    ----------
    prefixes
        All rows of some users.
    fold
        Of each user, from 0 to ``folds`` - 1.
    cuts
        Where bins of the calendar begin, but the first.
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


def _auc_without_groups(counts: Int64) -> tuple[Quality, ...]:
    """Return the AUC of a predictor that knows no group, in a tuple; none without an outcome.

    Who came earlier has longer to go on until the log ends, and who has joined much so far
    is at another place in the history: both tell outcomes apart without any group, most of
    all without a horizon. The predictor is the share of outcome 1 in a cell among the users
    of the other folds, one row of the base rate added. An AUC of a scorer means knowledge of
    groups only where it is above this one; since the scorer sees no calendar, it can be below.

    Parameters
    ----------
    counts
        From ``count_cells``, shape (folds, n_cells, 2).
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
    name = "auc_without_groups"
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
    rows: list[tuple[int, int, float, float, float, float]] = []
    for low, high in itertools.pairwise([-np.inf, *cuts, np.inf]):
        inside = (p > low) & (p <= high)
        if not inside.any():
            continue
        y, q = label[inside], p[inside]
        ci = binomtest(int(y.sum()), len(y)).proportion_ci(method="wilson")
        rows.append((len(rows), len(y), q.mean(), y.mean(), ci.low, ci.high))
    bin_, n, predicted, observed, ci_low, ci_high = zip(*rows, strict=True)
    return pa.table(
        {
            "bin": pa.array(bin_, pa.int32()),
            "n": pa.array(n, pa.int64()),
            "predicted": pa.array(predicted, pa.float64()),
            "observed": pa.array(observed, pa.float64()),
            "ci_low": pa.array(ci_low, pa.float64()),
            "ci_high": pa.array(ci_high, pa.float64()),
        }
    )
