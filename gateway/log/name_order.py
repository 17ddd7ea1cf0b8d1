"""The order of many names by their UTF-8 bytes: Arrow's own takes ten times as long."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["decimal_order", "text_order"]

Int64 = npt.NDArray[np.int64]

# Integers of so many digits leave room in 64 bits for how many they are.
_MOST_DIGITS = 17
# Below it Arrow's order is fast enough.
_MANY = 1 << 16
_KEY_BYTES = 8


def decimal_order(numbers: npt.NDArray[np.signedinteger]) -> Int64:
    """Return the order of distinct integers by what they look like: 1, 10, 2.

    Parameters
    ----------
    numbers
        Shape (n,).

    Returns
    -------
    numpy.ndarray
        int64, shape (n,).

    Examples
    --------
    >>> decimal_order(np.array([2, 10, 1])).tolist()
    [2, 1, 0]
    """
    low, high = int(numbers.min(initial=0)), int(numbers.max(initial=0))
    if low < 0 or high >= 10**_MOST_DIGITS:
        return text_order(pa.array(numbers).cast(pa.string()))
    # Filled up with zeros on the right; of two that are then alike the shorter is first.
    digits = np.searchsorted(10 ** np.arange(1, _MOST_DIGITS + 1), numbers, side="right") + 1
    width = len(str(high))
    key = (numbers * 10 ** (width - digits)) << np.int64(5)
    key |= digits
    return np.argsort(key)


def text_order(names: pa.StringArray) -> Int64:
    """Return the order of distinct names, int64, shape (n,)."""
    if len(names) < _MANY:
        return np.asarray(pc.sort_indices(names).to_numpy(), np.int64)
    if pc.all(pc.less(names[:-1], names[1:])).as_py():
        return np.arange(len(names))
    key = _keys(names)
    order = np.argsort(key)
    ascending = key[order]
    same = np.append(ascending[1:] == ascending[:-1], False)
    tied = np.flatnonzero(same | np.roll(same, 1))
    if len(tied):
        # Those whose keys do not tell are sorted in full, among themselves.
        block = np.sort(order[tied])
        settled = pc.sort_indices(names.take(pa.array(block))).to_numpy()
        order[tied] = block[settled]
    return order


def _keys(names: pa.StringArray) -> npt.NDArray[np.uint64]:
    """Return the eight bytes after what all names begin with, as a number."""
    ends = [end.encode() for end in pc.min_max(names).as_py().values()]
    differ = (a != b for a, b in zip(*ends, strict=False))
    shared = next((k for k, other in enumerate(differ) if other), len(ends[0]))
    _, where, text = names.buffers()
    offsets = np.frombuffer(where, np.int32)[names.offset : names.offset + len(names) + 1]
    data = np.frombuffer(text, np.uint8)
    key = np.zeros(len(names), np.uint64)
    for k in range(shared, shared + _KEY_BYTES):
        at = offsets[:-1] + k
        inside = at < offsets[1:]
        key <<= np.uint64(8)
        key[inside] |= data[at[inside]]
    return key
