"""The absorbing Markov chain of users' joins: start, groups, then a target or the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from gateway.arrays import Float64, Int64
from gateway.detect.findings import sum_by_group
from gateway.log.join_log import JoinLog
from gateway.score import Prefixes, build_prefixes
from gateway.targets import TargetSet

__all__ = ["Chain", "build_chain", "solve_forward", "solve_visits"]


# Sums of probabilities are exact to about 1e-16 a term; iterating further changes nothing.
_PRECISION = 1e-13
_MOST_STEPS = 100_000


@dataclass(frozen=True, eq=False)
class Chain:
    """Counts of transitions between a user's joins, up to the first target join.

    The joins of one tick have no inner order, so their transitions are averaged over all
    orders: from a block of a joins to the next of b each pair counts 1 / (a b), within it
    each ordered pair 1 / a, and each of its joins is the last with 1 / a.

    Parameters
    ----------
    moves
        Sparse, shape (n_groups, n_groups): from one group to another.
    starts
        Shape (n_groups,): from the start into a group.
    to_target, to_end
        Shape (n_groups,): from a group to the first target join, or to no further join.
    direct
        Users whose first join is a target (or in its tick).
    n_paths
        All users with a join.
    """

    moves: sparse.csr_array
    starts: Float64
    to_target: Float64
    to_end: Float64
    direct: float
    n_paths: float

    @property
    def visits(self) -> Float64:
        """Joins of each group that are part of a path, shape (n_groups,)."""
        return np.asarray(self.moves.sum(axis=1) + self.to_target + self.to_end)

    def probabilities(self) -> tuple[sparse.csr_array, Float64, Float64]:
        """Return transition probabilities: between groups, from start to them, to a target."""
        visits = self.visits
        scale = np.divide(1.0, visits, out=np.zeros(len(visits)), where=visits > 0)
        moves = sparse.csr_array(sparse.diags_array(scale) @ self.moves)
        return moves, self.starts / self.n_paths, self.to_target * scale


def build_chain(joins: JoinLog, targets: TargetSet) -> Chain:
    """Count the transitions of a log.

    Memory and time are O(joins) but for large tie blocks: a block of a joins has a (a - 1)
    pairs within it.
    """
    rows = build_prefixes(joins, targets, seed=None)
    block = np.cumsum(rows.starts_block) - 1
    size = np.bincount(block)
    share = 1.0 / size[block]
    is_first, is_last = _ends(rows)
    reached = rows.label == 1
    converts = np.unique(joins.user()[targets.mask[joins.group]])
    has_row = np.diff(rows.offsets) > 0
    return Chain(
        moves=_moves(rows, block, size),
        starts=_weighed(rows, share, is_first),
        to_target=_weighed(rows, share, is_last & reached),
        to_end=_weighed(rows, share, is_last & ~reached),
        direct=float(np.count_nonzero(~has_row[converts])),
        n_paths=float(np.count_nonzero(np.diff(joins.offsets))),
    )


def _ends(rows: Prefixes) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Rows of each user's first block, and of the last."""
    before = rows.blocks_before()
    most = np.zeros(rows.n_users, np.int64)
    np.maximum.at(most, rows.user(), before)
    return before == 0, before == most[rows.user()]


def _weighed(rows: Prefixes, share: Float64, of: npt.NDArray[np.bool_]) -> Float64:
    return sum_by_group(rows.group[of], share[of], rows.n_groups)


def _moves(rows: Prefixes, block: Int64, size: Int64) -> sparse.csr_array:
    """Transitions from block to next block, and within blocks."""
    n_blocks, share = len(size), 1.0 / size[block]
    shape = (n_blocks, rows.n_groups)
    members = sparse.csr_array((share, (block, rows.group)), shape=shape)
    user = rows.user()[rows.starts_block]
    follows = np.flatnonzero(user[1:] == user[:-1])
    between = members[follows].T @ members[follows + 1]
    shared = np.flatnonzero(size > 1)
    ones = members[shared]
    ones.data = np.ones_like(ones.data)
    within = sparse.csr_array(members[shared].T @ ones)
    within.setdiag(0.0)
    moves = sparse.csr_array(between + within)
    moves.eliminate_zeros()
    return moves


def solve_forward(moves: sparse.csr_array, gain: Float64) -> Float64:
    """Solve x = moves x + gain: what is gained in all from each state on."""
    return _iterate(lambda x: np.asarray(moves @ x) + gain, gain)


def solve_visits(moves: sparse.csr_array, starts: Float64) -> Float64:
    """Solve x = moves^T x + starts: the mean number of visits to each state."""
    back = sparse.csr_array(moves.T)
    return _iterate(lambda x: np.asarray(back @ x) + starts, starts)


def _iterate(step: Callable[[Float64], Float64], start: Float64) -> Float64:
    """Add up the Neumann series: every path ends, so what is left shrinks geometrically."""
    x = start
    for _ in range(_MOST_STEPS):
        new = step(x)
        change, x = float(np.abs(new - x).max(initial=0.0)), new
        if change <= _PRECISION * float(np.abs(x).max(initial=0.0)):
            break
    return x
