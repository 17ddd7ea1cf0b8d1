"""Types of arrays, by what an element is; shapes stand where an array is described."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Whole = TypeVar("Whole", bound=np.signedinteger)
AnyArray = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int8 = npt.NDArray[np.int8]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Ints = npt.NDArray[np.signedinteger]
UInt8 = npt.NDArray[np.uint8]
UInt64 = npt.NDArray[np.uint64]


def even_cuts(n: int, chunks: int) -> Int64:
    """Return where chunks of n rows or users begin, and the end, int64, shape (chunks + 1,).

    Their number is fixed, whatever that of the threads: sums over them are the same bits.
    """
    return np.linspace(0, n, chunks + 1).astype(np.int64)


def sorted_set(x: npt.NDArray[Whole]) -> npt.NDArray[Whole]:
    """Return ``numpy.unique(x)``, which hashes: of mostly unlike values a hundred times as long.

    Examples
    --------
    >>> sorted_set(np.array([3, 1, 3])).tolist()
    [1, 3]
    """
    ascending = np.sort(x)
    return ascending[np.diff(ascending, prepend=ascending[:1] - 1) > 0]
