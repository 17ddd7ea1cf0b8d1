"""Users and groups as dense ids in order of their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gateway.errors import LogError
from gateway.log.messages import shown

__all__ = ["Dense", "dense_ids", "inverse", "numbered_names", "whole_numbers"]

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

_DIGITS = 7
# Names that are made at a time.
_BATCH = 1 << 18


@dataclass(frozen=True, eq=False)
class Dense:
    """Values as dense ids.

    Parameters
    ----------
    ids
        int32, shape (n_values,): index into ``names``.
    names
        Unique and sorted by their UTF-8 bytes, which is the order of code points.
    order
        int64, shape (n_names,): ``names`` are the given names in this order.
    mentioned
        int32, as long as what was mentioned beside the values: index or -1; or None.
    """

    ids: Int32
    names: pa.StringArray
    order: Int64
    mentioned: Int32 | None


def numbered_names(letter: str, ids: npt.NDArray[Any]) -> pa.StringArray:
    """Return names whose sorted order is the order of the ids: ``u0000012``.

    Parameters
    ----------
    letter
        What every name starts with.
    ids
        Integers, not negative.

    Examples
    --------
    >>> numbered_names("u", np.array([7, 12])).to_pylist()
    ['u0000007', 'u0000012']
    """
    width = max(_DIGITS, len(str(ids.max(initial=0))))
    # In batches: each step on the way to the names takes as much room as they do.
    parts = [
        _padded(letter, ids[first : first + _BATCH], width)
        for first in range(0, max(len(ids), 1), _BATCH)
    ]
    return parts[0] if len(parts) == 1 else pa.concat_arrays(parts)


def _padded(letter: str, ids: npt.NDArray[Any], width: int) -> pa.StringArray:
    digits = pc.utf8_lpad(pa.array(ids).cast(pa.string()), width, "0")
    return pc.binary_join_element_wise(pa.scalar(letter), digits, "")


def dense_ids(
    values: Any,
    *,
    names: Any = None,
    letter: str = "u",
    what: str = "user",
    mentioned: npt.ArrayLike | None = None,
) -> Dense:
    """Return values, names or ids, as dense ids in order of their names.

    Parameters
    ----------
    values
        Names; or ids, which index ``names`` or are named after their number.
    names
        Name of each id, unique, in any order; those without a row are kept.
    letter
        First letter of names made from ids.
    what
        What one of them is called in messages.
    mentioned
        More ids, -1 for none: inviters beside users. Only with ids.

    Raises
    ------
    LogError
        If a name is null, empty or there twice, an id is negative or has no name.
    """
    if not _are_integers(values):
        return _from_texts(values, names, what, mentioned)
    ids = whole_numbers(values, what)
    others = None if mentioned is None else whole_numbers(mentioned, what)
    pool = ids if others is None else np.concatenate([ids, others[others >= 0]])
    if names is None:
        return _from_numbers(ids, others, pool, letter, what)
    return _from_index(ids, others, pool, _unique_texts(names, what), what)


def whole_numbers(values: Any, what: str) -> Int64:
    """Return values as a one-dimensional int64 array.

    Raises
    ------
    LogError
        If they are not integers, or not in one dimension.
    """
    array = np.asarray(values)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size > 0):
        rule = "must be integers in one dimension"
        raise LogError(f"{what} {rule}; got {array.dtype} of shape {array.shape}")
    return array.astype(np.int64, copy=False)


def _are_integers(values: Any) -> bool:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return bool(pa.types.is_integer(values.type))
    return np.asarray(values).dtype.kind in "iufb"


def _from_texts(values: Any, names: Any, what: str, mentioned: npt.ArrayLike | None) -> Dense:
    if names is not None or mentioned is not None:
        raise LogError(f"{what} must be given by ids where ids are given beside it; got names")
    encoded = _texts(values, what).dictionary_encode().combine_chunks()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = inverse(order)
    names = encoded.dictionary.take(pa.array(order))
    return Dense(rank[encoded.indices.to_numpy()], names, np.arange(len(order)), None)


def _from_numbers(ids: Int64, others: Int64 | None, pool: Int64, letter: str, what: str) -> Dense:
    if pool.min(initial=0) < 0:
        raise LogError(f"{what} ids must not be negative; got {pool.min()}")
    known, place = _ranked(pool)
    names, order = numbered_names(letter, known), np.arange(len(known))
    mentioned = None
    if others is not None:
        mentioned = np.full(len(others), -1, np.int32)
        mentioned[others >= 0] = place[len(ids) :]
    return Dense(place[: len(ids)], names, order, mentioned)


def _from_index(
    ids: Int64, others: Int64 | None, pool: Int64, names: pa.StringArray, what: str
) -> Dense:
    low, high = pool.min(initial=0), pool.max(initial=-1)
    if low < 0 or high >= len(names):
        got = low if low < 0 else high
        raise LogError(f"{what} ids must be in [0, {len(names)}), the names given; got {got}")
    order = pc.sort_indices(names).to_numpy().astype(np.int64)
    rank = inverse(order)
    mentioned = None if others is None else np.where(others < 0, np.int32(-1), rank[others])
    return Dense(rank[ids], names.take(pa.array(order)), order, mentioned)


def inverse(order: npt.NDArray[Any]) -> Int32:
    """Return the rank of each value, int32, from the order of the values."""
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank


def _ranked(ids: Int64) -> tuple[Int64, Int32]:
    """Return the distinct ids, sorted, and the rank of each id among them."""
    if ids.max(initial=0) > 4 * len(ids) + 1_000:
        known, place = np.unique(ids, return_inverse=True)
        return known, place.astype(np.int32)
    # Ids without large gaps are looked up, twenty times as fast as sorted.
    present = np.zeros(ids.max(initial=0) + 1, np.bool_)
    present[ids] = True
    return np.flatnonzero(present), (np.cumsum(present, dtype=np.int32) - np.int32(1))[ids]


def _unique_texts(names: Any, what: str) -> pa.StringArray:
    texts = _texts(names, what).combine_chunks()
    counts = pc.value_counts(texts)
    doubled = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(doubled):
        name = doubled.field("values")[0].as_py()
        raise LogError(f"{what} names must be unique; {shown(name)} is there more than once")
    return texts


def _texts(values: Any, what: str) -> pa.ChunkedArray:
    try:
        array = values
        if not isinstance(array, pa.ChunkedArray):
            array = pa.chunked_array([pa.array(values)])
        if pa.types.is_dictionary(array.type):
            array = array.cast(array.type.value_type)
        texts = array.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise LogError(f"{what} names must be text; got {shown(str(error))}") from error
    if texts.null_count or pc.any(pc.equal(texts, "")).as_py():
        raise LogError(f"{what} names must not be null or empty")
    return texts
