"""The choices of the self-controlled detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.errors import GatewayError, Problem
from gateway.log import Duration, Tick, ticks_in

__all__ = ["Model", "SelfControlledOptions", "Surrogates", "Variance"]

Model = Literal["multivariate", "univariate"]
Variance = Literal["model", "clustered", "empirical"]
Surrogates = Literal["auto", "none"]


@dataclass(frozen=True)
class SelfControlledOptions:
    """Choices of the self-controlled case series, each with its reason in the docs.

    Parameters
    ----------
    model
        ``multivariate`` fits all groups at once: a group is not credited with what the
        groups joined before it did. ``univariate`` looks at each group alone.
    variance
        Of the test statistic. ``model``: conditional on each user's number of events,
        events are independent. ``clustered``: one residual per user. ``empirical``:
        centre and scale of the bulk of all groups, or of ``inert`` where given.
    surrogates
        ``auto``: joins of groups that users join after a target far more often than
        chance count as events too, as many groups as the held-out likelihood of target
        joins asks for, perhaps none. ``none``: only target joins count.
    penalty
        Precision of the normal prior on the log rate ratios, positive; None lets the
        data choose, by ``penalty_by``.
    penalty_by
        ``bayes``: the marginal likelihood. ``validation``: five-fold cross-validation
        over users.
    risk_window
        Time after a join in which its group counts: ``"30d"``, a ``timedelta``, or a
        number of ticks in a log of days or integers; 0 for the whole time after it.
    pre_window
        Time before a join for the ratio that diagnoses reverse causation, as
        ``risk_window``. It is taken out of the control time of that join in the
        univariate model. 0 for none.
    first_only
        Whether only a user's first event counts.
    inert
        Names of groups known to send nobody: the null is fitted on them.
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

    model: Model = "multivariate"
    variance: Variance = "empirical"
    surrogates: Surrogates = "auto"
    penalty: float | None = None
    penalty_by: Literal["bayes", "validation"] = "bayes"
    risk_window: Duration = 0
    pre_window: Duration = 0
    first_only: bool = False
    inert: tuple[str, ...] = ()
    min_joiners: int = 20
    min_events: int = 3
    alpha: float = 0.05

    def __post_init__(self) -> None:
        faults = [problem for problem in self._faults() if problem is not None]
        if faults:
            raise GatewayError("\n".join(str(fault) for fault in faults))

    def windows(self, tick: Tick) -> tuple[int, int]:
        """Return ``risk_window`` and ``pre_window`` in ticks of a log.

        Raises
        ------
        LogError
            If one of them is no duration of such a log.
        """
        risk, before = (
            ticks_in(getattr(self, name), tick, what=f"self_controlled.{name}", least=0)
            for name in ("risk_window", "pre_window")
        )
        return risk, before

    def _faults(self) -> list[Problem | None]:
        return [
            _one_of("model", self.model, ("multivariate", "univariate")),
            _one_of("variance", self.variance, ("model", "clustered", "empirical")),
            _one_of("surrogates", self.surrogates, ("auto", "none")),
            _one_of("penalty_by", self.penalty_by, ("bayes", "validation")),
            _check(
                "penalty", self.penalty is None or self.penalty > 0, "must be positive",
                self.penalty,
            ),
            *(
                _check(name, getattr(self, name) >= 0, "must not be negative", getattr(self, name))
                for name in ("risk_window", "pre_window", "min_joiners", "min_events")
                if isinstance(getattr(self, name), int)
            ),
            _check("alpha", 0 < self.alpha < 1, "must be in (0, 1)", self.alpha),
        ]  # fmt: skip


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> Problem | None:
    return _check(name, value in allowed, f"must be one of {', '.join(allowed)}", value)


def _check(name: str, holds: bool, rule: str, value: object) -> Problem | None:
    return None if holds else Problem(f"self_controlled.{name}", rule, repr(value))
