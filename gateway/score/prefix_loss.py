"""Loss of the all-prefix logistic regression over packed rows: eight bytes each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.arrays import AnyArray, Float64, Int64, Mask
from gateway.errors import LogError
from gateway.log.work import current_work, room, shares
from gateway.score.prefix_loss_kernels import (
    CALENDAR,
    GAPS,
    GROUP,
    JOINS,
    TENURES,
    add_chunks,
    chunk_losses,
    count_flags,
    count_later,
    trim_users,
    write_cells,
    write_codes,
)
from gateway.score.prefixes import Prefixes
from gateway.score.scorer import base_rate

# Rows that go through the loops of a kernel together: their logits stay in the first cache.
ROOM = 256
# Sums are added chunk by chunk, the same ones whatever the threads; each has a gradient of
# its own, so that there are no more of them than pay for the adding.
MOST_CHUNKS = 16
_ROWS_PER_GRADIENT = 4
# Penalty of a step from one bin of a covariate to the next: as of a hundred joiners.
STEP_PENALTY = 100.0
# Rows to a calendar bin at least, and how many are enough to cut the calendar.
_ROWS_PER_BIN, _MOST_ROWS, _SALT = 100, 1_000_000, 2.0**22
# Where each covariate's bins begin, and the end.
_SETS = np.cumsum([0, JOINS, TENURES, GAPS, CALENDAR]).tolist()
STEPS = _SETS[-1] - 4


@dataclass(frozen=True, eq=False)
class Form:
    """What a logit is made of beside the weights of the groups."""

    # What is left of a group's weight after one more block, in (0, 1]; the sum is divided by
    # the root of the sum of squared factors. None: the sum of the weights as it is.
    keep: float | None
    # Where calendar bins begin, but the first: shape (CALENDAR - 1,), the ones that are not
    # wanted at the end of time. None: no covariates.
    cuts: Int64 | None

    @staticmethod
    def learn(prefixes: Prefixes, users: Mask, *, keep: float | None) -> Form:
        """Cut the calendar at quantiles of the rows that some users are trained on.

        Of a long log a sample of the users tells, by a hash of their names.
        """
        part = min(1.0, _MOST_ROWS / max(len(prefixes.group), 1))
        few = users & (np.modf(prefixes.chance * _SALT)[0] < part)
        times = [
            part.time[part.trains & np.repeat(few[mine], np.diff(part.offsets))]
            for mine, _, part in prefixes.parts()
        ]
        time = np.concatenate([np.zeros(0, np.int32), *times])
        bins = int(np.clip(len(time) // _ROWS_PER_BIN, 1, CALENDAR))
        cuts = np.full(CALENDAR - 1, np.iinfo(np.int64).max)
        if bins > 1:
            # Whole ticks that are above the quantile.
            found = np.unique(np.ceil(np.quantile(time, np.arange(1, bins) / bins)))
            cuts[: len(found)] = found
        return Form(keep, cuts)

    @property
    def factors(self) -> tuple[float, float]:
        """``keep``, and whether the sum is divided (1) or not (0)."""
        return (1.0, 0.0) if self.keep is None else (self.keep, 1.0)


def steps_to_bins(steps: Float64) -> Float64:
    """Effects of all bins, shape (130,): sums of steps, shape (STEPS,), from a first of zero."""
    parts = np.split(steps, [end - 1 - k for k, end in enumerate(_SETS[1:-1])])
    return np.concatenate([np.append(0.0, np.cumsum(part)) for part in parts])


def bins_to_steps(bins: Float64) -> Float64:
    """Steps between the effects of bins: turns ``steps_to_bins`` round."""
    return np.concatenate([np.diff(bins[first:end]) for first, end in pairwise(_SETS)])


def _sums_from(bins: Float64) -> Float64:
    """Sums over the bins from each step on: gradient in steps, from that in effects of bins."""
    parts = (bins[first:end] for first, end in pairwise(_SETS))
    return np.concatenate([np.cumsum(part[::-1])[::-1][1:] for part in parts])


def cells(bins: Float64, intercept: float) -> tuple[Float64, Float64]:
    """Effects of both cells of a row, shape (n_cells,) each, the intercept in the first."""
    joins, tenure, gap, calendar = (bins[first:end] for first, end in pairwise(_SETS))
    early = (joins[:, None] + tenure[None, :]).ravel() + intercept
    return early, (gap[:, None] + calendar[None, :]).ravel()


def _margins(early: Float64, late: Float64) -> Float64:
    """Sums over cells by bin, shape (130,)."""
    early, late = early.reshape(JOINS, TENURES), late.reshape(GAPS, CALENDAR)
    return np.concatenate([early.sum(1), early.sum(0), late.sum(1), late.sum(0)])


def pack_rows(
    prefixes: Prefixes, users: Mask, form: Form
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint32], Int64]:
    """Pack what training looks at: a user's rows up to the last one with an outcome.

    Returns
    -------
    numpy.ndarray, numpy.ndarray, numpy.ndarray
        int32, shape (n_packed,): group, and bits for the user's first row, for the first one of
        a block, for a row to train on and for its outcome; uint32, of the same shape, the two
        cells of its covariates; int64, shape (n_users + 1,): first row of each user, of none
        where they do not count. A LogError says that 28 bits cannot tell the groups apart.
    """
    p = prefixes
    if p.n_groups > GROUP:
        raise LogError(f"a log must have at most {GROUP:,} groups; got {p.n_groups:,}")
    first = _first_rows(p, users)
    code = room("code", np.int32, int(first[-1]))
    write_codes(p.offsets, p.group, p.starts_block, p.ends_block, p.label, first, code)
    cell = room("cell", np.uint32, len(code))
    if form.cuts is not None:
        write_cells(p.offsets, p.time, first, form.cuts, cell)
    return code, cell, first


def _first_rows(prefixes: Prefixes, users: Mask) -> Int64:
    """First packed row of each user, and the end; shape (n_users + 1,)."""
    first = np.zeros(prefixes.n_users + 1, np.int64)
    trim_users(prefixes.offsets, prefixes.ends_block, prefixes.label, users, first[1:])
    return np.cumsum(first, out=first)


def _cut(prefixes: Prefixes, users: Mask, form: Form) -> Iterator[tuple[Any, ...]]:
    """Cut rows into chunks of about equal size, between users, and share these out.

    Yield what makes the ``_Rows`` of each worker.
    """
    first = _first_rows(prefixes, users)
    size, n_users = int(first[-1]), prefixes.n_users
    n = int(np.clip(size // (_ROWS_PER_GRADIENT * prefixes.n_groups), 2, MOST_CHUNKS))
    cuts = np.searchsorted(first, size * np.arange(n + 1) // n)
    cuts[0], cuts[-1] = 0, n_users
    for share in shares(n):
        mine = cuts[share.start : share.stop + 1]
        a, b = mine[[0, -1]].tolist()
        yield prefixes.of_range(a, b), users[a:b], form, first[mine] - first[a]


class _Rows:
    """Packed rows of some chunks, and room for their sums.

    Every method returns arrays by chunk, which the next call overwrites.
    """

    def __init__(self, prefixes: Prefixes, users: Mask, form: Form, bounds: Int64) -> None:
        self._code, self._cell, first = pack_rows(prefixes, users, form)
        self._bounds, n = bounds, len(bounds) - 1
        longest = int(np.diff(first).max(initial=0))
        self._logits, self._scale = np.empty((2, n, max(ROOM, longest)))
        self._lanes = np.empty((n, 3, ROOM))
        self._gradient = np.empty((n, prefixes.n_groups))
        self._early = np.empty((n, JOINS * TENURES))
        self._late = np.empty((n, GAPS * CALENDAR))
        self._totals = np.empty((n, 2))

    def flags(self) -> tuple[Int64, Float64, Float64]:
        """Rows to train on and those with outcome 1, (n, 2); the former by both cells."""
        flags = np.zeros((len(self._bounds) - 1, 2), np.int64)
        self._early[:], self._late[:] = 0.0, 0.0
        count_flags(self._code, self._cell, self._bounds, flags, self._early, self._late)
        return flags, self._early, self._late

    def losses(
        self, w: Float64, early: Float64, late: Float64, keep: float, spread: float
    ) -> tuple[Float64, Float64, Float64, Float64]:
        """Gradients in w, (n, n_groups), and in both cells; loss and intercept's slope, (n, 2)."""
        chunk_losses(
            self._code, self._cell, self._bounds, w, early, late, keep, spread, self._logits,
            self._scale, self._lanes, self._gradient, self._early, self._late, self._totals,
        )  # fmt: skip
        return self._gradient, self._early, self._late, self._totals

    def later(self, keep: float, spread: float) -> tuple[Float64]:
        """Squared factors of each group in the logits of training rows, (n, n_groups)."""
        count_later(
            self._code, self._bounds, keep, spread, np.zeros(self._gradient.shape[1]), ROOM,
            self._logits, self._scale, self._gradient,
        )  # fmt: skip
        return (self._gradient,)


class PrefixLoss:
    """Penalised log-loss over all training prefixes of some users.

    L(w, d, b) = sum over training rows of [log(1 + exp(z)) - y z] + penalty / 2 |w|^2
    + STEP_PENALTY / 2 |d|^2, the intercept b unpenalised. d are steps from one bin of a
    covariate to the next: the effects of bins are a random walk. Without covariates and
    ``keep`` it is scikit-learn's ``LogisticRegression`` objective with C = 1 / penalty, times
    penalty, on the matrix with one row for each prefix.

    Parameters
    ----------
    prefixes
        The rows.
    users
        bool, shape (n_users,): whose rows count.
    penalty
        L2 penalty of the weights, not negative.
    form
        What a logit is made of; by default the sum of the weights alone.
    """

    def __init__(
        self, prefixes: Prefixes, users: Mask, *, penalty: float, form: Form | None = None
    ) -> None:
        self.n_groups, self.penalty = prefixes.n_groups, penalty
        self.form = form or Form(None, None)
        self._kept = current_work().workers.keep(_Rows, _cut(prefixes, users, self.form))
        flags, early, late = self._sums(_Rows.flags)
        self.n_rows, self.n_positive = (int(count) for count in flags.sum(axis=0))
        self._rows_by_bin = _margins(early.sum(axis=0), late.sum(axis=0))

    def _sums(self, ask: Callable[..., tuple[AnyArray, ...]], *given: Any) -> list[AnyArray]:
        """Sums by chunk: of all chunks, in order, wherever they are added up."""
        found = zip(*self._kept.ask(ask, *given), strict=True)
        return [np.concatenate(each) if len(each) > 1 else each[0] for each in found]

    def at(self, penalty: float) -> PrefixLoss:
        """Return the loss over the same rows with another penalty."""
        other = copy(self)
        other.penalty = penalty
        return other

    def __call__(
        self, w: Float64, b: float, d: Float64 | None = None
    ) -> tuple[float, Float64, float, Float64]:
        """Return the loss and its slopes in w, shape (n_groups,), b, and d, shape (STEPS,).

        ``d`` is zero by default.
        """
        d = np.zeros(STEPS) if d is None else d
        gradient, early, late, totals = self._sums(
            _Rows.losses, w, *cells(steps_to_bins(d), float(b)), *self.form.factors
        )
        total = np.empty(self.n_groups)
        add_chunks(gradient, self.penalty, w, total)
        loss, slope = totals.sum(axis=0)
        by_bin = _margins(early.sum(axis=0), late.sum(axis=0))
        penalty = 0.5 * self.penalty * float(w @ w) + self.penalty_of_steps(d)
        return float(loss) + penalty, total, float(slope), _sums_from(by_bin) + STEP_PENALTY * d

    @staticmethod
    def penalty_of_steps(d: Float64) -> float:
        """Return the part of the loss that is the penalty of steps."""
        return 0.5 * STEP_PENALTY * float(d @ d)

    def base_rate(self) -> float:
        """Share of training rows with outcome 1; half a row is added to either side."""
        return base_rate(self.n_positive, self.n_rows)

    def curvature(self) -> Float64:
        """Diagonal of the Hessian at zero: of w, then b, then d; shape (n_groups + 1 + STEPS,)."""
        later = np.zeros(self.n_groups)
        (counts,) = self._sums(_Rows.later, *self.form.factors)
        add_chunks(counts, 0.0, later, later)
        rate = self.base_rate()
        sums = np.concatenate([later, [self.n_rows], _sums_from(self._rows_by_bin)])
        least = np.full(len(sums), STEP_PENALTY)
        least[: self.n_groups], least[self.n_groups] = max(self.penalty, 1e-9), 1e-9
        return np.asarray(rate * (1 - rate) * sums + least)
