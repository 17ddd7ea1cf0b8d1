"""How good stored scores are: the measures of ``measure_quality``, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gateway.joins_io.partitioned import map_column
from gateway.score.quality import (
    Quality,
    auc_without_groups,
    calendar_shares,
    count_cells,
    over_folds,
)
from gateway.score.selection import area_under_curve, exact_quantiles
from gateway.score.stored import StoredPrefixes

__all__ = ["measure_stored"]

Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Pairs = Callable[[], Iterator[tuple[Float64, Mask]]]

# Probabilities that are in memory at once, for the area under the curve.
_MOST = 1 << 18
_ROUNDING = float(np.finfo(np.float64).eps)


def measure_stored(prefixes: StoredPrefixes, folds: int) -> tuple[Quality, ...]:
    """Measure the scores at the ends of blocks against the outcomes.

    Parameters
    ----------
    prefixes
        With the column ``at_end``.
    folds
        Number of folds.
    """
    rows, positive = np.zeros(folds, np.int64), np.zeros(folds, np.int64)
    for _, label, fold in _trained_on(prefixes, folds):
        rows += np.bincount(fold, minlength=folds)
        positive += np.bincount(fold[label], minlength=folds)
    n, hits = int(rows.sum()), int(positive.sum())
    given = (
        Quality("base_rate", hits / n),
        Quality("n_rows", float(n)),
        *_without_groups(prefixes, folds, n),
    )
    if hits in (0, n):
        return given
    there = np.flatnonzero(rows)
    both = bool(((positive > 0) & (positive < rows))[there].all()) and len(there) > 1
    if not both:
        values = _measures(lambda: ((p, y) for p, y, _ in _trained_on(prefixes, folds)), n,
                           prefixes.folder)  # fmt: skip
        return (*(Quality(name, value) for name, value in values.items()), *given)
    found = [
        _measures(_of_fold(prefixes, folds, k), int(rows[k]), prefixes.folder)
        for k in there.tolist()
    ]
    return (*(over_folds(name, np.array([f[name] for f in found])) for name in found[0]), *given)


def _without_groups(prefixes: StoredPrefixes, folds: int, n: int) -> tuple[Quality, ...]:
    cuts = np.unique(
        exact_quantiles(
            lambda: (piece.time[piece.trains] for _, piece in prefixes.blocks()),
            calendar_shares(n),
        )
    )
    counts = [
        count_cells(piece, (piece.chance * folds).astype(np.int64), cuts, folds=folds)
        for _, piece in prefixes.blocks()
    ]
    return auc_without_groups(np.sum(counts, axis=0))


def _trained_on(
    prefixes: StoredPrefixes, folds: int
) -> Iterator[tuple[Float64, Mask, npt.NDArray[np.int64]]]:
    """Yield probability, outcome and fold of the rows to train on."""
    at_end = map_column(prefixes.folder, "at_end", np.float64)
    for rows, piece in prefixes.blocks():
        trains = piece.trains
        fold = (piece.chance * folds).astype(np.int64)[piece.user()]
        yield at_end[rows][trains], piece.label[trains] == 1, fold[trains]


def _of_fold(prefixes: StoredPrefixes, folds: int, k: int) -> Pairs:
    return lambda: ((p[f == k], y[f == k]) for p, y, f in _trained_on(prefixes, folds))


def _measures(pairs: Pairs, n: int, folder: Path) -> dict[str, float]:
    """Area under the curve, mean log-loss and mean squared error (Brier)."""
    loss = error = 0.0
    for p, y in pairs():
        # Off 0 and 1 by rounding, as scikit-learn has it.
        kept = np.clip(np.where(y, p, 1 - p), _ROUNDING, 1 - _ROUNDING)
        loss -= float(np.log(kept).sum())
        error += float(((p - y) ** 2).sum())
    area = area_under_curve(pairs, count=n, most=_MOST, folder=folder)
    return {"auc": area, "log_loss": loss / n, "brier": error / n}
