"""Spikes of a log that stays on disk: found and counted block by block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.detect.spike_parts_kernels import go_on_by_group, go_on_in_cells
from gateway.score import Scores, StoredScores
from gateway.score.prefixes import POSITION_EDGES
from gateway.score.selection import exact_quantiles

__all__ = ["tally_parts", "tally_spikes"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Find = Callable[[Scores], Mask]

_DECILES = np.arange(1, 10) / 10
# A spread that is only rounding, relative to the mean of the cell.
_ROUNDING = 1e-9


def tally_spikes(scores: StoredScores, n_groups: int, *, quantile: float) -> tuple[Int64, Float64]:
    """Count standardised jumps above their pooled quantile; otherwise as ``tally_parts``.

    The same integers as in memory: quantiles are exact, and moments are made row by row in
    the same order.

    Parameters
    ----------
    quantile
        In (0, 1).
    """
    deciles = exact_quantiles(lambda: (block.before for block in scores.blocks()), _DECILES)
    cells = _measure_cells(np.unique(deciles), scores)
    sizes = exact_quantiles(
        lambda: (cells.standardise(block) for block in scores.blocks()), np.array([quantile])
    )

    def find(block: Scores) -> Mask:
        # At the quantile itself too: it may be the largest value, shared by many rows.
        z = cells.standardise(block)
        return np.asarray((z >= sizes[0]) & (z > 0) & (block.after > block.before))

    return tally_parts(scores, n_groups, find)


def tally_parts(scores: StoredScores, n_groups: int, find: Find) -> tuple[Int64, Float64]:
    """Count joiners and spikes of every group.

    Parameters
    ----------
    scores
        Scores on disk.
    n_groups
        Number of groups.
    find
        Tells which rows of a block are spikes.

    Returns
    -------
    numpy.ndarray, numpy.ndarray
        int64, shape (n_groups, 4): joiners, spikes, resolved, outcomes; float64, shape
        (n_groups, 3): sums of jumps, of expectations and of their variances.
    """
    counts, sums = np.zeros((n_groups, 4), np.int64), np.zeros((n_groups, 3))
    for block in scores.blocks():
        rows, jump = block.prefixes, block.after - block.before
        go_on_by_group(rows.group, find(block), jump, rows.label, block.expected, counts, sums)
    return counts, sums


@dataclass(frozen=True, eq=False)
class _Cells:
    """Joins at a like position and probability: position bin x decile of the one before.

    Parameters
    ----------
    cuts
        Deciles, without repetition.
    mean, sd
        Of the jumps D in each cell.
    """

    cuts: Float64
    mean: Float64
    sd: Float64

    def standardise(self, block: Scores) -> Float64:
        """Return Z = (D - m_c) / s_c, zero where a cell's jumps do not vary."""
        jump, cell = block.after - block.before, _cell_of(block, self.cuts)
        varies = (self.sd > _ROUNDING * np.abs(self.mean))[cell]
        z: Float64 = np.divide(
            jump - self.mean[cell], self.sd[cell], out=np.zeros(len(jump)), where=varies
        )
        return z


def _measure_cells(cuts: Float64, scores: StoredScores) -> _Cells:
    n_cells = (len(POSITION_EDGES) + 1) * (len(cuts) + 1)
    count, mean, spread = np.zeros(n_cells, np.int64), np.zeros(n_cells), np.zeros(n_cells)
    for block in scores.blocks():
        go_on_in_cells(_cell_of(block, cuts), block.after - block.before, count, mean, spread)
    return _Cells(cuts, mean, np.sqrt(spread / np.maximum(count - 1, 1)))


def _cell_of(block: Scores, cuts: Float64) -> Int64:
    decile = np.searchsorted(cuts, block.before, side="left")
    return block.prefixes.position() * (len(cuts) + 1) + decile
