"""Values that come block by block, as dense ids in order of their names.

Text is numbered by Arrow's dictionaries, integers by a table of those that occur: no list
of names as long as the log is ever made.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gateway.log.ids import Dense, inverse
from gateway.log.name_order import decimal_order, text_order

__all__ = ["Numbering", "numbering_of"]

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

# Values that are worked on at a time.
_BATCH = 1 << 22
# So many entries of dictionaries are held before those that are alike are made one.
_HELD = 1 << 22
_TEXTS = (pa.string(), pa.large_string(), pa.string_view())


class Numbering(Protocol):
    """Takes the blocks of a column in turn, then gives all of it."""

    def add(self, block: pa.Array) -> bool:
        """Take a block; False where it holds what must be looked at row by row."""
        ...

    def finish(self) -> Dense:
        """Return all values; nothing can be added any more."""
        ...


def numbering_of(kind: pa.DataType, rows: int) -> Numbering | None:
    """Return what numbers a column of a type and so many rows; None for other types."""
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return _Integers(rows, wide=kind.bit_width > 32 or kind == pa.uint32())
    if kind in _TEXTS or (pa.types.is_dictionary(kind) and kind.value_type in _TEXTS):
        return _Texts(rows)
    return None


class _Integers:
    """Integers, named as they are written."""

    def __init__(self, rows: int, *, wide: bool) -> None:
        self._values: npt.NDArray[np.signedinteger] = np.empty(rows, np.int64 if wide else np.int32)
        self._filled = 0

    def add(self, block: pa.Array) -> bool:
        if not pa.types.is_integer(block.type) or block.null_count:
            return False
        values = block.to_numpy()
        if not np.can_cast(values.dtype, self._values.dtype):
            return False
        self._values[self._filled : self._filled + len(values)] = values
        self._filled += len(values)
        return True

    def finish(self) -> Dense:
        values = self._values
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 4 * len(values) + 1_000:
            return self._by_dictionary()
        # Without large gaps they are looked up in a table.
        table = np.zeros(high + 1, np.int32)
        table[values] = 1
        known = np.flatnonzero(table)
        order = decimal_order(known)
        table[known[order]] = np.arange(len(known), dtype=np.int32)
        ids = values if values.dtype == np.int32 else np.empty(len(values), np.int32)
        for first in range(0, len(values), _BATCH):
            part = slice(first, first + _BATCH)
            ids[part] = table[values[part]]
        return _dense(ids.astype(np.int32, copy=False), known, order)

    def _by_dictionary(self) -> Dense:
        pieces = [self._values[i : i + _BATCH] for i in range(0, len(self._values), _BATCH)]
        column = pa.chunked_array([pa.array(piece) for piece in pieces]).dictionary_encode()
        known = column.chunk(0).dictionary.to_numpy()
        order = decimal_order(known)
        ids, rank = np.empty(len(self._values), np.int32), inverse(order)
        for first, chunk in zip(range(0, len(ids), _BATCH), column.chunks, strict=True):
            ids[first : first + len(chunk)] = rank[chunk.indices.to_numpy()]
        return _dense(ids, known, order)


def _dense(ids: Int32, known: npt.NDArray[np.signedinteger], order: Int64) -> Dense:
    names = pa.array(known[order]).cast(pa.string())
    return Dense(ids, names, np.arange(len(names)), None)


class _Texts:
    """Text, numbered in the order in which it is first met, until the end."""

    def __init__(self, rows: int) -> None:
        self._codes = np.empty(rows, np.int32)
        self._filled = 0
        self._names: list[pa.StringArray] = []
        self._held = self._distinct = 0

    def add(self, block: pa.Array) -> bool:
        kind = block.type
        if kind not in _TEXTS and not (pa.types.is_dictionary(kind) and kind.value_type in _TEXTS):
            return False
        encoded = block if pa.types.is_dictionary(kind) else block.dictionary_encode()
        names = encoded.dictionary.cast(pa.string())
        if block.null_count or names.null_count or pc.any(pc.equal(names, "")).as_py():
            return False
        names.validate(full=True)
        codes = self._codes[self._filled : self._filled + len(block)]
        np.add(encoded.indices.to_numpy(), self._held, out=codes, casting="unsafe")
        self._filled += len(block)
        self._names.append(names)
        self._held += len(names)
        if self._held > _HELD + 2 * self._distinct:
            self._merge()
        return True

    def _merge(self) -> None:
        """Let each name be held once."""
        encoded = pa.chunked_array(self._names, pa.string()).dictionary_encode()
        place = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])
        self._renumber(place)
        self._names = [encoded.chunk(0).dictionary]
        self._held = self._distinct = len(self._names[0])

    def _renumber(self, place: npt.NDArray[np.int32]) -> None:
        for first in range(0, self._filled, _BATCH):
            part = slice(first, min(first + _BATCH, self._filled))
            self._codes[part] = place[self._codes[part]]

    def finish(self) -> Dense:
        self._merge()
        names = self._names[0]
        used = np.zeros(len(names), bool)
        for first in range(0, self._filled, _BATCH):
            used[self._codes[first : first + _BATCH]] = True
        if not used.all():
            # A dictionary may hold what no row does.
            self._renumber((np.cumsum(used) - 1).astype(np.int32))
            names = names.filter(pa.array(used))
        order = text_order(names)
        self._renumber(inverse(order))
        return Dense(self._codes, names.take(pa.array(order)), np.arange(len(names)), None)
