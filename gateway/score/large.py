"""Cross-fitting of a large log: the same models, fitted over ranges of packed rows.

What is estimated is what ``crossfit`` estimates, in the same way but for three things. A fit
begins where a like one ended, and ends by an estimate of its distance to the optimum. The
penalty is chosen on users that hold about ``PENALTY_ROWS`` rows. The expectation is fitted to
users that hold ``EXPECTATION_ROWS`` and then takes one Newton step on all rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from gateway.score.calibration import Calibration, expectation_edges
from gateway.score.large_kernels import (
    expectation_sums,
    expected_rows,
    first_outcomes,
    platt_sums,
    training_logits,
)
from gateway.score.logistic import LogisticScorer, best_penalty
from gateway.score.packed import PackedLoss, PackedRows, fit_packed, pack_rows
from gateway.score.prefixes import Prefixes
from gateway.score.probabilities import LinearModel, fill_probabilities

__all__ = ["Filled", "score_large"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# Inner parts of the training users, of which the first calibrates; and hundredths of all
# users, of which a fifth is held out to choose the penalty.
PARTS, SHARES, HELD_OUT = 3, 100, 20
# Rows that are enough to choose among penalties half a decade apart, to start a fit, and to
# cut time into bins.
PENALTY_ROWS, START_ROWS, EXPECTATION_ROWS = 8_000_000, 4_000_000, 2_000_000
_SALT = 2.0**20
# How much farther from its optimum a fit may end that only calibrates, or only is compared
# with fits at other penalties.
_LOOSER_INNER, _LOOSER_PATH = 100.0, 10.0
CHUNKS = 16
_LANES = 256
_NEWTON_STEPS = 50
# Twice the log-likelihood that is left to gain; the estimate's own error is worth one.
_CLOSE = 1e-6
_LONGEST = 2.0
_CLIP = 1e-12
_RIDGE = 1e-6


@dataclass(frozen=True, eq=False)
class _Users:
    """Fold, inner part and hundredth of each user, and of each class of packed rows."""

    fold: npt.NDArray[np.int8]
    part: npt.NDArray[np.int8]
    share: npt.NDArray[np.int8]
    class_fold: Int64
    class_part: Int64
    class_share: Int64

    @property
    def classes(self) -> npt.NDArray[np.int32]:
        """Class of each user."""
        fold, part = self.fold.astype(np.int32), self.part.astype(np.int32)
        return (fold * PARTS + part) * SHARES + self.share


def _users(chance: Float64, folds: int) -> _Users:
    class_ = np.arange(folds * PARTS * SHARES)
    return _Users(
        fold=(chance * folds).astype(np.int8),
        part=(np.modf(chance * folds)[0] * PARTS).astype(np.int8),
        share=(np.modf(chance * _SALT)[0] * SHARES).astype(np.int8),
        class_fold=class_ // (PARTS * SHARES),
        class_part=class_ // SHARES % PARTS,
        class_share=class_ % SHARES,
    )


@dataclass(frozen=True, eq=False)
class Filled:
    """The four columns of ``Scores``."""

    before: Float64
    after: Float64
    at_end: Float64
    expected: Float64


def score_large(
    prefixes: Prefixes,
    *,
    scorer: LogisticScorer,
    folds: int,
    calibration: Calibration,
    into: Filled | None = None,
) -> Filled:
    """Score every user by the other folds' models; otherwise as ``score_joins``.

    ``prefixes`` may be mapped files, and so may the columns to fill, ``into``.
    """
    n = len(prefixes.group)
    found = Filled(*(np.empty(n) for _ in range(4))) if into is None else into
    users = _users(prefixes.chance, folds)
    rows = pack_rows(prefixes, users.classes, folds * PARTS * SHARES)
    outcome = np.empty(prefixes.n_users, np.int8)
    first_outcomes(prefixes.offsets, prefixes.ends_block, prefixes.label, outcome)
    start: Float64 | None = None
    learnt: dict[int, _Learnt] = {}
    for k in np.unique(users.fold).tolist():
        fold = _Fold(prefixes, rows, users, outcome, k, scorer, calibration)
        start = fold.fit(start)
        learnt[k] = fold.learn(start)
    _fill(found, prefixes, users.fold, learnt)
    return found


@dataclass(frozen=True, eq=False)
class _Learnt:
    """What the users of a fold are scored by: model, and bins and coefficients of e."""

    model: LinearModel
    edges: tuple[Float64, ...]
    theta: Float64


def _fill(
    found: Filled, p: Prefixes, fold: npt.NDArray[np.int8], learnt: dict[int, _Learnt]
) -> None:
    fill_probabilities(
        p, fold, {k: one.model for k, one in learnt.items()},
        before=found.before, after=found.after, at_end=found.at_end,
    )  # fmt: skip
    for k, one in learnt.items():
        mine = np.flatnonzero(fold == k)
        expected_rows(
            mine, _bounds(len(mine)), p.offsets, p.time, p.starts_block, found.before, one.edges,
            one.theta, _places(), _CLIP, found.expected,
        )  # fmt: skip


class _Fold:
    """One fold: learn from the users of the others."""

    def __init__(
        self, prefixes: Prefixes, rows: PackedRows, users: _Users, outcome: npt.NDArray[np.int8],
        k: int, scorer: LogisticScorer, calibration: Calibration,
    ) -> None:  # fmt: skip
        self.prefixes, self.rows, self.users, self.outcome = prefixes, rows, users, outcome
        self.k, self.scorer, self.calibration = k, scorer, calibration
        self.training = users.class_fold != k
        self.penalty = scorer.penalty or 0.0

    def fit(self, start: Float64 | None) -> Float64:
        """Fit the weights of all training users, from those of another fold."""
        if self.scorer.penalty is None:
            self.penalty = _choose_penalty(
                self.rows, self.users, self.training, tolerance=self.scorer.tolerance
            )
        if start is None:
            start = self._fit(self.training & self._shares(START_ROWS), None)
        return self._fit(self.training, start)

    def learn(self, x: Float64) -> _Learnt:
        """Calibrate the weights, and learn the expectation beside them."""
        inner = [
            self._fit(self.training & (self.users.class_part != j), x, _LOOSER_INNER)
            for j in range(PARTS)
        ]
        line = self._line(inner)
        base = self._base_rate()
        edges, theta = self._expectation(inner, np.append(line, logit(base)))
        return _Learnt(LinearModel(x, line, base), edges, theta)

    def _shares(self, enough: int) -> Mask:
        """Classes of as many hundredths of the users as hold about enough rows."""
        return self.users.class_share < -(-SHARES * enough // max(len(self.rows.code), 1))

    def _fit(self, classes: Mask, start: Float64 | None, looser: float = 1.0) -> Float64:
        loss = PackedLoss(self.rows, classes, penalty=self.penalty)
        return fit_packed(loss, tolerance=looser * self.scorer.tolerance, start=start).x

    def _line(self, inner: list[Float64]) -> Float64:
        """Slope and intercept of the calibrator, on logits out of part."""
        if self.calibration == "none":
            return np.array([1.0, 0.0])
        pieces = [self.training & (self.users.class_part == j) for j in range(PARTS)]
        return _fit_line(*_training_logits(self.rows, pieces, inner))

    def _base_rate(self) -> float:
        """Share of the first blocks of the training users that end in outcome 1."""
        theirs = self.outcome[self.users.fold != self.k]
        known = theirs[theirs >= 0]
        return (float(known.sum()) + 0.5) / (len(known) + 1.0)

    def _expectation(
        self, inner: list[Float64], line: Float64
    ) -> tuple[tuple[Float64, ...], Float64]:
        """Bins and coefficients of the expectation, learnt beside the calibrator."""
        p, users = self.prefixes, self.users
        few = users.share < -(-SHARES * EXPECTATION_ROWS // max(len(p.group), 1))
        rows = np.flatnonzero(np.repeat(few & (users.fold != self.k), np.diff(p.offsets)))
        rows = rows[p.label[rows] >= 0]
        first = p.offsets[np.searchsorted(p.offsets, rows, side="right") - 1]
        edges = expectation_edges(p.time[rows], p.time[rows] - p.time[first])
        learns = _Sums(p, inner, line, edges)
        parts = [(users.fold != self.k) & (users.part == j) for j in range(PARTS)]
        # Each set of bins adds up to one: all but the first set do without their first bin.
        first_bins = np.cumsum([1, *(len(edge) + 1 for edge in edges)])
        free = np.ones(first_bins[-1], bool)
        free[first_bins[1:-1]] = False
        start = np.zeros(len(free))
        start[0] = 1.0
        theta = _newton(learns.of([part & few for part in parts]), start, free)
        # One step more, on all rows, is worth as much as the minimum itself: its distance is
        # quadratic in that of the start, which is one of sampling.
        return edges, theta if few.all() else _newton(learns.of(parts), theta, free, most=1)


@dataclass(frozen=True, eq=False)
class _Sums:
    """Gradient and Hessian of the expectation's log-loss over some users."""

    prefixes: Prefixes
    inner: list[Float64]
    line: Float64
    edges: tuple[Float64, ...]

    def of(self, parts: list[Mask]) -> Callable[[Float64], tuple[Float64, Float64]]:
        """Return them as a function of the coefficients; each part has a model of its own."""
        users = [np.flatnonzero(part) for part in parts]
        p = self.prefixes

        def sums(theta: Float64) -> tuple[Float64, Float64]:
            n = len(theta)
            gradient, hessian = np.empty((PARTS, CHUNKS, n)), np.empty((PARTS, CHUNKS, n, n))
            for j, (mine, x) in enumerate(zip(users, self.inner, strict=True)):
                expectation_sums(
                    mine, _bounds(len(mine)), p.offsets, p.group, p.time, p.starts_block,
                    p.label, x[:-1], x[-1], self.line, self.edges, theta, _places(),
                    gradient[j], hessian[j],
                )  # fmt: skip
            upper = hessian.sum(axis=(0, 1))
            return gradient.sum(axis=(0, 1)), upper + np.triu(upper, 1).T

        return sums


def _choose_penalty(rows: PackedRows, users: _Users, training: Mask, *, tolerance: float) -> float:
    """Return the penalty of ``PENALTIES`` with the least log-loss on held-out users.

    As ``logistic.choose_penalty``, but on so many hundredths of the users that they hold
    about ``PENALTY_ROWS`` rows, a fifth of which are held out.
    """
    part = min(1.0, PENALTY_ROWS / max(len(rows.code), 1))
    held = users.class_share < max(1, round(part * HELD_OUT))
    learnt = (users.class_share >= HELD_OUT) & (
        users.class_share < HELD_OUT + max(1, round(part * (SHARES - HELD_OUT)))
    )
    outcome = PackedLoss(rows, training & held, penalty=0.0)
    x: Float64 | None = None

    def loss_of(penalty: float) -> float:
        nonlocal x
        loss = PackedLoss(rows, training & learnt, penalty=penalty)
        x = fit_packed(loss, tolerance=_LOOSER_PATH * tolerance, start=x).x
        return outcome(x[:-1], x[-1])[0]

    return best_penalty(loss_of)


def _training_logits(
    rows: PackedRows, parts: list[Mask], models: list[Float64]
) -> tuple[Float64, npt.NDArray[np.int8]]:
    """Logit and outcome of the training rows of some classes, each part by its own model."""
    ranges = [rows.ranges(classes) for classes in parts]
    n = [rows.count_training(a, b) for pieces in ranges for a, b in pieces.tolist()]
    first = np.cumsum([0, *n])
    z, label, done = np.empty(first[-1]), np.empty(first[-1], np.int8), 0
    for pieces, x in zip(ranges, models, strict=True):
        training_logits(rows.code, pieces, x[:-1], x[-1], first[done:], z, label)
        done += len(pieces)
    return z, label


def _fit_line(z: Float64, label: npt.NDArray[np.int8]) -> Float64:
    """Slope and intercept of ``fit_calibrator``'s platt."""
    if label.min() == label.max():
        return np.array([1.0, 0.0])

    def sums(theta: Float64) -> tuple[Float64, Float64]:
        lanes, found = np.empty((CHUNKS, 5, _LANES)), np.empty((CHUNKS, 5))
        platt_sums(z, label, _bounds(len(z)), theta[0], theta[1], lanes, found)
        gs, gi, ss, si, ii = found.sum(axis=0)
        return np.array([gs, gi]), np.array([[ss, si], [si, ii]])

    line = _newton(sums, np.array([1.0, 0.0]), np.ones(2, bool))
    return line if line[0] > 0.0 else np.array([0.0, float(logit(label.mean()))])


def _newton(
    sums: Callable[[Float64], tuple[Float64, Float64]], start: Float64, free: Mask,
    *, most: int = _NEWTON_STEPS,
) -> Float64:  # fmt: skip
    """Find where a log-loss is least by Newton's method; variables that are not free stay.

    Along a step the slope of a convex loss grows: where it is steeper uphill at the end than
    it was downhill at the beginning, the step was too long. No variable moves by more than
    ``_LONGEST`` at once: a bin of a few rows would else be thrown to where p is 0 or 1.
    """
    x = start.copy()
    gradient, hessian = _with_ridge(sums, x)
    for taken in range(1, most + 1):
        step = np.zeros(len(x))
        step[free] = -np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
        slope = -float(gradient @ step)
        if slope <= _CLOSE:
            break
        step *= min(1.0, _LONGEST / np.abs(step).max())
        slope = -float(gradient @ step)
        if taken == most:
            return x + step
        for _ in range(_NEWTON_STEPS):
            gradient, hessian = _with_ridge(sums, x + step)
            if float(gradient @ step) <= slope:
                break
            step *= 0.5
        x += step
    return x


def _with_ridge(
    sums: Callable[[Float64], tuple[Float64, Float64]], x: Float64
) -> tuple[Float64, Float64]:
    gradient, hessian = sums(x)
    return gradient + _RIDGE * x, hessian + _RIDGE * np.eye(len(x))


def _bounds(n: int) -> Int64:
    return np.linspace(0, n, CHUNKS + 1).astype(np.int64)


def _places() -> Int64:
    """Room for the columns of a row's bins, one for each chunk."""
    return np.empty((CHUNKS, 4), np.int64)
