"""How good the scores are: discrimination, sharpness, calibration."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import binomtest, t
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from gateway.score.prefixes import POSITION_EDGES, Prefixes

__all__ = [
    "Quality", "auc_without_groups", "calendar_shares", "count_cells", "measure_quality",
    "over_folds", "reliability_table", "without_groups",
]  # fmt: skip

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
_EPSILON = float(np.finfo(np.float64).eps)
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
    p: Float64, label: npt.NDArray[np.int8], fold: npt.NDArray[np.int8], *, many: bool = False
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
    many
        Whether to compute the same by less work and memory than scikit-learn, which changes
        last digits.
    """
    measures = {"auc": roc_auc_score, "log_loss": log_loss, "brier": brier_score_loss}
    if many:
        measures = {"auc": _auc, "log_loss": _log_loss, "brier": _brier}
    found: list[Quality] = []
    if label.min() != label.max():
        parts = [(label[mine], p[mine]) for mine in (fold == k for k in np.unique(fold))]
        found = [_with_spread(name, f, (label, p), parts) for name, f in measures.items()]
    return (
        *found,
        Quality("base_rate", float(label.mean())),
        Quality("n_rows", float(len(label))),
    )


def _with_spread(name, measure, whole, parts) -> Quality:  # type: ignore[no-untyped-def]
    if any(y.min() == y.max() for y, _ in parts) or len(parts) < 2:
        return Quality(name, float(measure(*whole)))
    return over_folds(name, np.array([measure(y, q) for y, q in parts]))


def over_folds(name: str, folds: Float64) -> Quality:
    """Return the mean over folds and its interval, from the value in each fold."""
    half = float(t.ppf(0.975, len(folds) - 1) * folds.std(ddof=1) / np.sqrt(len(folds)))
    value = float(folds.mean())
    return Quality(name, value, value - half, value + half)


def _auc(label: npt.NDArray[np.int8], p: Float64) -> float:
    """Share of pairs in the right order (Mann, Whitney 1947), equal ones half."""
    # Both sorted: a search for values in order finds its way through the cache.
    low, high = np.sort(p[label == 0]), np.sort(p[label == 1])
    below = np.searchsorted(low, high, side="left") + np.searchsorted(low, high, side="right")
    return float(below.sum()) / 2.0 / len(low) / len(high)


def _log_loss(label: npt.NDArray[np.int8], p: Float64) -> float:
    # As scikit-learn: 0 and 1 are moved in by a rounding error.
    q = np.clip(p, _EPSILON, 1.0 - _EPSILON)
    lost = np.log(q[label == 1]).sum() + np.log1p(-q[label == 0]).sum()
    return -float(lost) / len(label)


def _brier(label: npt.NDArray[np.int8], p: Float64) -> float:
    miss = p - label
    return float(miss @ miss) / len(label)


def without_groups(prefixes: Prefixes, fold: npt.NDArray[np.integer]) -> tuple[Quality, ...]:
    """Return ``auc_without_groups`` of prefixes in memory; ``fold``: of each user."""
    trains = prefixes.trains
    time = prefixes.time[trains]
    cuts = np.unique(np.quantile(time, calendar_shares(len(time))))
    return auc_without_groups(count_cells(prefixes, fold, cuts, folds=int(fold.max()) + 1))


def calendar_shares(count: int) -> Float64:
    """Return at which quantiles of so many rows the calendar is cut."""
    bins = int(np.clip(count // (_ROWS_PER_CELL * _POSITIONS), 1, _CALENDAR_BINS))
    return np.arange(1, bins) / bins


def count_cells(
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


def auc_without_groups(counts: Int64) -> tuple[Quality, ...]:
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
    return (over_folds(name, np.array([_auc_of_cells(*k) for k in zip(p, counts, strict=True)])),)


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
