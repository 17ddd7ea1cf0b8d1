"""The self-controlled likelihood over slots: of all groups at once, and of each alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.arrays import AnyArray, Float64, Int64
from gateway.detect.self_controlled.likelihood_kernels import (
    add_background,
    add_loss,
    add_own,
    fill_weights,
)
from gateway.detect.self_controlled.slots import Slots
from gateway.log.work import current_work, shares

# Work is cut into a fixed number of chunks of cases, whatever the number of threads, so
# that sums are made in the same order. Those of each group and each number of the
# background need more room, and are made once: of four chunks together. More than four
# workers do not share a fit.
_CHUNKS, _PER_LARGE = 16, 4


@dataclass(frozen=True, eq=False)
class Point:
    """Parameters: effects of groups, of positions and of pieces of the calendar.

    Parameters
    ----------
    beta
        float64, shape (n_groups,): log ratio of each group.
    position, calendar
        float64, shapes (n_positions,) and (n_pieces,): log odds (rates), up to a constant.
    """

    beta: Float64
    position: Float64
    calendar: Float64

    @classmethod
    def zero(cls, slots: Slots) -> Point:
        """Return the point without any effect."""
        return cls(*(np.zeros(n) for n in (slots.n_groups, slots.n_positions, slots.n_pieces)))

    @classmethod
    def of(cls, x: Float64, slots: Slots) -> Point:
        """Return the point of a vector as ``vector`` makes it."""
        return cls(*np.split(x, np.cumsum([slots.n_groups, slots.n_positions])))

    def vector(self) -> Float64:
        """Return all parameters in a row: groups, positions, pieces."""
        return np.concatenate([self.beta, self.position, self.calendar])


@dataclass(frozen=True, eq=False)
class OwnSums:
    """What the cases say of each group, the tick of its own join left out.

    Parameters
    ----------
    observed, least, most
        Shape (n_groups,): A, events while exposed, and the least and most that could be.
    n_cases
        Shape (n_groups,): joiners whose events could have fallen on either side.
    cumulant, mean, variance
        Shape (n_theta, n_groups): K, K' and K'' of A at each theta; K(0) = 0.
    squares, excess
        The same shape: sum over cases of (A - K')^2, and of K'' x (events - 1).
    """

    observed: Float64
    least: Float64
    most: Float64
    n_cases: Float64
    cumulant: Float64
    mean: Float64
    variance: Float64
    squares: Float64
    excess: Float64


class _Cases:
    """Some cases cut into chunks, and room for their sums.

    Every method returns arrays by chunk.
    """

    def __init__(self, slots: Slots, bounds: Int64) -> None:
        self._slots, self._bounds, self._n = slots, bounds, slots.counts()
        sizes, chunks = np.diff(slots.offsets), len(bounds) - 1
        self._longest = _longest(slots)
        exact = (sizes + 1) * (self._n + 1) * slots.exact
        room = int(max(exact.max(initial=0), self._n.max(initial=0) + 2))
        self._data = (
            slots.group, slots.fresh, slots.stratum, slots.length, slots.events, slots.until
        )  # fmt: skip
        self._rows = np.empty((chunks, 6, self._longest))
        self._polynomials = np.empty((chunks, 4, room))

    def losses(self, beta: Float64, table: Float64) -> tuple[Float64, Float64, Float64]:
        """Losses (n,), and gradients in beta, (n, n_groups + 1), and by stratum."""
        s, n = self._slots, len(self._bounds) - 1
        losses, gradient = np.empty(n), np.empty((n, s.n_groups + 1))
        background = np.empty((n, s.n_positions * s.n_pieces))
        add_loss(
            self._bounds, s.offsets, self._n, *self._data, s.exact, beta, table, self._rows,
            self._polynomials, losses, gradient, background,
        )  # fmt: skip
        return losses, gradient, background

    def own(
        self, ratio: Float64, waning: Float64, beta: Float64, table: Float64
    ) -> tuple[Float64, Float64]:
        """Sums of each group, (n, n_groups + 1, 4), and at each theta, (n, n_theta, .., 5)."""
        s, n = self._slots, len(self._bounds) - 1
        fixed = np.empty((n, s.n_groups + 1, 4))
        sums = np.empty((n, len(ratio), s.n_groups + 1, 5))
        add_own(
            self._bounds, s.offsets, self._n, *self._data, s.exact, beta, table, ratio, waning,
            self._rows, self._polynomials, fixed, sums,
        )  # fmt: skip
        return fixed, sums

    def background(self, beta: Float64, table: Float64) -> tuple[Float64, Float64]:
        """Information that groups share with the background, and its own, by larger chunks."""
        s, bounds = self._slots, self._bounds[::_PER_LARGE]
        n, d = len(bounds) - 1, s.n_positions + s.n_pieces
        cross, own = np.empty((n, s.n_groups + 1, d)), np.empty((n, d, d))
        group, fresh, stratum, length, _, until = self._data
        add_background(
            bounds, s.offsets, self._n, group, fresh, stratum, length, until,
            s.exact, beta, table, s.n_pieces, s.n_positions, self._rows, self._polynomials,
            np.empty((n, self._longest * d)), np.empty((n, d)), cross, own,
        )  # fmt: skip
        return cross, own


class Likelihood:
    """Sums over the cases of some slots; the same bits whoever adds up how many of them.

    Each worker keeps some of the cases. What is asked, a point, goes to all of them, and sums
    by chunk come back, to be added in order.

    Parameters
    ----------
    slots
        The data.
    """

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self._kept = current_work().workers.keep(_Cases, _cut(slots))

    def _sums(self, ask: Callable[..., tuple[AnyArray, ...]], *given: Any) -> list[AnyArray]:
        """Sums of all chunks, added in their order."""
        found = zip(*self._kept.ask(ask, *given), strict=True)
        return [np.concatenate(each).sum(axis=0) for each in found]

    def loss(self, point: Point) -> tuple[float, Float64]:
        """Return the negative conditional log-likelihood and its gradient, as ``Point.vector``."""
        s = self.slots
        loss, gradient, background = self._sums(_Cases.losses, *_given(point))
        table = background.reshape(s.n_positions, s.n_pieces)
        parts = gradient[:-1], table.sum(axis=1), table.sum(axis=0)
        return float(loss), np.concatenate(parts)

    def own(self, point: Point, theta: Float64) -> OwnSums:
        """Return what the cases say of each group if its own log ratio were theta.

        ``theta``, shape (n_theta, n_groups) or (n_groups,); all else is as in ``point``.
        """
        theta = np.atleast_2d(theta)
        ratio = np.ones((len(theta), self.slots.n_groups + 1))
        ratio[:, :-1] = np.exp(theta)
        waning = np.append(np.exp(-point.beta), 1.0)
        fixed, sums = self._sums(_Cases.own, ratio, waning, *_given(point))
        return OwnSums(*np.moveaxis(fixed[:-1], -1, 0), *np.moveaxis(sums[:, :-1], -1, 0))

    def background(self, point: Point) -> tuple[Float64, Float64]:
        """Return the information that each group shares with the background, and its own.

        Shapes (n_groups, d) and (d, d), d = n_positions + n_pieces.
        """
        cross, own = self._sums(_Cases.background, *_given(point))
        return cross[:-1], own

    def weights(self, point: Point) -> Float64:
        """Return L exp(eta) of each row, divided by the largest exp(eta) of its case."""
        s = self.slots
        w = np.empty(len(s.group))
        fill_weights(
            s.offsets, s.group, s.fresh, s.stratum, s.length, s.until, *_given(point),
            np.empty(_longest(s)), np.empty(_longest(s)), w,
        )  # fmt: skip
        return w


def _cut(slots: Slots) -> Iterator[tuple[Slots, Int64]]:
    """Cut cases into chunks, and share these out: the ``_Cases`` of each worker."""
    bounds = np.linspace(0, slots.n_cases, _CHUNKS + 1).astype(np.int64)
    for share in shares(_CHUNKS // _PER_LARGE):
        mine = bounds[_PER_LARGE * share.start : _PER_LARGE * share.stop + 1]
        yield slots.of_cases(int(mine[0]), int(mine[-1])), mine - mine[0]


def _longest(slots: Slots) -> int:
    return int(np.diff(slots.offsets).max(initial=0)) + 1


def _given(point: Point) -> tuple[Float64, Float64]:
    """Return beta, with nobody's zero at its end, and the background by stratum."""
    table = np.add.outer(point.position, point.calendar).ravel()
    return np.append(point.beta, 0.0), table
