"""Which detectors run, and the options of each but ``spike``.

A section bears its detector's name, and its keys are the fields of its options class in
``gateway.detect``, with the same defaults; a test compares them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway.config.types import INT32_END, Count, Number, Section, Window

__all__ = [
    "CoefficientSection",
    "DetectSection",
    "DetectorName",
    "FrequentistSection",
    "HittingSection",
    "MarkovRemovalSection",
    "MatchingSection",
    "OrderSection",
    "SelfControlledSection",
    "SurvivalSection",
]

DetectorName = Literal[
    "spike",
    "frequentist",
    "survival",
    "coefficient",
    "markov_removal",
    "hitting",
    "matching",
    "order",
    "self_controlled",
]

_Joiners = Annotated[Count, Field(ge=1, lt=INT32_END)]
_Alpha = Annotated[Number, Field(gt=0.0, lt=1.0)]
_AT_RISK = "smallest number of joiners at risk of a ranked group"
_FALSE_DISCOVERY = "false-discovery rate (Benjamini-Hochberg)"


class DetectSection(Section):
    """Which detectors run."""

    detectors: tuple[DetectorName, ...] = Field(
        default=("spike",), min_length=1, strict=False, description="detectors, each once"
    )


class FrequentistSection(Section):
    """P(target later | joined g), shrunken; Fisher's test of the lift."""

    min_joiners: _Joiners = Field(
        default=20, description="smallest number of resolved joiners of a ranked group"
    )
    alpha: _Alpha = Field(default=0.05, description=_FALSE_DISCOVERY)


class SurvivalSection(Section):
    """Hazard of the first target join before and after a join (log-rank)."""

    clock: Literal["calendar", "tenure"] = Field(
        default="calendar", description="users are compared at equal date, or equal time since "
        "their first join",
    )  # fmt: skip
    min_joiners: _Joiners = Field(default=20, description=_AT_RISK)
    alpha: _Alpha = Field(default=0.05, description=_FALSE_DISCOVERY)


class CoefficientSection(Section):
    """Weight in a logistic regression on whole histories."""

    penalty: Annotated[Number, Field(gt=0.0, le=1e12)] | None = Field(
        default=None, description="L2 penalty; left out = chosen by held-out users' log-loss"
    )
    tolerance: Annotated[Number, Field(gt=0.0, lt=1.0)] = Field(
        default=1e-10, description="L-BFGS: relative reduction of the loss at which it stops"
    )
    min_joiners: _Joiners = Field(default=20, description=_AT_RISK)


class MarkovRemovalSection(Section):
    """Removal effect in the absorbing chain of joins."""

    exact_groups: Annotated[Count, Field(ge=0, le=20_000)] = Field(
        default=1_500, description="most groups for which returns come from a dense inverse"
    )
    min_joiners: _Joiners = Field(default=20, description=_AT_RISK)


class HittingSection(Section):
    """Probability of ever reaching a target in the chain of joins, or PageRank from there."""

    measure: Literal["hitting", "pagerank"] = Field(
        default="hitting", description="what ranks the groups"
    )
    damping: Annotated[Number, Field(ge=0.0, lt=1.0)] = Field(
        default=0.85, description="pagerank: probability that the walk back goes on"
    )
    min_joiners: _Joiners = Field(default=20, description=_AT_RISK)


class MatchingSection(Section):
    """Risk difference against joins of other groups at the same prognostic score."""

    strata: Annotated[Count, Field(ge=1, le=1_000)] = Field(
        default=50, description="quantile bins of the score before the join"
    )
    min_joiners: _Joiners = Field(
        default=20, description="smallest number of matched joiners of a ranked group"
    )
    alpha: _Alpha = Field(default=0.05, description=_FALSE_DISCOVERY)


class OrderSection(Section):
    """Share of users who joined the group before, not after, their first target."""

    min_joiners: _Joiners = Field(
        default=5, description="smallest number of users who joined both, of a ranked group"
    )
    alpha: _Alpha = Field(default=0.05, description=_FALSE_DISCOVERY)


class SelfControlledSection(Section):
    """Odds that a join is of a target after a join against the same user's before it."""

    clock: Literal["joins", "calendar"] = Field(
        default="joins", description="time is a user's own joins, or the calendar"
    )
    surrogates: Literal["auto", "none"] = Field(
        default="auto", description="whether joins of groups near the targets count as events"
    )
    penalty: Annotated[Number, Field(gt=0.0, le=1e12)] | None = Field(
        default=None,
        description="precision of the normal prior on log ratios; left out = by the data",
    )
    risk_window: Window | None = Field(
        default=None,
        description='"30d", ticks, or "8 joins" after a join in which its group counts; '
        "left out = all of them",
    )
    min_joiners: _Joiners = Field(
        default=20, description="smallest number of joiners of a ranked group"
    )
    min_events: _Joiners = Field(
        default=3,
        description="smallest number of joiners with an event after it, of a flagged group",
    )
    alpha: _Alpha = Field(default=0.05, description=_FALSE_DISCOVERY)
