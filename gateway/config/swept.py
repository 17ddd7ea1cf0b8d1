"""The ``[sweep]`` section: which keys take which values, how often, and what is kept."""

from __future__ import annotations

import datetime as dt
import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from gateway.config.types import Count, Number, Section

__all__ = ["SAMPLED", "AxisSection", "SweepSection"]

# Designs that draw their points from a range, as many as sweep.points says.
SAMPLED = frozenset({"random", "latin_hypercube", "sobol"})
LARGEST = 1e300


def _as_table(value: Any) -> Any:
    """Read a list as what it is short for."""
    return {"values": value} if isinstance(value, list) else value


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
    values: Annotated[tuple[Any, ...], AfterValidator(_comparable)] | None = Field(
        default=None,
        min_length=1,
        strict=False,
        description="the values; a list alone is short for it",
        json_schema_extra={"x-rule": "a list of finite values, at least one"},
    )
    low: Annotated[Number, Field(ge=-LARGEST, le=LARGEST)] | None = Field(
        default=None, description="least value of a range"
    )
    high: Annotated[Number, Field(ge=-LARGEST, le=LARGEST)] | None = Field(
        default=None, description="largest value of a range"
    )
    scale: Literal["linear", "log"] = Field(default="linear", description="spacing in a range")
    points: Annotated[Count, Field(ge=2, le=100_000)] | None = Field(
        default=None, description="values of a range, ends included; designs grid and zip only"
    )


class SweepSection(Section):
    """Many runs of one config: swept keys, crossed with seeds."""

    design: Literal["grid", "zip", "random", "latin_hypercube", "sobol"] = Field(
        default="grid",
        description="grid: every combination; zip: first with first, second with second; "
        "the others draw sweep.points points from the ranges",
    )
    over: dict[
        Annotated[str, Field(pattern=r"^[^.\x00-\x1f\x7f]{1,64}(\.[^.\x00-\x1f\x7f]{1,64}){1,4}$")],
        Annotated[AxisSection, BeforeValidator(_as_table)],
    ] = Field(
        min_length=1,
        description="from a key, dotted and in quotes, to its values",
        json_schema_extra={"x-key-rule": 'a dotted key in quotes, such as "world.users"'},
    )
    points: Annotated[Count, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="points of a random, latin_hypercube or sobol design"
    )
    design_seed: Annotated[Count, Field(ge=0, lt=2**32)] = Field(
        default=0, description="seed of a random, latin_hypercube or sobol design"
    )
    replicates: Annotated[Count, Field(ge=1, le=100_000)] = Field(
        default=1, description="runs of each point, with seeds from experiment.seed upwards"
    )
    time_limit: Annotated[Number, Field(gt=0.0, le=1e7)] | None = Field(
        default=None, description="seconds after which a point has failed; left out = none"
    )
    keep: Literal["summary", "full"] = Field(
        default="summary",
        description="summary: evaluation, interventions, summary, status and provenance of each "
        "point; full: every table",
    )
