"""Jumps centred and scaled among joins at a like position and probability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.arrays import Float64, Int64, Mask
from gateway.detect.quantiles import quantiles
from gateway.detect.spike_cells_kernels import (
    DECILES,
    add_shift,
    place_in_cells,
    standardise,
    sum_by_fold,
)
from gateway.score import Scores
from gateway.score.prefixes import POSITION_EDGES

__all__ = ["chunk_count", "standardised_jumps", "standardised_spikes"]


_DECILES = np.arange(1, DECILES + 1) / (DECILES + 1)
# A spread that is only rounding, relative to the mean of the cell.
_ROUNDING = 1e-9
# Sums over fewer rows than this are made in one go; over more, in chunks whose number does
# not depend on the threads.
_ROWS_PER_CHUNK = 1 << 18
_MOST_CHUNKS = 16


@dataclass(frozen=True, eq=False)
class _Cells:
    """Cells c = position bin x decile of the probability before.

    Parameters
    ----------
    cell
        uint8, shape (n_rows,).
    mean, sd
        Of the jumps D in each cell; sd is zero where they differ by no more than rounding.
    """

    cell: npt.NDArray[np.uint8]
    mean: Float64
    sd: Float64


def standardised_spikes(scores: Scores, quantile: float) -> Mask:
    """Return which rows rise by a z above zero and at or above a quantile of all rows' z.

    See ``standardised_jumps``; at the quantile itself too: it may be the largest value,
    shared by many rows, which rounding must not tell apart.

    Parameters
    ----------
    quantile
        In (0, 1).
    """
    if not len(scores.before):
        return np.zeros(0, bool)
    z = standardised_jumps(scores)
    least = float(quantiles(z, quantile)[0]) - _ROUNDING
    found = np.empty(len(z), bool)
    for rows, part in scores.parts():
        rises = (z[rows] > _ROUNDING) & (part.after > part.before)
        np.logical_and(z[rows] >= least, rises, out=found[rows])
    return found


def standardised_jumps(scores: Scores) -> Float64:
    """Return the jumps D, standardised in cells and centred by fold, shape (n_rows,).

    z = (D - m_c) / s_c in cell c, zero in cells whose jumps do not vary. The users of a fold
    share the weights that were learnt from the others: what all joiners of a group in a fold
    have in common beyond its joiners elsewhere is the error of one fit. So z is moved, by
    mean(z | g) - mean(z | g, fold): users with the same history get the same z.
    """
    cells, rows = _place(scores), scores.prefixes
    z = np.empty(len(cells.cell))
    bounds = np.linspace(0, len(z), _MOST_CHUNKS + 1).astype(np.int64)
    standardise(bounds, cells.cell, scores.before, scores.after, cells.mean, cells.sd, z)
    total = np.zeros((int(scores.fold.max()) + 1, rows.n_groups))
    if len(total) > 1:
        count = np.zeros_like(total)
        sum_by_fold(rows.offsets, scores.fold, rows.group, z, total, count)
        mean = total.sum(axis=0) / np.maximum(count.sum(axis=0), 1.0)
        users = np.linspace(0, rows.n_users, _MOST_CHUNKS + 1).astype(np.int64)
        shift = mean - total / np.maximum(count, 1.0)
        add_shift(users, rows.offsets, scores.fold, rows.group, shift, z)
    return z


def _place(scores: Scores) -> _Cells:
    rows, n = scores.prefixes, len(scores.before)
    cuts = np.unique(quantiles(scores.before, _DECILES))
    width = len(cuts) + 1
    cuts = np.append(cuts, np.full(DECILES - len(cuts), np.inf))
    # First cell of each number of blocks before; from the last on they are the same.
    blocks = np.arange(POSITION_EDGES[-1] + 1)
    first = (np.searchsorted(POSITION_EDGES, blocks, side="right") * width).astype(np.uint8)
    shape = chunk_count(n), (len(POSITION_EDGES) + 1) * width
    users = np.linspace(0, rows.n_users, shape[0] + 1).astype(np.int64)
    cell = np.empty(n, np.uint8)
    count, mean, spread = np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape)
    place_in_cells(
        users, rows.offsets, rows.starts_block, scores.before, scores.after, first, cuts, cell,
        count, mean, spread,
    )  # fmt: skip
    count_, mean_, spread_ = _pooled(count, mean, spread)
    sd = np.sqrt(spread_ / np.maximum(count_ - 1, 1))
    sd[sd <= _ROUNDING * np.abs(mean_)] = 0.0
    return _Cells(cell, mean_, sd)


def _pooled(count: Int64, mean: Float64, spread: Float64) -> tuple[Int64, Float64, Float64]:
    """Moments of all chunks together (Chan, Golub, LeVeque 1983, Am. Stat. 37(3))."""
    n, m, s = count[0], mean[0], spread[0]
    for k, other, squares in zip(count[1:], mean[1:], spread[1:], strict=True):
        total, apart = n + k, other - m
        share = np.divide(k, total, out=np.zeros(len(k)), where=total > 0)
        m = m + apart * share
        s = s + squares + apart**2 * n * share
        n = total
    return n, m, s


def chunk_count(rows: int, *, table: int = 0) -> int:
    """Into how many chunks rows are cut, each with sums of its own: one where they are few.

    A power of two: as many for each of two or four cores. ``table``: sums of each chunk.
    """
    most = int(np.clip(rows // max(_ROWS_PER_CHUNK, 8 * table), 1, _MOST_CHUNKS))
    return 1 << (most.bit_length() - 1)
