"""A second contrast: the slots after a join against only the few just before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.arrays import Float64, Int64, Mask
from gateway.detect.self_controlled.before_kernels import add_near
from gateway.detect.self_controlled.slots import Slots
from gateway.detect.significance import benjamini_hochberg

GRADES = ("called", "robust", "contradicted")
"""What a call may be; a group that is not called has no grade."""
NEAR, FAR = 4, 16
_CHUNKS = 8
# Two contrasts of one sign differ by chance; one that is clearly negative says the opposite.
_OPPOSITE = -1.645


@dataclass(frozen=True, eq=False)
class NearEffects:
    """Events around the joins of each group; arrays of shape (n_groups,).

    Parameters
    ----------
    observed, expected, variance
        Events in the slots just after, of those in the slots just around the join, and their
        mean and variance without an effect of the group.
    z
        Standard normal without an effect and without a drift; NaN where nothing is known.
    z_before
        Of events in the slots just before the join, against slots still earlier: standard
        normal where events do not bring their users to the group, nor keep them from it.
    """

    observed: Float64
    expected: Float64
    variance: Float64
    z: Float64
    z_before: Float64


def near_effects(
    slots: Slots, weight: Float64, beta: Float64, *, near: int = NEAR, far: int = FAR
) -> NearEffects:
    r"""Hold the slots just after each join against those just before it.

    A taste that began to drift before the join raises the rate on both sides of it, and
    cancels; one effect of the group raises the rate after it alone. Of each joiner the last
    whole ticks before the tick of the join that hold at least ``near`` slots are taken, and
    the next that hold at least ``far``, as far as the exposure lasts. Given n events in
    these slots, and the effects of the position, the calendar and the other groups, the
    number A of those after the join has a known distribution where g has no effect
    (conditional logistic regression). z = sum (A - E A) / sqrt(sum Var A), the variance
    widened where all joins together vary more than that.

    *When it misleads.* Where an event lowers what is joined later, few slots before the join
    hold events, and the contrast is biased upwards; where it brings users to the group, down.
    It uses few slots, so its power is low.

    Parameters
    ----------
    slots
        On the clock of joins.
    weight
        exp(eta) of each row, shape (n_rows,), the effect of every group in it.
    beta
        Log odds ratios in ``weight``, shape (n_groups,).
    near, far
        Least number of slots before the join and after it, positive.

    Raises
    ------
    ValueError
        If a slot may hold several events: on the calendar there are no few slots before.
    """
    if not slots.exact:
        raise ValueError("the contrast before a join needs slots that are joins")
    counts = slots.counts()
    out, earlier = np.empty((2, _CHUNKS, 4, slots.n_groups))
    add_near(
        np.linspace(0, slots.n_cases, _CHUNKS + 1).astype(np.int64), slots.offsets, slots.group,
        slots.fresh, (slots.length > 0).astype(np.float64), slots.events, slots.until, weight,
        beta, near, far,
        np.empty((_CHUNKS, 2, int(counts.max(initial=0)) + 1)), out, earlier,
    )  # fmt: skip
    observed, expected, variance, squares = out.sum(axis=0)
    z = _statistic(observed, expected, variance, squares)
    return NearEffects(observed, expected, variance, z, _statistic(*earlier.sum(axis=0)))


def _statistic(
    observed: Float64, expected: Float64, variance: Float64, squares: Float64
) -> Float64:
    total = float(variance.sum())
    excess = max(1.0, float(squares.sum()) / total) if total > 0 else 1.0
    spread = np.sqrt(np.where(variance > 0, variance * excess, np.nan))
    return np.asarray((observed - expected) / spread)


def grade_calls(
    flagged: Mask,
    p_value: Float64,
    p_near: Float64,
    z_near: Float64,
    *,
    alpha: float,
    alias: Int64 | None = None,
) -> npt.NDArray[np.object_]:
    """Grade the calls: ``robust``, ``called``, or ``contradicted``; None without a call.

    A call is robust where the larger of both p-values passes Benjamini and Hochberg's rule
    among all tested groups: that is the p-value of "the group has no effect, or what changes
    had changed before the join". It is contradicted where the contrast just before and after
    the join is clearly negative.

    Parameters
    ----------
    flagged
        bool, shape (n_groups,): the calls.
    p_value, p_near, z_near
        One-sided p-values of both contrasts, and the statistic of the second; NaN where not
        tested.
    alpha
        False-discovery rate.
    alias
        As for ``benjamini_hochberg``.
    """
    tested = ~np.isnan(p_value)
    larger = np.where(tested, np.fmax(p_value, np.where(np.isnan(p_near), 1.0, p_near)), np.nan)
    robust = np.nan_to_num(benjamini_hochberg(larger, alias), nan=1.0) < alpha
    grade = np.full(len(flagged), None, object)
    grade[flagged] = "called"
    grade[flagged & robust] = "robust"
    grade[flagged & (np.nan_to_num(z_near) < _OPPOSITE)] = "contradicted"
    return grade
