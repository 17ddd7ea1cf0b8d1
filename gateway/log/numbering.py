"""Names as dense ids, in order of their UTF-8 bytes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gateway.arrays import AnyArray, Int32, Int64, UInt64
from gateway.errors import LogError, shown
from gateway.log.sorting import sorted_with_order

_DIGITS = 7
# Names that are made at a time.
_BATCH = 1 << 18
# So many names are held before those that are alike are made one.
_HELD = 1 << 22
# Below it Arrow's order is fast enough.
_MANY = 1 << 16
_KEY_BYTES = 8
# Whole numbers of so many digits have a key that tells the order of their texts.
_MOST_DIGITS = 17
_DIGIT_BITS = 5
_DIGITS_OF_KEY = (1 << _DIGIT_BITS) - 1


class Coded(NamedTuple):
    """Values as ids into names: ``codes`` int32, -1 for none; ``names`` text or integers.

    A name may be there more than once.
    """

    names: pa.Array
    codes: Int32


def coded(column: pa.Array) -> Coded:
    """Return text or integers, plain or by dictionary, as ids; an empty text is none.

    Raises
    ------
    pyarrow.ArrowInvalid
        If a text is not UTF-8.
    """
    if pa.types.is_integer(column.type) and not column.null_count and _are_close(column):
        numbers, codes = _ranked(column.cast(pa.int64()).to_numpy())
        return Coded(pa.array(numbers), codes)
    if pa.types.is_integer(column.type) and column.type != pa.uint64() and not column.null_count:
        # Numbers far apart are mostly met once: to look for the others costs more than it spares.
        return Coded(column.cast(pa.int64()), np.arange(len(column), dtype=np.int32))
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    names = encoded.dictionary
    if not pa.types.is_integer(names.type) or names.type == pa.uint64():
        names = names.cast(pa.string())
        names.validate(full=True)
    elif names.type != pa.int64():
        names = names.cast(pa.int64())
    indices = encoded.indices
    if indices.null_count:
        indices = indices.fill_null(-1) if pa.types.is_signed_integer(indices.type) else (
            indices.cast(pa.int64()).fill_null(-1)
        )  # fmt: skip
    codes = indices.to_numpy().astype(np.int32, copy=False)
    none = (
        pc.is_null(names) if names.type == pa.int64() else pc.fill_null(pc.equal(names, ""), True)
    )
    if pc.any(none).as_py():
        codes = np.where(
            none.to_numpy(zero_copy_only=False)[codes] | (codes < 0), np.int32(-1), codes
        )
    return Coded(names, codes)


def _are_close(column: pa.Array) -> bool:
    """Whether integers, none of them negative, leave few gaps."""
    low, high = (end or 0 for end in pc.min_max(column).as_py().values())
    return low >= 0 and high <= 4 * len(column) + 1_000


class Numbering:
    """Values that come block by block, numbered as they are met until the end.

    ``add`` gives arrays of ids that ``finish`` changes, in place, to ranks of the names.
    """

    def __init__(self) -> None:
        self._names: list[pa.Array] = []
        self._issued: list[Int32] = []
        self._held = self._distinct = 0

    def add(self, block: Coded) -> Int32:
        """Return the ids so far of a block, -1 for none."""
        ids = np.where(block.codes < 0, np.int32(-1), block.codes + np.int32(self._held))
        self._issued.append(ids)
        self._names.append(block.names)
        self._held += len(block.names)
        if self._held > _HELD + 2 * self._distinct:
            self._merge()
        return ids

    def finish(self) -> pa.StringArray:
        """Return the names that occur, sorted; the ids of all blocks are now theirs."""
        if not self._held:
            return pa.array([], pa.string())
        names = self._merge()
        used = np.zeros(len(names) + 1, np.bool_)
        for ids in self._issued:
            used[ids] = True
        # A dictionary may hold what no row does; -1 has marked what lies behind the names.
        used = used[:-1]
        if not used.all():
            self._renumber((np.cumsum(used) - 1).astype(np.int32))
            names = names.filter(pa.array(used))
        names = names.cast(pa.string())
        order = text_order(names)
        self._renumber(inverse(order))
        self._issued.clear()
        return names.take(pa.array(order))

    def _merge(self) -> pa.Array:
        """Let each name be held once."""
        if len({names.type for names in self._names}) > 1:
            self._names = [names.cast(pa.string()) for names in self._names]
        encoded = pa.chunked_array(self._names).dictionary_encode()
        self._renumber(np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks]))
        self._names = [encoded.chunk(0).dictionary]
        self._held = self._distinct = len(self._names[0])
        return self._names[0]

    def _renumber(self, place: Int32) -> None:
        place = np.append(place, np.int32(-1))
        for ids in self._issued:
            np.take(place, ids, out=ids, mode="wrap")


def numbered_names(letter: str, ids: AnyArray) -> pa.StringArray:
    """Return names whose sorted order is that of the ids, which are not negative: ``u0000012``.

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


def _padded(letter: str, ids: AnyArray, width: int) -> pa.StringArray:
    digits = pc.utf8_lpad(pa.array(ids).cast(pa.string()), width, "0")
    return pc.binary_join_element_wise(pa.scalar(letter), digits, "")


class Dense(NamedTuple):
    """Values as ids: ``ids`` int32; ``names`` sorted; ``order`` of the given names, if any.

    ``mentioned`` are the ids of what was mentioned beside the values, -1 for none.
    """

    ids: Int32
    names: pa.StringArray
    order: Int64
    mentioned: Int32 | None = None


def dense_ids(
    values: Any, *, names: Any = None, letter: str = "u", what: str = "user", mentioned: Any = None
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
        What a LogError calls one of them: a name that is null, empty or there twice, an id that
        is negative or has no name.
    mentioned
        More ids, -1 for none: inviters beside users. Only with ids.
    """
    if not _are_numbers(values):
        if names is not None or mentioned is not None:
            raise LogError(f"{what} must be given by ids where ids are given beside it; got names")
        numbering = Numbering()
        of_rows = numbering.add(coded(texts(values, what)))
        found = numbering.finish()
        return Dense(of_rows, found, np.arange(len(found)))
    ids = whole_numbers(values, what)
    others = np.empty(0, np.int64) if mentioned is None else whole_numbers(mentioned, what)
    pool = np.concatenate([ids, others[others >= 0]]) if len(others) else ids
    if names is None:
        if pool.min(initial=0) < 0:
            raise LogError(f"{what} ids must not be negative; got {pool.min()}")
        known, place = _ranked(pool)
        found, order = numbered_names(letter, known), np.arange(len(known))
    else:
        given = _unique(names, what)
        low, high = pool.min(initial=0), pool.max(initial=-1)
        if low < 0 or high >= len(given):
            got = low if low < 0 else high
            raise LogError(f"{what} ids must be in [0, {len(given)}), the names given; got {got}")
        order = text_order(given)
        found, place = given.take(pa.array(order)), inverse(order)[pool]
    if mentioned is None:
        return Dense(place, found, order)
    beside = np.full(len(others), -1, np.int32)
    beside[others >= 0] = place[len(ids) :]
    return Dense(place[: len(ids)], found, order, beside)


def _are_numbers(values: Any) -> bool:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return bool(pa.types.is_integer(values.type))
    return np.asarray(values).dtype.kind in "iufb"


def _ranked(ids: Int64) -> tuple[Int64, Int32]:
    """Return the distinct ids, sorted, and the rank of each id among them."""
    if ids.max(initial=0) > 4 * len(ids) + 1_000:
        known, place = np.unique(ids, return_inverse=True)
        return known, place.astype(np.int32)
    # Ids without large gaps are looked up, twenty times as fast as sorted.
    present = np.zeros(ids.max(initial=0) + 1, np.bool_)
    present[ids] = True
    return np.flatnonzero(present), (np.cumsum(present, dtype=np.int32) - np.int32(1))[ids]


def _unique(names: Any, what: str) -> pa.StringArray:
    found = texts(names, what)
    counts = pc.value_counts(found)
    doubled = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(doubled):
        name = doubled.field("values")[0].as_py()
        raise LogError(f"{what} names must be unique; {shown(name)} is there more than once")
    return found


def whole_numbers(values: Any, what: str) -> Int64:
    """Return integers in one dimension as an int64 array, or raise a LogError."""
    array = np.asarray(values)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size > 0):
        rule = "must be integers in one dimension"
        raise LogError(f"{what} {rule}; got {array.dtype} of shape {array.shape}")
    return array.astype(np.int64, copy=False)


def texts(values: Any, what: str) -> pa.StringArray:
    """Return names as an array of text, of which none is null or empty, or raise a LogError."""
    try:
        array = (
            pa.chunked_array(values) if isinstance(values, pa.ChunkedArray) else pa.array(values)
        )
        if pa.types.is_dictionary(array.type):
            array = array.cast(array.type.value_type)
        found = array.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise LogError(f"{what} names must be text; got {shown(str(error))}") from error
    if found.null_count or pc.any(pc.equal(found, "")).as_py():
        raise LogError(f"{what} names must not be null or empty")
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def inverse(order: AnyArray) -> Int32:
    """Return the rank of each value, int32, from the order of the values."""
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank


def text_order(names: pa.StringArray) -> Int64:
    """Return the order of distinct names, int64, shape (n,): for many, as integers.

    Arrow's own order of a million names takes ten times as long.
    """
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


def text_keys(numbers: Int64) -> tuple[Int64, Int64] | None:
    """Return keys of whole numbers, int64, sorted, and the order of the numbers.

    The order of keys is that of the texts: the digits stand at the left, filled up with zeros,
    and then their number, as "1" is before "10". None where a number is negative, or has more
    than 17 digits.

    Examples
    --------
    >>> keys, order = text_keys(np.array([2, 10, 1, 100]))
    >>> order.tolist(), names_of_keys(keys).to_pylist()
    ([2, 1, 3, 0], ['1', '10', '100', '2'])
    """
    low, high = int(numbers.min(initial=0)), int(numbers.max(initial=0))
    if low < 0 or high >= 10**_MOST_DIGITS:
        return None
    short = numbers.astype(np.int32) if high < 2**31 else numbers
    digits, most = np.ones(len(numbers), np.int8), len(str(high))
    for k in range(1, most):
        digits += short >= 10**k
    # With few digits the key of a row and its place fit into one integer, sorted at once.
    key = (10 ** np.arange(most, -1, -1))[digits]
    key *= numbers
    key <<= _DIGIT_BITS
    key |= digits
    key, order = sorted_with_order(key)
    digits = key & _DIGITS_OF_KEY
    key >>= _DIGIT_BITS
    key *= 10 ** (_MOST_DIGITS - most)
    key <<= _DIGIT_BITS
    key |= digits
    return key, order


def names_of_keys(keys: Int64) -> pa.StringArray:
    """Return the numbers with these ``text_keys``, written out."""
    digits = keys & _DIGITS_OF_KEY
    numbers = (keys >> _DIGIT_BITS) // 10 ** (_MOST_DIGITS - digits)
    return pa.array(numbers).cast(pa.string())


def _keys(names: pa.StringArray) -> UInt64:
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
