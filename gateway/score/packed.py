"""Training rows in four bytes each, laid out so that any class of users is one range."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from gateway.errors import LogError
from gateway.score.descent import Minimum, minimise
from gateway.score.packed_kernels import (
    GROUP,
    add_chunks,
    count_flags,
    count_later,
    packed_loss,
    trim_users,
    write_codes,
)
from gateway.score.prefixes import Prefixes

__all__ = ["PackedLoss", "PackedRows", "fit_packed", "pack_rows"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# Rows that go through the loops of a kernel together: their logits stay in the first cache.
ROOM = 256
# Sums are added chunk by chunk, the same ones whatever the threads; each has a gradient of
# its own, so that there are no more of them than pay for the adding.
MOST_CHUNKS = 16
_ROWS_PER_GRADIENT = 4


@dataclass(frozen=True, eq=False)
class PackedRows:
    """The rows of ``Prefixes`` that training looks at, users of a class side by side.

    A user's rows after the last one with an outcome are left out.

    Parameters
    ----------
    code
        int32, shape (n_packed,): group, and bits for the user's first row, for a row to
        train on and for its outcome.
    first_of_class
        int64, shape (n_classes + 1,): rows of class c are ``first[c]:first[c + 1]``.
    n_groups
        Number of groups of the log.
    longest
        Most rows of a user.
    """

    code: npt.NDArray[np.int32]
    first_of_class: Int64
    n_groups: int
    longest: int

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.first_of_class) - 1

    def ranges(self, classes: Mask) -> Int64:
        """Return first row and end of each run of neighbouring classes, shape (n, 2).

        Parameters
        ----------
        classes
            bool, shape (n_classes,).
        """
        edge = np.diff(np.concatenate([[0], classes.astype(np.int8), [0]]))
        first, end = np.flatnonzero(edge == 1), np.flatnonzero(edge == -1)
        found = np.column_stack([self.first_of_class[first], self.first_of_class[end]])
        return np.asarray(found[found[:, 0] < found[:, 1]], np.int64)

    def count_training(self, first: int, end: int) -> int:
        """Return the number of rows to train on in a range."""
        flags = np.zeros((1, 2), np.int64)
        count_flags(self.code, np.array([[first, end]]), np.array([0, 1]), flags)
        return int(flags[0, 0])

    def next_user(self, row: int) -> int:
        """Return the first row from ``row`` on that starts a user, or the end."""
        while row < len(self.code) and self.code[row] >= 0:
            row += 1
        return row


def pack_rows(prefixes: Prefixes, class_of_user: npt.NDArray[np.integer], n: int) -> PackedRows:
    """Pack the rows to train on.

    Parameters
    ----------
    prefixes
        The rows.
    class_of_user
        Shape (n_users,), from 0; a class's users stand in order of their ids.
    n
        Number of classes.

    Raises
    ------
    LogError
        If there are more groups than 29 bits can tell apart.
    """
    if prefixes.n_groups > GROUP:
        raise LogError(f"a log must have at most {GROUP:,} groups; got {prefixes.n_groups:,}")
    length = np.empty(prefixes.n_users, np.int32)
    trim_users(prefixes.offsets, prefixes.ends_block, prefixes.label, length)
    in_class = np.bincount(class_of_user, weights=length, minlength=n).astype(np.int64)
    order = np.argsort(class_of_user, kind="stable")
    first = np.empty(prefixes.n_users, np.int64)
    first[order] = np.cumsum(length[order], dtype=np.int64) - length[order]
    code = np.empty(int(in_class.sum()), np.int32)
    write_codes(
        prefixes.offsets, prefixes.group, prefixes.ends_block, prefixes.label, first, length, code
    )
    first_of_class = np.concatenate([[0], np.cumsum(in_class)])
    return PackedRows(code, first_of_class, prefixes.n_groups, int(length.max(initial=0)))


class PackedLoss:
    """Penalised log-loss over the training rows of some classes; otherwise as ``PrefixLoss``.

    Parameters
    ----------
    rows
        Packed rows.
    classes
        bool, shape (n_classes,): whose rows count.
    penalty
        L2 penalty, not negative.
    """

    def __init__(self, rows: PackedRows, classes: Mask, *, penalty: float) -> None:
        self.rows, self.penalty = rows, penalty
        self._ranges, self._chunks = _cut(rows, rows.ranges(classes))
        n = len(self._chunks) - 1
        self._logits = np.empty((n, max(ROOM, rows.longest)))
        self._lanes = np.empty((n, 3, ROOM))
        self._gradient = np.empty((n, rows.n_groups))
        self._totals = np.empty((n, 2))
        flags = np.zeros((n, 2), np.int64)
        count_flags(rows.code, self._ranges, self._chunks, flags)
        self.n_rows, self.n_positive = (int(count) for count in flags.sum(axis=0))
        self.evaluations = 0

    def __call__(self, w: Float64, b: float) -> tuple[float, Float64, float]:
        """Return the loss, its gradient in w (shape (n_groups,)) and its slope in b."""
        packed_loss(
            self.rows.code, self._ranges, self._chunks, w, float(b), self._logits, self._lanes,
            self._gradient, self._totals,
        )  # fmt: skip
        total = np.empty(self.rows.n_groups)
        add_chunks(self._gradient, self.penalty, w, total)
        loss, slope = self._totals.sum(axis=0)
        self.evaluations += 1
        return float(loss) + 0.5 * self.penalty * float(w @ w), total, float(slope)

    def base_rate(self) -> float:
        """Share of training rows with outcome 1; half a row is added to either side."""
        return (self.n_positive + 0.5) / (self.n_rows + 1.0)

    def pieces(self) -> Int64:
        """Return the ranges of rows that go into the sums, in order, shape (n, 2)."""
        return self._ranges

    def later_rows(self) -> Float64:
        """Training rows whose prefix contains each group, shape (n_groups,)."""
        count_later(self.rows.code, self._ranges, self._chunks, self._gradient)
        nothing, total = np.zeros(self.rows.n_groups), np.empty(self.rows.n_groups)
        add_chunks(self._gradient, 0.0, nothing, total)
        return total


def fit_packed(loss: PackedLoss, *, tolerance: float, start: Float64 | None = None) -> Minimum:
    """Minimise over weights and intercept, from ``start`` or from zero and the base rate.

    Each variable is scaled by the square root of the Hessian's diagonal where all weights
    are zero. One BLAS thread: a threaded product adds in another order.

    Parameters
    ----------
    loss
        What to minimise; its penalty must be positive.
    tolerance
        Relative distance to the least loss, as ``descent.minimise`` estimates it.
    start
        Weights, then the intercept; shape (n_groups + 1,).
    """
    rate = loss.base_rate()
    bend = rate * (1.0 - rate)
    diagonal = np.append(bend * loss.later_rows() + loss.penalty, bend * loss.n_rows + 1e-9)
    scale = 1.0 / np.sqrt(diagonal)
    if start is None:
        start = np.zeros(len(scale))
        start[-1] = np.log(rate / (1.0 - rate))

    def scaled(x: Float64) -> tuple[float, Float64]:
        x = x * scale
        value, gradient, slope = loss(x[:-1], float(x[-1]))
        return value, np.append(gradient, slope) * scale

    with threadpool_limits(limits=1, user_api="blas"):
        found = minimise(scaled, start / scale, tolerance=tolerance)
    return replace(found, x=found.x * scale)


def _cut(rows: PackedRows, ranges: Int64) -> tuple[Int64, Int64]:
    """Cut ranges at users into chunks of about equal size: (pieces, first piece of each)."""
    size = int((ranges[:, 1] - ranges[:, 0]).sum())
    n = int(np.clip(size // (_ROWS_PER_GRADIENT * rows.n_groups), 2, MOST_CHUNKS))
    pieces, chunks, done = [], [0], 0
    for first, end in ranges.tolist():
        start = first
        while start < end:
            room = -(-size * len(chunks) // n) - done
            stop = end if room >= end - start else min(rows.next_user(start + room), end)
            if stop > start:
                pieces.append((start, stop))
            done += stop - start
            start = stop
            if done * n >= size * len(chunks) and len(chunks) < n:
                chunks.append(len(pieces))
    chunks.append(len(pieces))
    return np.array(pieces, np.int64).reshape(-1, 2), np.array(chunks, np.int64)
