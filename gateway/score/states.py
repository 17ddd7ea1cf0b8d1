"""Counts, sums and maxima over a user's joins so far, and means over tie blocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gateway.arrays import Float64, Int64
from gateway.score.prefixes import Prefixes


class Running(NamedTuple):
    """A running value for each row, shape (n_rows,) each.

    Parameters
    ----------
    after
        Over the user's rows before the row's block, and the row itself.
    at_end
        Over all of the user's rows to the end of the row's block.
    """

    after: Float64
    at_end: Float64


def block_bounds(prefixes: Prefixes) -> tuple[Int64, Int64]:
    """First row of each row's block, and the row past its last; shape (n_rows,) each."""
    block = np.cumsum(prefixes.starts_block) - 1
    first = np.flatnonzero(prefixes.starts_block)
    end = np.flatnonzero(prefixes.ends_block) + 1
    return first[block], end[block]


def block_mean(prefixes: Prefixes, x: Float64) -> Float64:
    """Return the mean of x, shape (n_rows,), over each row's block."""
    if len(x) == 0:
        return x
    block = np.cumsum(prefixes.starts_block) - 1
    total = np.add.reduceat(x, np.flatnonzero(prefixes.starts_block))
    return np.asarray((total / np.bincount(block))[block])


def block_before(prefixes: Prefixes, x: Float64, *, none: float) -> Float64:
    """Return x at the user's block before each row's, ``none`` in the first block.

    x, shape (n_rows,), must be the same in all rows of a block.
    """
    first, _ = block_bounds(prefixes)
    return np.where(prefixes.blocks_before() == 0, none, x[first - 1])


def running_count(prefixes: Prefixes) -> Running:
    """Count a user's joins so far."""
    first, end = block_bounds(prefixes)
    start = prefixes.offsets[prefixes.user()]
    return Running((first - start + 1).astype(np.float64), (end - start).astype(np.float64))


def running_sum(prefixes: Prefixes, x: Float64) -> Running:
    """Add up x, shape (n_rows,), over a user's joins so far."""
    first, end = block_bounds(prefixes)
    total = np.concatenate([[0.0], np.cumsum(x)])
    start = prefixes.offsets[prefixes.user()]
    return Running(total[first] - total[start] + x, total[end] - total[start])


def running_maximum(prefixes: Prefixes, x: Float64) -> Running:
    """Return the largest x, shape (n_rows,), over a user's joins so far."""
    _, end = block_bounds(prefixes)
    levels, rank = np.unique(x, return_inverse=True)
    user = prefixes.user().astype(np.int64)
    # A later user's ranks lie above all of an earlier one's: one running maximum does.
    highest = np.maximum.accumulate(rank + user * len(levels)) - user * len(levels)
    at_end = levels[highest[end - 1]] if len(x) else x
    return Running(np.maximum(block_before(prefixes, at_end, none=-np.inf), x), at_end)
