"""Which users are cases, and how their slots are made, alike for every fit of a detection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from gateway.arrays import Int64, Mask
from gateway.config.detectors import SelfControlledOptions
from gateway.detect.self_controlled.rows import Clock, RiskWindow
from gateway.detect.self_controlled.slots import Slots, build_slots
from gateway.detect.self_controlled.strata import split_calendar, two_kinds
from gateway.log.join_log import JoinLog

# So many users of a log would lie beyond the bound if the distribution went on as it began.
_EXPECTED_BEYOND = 0.05
_MIDDLE, _UPPER = 0.5, 0.9
_FEWEST = 100


def most_usual_joins(sizes: Int64) -> float:
    r"""Return the largest number of joins that a user of this log may be expected to have.

    The upper half of the logarithms is taken as that of a normal distribution, with the
    median m and the spread s = (q_90 - m) / 1.2816 of the users with a join. Beyond the bound
    exp(m + s z), z = Phi^-1(1 - .05 / n), fewer than .05 of n users are expected. Medians and
    the ninth decile stay where they are while fewer than a twentieth of the users are bots. In a
    log of short histories the bound is low, in one of long ones high: it is the log's own.

    *When it misleads.* Numbers of joins with a heavier tail than the lognormal have users beyond
    it who are no bots.

    Parameters
    ----------
    sizes
        Number of joins of each user, shape (n_users,).

    Returns
    -------
    float
        Infinite for fewer than 100 users with a join, or where more than half of those are
        alike: then there is no distribution to speak of.
    """
    some = np.log(sizes[sizes > 0])
    if len(some) < _FEWEST:
        return float("inf")
    middle, upper = np.quantile(some, [_MIDDLE, _UPPER])
    spread = (upper - middle) / norm.ppf(_UPPER)
    if spread <= 0:
        return float("inf")
    return float(np.exp(middle + spread * norm.isf(_EXPECTED_BEYOND / len(some))))


@dataclass(frozen=True)
class Preparation:
    """How slots are made.

    Parameters
    ----------
    clock
        What a slot is.
    most_joins
        Users with more joins than that are set aside.
    strata
        Whether two kinds of users, where there are two, have calendars of their own.
    depletion
        Whether a case that has joined some outcome groups has fewer of them left.
    """

    clock: Clock = "joins"
    most_joins: float = np.inf
    strata: bool = True
    depletion: bool = True

    @classmethod
    def of(cls, options: SelfControlledOptions, joins: JoinLog) -> Preparation:
        """Return what some options ask for on a log."""
        aside = options.unusual_users == "auto"
        return cls(
            clock=options.clock,
            most_joins=most_usual_joins(np.diff(joins.offsets)) if aside else np.inf,
            strata=options.user_strata == "auto",
            depletion=options.depletion == "auto" and options.clock == "joins",
        )

    def slots(
        self,
        joins: JoinLog,
        outcome: Mask,
        candidate: Mask,
        *,
        window: RiskWindow | None = None,
        sample: tuple[int, float] | None = None,
    ) -> tuple[Slots, Mask | None]:
        """Return the slots, and which cases are of the second kind where there are two.

        Parameters are those of ``build_slots``.
        """
        slots = build_slots(
            joins, outcome, candidate, clock=self.clock, window=window,
            sample=sample, most_joins=self.most_joins, depletion=self.depletion,
        )  # fmt: skip
        kinds = two_kinds(slots) if self.strata else None
        return (slots, None) if kinds is None else (split_calendar(slots, kinds), kinds)
