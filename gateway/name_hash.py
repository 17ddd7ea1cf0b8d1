"""A hash of many names: BLAKE2b with the seed as key, its first eight bytes as a number."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import pyarrow as pa

from gateway.arrays import UInt64

__all__ = ["hash_names"]


# Below so many names, a second's worth, a kernel is not worth compiling.
_MANY = 1 << 20
_CHUNKS = 16
_BATCH = 1 << 12


def hash_names(names: Sequence[str] | pa.StringArray, *, seed: int) -> UInt64:
    """Return a hash of each name, uint64, shape (len(names),).

    Parameters
    ----------
    names
        Any text; an array of Arrow's, which holds no null, gives the same numbers sooner.
    seed
        In [0, 2**64).

    References
    ----------
    RFC 7693.
    """
    if isinstance(names, pa.StringArray):
        return _of_array(names, seed)
    return _one_by_one(names, seed)


def _one_by_one(names: Iterable[str], seed: int) -> UInt64:
    key, digests = seed.to_bytes(8, "little"), bytearray()
    for name in names:
        text = name.encode("utf-8", "surrogatepass")
        digests += hashlib.blake2b(text, digest_size=8, key=key).digest()
    return np.frombuffer(digests, dtype="<u8")


def _of_array(names: pa.StringArray, seed: int) -> UInt64:
    # As Python's own texts, of which each takes seven times as many bytes, a few at a time.
    slices = (names.slice(k, _BATCH) for k in range(0, len(names), _BATCH))
    texts = chain.from_iterable(some.to_pylist() for some in slices)
    if len(names) < _MANY:
        return _one_by_one(texts, seed)
    # Late: a few names do without.
    from gateway._numba import is_compiled  # noqa: PLC0415
    from gateway.name_hash_kernels import hash_texts  # noqa: PLC0415

    if not is_compiled():
        return _one_by_one(texts, seed)
    _, offsets, text = names.buffers()
    words = np.empty(len(names), np.uint64)
    hash_texts(
        np.linspace(0, len(names), _CHUNKS + 1).astype(np.int64),
        np.frombuffer(offsets, np.int32)[names.offset : names.offset + len(names) + 1],
        np.frombuffer(text, np.uint8), np.uint64(seed), words,
    )  # fmt: skip
    return words
