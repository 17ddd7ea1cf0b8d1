"""Which detectors run, and the options of each.

The options of a detector stand here once. The class is the config's section of the
detector's name and the ``options`` of its function in ``gateway.detect``; command line, JSON
Schema and registry take the names, ranges, defaults and meanings from it. A new detector has
its options here with a line in ``OPTIONS``, and its module with a line in
``gateway.detect.registry``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from gateway.config.types import Count, Number, Positive, Proportion, Section, Window

__all__ = [
    "OPTIONS",
    "READING",
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
    """Options of a detector; values that break a rule are a ``GatewayError``, which names all."""

    @model_validator(mode="wrap")
    @classmethod
    def _say_what_is_wrong(
        cls, values: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        try:
            return handler(values)
        except ValidationError as error:
            if info.context is READING:
                raise
            from gateway.config.load import refusal_of  # noqa: PLC0415  (it knows this module)

            section = next((name for name, kind in OPTIONS.items() if kind is cls), cls.__name__)
            raise refusal_of(error, section, values) from None


READING: Mapping[str, Any] = {"reading": True}
"""The context in which a whole config is read: its reader says what is wrong with all of it."""

_AT_RISK = "smallest number of joiners at risk of a ranked group"
_FALSE_DISCOVERY = "false-discovery rate of the flags (Benjamini-Hochberg)"


class SpikeOptions(Options):
    """The note's method: spikes of P(target | joins so far), D = p_i - p_{i-1}."""

    rule: Literal["absolute", "log_odds", "own_history", "standardised"] = Field(
        default="standardised",
        description="what makes a jump of the probability a spike. absolute: D above threshold; "
        "log_odds: the jump of the log-odds above it; own_history: D above the user's earlier "
        "jumps by so many scaled MADs; standardised: D, centred and scaled among joins at a like "
        "position and probability, above the pooled quantile",
    )
    threshold: Annotated[Number, Field(gt=0.0, le=1e6)] | None = Field(
        default=None,
        description="jump that is a spike; left out = the rule's own: 0.05, log 2, 3.5",
    )
    quantile: Proportion = Field(
        default=0.95, description="rule standardised: pooled quantile above which Z is a spike"
    )
    min_joiners: Positive = Field(
        default=20, description="smallest number of scored joiners of a ranked group"
    )
    min_spiking: Positive = Field(
        default=5, description="smallest number of spiking joiners of a flagged group"
    )
    alpha: Proportion = Field(default=0.05, description=_FALSE_DISCOVERY)
    p_value: Literal["normal", "binomial"] = Field(
        default="binomial",
        description="upper tail of T_g: Hoeffding's binomial bound, or, for comparison only, the "
        "normal approximation",
    )


class FrequentistOptions(Options):
    """P(target later | joined g), shrunken; a test of the number of joiners who go on."""

    min_joiners: Positive = Field(
        default=20, description="smallest number of resolved joiners at risk of a ranked group"
    )
    alpha: Proportion = Field(default=0.05, description=_FALSE_DISCOVERY)


class SurvivalOptions(Options):
    """Hazard of the first target join before and after a join (log-rank)."""

    clock: Literal["calendar", "tenure"] = Field(
        default="calendar",
        description="users are compared at equal date, or equal time since their first join",
    )
    min_joiners: Positive = Field(default=20, description=_AT_RISK)
    alpha: Proportion = Field(default=0.05, description=_FALSE_DISCOVERY)


class CoefficientOptions(Options):
    """Weight in a logistic regression on whole histories."""

    penalty: Annotated[Number, Field(gt=0.0, le=1e12)] | None = Field(
        default=None,
        description="L2 penalty lambda in lambda/2 |w|^2; left out = chosen by the log-loss of a "
        "held-out fifth of the users",
    )
    tolerance: Proportion = Field(
        default=1e-10, description="L-BFGS: relative reduction of the loss at which it stops"
    )
    min_joiners: Positive = Field(default=20, description=_AT_RISK)


class MarkovRemovalOptions(Options):
    """Removal effect in the absorbing chain of joins."""

    exact_groups: Annotated[Count, Field(ge=0, le=20_000)] = Field(
        default=1_500,
        description="most groups for which mean numbers of returns come from a dense inverse; "
        "with more, from an approximation",
    )
    min_joiners: Positive = Field(default=20, description=_AT_RISK)


class HittingOptions(Options):
    """Probability of ever reaching a target in the chain of joins, or PageRank from there."""

    measure: Literal["hitting", "pagerank"] = Field(
        default="hitting",
        description="what ranks the groups. hitting: the probability of ever reaching a target; "
        "pagerank: how often a walk back from the targets comes by",
    )
    damping: Annotated[Number, Field(ge=0.0, lt=1.0)] = Field(
        default=0.85, description="pagerank: probability that the walk back goes on"
    )
    min_joiners: Positive = Field(default=20, description=_AT_RISK)


class MatchingOptions(Options):
    """Risk difference against joins of other groups at the same prognostic score."""

    strata: Annotated[Count, Field(ge=1, le=1_000)] = Field(
        default=50,
        description="quantile bins of the score before the join; each is cut again by the number "
        "of joins so far",
    )
    min_joiners: Positive = Field(
        default=20, description="smallest number of matched joiners of a ranked group"
    )
    alpha: Proportion = Field(default=0.05, description=_FALSE_DISCOVERY)


class OrderOptions(Options):
    """Share of users who joined the group before, not after, their first target."""

    min_joiners: Positive = Field(
        default=5,
        description="smallest number of users who joined it and, in another tick, a target, of a "
        "ranked group",
    )
    alpha: Proportion = Field(default=0.05, description=_FALSE_DISCOVERY)


class SelfControlledOptions(Options):
    """Rate of target joins after a join against the same user's rate before it."""

    model: Literal["multivariate", "univariate"] = Field(
        default="multivariate",
        description="all groups at once, so that a group is not credited with what those joined "
        "before it did; or each alone",
    )
    variance: Literal["model", "clustered", "empirical"] = Field(
        default="empirical",
        description="of the test. model: events are independent given their number in each user; "
        "clustered: one residual a user; empirical: centre and scale of the bulk of all groups, "
        "or of inert where given",
    )
    surrogates: Literal["auto", "none"] = Field(
        default="auto",
        description="auto: joins of groups that users join after a target far more often than "
        "chance count as events too, as many groups as the held-out likelihood of target joins "
        "asks for, perhaps none",
    )
    penalty: Annotated[Number, Field(gt=0.0, le=1e12)] | None = Field(
        default=None,
        description="precision of the normal prior on log rate ratios; left out = by the data",
    )
    penalty_by: Literal["bayes", "validation"] = Field(
        default="bayes",
        description="marginal likelihood, or five-fold cross-validation over users",
    )
    risk_window: Window = Field(
        default=0,
        description='"30d", or ticks after a join in which its group counts; 0 = all of them',
    )
    pre_window: Window = Field(
        default=0,
        description='"30d", or ticks before a join for the ratio that diagnoses reverse '
        "causation, taken out of the control time of the univariate model; 0 = none",
    )
    first_only: bool = Field(default=False, description="only the first event of a user counts")
    inert: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="groups known to send nobody, as negative controls: they calibrate the test",
    )
    min_joiners: Positive = Field(
        default=20, description="smallest number of joiners of a ranked group"
    )
    min_events: Positive = Field(
        default=3,
        description="smallest number of joiners with an event after it, of a flagged group",
    )
    alpha: Proportion = Field(default=0.05, description=_FALSE_DISCOVERY)


OPTIONS: Mapping[str, type[Options]] = {
    "spike": SpikeOptions,
    "frequentist": FrequentistOptions,
    "survival": SurvivalOptions,
    "coefficient": CoefficientOptions,
    "markov_removal": MarkovRemovalOptions,
    "hitting": HittingOptions,
    "matching": MatchingOptions,
    "order": OrderOptions,
    "self_controlled": SelfControlledOptions,
}
"""The options of every detector, by the detector's name."""


def _registered(name: str) -> str:
    if name not in OPTIONS:
        raise PydanticCustomError("detector", "not the name of a detector")
    return name


class DetectSection(Section):
    """Which detectors run."""

    detectors: tuple[
        Annotated[
            str, AfterValidator(_registered), Field(json_schema_extra={"enum": list(OPTIONS)})
        ],
        ...,
    ] = Field(default=("spike",), min_length=1, strict=False, description="detectors, each once")
