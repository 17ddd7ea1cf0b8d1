"""Quantiles and ranks of columns longer than memory, exactly, in a few passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.joins_io.partitioned.scratch import append_columns, drop_columns, map_column

__all__ = ["Passes", "area_under_curve", "exact_quantiles"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Key = npt.NDArray[np.uint64]
# Gives the blocks of a column, from the first on, as often as it is asked.
Passes = Callable[[], Iterable[npt.NDArray[Any]]]
Block = tuple[Float64, npt.NDArray[np.bool_]]

# A float's 64 bits, in pieces that a histogram can hold.
_DIGITS = ((53, 11), (42, 11), (31, 11), (20, 11), (9, 11), (0, 9))
_SIGN = np.uint64(1 << 63)
# What the scratch files of an area begin with.
_AREA = "area-"


def exact_quantiles(passes: Passes, q: Float64) -> Float64:
    """Return what ``numpy.quantile`` gives of the whole column, to the bit.

    Six passes, whatever the number of quantiles: each fixes some more bits of the values
    that stand at the wanted ranks.

    Parameters
    ----------
    passes
        Blocks of numbers without NaN, at least one number in all.
    q
        In [0, 1], shape (n_quantiles,).
    """
    if not len(q):
        return np.zeros(0)
    place: Float64 = np.zeros(0)

    def ranks(n: int) -> Int64:
        nonlocal place
        place = (n - 1) * q
        low = np.floor(place).astype(np.int64)
        return np.concatenate([low, np.minimum(low + 1, n - 1)])

    low, high = np.split(_order_statistics(passes, ranks), 2)
    # As numpy interpolates, so that the last bit is the same.
    t = place - np.floor(place)
    step = high - low
    return np.where(t >= 0.5, high - step * (1 - t), low + step * t)


def _order_statistics(passes: Passes, ranks: Callable[[int], Int64]) -> Float64:
    known = np.zeros(1, np.uint64)
    left = np.zeros(1, np.int64)
    for at, width in _DIGITS:
        heads, which = np.unique(known, return_inverse=True)
        counts = np.zeros((len(heads), 1 << width), np.int64)
        for x in passes():
            _count_digits(_keys(x), heads, at, width, counts)
        if at == _DIGITS[0][0]:
            left = ranks(int(counts.sum()))
            which = np.zeros(len(left), np.int64)
        upto = np.cumsum(counts, axis=1)
        digit = np.array(
            [np.searchsorted(upto[h], r, side="right") for h, r in zip(which, left, strict=True)]
        )
        left = left - (upto[which, digit] - counts[which, digit])
        known = (heads[which] << np.uint64(width)) | digit.astype(np.uint64)
    return _values(known)


def _count_digits(key: Key, heads: Key, at: int, width: int, counts: Int64) -> None:
    """Count the next digit of the keys that begin with one of the heads."""
    digit = ((key >> np.uint64(at)) & np.uint64((1 << width) - 1)).astype(np.int64)
    if at + width == 64:
        counts[0] += np.bincount(digit, minlength=1 << width)
        return
    head = key >> np.uint64(at + width)
    row = np.minimum(np.searchsorted(heads, head), len(heads) - 1)
    hit = heads[row] == head
    flat = (row[hit] << width) + digit[hit]
    counts += np.bincount(flat, minlength=counts.size).reshape(counts.shape)


def _keys(x: npt.NDArray[Any]) -> Key:
    """Map floats to integers in the same order; adding zero makes one of the two zeros."""
    bits = (x.astype(np.float64) + 0.0).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _values(key: Key) -> Float64:
    return np.where(key & _SIGN, key & ~_SIGN, ~key).view(np.float64)


def area_under_curve(
    passes: Callable[[], Iterable[Block]], *, count: int, most: int, folder: Path
) -> float:
    """Return the share of pairs of a positive and a negative in right order, ties half.

    Seven passes, whatever the number of rows, and 9 bytes of scratch a row: ranges of
    scores with at most ``most`` rows each, but for ties, are dealt out to files, and what is
    in one file is counted at a time.

    Parameters
    ----------
    passes
        Blocks of (score, whether positive); both kinds must occur.
    count
        Rows in all.
    most
        Rows that may be in memory.
    folder
        For scratch files, gone afterwards.
    """
    pieces = -(-count // most)
    cuts = np.unique(exact_quantiles(lambda: (x for x, _ in passes()),
                                     np.arange(1, pieces) / pieces))  # fmt: skip
    sizes = _deal_out(passes(), cuts, folder)
    below = pairs = 0
    for k in np.flatnonzero(sizes).tolist():
        negative, positive = _tally(_dealt(folder, k, most))
        before = below + np.concatenate([[0], np.cumsum(negative)[:-1]])
        # Twice the count, so that ties stay whole numbers.
        pairs += int((positive * (2 * before + negative)).sum())
        below += int(negative.sum())
    drop_columns(folder, _AREA)
    positives = count - below
    return pairs / (2 * below * positives)


def _deal_out(blocks: Iterable[Block], cuts: Float64, folder: Path) -> Int64:
    """Append each row to the file of its range, up to and including a cut; return the sizes."""
    sizes = np.zeros(len(cuts) + 1, np.int64)
    for x, positive in blocks:
        piece = np.searchsorted(cuts, x, side="left")
        rows = np.argsort(piece, kind="stable")
        held = np.bincount(piece, minlength=len(sizes))
        parts = np.split(rows, np.cumsum(held)[:-1])
        for k in np.flatnonzero(held).tolist():
            here = parts[k]
            columns = {f"{_AREA}{k}-score": x[here], f"{_AREA}{k}-positive": positive[here]}
            append_columns(folder, columns)
        sizes += held
    return sizes


def _dealt(folder: Path, k: int, most: int) -> Iterator[Block]:
    """Yield what a file holds; more than ``most`` rows only where they are ties."""
    score = map_column(folder, f"{_AREA}{k}-score", np.float64)
    positive = map_column(folder, f"{_AREA}{k}-positive", np.bool_)
    for first in range(0, len(score), most):
        yield score[first : first + most], positive[first : first + most]


def _tally(blocks: Iterable[Block]) -> tuple[Int64, Int64]:
    """Count negatives and positives of each distinct score."""
    value, counts = np.empty(0), np.empty((0, 2), np.int64)
    for x, positive in blocks:
        more = np.column_stack([~positive, positive]).astype(np.int64)
        value, where = np.unique(np.concatenate([value, x]), return_inverse=True)
        stacked = np.concatenate([counts, more])
        counts = np.column_stack(
            [np.bincount(where, stacked[:, k], len(value)).astype(np.int64) for k in (0, 1)]
        )
    return counts[:, 0], counts[:, 1]
