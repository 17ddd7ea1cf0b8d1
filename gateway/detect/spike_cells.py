"""Jumps centred and scaled among joins at a like position and probability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.detect.quantiles import between_ranks, order_statistics, quantiles
from gateway.detect.spike_cells_kernels import (
    DECILES,
    least_jumps,
    mark_jumps,
    place_in_cells,
    sizes_between,
    standardise,
)
from gateway.score import Scores
from gateway.score.prefixes import POSITION_EDGES

__all__ = ["chunk_count", "standardised_jumps", "standardised_spikes"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_DECILES = np.arange(1, DECILES + 1) / (DECILES + 1)
# A spread that is only rounding, relative to the mean of the cell.
_ROUNDING = 1e-9
# Sums over fewer rows than this are made in one go; over more, in chunks whose number does
# not depend on the threads.
_ROWS_PER_CHUNK = 1 << 18
_MOST_CHUNKS = 16
# Rows that tell about where a quantile is, of which at most one in so many is asked; and how
# many of their standard errors it may be off.
_SAMPLE, _ONE_IN, _ERRORS = 1 << 15, 32, 5.0
# Rows that are looked at before those of interest are worked on.
_ROOM = 1 << 10
_LEAST_FLOAT = 5e-324


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
    shared by many rows. z itself is not written out. It grows with the jump in a cell, in
    floats too, so that each cell has a least jump whose z reaches a value.

    Parameters
    ----------
    quantile
        In (0, 1).
    """
    if not len(scores.before):
        return np.zeros(0, bool)
    cells = _place(scores)
    z = max(_quantile(cells, scores, quantile), _LEAST_FLOAT)
    least = np.maximum(_least_jumps(cells, z), _LEAST_FLOAT)
    # Where a row's cell stood, now stands whether it is a spike.
    mark_jumps(_bounds(len(scores.before)), scores.before, scores.after, least, cells.cell)
    return cells.cell.view(np.bool_)


def standardised_jumps(scores: Scores) -> Float64:
    """Return z = (D - m_c) / s_c, zero in cells whose jumps do not vary, shape (n_rows,)."""
    return _standardise(_place(scores), scores)


def _standardise(cells: _Cells, scores: Scores) -> Float64:
    z = np.empty(len(cells.cell))
    standardise(
        _bounds(len(z)), cells.cell, scores.before, scores.after, cells.mean, cells.sd, z
    )  # fmt: skip
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


def _quantile(cells: _Cells, scores: Scores, share: float) -> float:
    """Return a quantile of z: as ``quantiles`` of it, bit for bit."""
    n = len(cells.cell)

    def values(ranks: Int64) -> Float64:
        below, found = _sizes_near(cells, scores, share)
        if below <= ranks.min() and ranks.max() < below + len(found):
            return np.asarray(np.sort(found)[ranks - below])
        # The sample misled, or very many rows share the value.
        return order_statistics(_standardise(cells, scores), ranks)

    return float(between_ranks(n, np.array([share]), values)[0])


def _sizes_near(cells: _Cells, scores: Scores, share: float) -> tuple[int, Float64]:
    """Number of rows with z below those that are near a quantile, and the z of the latter.

    None of the latter where they are very many.
    """
    n = len(cells.cell)
    low, high, expected = _bracket(cells, scores, share)
    bounds = _bounds(n)
    room = int(2.0 * expected * np.diff(bounds).max()) + _ROOM
    found, count = np.empty((_MOST_CHUNKS, room)), np.empty((_MOST_CHUNKS, 2), np.int64)
    sizes_between(
        bounds, cells.cell, scores.before, scores.after, cells.mean, cells.sd,
        _least_jumps(cells, low), high, np.empty((_MOST_CHUNKS, _ROOM), np.int64), found, count,
    )  # fmt: skip
    if count[:, 1].max() > room:
        return n, np.zeros(0)
    parts = [z[:k] for z, k in zip(found, count[:, 1].tolist(), strict=True)]
    return int(count[:, 0].sum()), np.concatenate(parts)


def _bracket(cells: _Cells, scores: Scores, share: float) -> tuple[float, float, float]:
    """From and to below which z a quantile very likely is, and the share of rows there."""
    rows = slice(None, None, max(_ONE_IN, len(cells.cell) // _SAMPLE))
    cell = cells.cell[rows]
    jump, sd = scores.after[rows] - scores.before[rows], cells.sd[cell]
    z = np.divide(jump - cells.mean[cell], sd, out=np.zeros(len(cell)), where=sd > 0.0)
    z.sort()
    margin = _ERRORS * np.sqrt(len(z) * share * (1.0 - share)) + 2.0
    first, last = int(len(z) * share - margin), int(len(z) * share + margin)
    low = z[first] if first >= 0 else -np.inf
    high = np.nextafter(z[last], np.inf) if last < len(z) else np.inf
    return float(low), float(high), 2.0 * margin / len(z)


def _least_jumps(cells: _Cells, z: float) -> Float64:
    """Return the least jump of each cell whose z is at least a value; 2 if none is."""
    least = np.empty(len(cells.mean))
    least_jumps(cells.mean, cells.sd, z, least)
    return least


def _bounds(n: int) -> Int64:
    return np.linspace(0, n, _MOST_CHUNKS + 1).astype(np.int64)


def chunk_count(rows: int, *, table: int = 0) -> int:
    """Into how many chunks rows are cut, each with sums of its own: one where they are few.

    A power of two: as many for each of two or four cores. ``table``: sums of each chunk.
    """
    most = int(np.clip(rows // max(_ROWS_PER_CHUNK, 8 * table), 1, _MOST_CHUNKS))
    return 1 << (most.bit_length() - 1)
