"""Sorted runs on disk, and one pass over all of them in order of the users' names.

Rows are tables whose first column, ``user``, is text, or the key of a number's text
(``text_keys``); a run is sorted by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from gateway.log.numbering import names_of_keys

# What is read back at once, of each run: small, as there may be hundreds of runs.
_PIECE, _PIECES = 1 << 14, 512


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
        self._runs: list[tuple[pa.Schema, list[tuple[int, int]]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._file.close()

    def add(self, run: pa.Table) -> None:
        """Append a run: rows of the same columns as those before, sorted by user."""
        self.schema = run.schema
        size = max(_PIECE, run.nbytes // _PIECES)
        rows = max(int(size * len(run) / max(run.nbytes, 1)), 1)
        pieces: list[tuple[int, int]] = []
        for batch in run.to_batches(max_chunksize=rows):
            # Serialising a slice copies no more than the slice.
            buffer = batch.serialize()
            pieces.append((self._file.tell(), len(buffer)))
            self._file.write(buffer)
        self._runs.append((run.schema, pieces))

    def read(self, piece: tuple[int, int], schema: pa.Schema, *, spelt: bool) -> pa.Table:
        """Return a piece of a run, its users ``spelt`` out or as they were given."""
        self._file.seek(piece[0])
        batch = pa.ipc.read_record_batch(pa.py_buffer(self._file.read(piece[1])), schema)
        rows = pa.Table.from_batches([batch])
        if spelt and schema.field(0).type != pa.string():
            rows = rows.set_column(0, "user", names_of_keys(rows["user"].to_numpy()))
        return rows

    def merged(self, *, memory: int) -> Iterator[pa.Table]:
        """Yield all rows in order of users; all rows of a user come in one table.

        Users are keys where all runs have keys, and text otherwise.

        Parameters
        ----------
        memory
            Bytes that the heads of all runs may take together, at least a piece of each.
        """
        share = memory // max(len(self._runs), 1)
        spelt = any(schema.field(0).type == pa.string() for schema, _ in self._runs)
        heads = [
            _Head(partial(self.read, schema=schema, spelt=spelt), pieces)
            for schema, pieces in self._runs if pieces
        ]  # fmt: skip
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

    def __init__(
        self, read: Callable[[tuple[int, int]], pa.Table], pieces: list[tuple[int, int]]
    ) -> None:
        self._read = read
        self.pieces = pieces[::-1]
        self.first: Any = None
        self.last: Any = None
        self.rows = read(self.pieces.pop())
        self._look()

    def fill(self, share: int) -> None:
        """Read on until there are ``share`` bytes, or the run is at its end."""
        pieces = [self.rows]
        size = self.rows.nbytes
        while self.pieces and (size < share or not size):
            pieces.append(self._read(self.pieces.pop()))
            size += pieces[-1].nbytes
        if len(pieces) > 1:
            self.rows = pa.concat_tables(pieces)
            self._look()

    def take_below(self, bound: Any) -> pa.Table:
        """Take the rows of users below ``bound``; all of them for None."""
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
