"""Sorted runs on disk, and one pass over all of them in order of the users' names.

Rows are tables whose first column, ``user``, is text; a run is sorted by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Spill"]

# What is read back at once, of each run: small, as there may be hundreds of runs.
_PIECE = 1 << 14


class Spill:
    """One file of many runs; each run is sorted by user and read in pieces.

    Parameters
    ----------
    path
        The file; it is made, and not removed.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("x+b")
        self.schema: pa.Schema | None = None
        self._runs: list[list[tuple[int, int]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._file.close()

    def add(self, run: pa.Table) -> None:
        """Append a run: rows of the same schema as those before, sorted by user."""
        self.schema = run.schema
        rows = max(int(_PIECE * len(run) / max(run.nbytes, 1)), 1)
        pieces: list[tuple[int, int]] = []
        for batch in run.to_batches(max_chunksize=rows):
            # Serialising a slice copies no more than the slice.
            buffer = batch.serialize()
            pieces.append((self._file.tell(), len(buffer)))
            self._file.write(buffer)
        self._runs.append(pieces)

    def read(self, piece: tuple[int, int]) -> pa.RecordBatch:
        """Return a piece of a run."""
        self._file.seek(piece[0])
        return pa.ipc.read_record_batch(pa.py_buffer(self._file.read(piece[1])), self.schema)

    def merged(self, *, memory: int) -> Iterator[pa.Table]:
        """Yield all rows in order of users; all rows of a user come in one table.

        Parameters
        ----------
        memory
            Bytes that the heads of all runs may take together, at least a piece of each.
        """
        share = memory // max(len(self._runs), 1)
        heads = [_Head(self, pieces) for pieces in self._runs if pieces]
        while heads:
            for head in heads:
                head.fill(share)
            heads = [head for head in heads if len(head.rows)]
            bound = min((head.last for head in heads if head.pieces), default=None)
            taken = [head.take_below(bound) for head in heads]
            if sum(map(len, taken)):
                yield pa.concat_tables(taken).combine_chunks()
            elif bound is not None:
                # All that is in sight is of one user: look further.
                share = max(share, *(head.rows.nbytes for head in heads)) + _PIECE


class _Head:
    """The rows of a run that are in memory, and the pieces that are not."""

    def __init__(self, spill: Spill, pieces: list[tuple[int, int]]) -> None:
        self._spill = spill
        self.pieces = pieces[::-1]
        self.first = self.last = ""
        self.rows = pa.Table.from_batches([spill.read(self.pieces.pop())])
        self._look()

    def fill(self, share: int) -> None:
        """Read on until there are ``share`` bytes, or the run is at its end."""
        batches = []
        size = self.rows.nbytes
        while self.pieces and (size < share or not size):
            batches.append(self._spill.read(self.pieces.pop()))
            size += batches[-1].nbytes
        if batches:
            self.rows = pa.concat_tables([self.rows, pa.Table.from_batches(batches)])
            self._look()

    def take_below(self, bound: str | None) -> pa.Table:
        """Take the rows of users whose names are below ``bound``; all of them for None."""
        if bound is None or self.last < bound:
            count = len(self.rows)
        elif self.first >= bound:
            count = 0
        else:
            count = pc.sum(pc.less(self.rows["user"], bound)).as_py()
        taken = self.rows[:count]
        self.rows = self.rows[count:]
        if count > 0 and len(self.rows):
            self._look()
        return taken

    def _look(self) -> None:
        users = self.rows["user"]
        self.first, self.last = users[0].as_py(), users[len(users) - 1].as_py()
