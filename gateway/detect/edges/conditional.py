"""Conditional logistic regression: which attribute of a slot goes with an event there?

A stratum (a user) has slots, of which some are events. The log odds of an event in slot s of
stratum c are alpha_c + sum of beta_g over the attributes g of s + the effects of the cells of
s. Given each stratum's number of events alpha_c drops out, and with it whatever is constant
in a stratum, observed or not (Cox 1972; Breslow, Day 1980, chapter 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import norm

from gateway.arrays import Float64, Int32, Int64, Mask, even_cuts
from gateway.detect.detection import sum_by_group
from gateway.detect.edges.conditional_kernels import (
    count_masses,
    fill_chances,
    fill_masses,
    find_limits,
    solve_effects,
)
from gateway.score.descent import minimise, one_blas_thread

# Work is cut into a fixed number of chunks, whatever the number of threads.
CHUNKS = 64
# Numbers held for a stratum up to which its chances are exact.
MOST_EXACT = 1 << 16
# Penalty of nuisance effects: enough for one to be found where a level has no event.
_RIDGE = 1e-3
_TOLERANCE = 1e-9
# Nearer to the mean the saddlepoint formula is 0 / 0.
_CENTRAL = 1e-3
_LEAST_P = 1e-300
# Half the 95 % quantile of chi-squared with one degree of freedom.
_DROP = 0.5 * 1.959964**2


@dataclass(frozen=True, eq=False)
class Slots:
    """Slots of strata that hold an event and a slot without one."""

    offsets: Int64  # shape (n_strata + 1,): slots of stratum c are ``offsets[c]:offsets[c + 1]``
    event: Mask  # shape (n_slots,)
    # Attributes of slots, shape (n_entries,): by slot, each group at most once in a slot.
    entry_slot: Int64
    entry_group: Int32
    # Levels of each nuisance effect, int, shape (n_effects, n_slots); level 0 is zero.
    cells: Int64
    n_groups: int  # number of attributes

    @cached_property
    def n_events(self) -> Int64:
        """Events of each stratum, shape (n_strata,)."""
        if not len(self.event):
            return np.zeros(0, np.int64)
        return np.add.reduceat(self.event.astype(np.int64), self.offsets[:-1])

    @property
    def stratum(self) -> Int64:
        """Stratum of each slot, shape (n_slots,)."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    @property
    def longest(self) -> int:
        """Slots of the longest stratum."""
        return int(np.diff(self.offsets).max(initial=0))


@dataclass(frozen=True, eq=False)
class Fit:
    """The mode of the posterior."""

    beta: Float64  # log odds ratio of each attribute, shape (n_groups,)
    # Linear predictor of each slot, and its chance to be an event given its stratum's number of
    # events, shape (n_slots,).
    eta: Float64
    chance: Float64


class _Loss:
    """The conditional likelihood and its parts, by slot and by coefficient."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self._bounds = even_cuts(len(slots.n_events), CHUNKS)
        levels = slots.cells.max(axis=1, initial=0)
        self._first = slots.n_groups + np.concatenate([[0], np.cumsum(levels)]).astype(np.int64)
        self.size = int(self._first[-1])

    def predictor(self, x: Float64) -> Float64:
        """Return eta of each slot."""
        s = self.slots
        eta = sum_by_group(s.entry_slot, x[s.entry_group], len(s.event))
        for first, level in zip(self._first, s.cells, strict=False):
            eta += np.where(level > 0, x[first + level - 1], 0.0)
        return eta

    def chances(self, eta: Float64) -> tuple[Float64, float]:
        """Return the chance of each slot, and the negative log-likelihood."""
        s = self.slots
        chance, total = np.zeros(len(eta)), np.zeros(len(s.n_events))
        fill_chances(self._bounds, s.offsets, s.n_events, eta, MOST_EXACT, s.longest, chance, total)
        return chance, float(total.sum()) - float(eta[s.event].sum())

    def by_coefficient(self, each: Float64) -> Float64:
        """Add up numbers of slots by group and by level."""
        s = self.slots
        parts = [sum_by_group(s.entry_group, each[s.entry_slot], s.n_groups)]
        parts += [sum_by_group(c, each, int(c.max(initial=0)) + 1)[1:] for c in s.cells]
        return np.concatenate(parts)


def fit_slots(slots: Slots, *, penalty: float) -> Fit:
    """Maximise the conditional likelihood with normal priors of mean zero on the attributes.

    Parameters
    ----------
    penalty
        Precision of the priors, positive.
    """
    loss = _Loss(slots)
    n, ridge = slots.n_groups, np.full(loss.size, _RIDGE)
    ridge[:n] = penalty
    chance, _ = loss.chances(np.zeros(len(slots.event)))
    scale = 1.0 / np.sqrt(loss.by_coefficient(chance * (1.0 - chance)) + ridge)

    def scaled(z: Float64) -> tuple[float, Float64]:
        x = z * scale
        chance, value = loss.chances(loss.predictor(x))
        slope = loss.by_coefficient(chance - slots.event) + ridge * x
        return value + 0.5 * float(ridge @ (x * x)), slope * scale

    with one_blas_thread():
        found = minimise(scaled, np.zeros(loss.size), tolerance=_TOLERANCE)
    x = found.x * scale
    eta = loss.predictor(x)
    chance, _ = loss.chances(eta)
    return Fit(x[:n], eta, chance)


@dataclass(frozen=True, eq=False)
class Pairs:
    """For each group and stratum: how many of the events may be among the group's slots."""

    offsets: Int64  # shape (n_groups + 1,): pairs of group g are ``offsets[g]:offsets[g + 1]``
    # P(k of the stratum's events are among the slots of the pair), k = 0, 1, ... from
    # ``starts[i]`` on, where the group has no effect and the others have theirs.
    starts: Int64
    mass: Float64
    observed: Float64  # events among the slots of each group, shape (n_groups,)


def pairs_of(slots: Slots, fit: Fit) -> Pairs:
    """Return each group's slots against the others of the same strata, given the others' betas."""
    stratum = slots.stratum[slots.entry_slot]
    order = np.lexsort((slots.entry_slot, stratum, slots.entry_group))
    group, stratum, slot = slots.entry_group[order], stratum[order], slots.entry_slot[order]
    new = np.ones(len(order), bool)
    new[1:] = (group[1:] != group[:-1]) | (stratum[1:] != stratum[:-1])
    first = np.flatnonzero(new)
    pair_offsets = np.append(first, len(order)).astype(np.int64)
    group, stratum = group[first], stratum[first]
    starts = np.zeros(len(first) + 1, np.int64)
    count_masses(pair_offsets, slots.n_events[stratum], starts)
    mass = np.zeros(int(starts[-1]))
    fill_masses(
        even_cuts(len(first), CHUNKS), pair_offsets, slot, stratum, fit.beta[group], slots.offsets,
        slots.n_events, fit.eta, MOST_EXACT, slots.longest, fit.chance, starts, mass,
    )  # fmt: skip
    observed = sum_by_group(
        slots.entry_group, slots.event[slots.entry_slot].astype(np.float64), slots.n_groups
    )
    offsets = np.searchsorted(group, np.arange(slots.n_groups + 1)).astype(np.int64)
    return Pairs(offsets, starts, mass, observed)


@dataclass(frozen=True, eq=False)
class Effects:
    """What the pairs of each group say; arrays of shape (n_groups,)."""

    # Events among the group's slots; mean and variance of their number without an effect.
    observed: Float64
    expected: Float64
    variance: Float64
    # Conditional maximum likelihood estimate of the log odds ratio, infinite where the number is
    # the least or the largest possible, NaN without variance.
    log_ratio: Float64
    # Ends of its 95 % likelihood interval.
    low: Float64
    high: Float64
    # Standard normal if the log odds ratio is that of the null: inverse normal of the tail
    # P(observed or more); zero without variance.
    root: Float64

    @property
    def informative(self) -> Mask:
        """Groups with a stratum in which an event could have been its or another slot's."""
        return self.variance > 0


def estimate_effects(pairs: Pairs, *, null: float = 0.0) -> Effects:
    r"""Estimate and test the log odds ratio of every group, the others held.

    A, the events among the group's slots, has the cumulant function K, the sum of those of
    its pairs; l(theta) = theta A - K(theta) is the conditional log-likelihood. The upper
    tail at ``null`` is the saddlepoint approximation of P(A or more) for lattices in
    Barndorff-Nielsen's form r* = w + log(u / w) / w, w the signed root of
    2 (l(hat) - l(null)) and u = (1 - e^-(hat - null)) sqrt(K''(hat)); where A is all there
    can be, it is exact.

    References
    ----------
    Daniels (1987), "Tail probability approximations", Int. Stat. Rev. 55(1), eq. 6.5.
    """
    n, observed = len(pairs.observed), pairs.observed
    solved = np.zeros((n, 8))
    solved[:, 2] = np.nan
    solve_effects(pairs.offsets, observed, null, pairs.starts, pairs.mass, solved)
    expected, variance, theta, top, gain, mean, spread, bend = (
        np.ascontiguousarray(column) for column in solved.T
    )
    low, high = np.full(n, -np.inf), np.full(n, np.inf)
    drop = np.where(variance > 0, _DROP, 0.0)
    find_limits(pairs.offsets, observed, pairs.starts, pairs.mass, theta, top, drop, low, high)
    with np.errstate(all="ignore"):
        w = np.sign(theta - null) * np.sqrt(2 * gain)
        u = -np.expm1(null - theta) * np.sqrt(bend)
        root = w + np.log(u / w) / w
        middle = (observed - 0.5 - mean) / np.sqrt(spread)
        all_there = norm.isf(np.maximum(np.exp(-gain), _LEAST_P))
    root = np.where(np.abs(w) < _CENTRAL, middle, root)
    root = np.where(theta == -np.inf, w, np.where(theta == np.inf, all_there, root))
    root = np.where(variance > 0, root, 0.0)
    return Effects(observed, expected, variance, theta, low, high, root)
