"""Which detectors run, and the options of each.

The options of a detector stand here once. The class is the config's section of the
detector's name and the ``options`` of its function in ``gateway.detect``; command line, JSON
Schema and registry take the names, ranges, defaults and meanings from it. A new detector has
its options here with a line in ``OPTIONS``, and its module with a line in
``gateway.detect.registry``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from gateway.config.rules import at_most, distinct
from gateway.config.types import Count, Number, Positive, Proportion, Section, Window, setting

__all__ = [
    "OPTIONS",
    "CoefficientOptions",
    "DetectSection",
    "FrequentistOptions",
    "HittingOptions",
    "MarkovRemovalOptions",
    "MatchingOptions",
    "Options",
    "OrderOptions",
    "SelfControlledOptions",
    "SpikeOptions",
    "SurvivalOptions",
]


class Options(Section):
    """Options of a detector, whose name ``section`` is."""


_AT_RISK = "smallest number of joiners at risk of a ranked group"
_FALSE_DISCOVERY = "false-discovery rate of the flags (Benjamini-Hochberg)"


class SpikeOptions(Options):
    """The note's method: spikes of P(target | joins so far), D = p_i - p_{i-1}."""

    rules = (at_most("min_spiking", "min_joiners"),)
    section = "spike"

    rule: Literal["absolute", "log_odds", "own_history", "standardised"] = setting(
        "standardised",
        "what makes a jump of the probability a spike. absolute: D above threshold; "
        "log_odds: the jump of the log-odds above it; own_history: D above the user's earlier "
        "jumps by so many scaled MADs; standardised: D, centred and scaled among joins at a like "
        "position and probability, above the pooled quantile",
    )
    threshold: Number | None = setting(
        None, "jump that is a spike; left out = the rule's own: 0.05, log 2, 3.5", gt=0, le=1e6
    )
    quantile: Proportion = setting(
        0.95, "rule standardised: pooled quantile above which Z is a spike"
    )
    min_joiners: Positive = setting(20, "smallest number of scored joiners of a ranked group")
    min_spiking: Positive = setting(5, "smallest number of spiking joiners of a flagged group")
    alpha: Proportion = setting(0.05, _FALSE_DISCOVERY)
    p_value: Literal["normal", "binomial"] = setting(
        "binomial",
        "upper tail of T_g: Hoeffding's binomial bound, or, for comparison only, the "
        "normal approximation",
    )


class FrequentistOptions(Options):
    """P(target later | joined g), shrunken; a test of the number of joiners who go on."""

    section = "frequentist"

    min_joiners: Positive = setting(
        20, "smallest number of resolved joiners at risk of a ranked group"
    )
    alpha: Proportion = setting(0.05, _FALSE_DISCOVERY)


class SurvivalOptions(Options):
    """Hazard of the first target join before and after a join (log-rank)."""

    section = "survival"

    clock: Literal["calendar", "tenure"] = setting(
        "calendar", "users are compared at equal date, or equal time since their first join"
    )
    min_joiners: Positive = setting(20, _AT_RISK)
    alpha: Proportion = setting(0.05, _FALSE_DISCOVERY)


class CoefficientOptions(Options):
    """Weight in a logistic regression on whole histories."""

    section = "coefficient"

    penalty: Number | None = setting(
        None,
        "L2 penalty lambda in lambda/2 |w|^2; left out = chosen by the log-loss of a "
        "held-out fifth of the users",
        gt=0,
        le=1e12,
    )
    tolerance: Proportion = setting(
        1e-10, "L-BFGS: relative reduction of the loss at which it stops"
    )
    min_joiners: Positive = setting(20, _AT_RISK)


class MarkovRemovalOptions(Options):
    """Removal effect in the absorbing chain of joins."""

    section = "markov_removal"

    exact_groups: Count = setting(
        1_500,
        "most groups for which mean numbers of returns come from a dense inverse; "
        "with more, from an approximation",
        ge=0,
        le=20_000,
    )
    min_joiners: Positive = setting(20, _AT_RISK)


class HittingOptions(Options):
    """Probability of ever reaching a target in the chain of joins, or PageRank from there."""

    section = "hitting"

    measure: Literal["hitting", "pagerank"] = setting(
        "hitting",
        "what ranks the groups. hitting: the probability of ever reaching a target; "
        "pagerank: how often a walk back from the targets comes by",
    )
    damping: Number = setting(0.85, "pagerank: probability that the walk back goes on", ge=0, lt=1)
    min_joiners: Positive = setting(20, _AT_RISK)


class MatchingOptions(Options):
    """Risk difference against joins of other groups at the same prognostic score."""

    section = "matching"

    strata: Count = setting(
        50,
        "quantile bins of the score before the join; each is cut again by the number "
        "of joins so far",
        ge=1,
        le=1_000,
    )
    min_joiners: Positive = setting(20, "smallest number of matched joiners of a ranked group")
    alpha: Proportion = setting(0.05, _FALSE_DISCOVERY)


class OrderOptions(Options):
    """Share of users who joined the group before, not after, their first target."""

    section = "order"

    min_joiners: Positive = setting(
        5,
        "smallest number of users who joined it and, in another tick, a target, of a ranked group",
    )
    alpha: Proportion = setting(0.05, _FALSE_DISCOVERY)


class SelfControlledOptions(Options):
    """Odds that a join is of a target after a join against the same user's odds before it."""

    section = "self_controlled"

    clock: Literal["joins", "calendar"] = setting(
        "joins",
        "what time is. joins: a user's clock ticks at the user's own joins; calendar: "
        "for logs that tell when their users came and left, and published case series",
    )
    surrogates: Literal["auto", "none"] = setting(
        "auto",
        "auto: joins of groups that users join after a target far more often than "
        "chance count as events too, as many groups as the held-out likelihood of target joins "
        "asks for, perhaps none",
    )
    penalty: Number | None = setting(
        None,
        "precision of the normal prior on log ratios; left out = by the marginal likelihood",
        gt=0,
        le=1e12,
    )
    risk_window: Window | None = setting(
        None,
        'how long a join counts: "30d", ticks, or "8 joins" of the same user; left out = for ever',
    )
    min_joiners: Positive = setting(20, "smallest number of joiners of a ranked group")
    min_events: Positive = setting(
        3, "smallest number of joiners with an event after it, of a flagged group"
    )
    alpha: Proportion = setting(0.05, _FALSE_DISCOVERY)


OPTIONS: Mapping[str, type[Options]] = {
    options.section: options
    for options in (
        SpikeOptions,
        FrequentistOptions,
        SurvivalOptions,
        CoefficientOptions,
        MarkovRemovalOptions,
        HittingOptions,
        MatchingOptions,
        OrderOptions,
        SelfControlledOptions,
    )
}
"""The options of every detector, by the detector's name."""


def _registered(name: str) -> str:
    if name not in OPTIONS:
        raise PydanticCustomError("detector", "not the name of a detector")
    return name


DetectorName = Annotated[
    str, AfterValidator(_registered), Field(json_schema_extra={"enum": list(OPTIONS)})
]


class DetectSection(Section):
    """Which detectors run."""

    rules = (distinct("detectors"),)

    detectors: tuple[DetectorName, ...] = setting(
        ("spike",), "detectors, each once", min_length=1, strict=False
    )
