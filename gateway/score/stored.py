"""Prefixes and scores longer than memory: columns in files, looked at in blocks of users."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.joins import JoinLog
from gateway.joins_io.partitioned import append_columns, map_column, new_column
from gateway.partitioned import PartitionedLog, over_pieces
from gateway.score.crossfit import Scores
from gateway.score.prefixes import Prefixes, build_prefixes
from gateway.score.quality import Quality
from gateway.targets import TargetSet

__all__ = ["BLOCK", "StoredPrefixes", "StoredScores", "store_prefixes"]

Float64 = npt.NDArray[np.float64]

BLOCK = 1 << 16
"""Rows, or users, to a block, about. Sums over rows are made block by block: where a block
ends must depend on nothing but the joins, not on parts, memory or workers."""

_KINDS = {
    "offsets": np.int64, "group": np.int32, "time": np.int32, "starts_block": np.bool_,
    "ends_block": np.bool_, "label": np.int8, "chance": np.float64,
}  # fmt: skip
_SCORES = ("before", "after", "expected", "at_end")


@dataclass(frozen=True)
class StoredPrefixes:
    """The prefixes of a log on disk.

    Parameters
    ----------
    folder
        Where the columns lie.
    n_groups
        Number of groups of the log.
    """

    folder: Path
    n_groups: int

    def whole(self) -> Prefixes:
        """Return all prefixes; their arrays are mapped, not read."""
        columns = {name: map_column(self.folder, name, kind) for name, kind in _KINDS.items()}
        nowhere = np.broadcast_to(np.int64(-1), len(columns["group"]))
        return Prefixes(**columns, join=nowhere, n_groups=self.n_groups)

    def blocks(self) -> Iterator[tuple[slice, Prefixes]]:
        """Yield the rows of some users after those of others: (which rows, prefixes)."""
        whole = self.whole()
        for first, last in pairwise(_cuts(whole)):
            yield _some_users(whole, first, last)


def store_prefixes(
    joins: PartitionedLog, targets: TargetSet, *, horizon: int | None, seed: int, folder: Path
) -> StoredPrefixes:
    """Lay out the prefixes of a log on disk, part by part, as ``build_prefixes`` would."""
    append_columns(folder, {"offsets": np.zeros(1, np.int64)})
    end = 0
    for columns in over_pieces(joins, _columns_of, targets, horizon, seed):
        append_columns(folder, columns | {"offsets": columns["offsets"] + end})
        end += len(columns["group"])
    return StoredPrefixes(folder, joins.n_groups)


def _columns_of(
    part: JoinLog, targets: TargetSet, horizon: int | None, seed: int
) -> dict[str, npt.NDArray[Any]]:
    prefixes = build_prefixes(part, targets, horizon=horizon, seed=seed)
    columns: dict[str, npt.NDArray[Any]] = {
        name: getattr(prefixes, name).astype(kind, copy=False) for name, kind in _KINDS.items()
    }
    return columns | {"offsets": columns["offsets"][1:]}


def _cuts(whole: Prefixes) -> list[int]:
    """First users of the blocks, and the end: cut at fixed numbers of rows and of users."""
    rows = np.arange(BLOCK, len(whole.group), BLOCK)
    at_rows = np.searchsorted(whole.offsets, rows)
    at_users = np.arange(0, whole.n_users, BLOCK)
    cuts: list[int] = np.unique(np.concatenate([at_rows, at_users, [whole.n_users]])).tolist()
    return cuts


def _some_users(whole: Prefixes, first: int, last: int) -> tuple[slice, Prefixes]:
    offsets = whole.offsets[first : last + 1]
    rows = slice(int(offsets[0]), int(offsets[-1]))
    return rows, Prefixes(
        offsets=offsets - offsets[0],
        group=whole.group[rows], time=whole.time[rows],
        starts_block=whole.starts_block[rows], ends_block=whole.ends_block[rows],
        label=whole.label[rows], join=whole.join[rows],
        chance=whole.chance[first:last], n_groups=whole.n_groups,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class StoredScores:
    """``Scores`` of a log on disk.

    Parameters
    ----------
    prefixes
        The rows that the scores speak of.
    folds
        Number of folds.
    quality, scorer
        As in ``Scores``.
    discard
        Removes the columns, for somebody who cannot wait until nobody holds the scores.
    """

    prefixes: StoredPrefixes
    folds: int
    quality: tuple[Quality, ...]
    scorer: str
    discard: Callable[[], None]

    def __post_init__(self) -> None:
        weakref.finalize(self, self.discard)

    def blocks(self) -> Iterator[Scores]:
        """Yield the scores of some users after those of others."""
        columns = {name: map_column(self.prefixes.folder, name, np.float64) for name in _SCORES}
        for rows, prefixes in self.prefixes.blocks():
            fold = (prefixes.chance * self.folds).astype(np.int8)
            parts = {name: column[rows] for name, column in columns.items()}
            yield Scores(prefixes, **parts, fold=fold, quality=(), scorer=self.scorer)


def new_scores(prefixes: StoredPrefixes) -> dict[str, Float64]:
    """Return the columns of scores, to be filled."""
    size = len(map_column(prefixes.folder, "group", np.int32))
    return {name: new_column(prefixes.folder, name, np.float64, size) for name in _SCORES}
