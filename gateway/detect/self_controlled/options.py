"""The choices of the self-controlled detector."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from gateway.detect.self_controlled.slots import Clock, RiskWindow
from gateway.errors import GatewayError, Problem
from gateway.log import Duration, Tick, ticks_in

__all__ = ["SelfControlledOptions", "Surrogates"]

Surrogates = Literal["auto", "none"]
_IN_JOINS = re.compile(r"([1-9][0-9]{0,8}) joins?")


@dataclass(frozen=True)
class SelfControlledOptions:
    """Choices of the self-controlled detector, each with its reason in the docs.

    Parameters
    ----------
    clock
        What time is. ``joins``: a user's clock ticks at the user's own joins, whatever lies
        between them. ``calendar``: time is time, for logs that tell when their users came
        and left, and for published case series.
    surrogates
        ``auto``: joins of groups that users join after a target far more often than
        chance count as events too, as many groups as the held-out likelihood of target
        joins asks for, perhaps none. ``none``: only target joins count.
    penalty
        Precision of the normal prior on the log ratios, positive; None lets the marginal
        likelihood choose.
    risk_window
        How long a join counts: ``"30d"``, a ``timedelta``, or a number of ticks in a log of
        days or integers; ``"8 joins"`` of the same user on the clock of joins. None or 0
        for ever.
    prior
        ``association``: a group's score is drawn towards what its association with the
        targets lets expect, as far as the log shows that the two go together. ``none``:
        towards no effect. Calls do not depend on it.
    second_contrast
        ``before``: calls are graded by the slots after the join against the few just before
        it, on the clock of joins. ``none``: they are not.
    aliases
        ``auto``: groups that are joined together count as one. ``none``: each by itself.
    unusual_users
        ``auto``: users with far more joins than the log's own distribution lets expect are
        set aside. ``keep``: nobody is.
    min_joiners
        A group with fewer joiners is not ranked.
    min_events
        A group with fewer joiners that have an event after their join is not flagged.
    alpha
        False-discovery rate of the flags, in (0, 1).

    Raises
    ------
    GatewayError
        If a value is out of its range; all of them at once.
    """

    clock: Clock = "joins"
    surrogates: Surrogates = "auto"
    penalty: float | None = None
    risk_window: Duration | None = None
    prior: Literal["association", "none"] = "association"
    second_contrast: Literal["before", "none"] = "before"
    aliases: Literal["auto", "none"] = "auto"
    unusual_users: Literal["auto", "keep"] = "auto"
    min_joiners: int = 20
    min_events: int = 3
    alpha: float = 0.05

    def __post_init__(self) -> None:
        faults = [problem for problem in self._faults() if problem is not None]
        if faults:
            raise GatewayError("\n".join(str(fault) for fault in faults))

    def window(self, tick: Tick) -> RiskWindow:
        """Return ``risk_window`` on a log with such ticks.

        Raises
        ------
        LogError
            If it is no duration of such a log.
        """
        wanted = self.risk_window
        if wanted is None:
            return RiskWindow()
        if isinstance(wanted, str) and (found := _IN_JOINS.fullmatch(wanted)):
            return RiskWindow(joins=int(found[1]))
        return RiskWindow(ticks_in(wanted, tick, what="self_controlled.risk_window", least=0))

    def _faults(self) -> list[Problem | None]:
        in_joins = isinstance(self.risk_window, str) and _IN_JOINS.fullmatch(self.risk_window)
        return [
            _one_of("clock", self.clock, ("joins", "calendar")),
            _one_of("surrogates", self.surrogates, ("auto", "none")),
            _one_of("prior", self.prior, ("association", "none")),
            _one_of("second_contrast", self.second_contrast, ("before", "none")),
            _one_of("aliases", self.aliases, ("auto", "none")),
            _one_of("unusual_users", self.unusual_users, ("auto", "keep")),
            _check(
                "penalty", self.penalty is None or self.penalty > 0, "must be positive",
                self.penalty,
            ),
            _check(
                "risk_window", not (in_joins and self.clock == "calendar"),
                'must be a time where clock is "calendar"', self.risk_window,
            ),
            *(
                _check(name, getattr(self, name) >= 0, "must not be negative", getattr(self, name))
                for name in ("risk_window", "min_joiners", "min_events")
                if isinstance(getattr(self, name), int)
            ),
            _check("alpha", 0 < self.alpha < 1, "must be in (0, 1)", self.alpha),
        ]  # fmt: skip


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> Problem | None:
    return _check(name, value in allowed, f"must be one of {', '.join(allowed)}", value)


def _check(name: str, holds: bool, rule: str, value: object) -> Problem | None:
    return None if holds else Problem(f"self_controlled.{name}", rule, repr(value))
