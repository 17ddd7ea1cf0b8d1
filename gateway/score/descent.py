"""Minimise a smooth convex loss of many variables: L-BFGS in matrix form."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.linalg import solve_triangular
from threadpoolctl import ThreadpoolController

from gateway.arrays import Float64

# Value and gradient at a point.
Loss = Callable[[Float64], tuple[float, Float64]]

MEMORY = 10
# Armijo's share of the decrease that the slope promises.
_ENOUGH = 1e-4
_MOST_CUTS = 30


@cache
def _libraries() -> ThreadpoolController:
    """Return what knows the loaded libraries: to find them takes longer than a small fit."""
    return ThreadpoolController()


def one_blas_thread() -> AbstractContextManager[object]:
    """Use one BLAS thread within: a threaded product adds in another order."""
    limit: AbstractContextManager[object] = _libraries().limit(limits=1, user_api="blas")
    return limit


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where the loss is least, shape (n,), its value there, and how that was found."""

    x: Float64
    value: float
    evaluations: int
    converged: bool


def minimise(loss: Loss, start: Float64, *, tolerance: float, most: int = 1_000) -> Minimum:
    """Minimise by L-BFGS; the variables should be scaled to a Hessian near the identity.

    It ends when the decrease that the quadratic model promises, half of -g'd for the step
    d, is below ``tolerance`` times the loss. That estimates the distance to the least loss
    itself, however near the start was; the decrease of the last step does not. ``loss`` gives
    value and gradient, shape (n,), at a point, at ``most`` so often.

    References
    ----------
    Nocedal, Wright (2006), "Numerical Optimization", 2nd ed., chapters 3.1 and 7.2.
    """
    x = start.copy()
    value, gradient = loss(x)
    inverse, evaluations = _InverseHessian(len(x)), 1
    while evaluations < most:
        step = inverse.times(gradient)
        np.negative(step, out=step)
        slope = float(gradient @ step)
        if -0.5 * slope <= tolerance * abs(value):
            return Minimum(x, value, evaluations, True)
        found, slopes, size, tried = _search(loss, x, value, step, slope)
        evaluations += tried
        if not found < value:
            # Rounding alone is left: no step, however short, makes the loss less.
            break
        step *= size
        x += step
        inverse.learn(step, slopes - gradient)
        value, gradient = found, slopes
    return Minimum(x, value, evaluations, False)


def _search(
    loss: Loss, x: Float64, value: float, step: Float64, slope: float
) -> tuple[float, Float64, float, int]:
    """Shorten the step until the loss falls enough: (value, gradient, length, evaluations)."""
    size, tried = 1.0, 0
    while tried < _MOST_CUTS:
        tried += 1
        found, gradient = loss(x + size * step)
        if found <= value + _ENOUGH * size * slope:
            break
        bend = found - value - slope * size
        # To the least of the parabola through both values.
        size *= float(np.clip(-0.5 * slope * size / bend, 0.05, 0.5)) if bend < np.inf else 0.05
    return found, gradient, size, tried


class _InverseHessian:
    """The matrix H of Byrd, Nocedal, Schnabel (1994), Math. Program. 63, theorem 2.2.

    With the last steps as rows of S and the changes of the gradient as rows of Y, R the
    upper triangle of S Y', D its diagonal and c = s'y / y'y of the newest,

        H v = c v + S' R^-T ((D + c Y Y') q - c Y v) - c Y' q,  q = R^-1 S v:

    a few products with S and Y, no loop over pairs.
    """

    def __init__(self, n: int) -> None:
        self._steps, self._changes = np.empty((MEMORY, n)), np.empty((MEMORY, n))
        self._sy, self._yy = np.empty((MEMORY, MEMORY)), np.empty((MEMORY, MEMORY))
        self._rows: list[int] = []  # oldest first

    def learn(self, step: Float64, change: Float64) -> None:
        """Take in a step and the change of the gradient over it."""
        if float(step @ change) <= 0.0:
            return
        row = len(self._rows) if len(self._rows) < MEMORY else self._rows.pop(0)
        self._rows.append(row)
        self._steps[row], self._changes[row] = step, change
        used = len(self._rows)
        self._sy[:used, row] = self._steps[:used] @ change
        self._yy[:used, row] = self._yy[row, :used] = self._changes[:used] @ change

    def times(self, v: Float64) -> Float64:
        """Return H v."""
        if not self._rows:
            return v.copy()
        used, at = len(self._rows), np.ix_(self._rows, self._rows)
        steps, changes = self._steps[:used], self._changes[:used]
        upper, yy = np.triu(self._sy[at]), self._yy[at]
        c = upper[-1, -1] / yy[-1, -1]
        q = solve_triangular(upper, (steps @ v)[self._rows])
        inner = upper.diagonal() * q + c * (yy @ q) - c * (changes @ v)[self._rows]
        weights = np.empty((2, used))
        weights[0, self._rows] = solve_triangular(upper, inner, trans="T")
        weights[1, self._rows] = -c * q
        found: Float64 = weights[0] @ steps
        found += weights[1] @ changes
        found += c * v
        return found
