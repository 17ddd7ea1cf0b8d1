"""What surrounds some joins in their users' histories, looked up without a pass over all."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from gateway.log.join_log import JoinLog
from gateway.log.sorting import count_values
from gateway.score import Prefixes
from gateway.targets import TargetSet

__all__ = ["Histories"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Histories:
    """The tie blocks of a log's joins at risk, and its target joins.

    Made once for a log, it answers for a few rows at a time, by binary search: explaining
    ten groups of a hundred million joins costs little more than finding their rows.

    Parameters
    ----------
    joins, targets
        The log and the target set.
    rows
        Its joins at risk, of any horizon.
    """

    def __init__(self, joins: JoinLog, targets: TargetSet, rows: Prefixes) -> None:
        self.joins, self.rows = joins, rows
        self.target_join: Int64 = np.flatnonzero(targets.mask[joins.group])
        self.target_user = owner(joins.offsets, self.target_join)

    @cached_property
    def last(self) -> Int64:
        """Last row of each block, int64, shape (n_blocks,)."""
        return np.flatnonzero(self.rows.ends_block)

    def block(self, row: Int64) -> Int64:
        """Return the block of each row."""
        return np.searchsorted(self.last, row)

    def first(self, block: Int64) -> Int64:
        """Return the first row of each block."""
        return np.where(block > 0, self.last[block - 1] + 1, 0)

    def user(self, row: Int64) -> Int64:
        """Return the user of each row."""
        return owner(self.rows.offsets, row)

    def reached(self, user: Int64) -> Mask:
        """Whether each user ever joined a target."""
        return np.isin(user, self.target_user)

    def around(self, g: int) -> tuple[Int64, Int64, Int64, Int64]:
        """Count the other joins of group g's joiners, each int64, shape (n_joiners,).

        Joins before and after the tick of the join of g, and those of targets among them;
        joins in the same tick are neither.
        """
        joins = self.joins
        at = np.flatnonzero(joins.group == g)
        who, when = owner(joins.offsets, at), joins.time[at].astype(np.int64)
        begin, end = joins.offsets[who], joins.offsets[who + 1]
        first = _first_at(joins.time, begin, at, when)
        after = _first_at(joins.time, at, end, when + 1)
        upto = [np.searchsorted(self.target_join, x) for x in (begin, first, after, end)]
        return first - begin, end - after, upto[1] - upto[0], upto[3] - upto[2]

    def next_of(self, g: int) -> Float64:
        """Count the next joins of group g's joiners by group, shape (n_groups + 1,).

        As in ``gateway.detect.chain.Chain``: the joins of a block are averaged over their
        orders, so from a block of a joins each of the b of the next one counts 1 / (a b),
        each other join within it 1 / a, and a first target join after it 1 / a; these
        last ones make up the last cell.
        """
        rows = self.rows
        mine = np.flatnonzero(rows.group == g)
        block, user = self.block(mine), self.user(mine)
        size = self.last[block] + 1 - self.first(block)
        onward = self.last[block] + 1 < rows.offsets[user + 1]
        weight = 1.0 / size
        after = block[onward] + 1
        b = self.last[after] + 1 - self.first(after)
        next_, to = _spread(self.first(after), b, weight[onward] / b)
        shared = size > 1
        within, ties = _spread(self.first(block[shared]), size[shared], weight[shared])
        other = rows.group[within] != g
        places = np.concatenate([rows.group[next_], rows.group[within[other]]])
        weights = np.concatenate([to, ties[other]])
        gone = float(weight[~onward & self.reached(user)].sum())
        return np.append(np.bincount(places, weights, rows.n_groups), gone)

    @cached_property
    def next_of_all(self) -> Float64:
        """``next_of`` summed over all groups.

        Every join but those of a first block is the next one of some join, with weights
        that add up to one; of a first block of b joins each is, but for 1 / b.
        """
        rows = self.rows
        with_rows = np.flatnonzero(np.diff(rows.offsets))
        first = rows.offsets[with_rows]
        size = self.last[self.block(first)] + 1 - first
        row, weight = _spread(first, size, 1.0 / size)
        never = np.bincount(rows.group[row], weight, rows.n_groups)
        gone = float(np.count_nonzero(self.reached(with_rows)))
        return np.append(count_values(rows.group, rows.n_groups) - never, gone)


def owner(offsets: Int64, at: Int64) -> Int64:
    """Return which user's range of ``offsets`` holds each position."""
    return np.searchsorted(offsets, at, side="right") - 1


def _first_at(time: npt.NDArray[np.int32], low: Int64, high: Int64, when: Int64) -> Int64:
    """Return the first place of each range that is not before ``when``, else its end."""
    while (is_open := low < high).any():
        middle = (low + high) // 2
        is_before = is_open & (time[np.where(is_open, middle, 0)] < when)
        low = np.where(is_before, middle + 1, low)
        high = np.where(is_open & ~is_before, middle, high)
    return low


def _spread(first: Int64, size: Int64, weight: Float64) -> tuple[Int64, Float64]:
    """Rows of blocks, one block after the other, and each row's weight."""
    begin = np.cumsum(size) - size
    return np.arange(int(size.sum())) + np.repeat(first - begin, size), np.repeat(weight, size)
