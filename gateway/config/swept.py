"""Many runs of one config: ``[sweep]``, and ``[check]``, which is swept over.

``[sweep]`` says which keys take which values, how often, and what is kept; ``[check]`` what is
done to the log before detectors see it.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from gateway.config.phrases import say_key, say_value
from gateway.config.rules import Breach, Given, rule
from gateway.config.shape import node_at, type_of
from gateway.config.types import (
    INT32_END,
    Count,
    Duration,
    Number,
    Positive,
    Section,
    Share,
    setting,
)
from gateway.config.validation import READING

# Designs that draw their points from a range, as many as sweep.points says.
SAMPLED = frozenset({"random", "latin_hypercube", "sobol"})
LARGEST = 1e300
MOST = 100_000


def _comparable(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse what is not equal to itself: the point could never be found again."""
    if any(_has_nan(value) for value in values):
        raise ValueError("not a number")
    return values


def _has_nan(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_nan, value.values()))
    if isinstance(value, list):
        return any(map(_has_nan, value))
    # A time of day has no place in a config, and TOML cannot write all that Python reads.
    return isinstance(value, dt.time) or (isinstance(value, float) and not math.isfinite(value))


class AxisSection(Section):
    """The values of one swept key: a list of them, or a range."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-rule": "a list of values, or { low, high, scale, points } for a range"
        }
    )

    @model_validator(mode="before")
    @classmethod
    def _as_table(cls, value: Any) -> Any:
        """Read a list as what it is short for."""
        return {"values": value} if isinstance(value, list) else value

    values: Annotated[tuple[Any, ...], AfterValidator(_comparable)] | None = setting(
        None,
        "the values; a list alone is short for it",
        min_length=1,
        strict=False,
        json_schema_extra={"x-rule": "a list of finite values, at least one"},
    )
    low: Number | None = setting(None, "least value of a range", ge=-LARGEST, le=LARGEST)
    high: Number | None = setting(None, "largest value of a range", ge=-LARGEST, le=LARGEST)
    scale: Literal["linear", "log"] = setting("linear", "spacing in a range")
    points: Count | None = setting(
        None, "values of a range, ends included; designs grid and zip only", ge=2, le=100_000
    )


Axes = Mapping[str, Any]


@rule("design")
def _points_fit_the_design(given: Given, design: str) -> Iterator[Breach]:
    if design in SAMPLED and not given.has("points"):
        yield given.breach(f"is missing: how many points a {design} has", "points")
    if design not in SAMPLED and given.value("points") is not None:
        text = f"cannot stand with design {design}, which has as many as its values"
        yield given.breach(text, "points", got=given.say("points"))


@rule("over", "replicates")
def _one_seed(given: Given, over: Axes, replicates: int) -> Iterator[Breach]:
    if "experiment.seed" in over and replicates > 1:
        text = f"cannot stand beside {given.name('replicates')}, which sets it"
        yield given.breach(text, ("over", "experiment.seed"))


@rule("design", "over")
def _axes_fit_the_design(given: Given, design: str, over: Axes) -> Iterator[Breach]:
    for name, axis in _axes(over).items():
        for text, got in _axis_faults(name, axis, design):
            yield given.breach(text, ("over", name), got=None if got is None else say_value(got))


@rule("design", "over", "replicates")
def _points_can_be_counted(
    given: Given, design: str, over: Axes, replicates: int
) -> Iterator[Breach]:
    lengths = {
        name: len(axis.values or ()) or axis.points or 0 for name, axis in _axes(over).items()
    }
    if design == "zip" and len(set(lengths.values())) > 1:
        said = ", ".join(f"{say_key((name,))}: {n}" for name, n in lengths.items())
        yield given.breach(f"must have lists of one length in a zip ({said})", "over")
    points = math.prod(max(n, 1) for n in lengths.values()) if design == "grid" else 1
    count = (given.value("points") or 1) * points * replicates
    if count > MOST:
        text = f"must have at most {MOST:_} points, replicates included"
        yield given.breach(text, (), got=say_value(count))


def _axes(over: Axes) -> dict[str, AxisSection]:
    return {name: AxisSection.model_validate(axis, context=READING) for name, axis in over.items()}


def _axis_faults(name: str, axis: AxisSection, design: str) -> Iterator[tuple[str, object]]:
    is_range = axis.low is not None or axis.high is not None
    if is_range == (axis.values is not None):
        yield "must be either a list of values or a range with low and high", None
        return
    if axis.values is not None:
        if axis.points is not None or axis.scale != "linear":
            yield "is a list: points and scale are for ranges", None
        twice = any(value in axis.values[:index] for index, value in enumerate(axis.values))
        if twice and design == "grid":
            yield "must not name a value twice in a grid", list(axis.values)
        return
    if axis.low is None or axis.high is None:
        yield "needs both low and high", None
        return
    if axis.low >= axis.high:
        yield "must have low below high", [axis.low, axis.high]
    if axis.scale == "log" and axis.low <= 0.0:
        yield "must have low above 0 on a log scale", axis.low
    if kind_of(name) not in {"integer", "number", None}:
        yield "is no number: give a list of values instead of a range", None
    if design in SAMPLED and axis.points is not None:
        yield f"cannot have points of its own in a {design}: see sweep.points", axis.points
    if design not in SAMPLED and axis.points is None:
        yield f"needs points, how many values a {design} takes of the range", None


def kind_of(name: str) -> str | None:
    """Return the type of a config's key, dotted; None of an unknown one."""
    from gateway.config.schema import Config  # noqa: PLC0415  (it has this section)

    node = node_at(Config, tuple(name.split(".")))
    return None if node is None else type_of(node) or "table"


class SweepSection(Section):
    """Many runs of one config: swept keys, crossed with seeds."""

    rules = (_points_fit_the_design, _one_seed, _axes_fit_the_design, _points_can_be_counted)

    design: Literal["grid", "zip", "random", "latin_hypercube", "sobol"] = setting(
        "grid",
        "grid: every combination; zip: first with first, second with second; "
        "the others draw sweep.points points from the ranges",
    )
    over: dict[
        Annotated[str, Field(pattern=r"^[^.\x00-\x1f\x7f]{1,64}(\.[^.\x00-\x1f\x7f]{1,64}){1,4}$")],
        AxisSection,
    ] = Field(
        description="from a key, dotted and in quotes, to its values",
        min_length=1,
        json_schema_extra={"x-key-rule": 'a dotted key in quotes, such as "world.users"'},
    )
    points: Count | None = setting(
        None, "points of a random, latin_hypercube or sobol design", ge=1, le=100_000
    )
    design_seed: Count = setting(
        0, "seed of a random, latin_hypercube or sobol design", ge=0, lt=2**32
    )
    replicates: Count = setting(
        1, "runs of each point, with seeds from experiment.seed upwards", ge=1, le=100_000
    )
    time_limit: Number | None = setting(
        None, "seconds after which a point has failed; left out = none", gt=0, le=1e7
    )
    keep: Literal["summary", "full"] = setting(
        "summary",
        "summary: evaluation, interventions, summary, status and provenance of each "
        "point; full: every table",
    )


CheckedLog = Literal[
    "labels_permuted", "permuted_within_users", "time_reversed", "placebo_targets", "planted"
]


class CheckSection(Section):
    """What is done to the log before detectors see it; this section switches it on.

    A sweep over its keys, and over ``experiment.seed``, is what ``gateway check`` runs: it
    says which log each point makes and, of a planted one, where and how strong; the other keys
    hold for all.
    """

    log: CheckedLog | None = setting(
        None,
        "which log; left out = that of gateway check. "
        "labels_permuted: the groups of all joins over all joins; "
        "permuted_within_users: those of each user among that user's joins; time_reversed: beside "
        "the log as it is; placebo_targets: other groups of like size are the targets; planted: "
        "further target joins after those of some groups",
    )
    users: Annotated[Count, Field(ge=2, lt=INT32_END)] | None = setting(
        None, "at most so many users, drawn at random; left out = all"
    )
    where: Literal["anywhere", "aligned", "large", "small"] = setting(
        "anywhere",
        "planted: any groups, or of the quarter whose members join targets most often, or that "
        "have most or fewest members",
    )
    permuted: bool = setting(
        False,
        "planted: into the log with each user's groups permuted among that user's joins, where "
        "no other group leads anywhere; false = into the log as it is",
    )
    gateways: Positive = setting(
        10, "planted: how many groups, or a third of the eligible ones if these are fewer"
    )
    min_joiners: Positive = setting(20, "planted: least members of such a group")
    ratio: Annotated[Number, Field(ge=1.0, le=1e6)] = setting(
        1.0, "planted: what a member's own rate of target joins is multiplied by"
    )
    sent: Share = setting(0.0, "planted: instead, chance of one target join after the group's")
    within: Duration | None = setting(
        None, 'sent: its mean delay, such as "30d"; left out = a tenth of the log'
    )
    mechanism: Literal["influence", "recommender", "inviter"] = setting(
        "influence",
        "planted: what the traces of the further joins say; recommender needs a log with "
        "seed_group, inviter one with inviter",
    )
