"""The probabilities around every row of a large log, given fitted models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.score.prefixes import Prefixes
from gateway.score.probabilities_kernels import probability_rows

__all__ = ["LinearModel", "fill_probabilities"]

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LinearModel:
    """Weights of groups, calibrated by a line.

    Parameters
    ----------
    x
        Weight of each group, then the intercept, shape (n_groups + 1,).
    line
        Slope and intercept of the calibrator, on logits.
    base
        Probability before a user's first block.
    """

    x: Float64
    line: Float64
    base: float


def fill_probabilities(
    prefixes: Prefixes,
    fold: npt.NDArray[np.int8],
    models: dict[int, LinearModel],
    *,
    before: Float64,
    after: Float64,
    at_end: Float64,
) -> None:
    """Fill the columns of ``Scores`` of these names, user by user.

    The users of all folds in one go, in order: columns are then written line by line of the
    memory, each line once.

    Parameters
    ----------
    prefixes
        The rows.
    fold
        Fold of each user, from 0.
    models
        By fold; each fold of a user has one.
    before, after, at_end
        Columns to fill, shape (n_rows,).
    """
    folds = max(models, default=0) + 1
    w = np.zeros((folds, prefixes.n_groups))
    intercept, line, base = np.zeros(folds), np.zeros((folds, 2)), np.zeros(folds)
    for k, model in models.items():
        w[k], intercept[k] = model.x[:-1], model.x[-1]
        line[k], base[k] = model.line, model.base
    probability_rows(
        prefixes.offsets, fold, prefixes.group, prefixes.starts_block, w, intercept, line, base,
        before, after, at_end,
    )  # fmt: skip
