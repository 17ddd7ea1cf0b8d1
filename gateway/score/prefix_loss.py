"""Loss of the all-prefix logistic regression over packed rows: four bytes each."""

from __future__ import annotations

from copy import copy

import numpy as np
import numpy.typing as npt

from gateway.errors import LogError
from gateway.score.prefix_loss_kernels import (
    GROUP,
    add_chunks,
    chunk_losses,
    count_flags,
    count_later,
    trim_users,
    write_codes,
)
from gateway.score.prefixes import Prefixes

__all__ = ["PrefixLoss", "pack_rows"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# Rows that go through the loops of a kernel together: their logits stay in the first cache.
ROOM = 256
# Sums are added chunk by chunk, the same ones whatever the threads; each has a gradient of
# its own, so that there are no more of them than pay for the adding.
MOST_CHUNKS = 16
_ROWS_PER_GRADIENT = 4


def pack_rows(prefixes: Prefixes, users: Mask) -> tuple[npt.NDArray[np.int32], Int64]:
    """Pack what training looks at: a user's rows up to the last one with an outcome.

    Parameters
    ----------
    prefixes
        The rows.
    users
        bool, shape (n_users,): whose rows count.

    Returns
    -------
    numpy.ndarray, numpy.ndarray
        int32, shape (n_packed,): group, and bits for the user's first row, for a row to
        train on and for its outcome; int64, shape (n_users + 1,): first row of each user,
        of none where they do not count.

    Raises
    ------
    LogError
        If there are more groups than 29 bits can tell apart.
    """
    if prefixes.n_groups > GROUP:
        raise LogError(f"a log must have at most {GROUP:,} groups; got {prefixes.n_groups:,}")
    first = np.zeros(prefixes.n_users + 1, np.int64)
    trim_users(prefixes.offsets, prefixes.ends_block, prefixes.label, users, first[1:])
    np.cumsum(first, out=first)
    code = np.empty(int(first[-1]), np.int32)
    write_codes(
        prefixes.offsets, prefixes.group, prefixes.ends_block, prefixes.label, first, code
    )  # fmt: skip
    return code, first


class PrefixLoss:
    """Penalised log-loss over all training prefixes of some users.

    L(w, b) = sum over training rows of [log(1 + exp(z)) - y z] + penalty / 2 |w|^2, the
    intercept b unpenalised: scikit-learn's ``LogisticRegression`` objective with
    C = 1 / penalty, times penalty, on the matrix with one row for each prefix.

    Parameters
    ----------
    prefixes
        The rows.
    users
        bool, shape (n_users,): whose rows count.
    penalty
        L2 penalty, not negative.
    """

    def __init__(self, prefixes: Prefixes, users: Mask, *, penalty: float) -> None:
        self.n_groups, self.penalty = prefixes.n_groups, penalty
        self._code, first = pack_rows(prefixes, users)
        size = len(self._code)
        n = int(np.clip(size // (_ROWS_PER_GRADIENT * self.n_groups), 2, MOST_CHUNKS))
        # Chunks of about equal size, cut between users.
        self._bounds = first[np.searchsorted(first, size * np.arange(n + 1) // n)]
        longest = int(np.diff(first).max(initial=0))
        self._logits = np.empty((n, max(ROOM, longest)))
        self._lanes = np.empty((n, 3, ROOM))
        self._gradient = np.empty((n, self.n_groups))
        self._totals = np.empty((n, 2))
        flags = np.zeros((n, 2), np.int64)
        count_flags(self._code, self._bounds, flags)
        self.n_rows, self.n_positive = (int(count) for count in flags.sum(axis=0))

    def at(self, penalty: float) -> PrefixLoss:
        """Return the loss over the same rows with another penalty."""
        other = copy(self)
        other.penalty = penalty
        return other

    def __call__(self, w: Float64, b: float) -> tuple[float, Float64, float]:
        """Return the loss, its gradient in w (shape (n_groups,)) and its slope in b."""
        chunk_losses(
            self._code, self._bounds, w, float(b), self._logits, self._lanes, self._gradient,
            self._totals,
        )  # fmt: skip
        total = np.empty(self.n_groups)
        add_chunks(self._gradient, self.penalty, w, total)
        loss, slope = self._totals.sum(axis=0)
        return float(loss) + 0.5 * self.penalty * float(w @ w), total, float(slope)

    def base_rate(self) -> float:
        """Share of training rows with outcome 1; half a row is added to either side."""
        return (self.n_positive + 0.5) / (self.n_rows + 1.0)

    def curvature(self) -> Float64:
        """Diagonal of the Hessian at w = 0, intercept last, shape (n_groups + 1,)."""
        count_later(self._code, self._bounds, self._gradient)
        later = np.zeros(self.n_groups)
        add_chunks(self._gradient, 0.0, later, later)
        rate = self.base_rate()
        floor = np.append(np.full(self.n_groups, max(self.penalty, 1e-9)), 1e-9)
        return np.asarray(rate * (1 - rate) * np.append(later, self.n_rows) + floor)
