"""The self-controlled likelihood over slots: of all groups at once, and of each alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.arrays import Float64, Int64
from gateway.detect.self_controlled.likelihood_kernels import (
    add_background,
    add_loss,
    add_own,
    fill_weights,
)
from gateway.detect.self_controlled.slots import Slots

__all__ = ["Likelihood", "OwnSums", "Point"]


# Work is cut into a fixed number of chunks of cases, whatever the number of threads, so
# that sums are made in the same order. Those of each group and each number of the
# background need more room, and are made once.
_CHUNKS, _FEW_CHUNKS = 16, 4


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


class Likelihood:
    """Sums over the cases of some slots; the same bits for any number of threads.

    Parameters
    ----------
    slots
        The data.
    """

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self._n = slots.counts()
        sizes = np.diff(slots.offsets)
        self._longest = int(sizes.max(initial=0)) + 1
        exact = (sizes + 1) * (self._n + 1) * slots.exact
        self._room = int(max(exact.max(initial=0), self._n.max(initial=0) + 2))
        self._data = (
            slots.group, slots.fresh, slots.stratum, slots.length, slots.events, slots.until
        )  # fmt: skip
        self._rows = np.empty((_CHUNKS, 6, self._longest))
        self._polynomials = np.empty((_CHUNKS, 4, self._room))

    def loss(self, point: Point) -> tuple[float, Float64]:
        """Return the negative conditional log-likelihood and its gradient, as ``Point.vector``."""
        s = self.slots
        losses, gradient = np.empty(_CHUNKS), np.empty((_CHUNKS, s.n_groups + 1))
        background = np.empty((_CHUNKS, s.n_positions * s.n_pieces))
        add_loss(
            self._bounds(_CHUNKS), s.offsets, self._n, *self._data, s.exact, *_given(point),
            self._rows, self._polynomials, losses, gradient, background,
        )  # fmt: skip
        table = background.sum(axis=0).reshape(s.n_positions, s.n_pieces)
        parts = gradient.sum(axis=0)[:-1], table.sum(axis=1), table.sum(axis=0)
        return float(losses.sum()), np.concatenate(parts)

    def own(self, point: Point, theta: Float64) -> OwnSums:
        """Return what the cases say of each group if its own log ratio were theta.

        ``theta``, shape (n_theta, n_groups) or (n_groups,); all else is as in ``point``.
        """
        s = self.slots
        theta = np.atleast_2d(theta)
        ratio = np.ones((len(theta), s.n_groups + 1))
        ratio[:, :-1] = np.exp(theta)
        waning = np.append(np.exp(-point.beta), 1.0)
        fixed = np.empty((_CHUNKS, s.n_groups + 1, 4))
        sums = np.empty((_CHUNKS, len(theta), s.n_groups + 1, 5))
        add_own(
            self._bounds(_CHUNKS), s.offsets, self._n, *self._data, s.exact, *_given(point),
            ratio, waning, self._rows, self._polynomials, fixed, sums,
        )  # fmt: skip
        counted = np.moveaxis(fixed.sum(axis=0)[:-1], -1, 0)
        return OwnSums(*counted, *np.moveaxis(sums.sum(axis=0)[:, :-1], -1, 0))

    def background(self, point: Point) -> tuple[Float64, Float64]:
        """Return the information that each group shares with the background, and its own.

        Shapes (n_groups, d) and (d, d), d = n_positions + n_pieces.
        """
        s = self.slots
        d = s.n_positions + s.n_pieces
        cross, own = np.empty((_FEW_CHUNKS, s.n_groups + 1, d)), np.empty((_FEW_CHUNKS, d, d))
        group, fresh, stratum, length, _, until = self._data
        add_background(
            self._bounds(_FEW_CHUNKS), s.offsets, self._n, group, fresh, stratum, length, until,
            s.exact, *_given(point), s.n_pieces, s.n_positions, self._rows, self._polynomials,
            np.empty((_FEW_CHUNKS, self._longest * d)), np.empty((_FEW_CHUNKS, d)), cross, own,
        )  # fmt: skip
        return cross.sum(axis=0)[:-1], own.sum(axis=0)

    def weights(self, point: Point) -> Float64:
        """Return L exp(eta) of each row, divided by the largest exp(eta) of its case."""
        s = self.slots
        w = np.empty(len(s.group))
        fill_weights(
            s.offsets, s.group, s.fresh, s.stratum, s.length, s.until, *_given(point),
            np.empty(self._longest), np.empty(self._longest), w,
        )  # fmt: skip
        return w

    def _bounds(self, chunks: int) -> Int64:
        return np.linspace(0, self.slots.n_cases, chunks + 1).astype(np.int64)


def _given(point: Point) -> tuple[Float64, Float64]:
    """Return beta, with nobody's zero at its end, and the background by stratum."""
    table = np.add.outer(point.position, point.calendar).ravel()
    return np.append(point.beta, 0.0), table
