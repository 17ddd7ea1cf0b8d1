"""How strong a hidden change would explain a call away, and whether the assumptions hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from gateway.arrays import Float64, Int64
from gateway.detect.self_controlled.slots import Slots

# A larger share of slots with an event is no rare outcome (VanderWeele 2017).
_RARE = 0.15
# An assumption fails where chance shows as much once in a thousand, and by so much that it
# matters: of large logs every deviation is significant.
_DOUBT = 0.001
_LEAST_FACTOR = 1.1

CHECKS: Mapping[str, str] = {
    "events change later joins": (
        "groups that users join right after an event more often than others do are taken for "
        "groups that keep users from events"
    ),
    "events end the observation": (
        "users are lost after an event: time after a join seems to hold more events than time "
        "before it"
    ),
    "time trends": (
        "users have trends of their own, which the common calendar does not hold: what is "
        "joined on the way looks like a cause (see the robust grade)"
    ),
    "dependence of events": (
        "one event brings another: p-values rest on the widened variance, and an effect's "
        "size includes what its events bring"
    ),
}
"""What each check looks for, and what it means if it fails."""


@dataclass(frozen=True)
class Check:
    """One assumption of the method, held against the log.

    Parameters
    ----------
    name
        One of ``CHECKS``.
    ratio
        What is observed over what the fitted model expects; 1 where the assumption holds, NaN
        where nothing can be told.
    z
        Standard normal where it holds, its variance taken from the cases.
    failed
        Whether it is far from 1, and not by chance.
    """

    name: str
    ratio: float
    z: float
    failed: bool


def say_failed(checks: Sequence[Check]) -> tuple[str, ...]:
    """Return a sentence for each check that failed."""
    return tuple(
        f"{check.name}: observed over expected {check.ratio:.2f} (z {check.z:.1f}); "
        f"{CHECKS[check.name]}"
        for check in checks if check.failed
    )  # fmt: skip


def say_checks(checks: Sequence[Check]) -> tuple[str, ...]:
    """Return what became of the checks, a sentence for each that failed and one for the rest."""
    failed = list(say_failed(checks))
    silent = [check.name for check in checks if np.isnan(check.ratio)]
    held = [check.name for check in checks if not check.failed and not np.isnan(check.ratio)]
    if held:
        failed.append(f"no sign of: {', '.join(held)}")
    if silent:
        failed.append(f"the log cannot tell about: {', '.join(silent)}")
    return tuple(failed)


def e_values(ci_low: Float64, *, event_share: float) -> Float64:
    r"""Return the E-value of the lower confidence limit of each ratio.

    E = R + sqrt(R (R - 1)) for the limit R > 1, else 1: a hidden change within the users that
    raises both the joining of the group and the rate of events by a factor of at least E could
    explain the limit away, a weaker one could not. R is a risk ratio; of odds ratios where more
    than 15 % of the slots hold an event it is the square root.

    Parameters
    ----------
    ci_low
        Lower limit of the odds ratio, shape (n_groups,), at least 0; NaN stays NaN.
    event_share
        Share of the cases' slots with an event, in [0, 1].

    References
    ----------
    VanderWeele, Ding (2017), "Sensitivity analysis in observational research: introducing the
    E-value", Ann. Intern. Med. 167(4). VanderWeele (2017), "On a square-root transformation of
    the odds ratio for a common outcome", Epidemiology 28(6).

    Examples
    --------
    >>> e_values(np.array([3.9, 0.8]), event_share=0.05).round(2)
    array([7.26, 1.  ])
    """
    ratio = ci_low if event_share <= _RARE else np.sqrt(ci_low)
    above = np.maximum(ratio, 1.0)
    return np.asarray(above + np.sqrt(above * (above - 1.0)))


def check_assumptions(slots: Slots, weight: Float64, near: Float64) -> tuple[Check, ...]:
    r"""Hold the four assumptions of a self-controlled method against a log.

    With n events in a case and pi_s = w_s / sum w the fitted share of slot s:

    - *events change later joins*: whether the groups' statistics of events just before the join
      (``near``) are wider spread than chance makes them.
    - *events end the observation*: events in the last tick of each case, against n pi there.
    - *time trends*: (sum_s (y_s - n pi_s) (t_s - mean t))^2 over its variance, t the piece of
      the calendar: above 1 where users have trends of their own.
    - *dependence of events*: pairs of events in one tick or in neighbouring ticks, against
      n (n - 1) pi_s pi_r / (1 - sum pi^2) of each such pair of slots.

    The first moments are exact where slots weigh alike, and close where they do not.

    Parameters
    ----------
    slots, weight
        The data, and the fitted exp(eta) of each row.
    near
        Statistics of all groups that are standard normal where events do not change what is
        joined next, shape (n,).

    References
    ----------
    Whitaker, Ghebremichael-Weldeselassie, Douglas, Smeeth, Farrington (2018), "Investigating
    the assumptions of the self-controlled case series method", Statistics in Medicine 37(4).
    """
    rows = _Rows.of(slots, weight)
    return (
        _spread(near),
        _check("events end the observation", *rows.at_the_end()),
        rows.trends(),
        _check("dependence of events", *rows.near_pairs()),
    )


def _spread(near: Float64) -> Check:
    some = near[np.isfinite(near)]
    name = "events change later joins"
    if len(some) < 2:
        return Check(name, np.nan, np.nan, failed=False)
    ratio = float(np.mean(some**2))
    z = (ratio - 1.0) * float(np.sqrt(len(some) / 2.0))
    return Check(name, ratio, z, _failed(ratio, z, above=True))


def _failed(ratio: float, z: float, *, above: bool = False) -> bool:
    far = ratio > _LEAST_FACTOR or (not above and ratio < 1.0 / _LEAST_FACTOR)
    return bool(far and abs(z) > norm.isf(_DOUBT / 2.0))


def _check(name: str, observed: Float64, expected: Float64) -> Check:
    """Check one number of each case; the cases are independent."""
    rest = observed - expected
    spread = float(np.sqrt(np.sum(rest**2)))
    if spread == 0.0 or expected.sum() <= 0.0:
        return Check(name, np.nan, np.nan, failed=False)
    ratio, z = float(observed.sum() / expected.sum()), float(rest.sum()) / spread
    return Check(name, ratio, z, _failed(ratio, z))


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows with the case and the tick of each, and pi and y; ``n`` of each case."""

    case: Int64
    tick: Int64
    pi: Float64
    y: Float64
    n: Float64
    piece: Float64
    case_of_tick: Int64

    @classmethod
    def of(cls, slots: Slots, weight: Float64) -> _Rows:
        case = np.repeat(np.arange(slots.n_cases), np.diff(slots.offsets))
        mass = np.bincount(case, weight, minlength=slots.n_cases)
        pi = weight / mass[case]
        return cls(
            case=case,
            tick=np.cumsum(slots.fresh) - 1,
            pi=pi,
            y=slots.events.astype(np.float64),
            n=slots.counts().astype(np.float64),
            piece=(slots.stratum % slots.n_pieces).astype(np.float64),
            case_of_tick=case[slots.fresh],
        )

    def by_case(self, x: Float64) -> Float64:
        return np.asarray(np.bincount(self.case, x, minlength=len(self.n)), np.float64)

    def by_tick(self, x: Float64) -> Float64:
        return np.asarray(np.bincount(self.tick, x, minlength=len(self.case_of_tick)), np.float64)

    def at_the_end(self) -> tuple[Float64, Float64]:
        """Return events in the last tick of each case, and what is expected there."""
        last = np.searchsorted(self.case_of_tick, np.arange(len(self.n)), side="right") - 1
        return self.by_tick(self.y)[last], self.n * self.by_tick(self.pi)[last]

    def trends(self) -> Check:
        """Compare each case's slope over the calendar with its variance."""
        middle = self.by_case(self.pi * self.piece)[self.case]
        off = self.piece - middle
        slope = self.by_case(self.y * off)
        # Slots hold one event at most: n events leave less room than n draws with return.
        slots = 1.0 / np.maximum(self.by_case(self.pi**2), 1e-12)
        left = np.clip((slots - self.n) / np.maximum(slots - 1.0, 1e-12), 0.0, 1.0)
        variance = self.n * self.by_case(self.pi * off**2) * left
        return _check_squares("time trends", slope, variance)

    def near_pairs(self) -> tuple[Float64, Float64]:
        """Return pairs of events in one tick or neighbouring ones, and what is expected."""
        both = self._pairs(self.y)
        room = np.maximum(1.0 - self.by_case(self.pi**2), 1e-12)
        return both, self.n * (self.n - 1.0) / room * self._pairs(self.pi)

    def _pairs(self, x: Float64) -> Float64:
        total, squares = self.by_tick(x), self.by_tick(x**2)
        within = 0.5 * (total**2 - squares)
        same = self.case_of_tick[1:] == self.case_of_tick[:-1]
        within[1:] += np.where(same, total[1:] * total[:-1], 0.0)
        return np.asarray(np.bincount(self.case_of_tick, within, minlength=len(self.n)), np.float64)


def _check_squares(name: str, value: Float64, variance: Float64) -> Check:
    """Check whether a number of each case varies as much as its variance says."""
    total = float(variance.sum())
    rest = value**2 - variance
    spread = float(np.sqrt(np.sum(rest**2)))
    if total <= 0.0 or spread == 0.0:
        return Check(name, np.nan, np.nan, failed=False)
    ratio, z = float(np.sum(value**2)) / total, float(rest.sum()) / spread
    return Check(name, ratio, z, _failed(ratio, z, above=True))
