"""Which detectors run, and the options of each.

The options of a detector stand here once. The class is the config's section of the
detector's name and the ``options`` of its function in ``gateway.detect``; command line, JSON
Schema and registry take the names, ranges, defaults and meanings from it. A new detector has
its options here, and its module with a line in ``gateway.detect.registry``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from gateway.config.phrases import NEAR, Key, say_value
from gateway.config.rules import Breach, Given, at_most, distinct, rule
from gateway.config.types import (
    BY_NAME,
    Count,
    Name,
    Number,
    Penalty,
    Positive,
    Proportion,
    Section,
    Text,
    Window,
    setting,
)
from gateway.errors import did_you_mean
from gateway.plugins import Kind, find_plugin, plugin_names

OPTIONS: dict[str, type[Options]] = {}
"""The options of every detector of this package, by the detector's name."""


class Options(Section):
    """Options of a detector, whose name ``section`` is."""

    def __init_subclass__(cls, *, section: str = "", **more: Any) -> None:
        """Note the options of a detector of this package."""
        super().__init_subclass__(section=section, **more)
        if section:
            OPTIONS[section] = cls


_AT_RISK = "smallest number of joiners at risk of a ranked group"
_FALSE_DISCOVERY = "false-discovery rate of the flags (Benjamini-Hochberg)"


class SpikeOptions(Options, section="spike"):
    """The note's method: spikes of P(target | joins so far), the group's part of the jump."""

    rules = (at_most("min_spiking", "min_joiners"),)

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


class FrequentistOptions(Options, section="frequentist"):
    """P(target later | joined g), shrunken; a test of the number of joiners who go on."""

    min_joiners: Positive = setting(
        20, "smallest number of resolved joiners at risk of a ranked group"
    )
    alpha: Proportion = setting(0.05, _FALSE_DISCOVERY)


class SurvivalOptions(Options, section="survival"):
    """Hazard of the first target join before and after a join (log-rank)."""

    clock: Literal["calendar", "tenure"] = setting(
        "calendar", "users are compared at equal date, or equal time since their first join"
    )
    min_joiners: Positive = setting(20, _AT_RISK)
    alpha: Proportion = setting(0.05, _FALSE_DISCOVERY)


class CoefficientOptions(Options, section="coefficient"):
    """Weight in a logistic regression on whole histories."""

    penalty: Penalty | None = setting(
        None,
        "L2 penalty lambda in lambda/2 |w|^2; left out = chosen by the log-loss of a "
        "held-out fifth of the users",
    )
    tolerance: Proportion = setting(
        1e-10, "L-BFGS: relative reduction of the loss at which it stops"
    )
    min_joiners: Positive = setting(20, _AT_RISK)


class MarkovRemovalOptions(Options, section="markov_removal"):
    """Removal effect in the absorbing chain of joins."""

    exact_groups: Annotated[Count, Field(ge=0, le=20_000)] = setting(
        1_500,
        "most groups for which mean numbers of returns come from a dense inverse; "
        "with more, from an approximation",
    )
    min_joiners: Positive = setting(20, _AT_RISK)


class HittingOptions(Options, section="hitting"):
    """Probability of ever reaching a target in the chain of joins, or PageRank from there."""

    measure: Literal["hitting", "pagerank"] = setting(
        "hitting",
        "what ranks the groups. hitting: the probability of ever reaching a target; "
        "pagerank: how often a walk back from the targets comes by",
    )
    damping: Number = setting(0.85, "pagerank: probability that the walk back goes on", ge=0, lt=1)
    min_joiners: Positive = setting(20, _AT_RISK)


class MatchingOptions(Options, section="matching"):
    """Risk difference against joins of other groups at the same prognostic score."""

    strata: Annotated[Count, Field(ge=1, le=1_000)] = setting(
        50,
        "quantile bins of the score before the join; each is cut again by the number "
        "of joins so far",
    )
    min_joiners: Positive = setting(20, "smallest number of matched joiners of a ranked group")
    alpha: Proportion = setting(0.05, _FALSE_DISCOVERY)


class OrderOptions(Options, section="order"):
    """Share of users who joined the group before, not after, their first target."""

    min_joiners: Positive = setting(
        5,
        "smallest number of users who joined it and, in another tick, a target, of a ranked group",
    )
    alpha: Proportion = setting(0.05, _FALSE_DISCOVERY)


class SelfControlledOptions(Options, section="self_controlled"):
    """Odds that a join is of a target after a join against the same user's odds before it."""

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
    penalty: Penalty | None = setting(
        None,
        "precision of the normal prior on log ratios; left out = by the marginal likelihood",
    )
    risk_window: Window = setting(
        "auto",
        'how long a join counts: "30d", ticks, or "8 joins" of the same user; 0 = for ever; '
        '"auto" = what the marginal likelihood prefers of a ladder, for ever unless another is '
        "far likelier",
    )
    prior: Literal["association", "none"] = setting(
        "association",
        "of the score. association: what the groups' association with the targets lets expect, "
        "as far as the log shows that the two go together; none: no effect. Calls do not depend "
        "on it",
    )
    inflation: Literal["bulk", "none"] = setting(
        "bulk",
        "of the test and the interval. none: those of the likelihood, with the events of one user "
        "that go together; bulk: as much wider as the lower half of all groups is spread wider "
        "than that, such as where users have trends of their own",
    )
    second_contrast: Literal["before", "none"] = setting(
        "before",
        "before: calls are graded by joins after it against the few just before it, which a "
        "drift that began earlier does not move (clock of joins)",
    )
    aliases: Literal["auto", "none"] = setting(
        "auto", "auto: groups that the same users join in the same ticks are called as one"
    )
    depletion: Literal["auto", "none"] = setting(
        "auto",
        "auto: a user joins a group once, so whoever has joined many targets has fewer left to "
        "join, where the marginal likelihood says so; none: as if there were targets without end "
        "(clock of joins)",
    )
    user_strata: Literal["auto", "none"] = setting(
        "auto",
        "auto: where users are clearly of two kinds by what they join, such as two countries, "
        "each has its own calendar",
    )
    unusual_users: Literal["auto", "keep"] = setting(
        "auto",
        "auto: users with far more joins than the log's own distribution lets expect, such as "
        "bots, are set aside",
    )
    min_joiners: Positive = setting(20, "smallest number of joiners of a ranked group")
    min_events: Positive = setting(
        3, "smallest number of joiners with an event after it, of a flagged group"
    )
    alpha: Proportion = setting(0.05, _FALSE_DISCOVERY)


class EdgesOptions(Options, section="edges"):
    """Odds that a join through a group is of a target against the same user's other joins."""

    least_ratio: Annotated[Number, Field(ge=1, le=1_000)] = setting(
        1.5,
        "odds ratio that a call must exceed; smaller ones have many groups that merely share "
        "members with the targets",
    )
    breadth: Literal["set", "any"] = setting(
        "set",
        "set: a group that leads by recommendation must lead to other targets, too, than the one "
        "that is joined through it most often; any: one is enough, as it is where there is but one",
    )
    penalty: Number = setting(
        4.0, "precision of the normal prior on log odds ratios", gt=0, le=1e12
    )
    min_joiners: Positive = setting(
        5, "smallest number of joins through a ranked group, by users who join a target"
    )
    min_events: Positive = setting(3, "smallest number of target joins through a flagged group")
    alpha: Proportion = setting(0.05, _FALSE_DISCOVERY)


class OutsideOptions(Options):
    """Options of a detector that is not of this package: two, and what else it takes."""

    model_config = ConfigDict(extra="allow")

    min_joiners: Positive | None = setting(
        None, "smallest number of joiners of a ranked group; left out = 20, or the detector's own"
    )
    alpha: Proportion | None = setting(
        None, f"{_FALSE_DISCOVERY}; left out = 0.05, or the detector's own"
    )


def known_to(
    given: Given, key: Key | str, name: str, own: Iterable[str], kind: Kind
) -> Iterator[Breach]:
    """Yield the breach of a name that neither this package nor an installed one knows."""
    if find_plugin(kind, name) is None:
        known = [*own, *plugin_names(kind)]
        hint = did_you_mean(name, known, cutoff=NEAR)
        text = "must be one of " + ", ".join(f"'{one}'" for one in known)
        yield given.breach(text, key, got=say_value(name), hint=hint)


def names_in_schema(own: Iterable[str], kind: Kind) -> Callable[[dict[str, Any]], None]:
    """Return what puts the names into the JSON Schema, those of installed packages last."""
    return lambda schema: schema.update(enum=[*own, *plugin_names(kind)])


@rule("detectors")
def _are_detectors(given: Given, names: tuple[str, ...]) -> Iterator[Breach]:
    for i, name in enumerate(names):
        if name not in OPTIONS and not given.writes(f"brought.{name}"):
            yield from known_to(given, ("detectors", i), name, OPTIONS, "detector")


@rule("detectors", "options")
def _options_are_of_one(
    given: Given, names: tuple[str, ...], options: Mapping[str, Any]
) -> Iterator[Breach]:
    for name in options:
        if name in OPTIONS:
            text = f"is not where the options of this detector stand: they are [{name}]"
            yield given.breach(text, ("options", name))
        elif name not in names:
            yield given.breach(f"must be among {given.mention('detectors')}", ("options", name))


class DetectSection(Section):
    """Which detectors run."""

    rules = (distinct("detectors"), _are_detectors, _options_are_of_one)

    detectors: tuple[
        Annotated[str, Field(json_schema_extra=names_in_schema(OPTIONS, "detector"))], ...
    ] = setting(
        ("spike",),
        "detectors, each once: of this package, or of an installed one that brings it",
        min_length=1,
        strict=False,
    )
    options: dict[Name, OutsideOptions] | None = setting(
        None,
        "of a detector that an installed package brings, by its name: min_joiners, alpha and "
        "what else it takes",
        json_schema_extra=BY_NAME,
    )
    brought: dict[Name, Text] | None = setting(
        None,
        "by which package, in which version, such a detector is brought; left out = the "
        "installed one. Another one is refused",
        json_schema_extra=BY_NAME,
    )
    permutations: Annotated[Count, Field(ge=0, le=1000)] | None = setting(
        None,
        "of a log that was read: permuted logs, in which nothing is to be found, that each "
        "detector sees beside it; left out = 2, 0 = none",
    )
