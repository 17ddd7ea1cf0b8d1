"""Every prefix of every user's joins, with the outcome that followed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.arrays import Float64, Int64
from gateway.log.join_log import JoinLog
from gateway.log.work import new_column
from gateway.randomness import name_uniforms
from gateway.score.prefixes_kernels import NEVER, cut_at_target, lay_out
from gateway.targets import TargetSet

NewColumn = Callable[[str, npt.DTypeLike, int], npt.NDArray[Any]]
"""Makes a column by its name, kind and length, to be filled."""

# Label of a prefix whose horizon reaches past the end of the user's observation.
UNRESOLVED = -1
# Where bins of blocks so far begin, after the bin of none: single ones, then wider.
POSITION_EDGES = np.array([1, 2, 3, 4, 6, 9, 13, 20, 40])
# Rows to a part.
_PART = 1 << 18
_ROWS = ("group", "time", "starts_block", "ends_block", "label")


def columns_in(scratch: Path | None) -> NewColumn:
    """Return what makes columns: files of a folder, mapped; without one, arrays in memory."""
    return _in_memory if scratch is None else partial(new_column, scratch)


def _in_memory(_name: str, kind: npt.DTypeLike, size: int) -> npt.NDArray[Any]:
    return np.empty(size, kind)


@dataclass(frozen=True, eq=False)
class Prefixes:
    """The joins at risk: of no target group, before the user's first target join.

    One row is one join, and a user's rows are the user's first joins. A *block* is the
    joins of one user in one tick; it has no inner order. The prefix of a block is all the
    user's rows up to its end, and it is the prefixes of blocks that the classifier is
    trained on. A join in the same tick as the user's first target join is not at risk:
    which came first is unknown.

    Parameters
    ----------
    offsets
        int64, shape (n_users + 1,): rows of user u are ``offsets[u]:offsets[u + 1]``.
    group, time
        int32, shape (n_rows,).
    starts_block, ends_block
        bool, shape (n_rows,): first and last row of a block.
    label
        int8, shape (n_rows,): 1 if the user joined a target within the horizon after
        this join, 0 if not, ``UNRESOLVED`` if the observation ends before the horizon.
    chance
        float64, shape (n_users,), in [0, 1): a hash of the user's name, for splits; NaN where
        there are none.
    n_groups
        Number of groups of the log.
    reached
        bool, shape (n_users,): who ever joins a target, whatever the horizon; None where it
        is not known.
    recipe
        A function of a module, the log and what else it takes to make all of this; None where
        that is not known. Another process is given the recipe, and lays the rows out anew.
    """

    offsets: npt.NDArray[np.int64]
    group: npt.NDArray[np.int32]
    time: npt.NDArray[np.int32]
    starts_block: npt.NDArray[np.bool_]
    ends_block: npt.NDArray[np.bool_]
    label: npt.NDArray[np.int8]
    chance: npt.NDArray[np.float64]
    n_groups: int
    reached: npt.NDArray[np.bool_] | None = None
    recipe: tuple[Callable[..., Prefixes], JoinLog, tuple[Any, ...]] | None = None

    def __reduce__(self) -> Any:
        """Let another process lay the rows out, rather than get them."""
        if self.recipe is None:
            return super().__reduce__()
        make, joins, given = self.recipe
        return make, (joins, *given)

    @property
    def n_users(self) -> int:
        """Number of users, those without a row included."""
        return len(self.offsets) - 1

    def user(self) -> npt.NDArray[np.int32]:
        """Return the user of each row, int32, shape (n_rows,)."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), np.diff(self.offsets))

    def blocks_before(self) -> npt.NDArray[np.int64]:
        """Return how many blocks of its user precede each row's block, shape (n_rows,)."""
        block = np.cumsum(self.starts_block)
        first = np.concatenate([block, [0]])[self.offsets[:-1]]
        return np.asarray(block - first[self.user()])

    def position(self) -> npt.NDArray[np.int64]:
        """Return the bin of ``blocks_before`` in ``POSITION_EDGES``, shape (n_rows,)."""
        return np.searchsorted(POSITION_EDGES, self.blocks_before(), side="right")

    def block_size(self) -> npt.NDArray[np.int64]:
        """Return the number of rows in each row's block, shape (n_rows,)."""
        block = np.cumsum(self.starts_block) - 1
        return np.bincount(block)[block] if len(block) else block

    def tenure(self) -> npt.NDArray[np.int64]:
        """Return the ticks since the user's first row, shape (n_rows,)."""
        first = np.append(self.time, np.int32(0))[self.offsets[:-1]].astype(np.int64)
        return self.time - first[self.user()]

    def at_any_time(self, new_column: NewColumn = _in_memory) -> Prefixes:
        """Return the rows labelled without a horizon: whether a target is ever joined.

        Raises
        ------
        ValueError
            Where it is not known who ever joins one.
        """
        if self.reached is None:
            raise ValueError("it is not known who joins a target later")
        label = new_column("label_at_any_time", np.int8, len(self.group))
        for users, rows, part in self.parts():
            label[rows] = np.repeat(self.reached[users], np.diff(part.offsets))
        return replace(self, label=label, recipe=None)

    def of_users(self, chosen: npt.NDArray[np.bool_]) -> Prefixes:
        """Return the rows of some users alone; ``chosen``: bool, shape (n_users,)."""
        counts = np.diff(self.offsets)
        row = np.repeat(chosen, counts)
        return replace(
            self,
            offsets=np.concatenate([[0], np.cumsum(counts[chosen])]).astype(np.int64),
            chance=self.chance[chosen],
            reached=None if self.reached is None else self.reached[chosen],
            recipe=None,
            **{name: getattr(self, name)[row] for name in _ROWS},
        )

    def parts(self, size: int = _PART) -> Iterator[tuple[slice, slice, Prefixes]]:
        """Yield users, rows, and the prefixes of some users after those of others, as views.

        Where they are cut depends on the rows alone: sums over parts have the same bits
        wherever the columns lie. ``size``: rows, or users, to a part, about.
        """
        at_rows = np.searchsorted(self.offsets, np.arange(size, len(self.group), size))
        at_users = np.arange(0, self.n_users, size)
        cuts = np.unique(np.concatenate([at_rows, at_users, [self.n_users]]))
        for first, last in pairwise(cuts.tolist()):
            rows = slice(int(self.offsets[first]), int(self.offsets[last]))
            yield slice(first, last), rows, self.of_range(first, last)

    def of_range(self, first: int, last: int) -> Prefixes:
        """Return the prefixes of the users ``first`` to ``last - 1``, as views."""
        if (first, last) == (0, self.n_users):
            return self
        offsets = self.offsets[first : last + 1]
        users, rows = slice(first, last), slice(int(offsets[0]), int(offsets[-1]))
        columns: dict[str, Any] = {name: getattr(self, name)[rows] for name in _ROWS}
        columns["reached"] = None if self.reached is None else self.reached[users]
        if self.recipe is not None:
            make, joins, given = self.recipe
            columns["recipe"] = make, joins.of_users(first, last), given
        columns |= {"offsets": offsets - offsets[0], "chance": self.chance[users]}
        return replace(self, **columns)

    @property
    def resolved(self) -> npt.NDArray[np.bool_]:
        """Rows whose outcome is known."""
        return np.asarray(self.label != UNRESOLVED)

    @property
    def trains(self) -> npt.NDArray[np.bool_]:
        """Rows that the classifier is trained and measured on: resolved ends of blocks."""
        return np.asarray(self.ends_block & (self.label != UNRESOLVED))


def build_prefixes(
    joins: JoinLog,
    targets: TargetSet,
    *,
    horizon: int | None = None,
    seed: int | None = 1,
    new_column: NewColumn = _in_memory,
) -> Prefixes:
    """Lay out the prefixes of a log and label them.

    Parameters
    ----------
    joins
        The join log.
    targets
        The target set; target groups are never features.
    horizon
        Ticks after a join within which a target join counts, at least 1; None counts
        any later one. With a horizon, a join within ``horizon`` of the end of its
        user's observation is unresolved *whatever happened since*: to keep only the ones
        that did join a target would tilt the outcome.
    seed
        Of the hash that splits users; None where nobody is split, for which names need not be
        looked at: ``chance`` is NaN.
    new_column
        Makes the columns of rows: in memory, or mapped files.
    """
    first_target = np.empty(joins.n_users, np.int64)
    count = np.empty(joins.n_users, np.int64)
    cut_at_target(joins.offsets, joins.group, joins.time, targets.mask, first_target, count)
    offsets = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    n = int(offsets[-1])
    kinds = (np.int32, np.int32, np.bool_, np.bool_, np.int8)
    columns = {name: new_column(name, kind, n) for name, kind in zip(_ROWS, kinds, strict=True)}
    lay_out(
        joins.offsets, joins.group, joins.time, first_target, joins.observed_until,
        -1 if horizon is None else horizon, offsets, *columns.values(),
    )  # fmt: skip
    chance = (
        np.full(joins.n_users, np.nan) if seed is None else name_uniforms(joins.users, seed=seed)
    )
    reached = first_target != NEVER
    return Prefixes(
        offsets, **columns, chance=chance, n_groups=joins.n_groups, reached=reached,
        recipe=(_laid_out, joins, (targets, horizon, seed)),
    )  # fmt: skip


def _laid_out(
    joins: JoinLog, targets: TargetSet, horizon: int | None, seed: int | None
) -> Prefixes:
    return build_prefixes(joins, targets, horizon=horizon, seed=seed)


# Running values, and means over blocks -----------------------------------------------------


class Running(NamedTuple):
    """A running value for each row, shape (n_rows,) each."""

    after: Float64  # over the user's rows before the row's block, and the row itself
    at_end: Float64  # over all of the user's rows to the end of the row's block


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
