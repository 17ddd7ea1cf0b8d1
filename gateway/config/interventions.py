"""What a simulated platform may do about groups, and whose total effect is measured."""

from __future__ import annotations

import datetime as dt
import json
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from gateway.config.types import INT32_END, Count, Digest, Number, Section

__all__ = ["GroupRole", "InterventionSection", "TruthSection", "in_any_order"]

LAST_DAY = 36_500
_FIRST_DATE, _LAST_DATE = dt.date(1800, 1, 1), dt.date(2999, 12, 31)
_START_RULE = (
    f"a day of the simulation (a whole number from 0 to {LAST_DAY:_}) "
    "or a date from 1800-01-01 to 2999-12-31, without quotes"
)

GroupRole = Literal[
    "planted",
    "look_alikes",
    "influence",
    "recommender",
    "inviter",
    "homophily",
    "hub",
    "fellow_traveller",
    "target",
    "ordinary",
]


def _start(value: Any) -> int | dt.date:
    """Return a day as a whole number, or a date; one type would hide the other's mistakes."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= LAST_DAY:
        value = int(value)
    is_day = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LAST_DAY
    is_date = isinstance(value, dt.date) and not isinstance(value, dt.datetime)
    if is_day or (is_date and _FIRST_DATE <= value <= _LAST_DATE):
        return value  # type: ignore[no-any-return]
    raise PydanticCustomError("start", "neither a day nor a date")


Start = Annotated[
    Any,
    PlainValidator(_start),
    WithJsonSchema(
        {
            "oneOf": [
                {"type": "integer", "minimum": 0, "maximum": LAST_DAY},
                {"type": "string", "format": "date"},
            ],
            "x-rule": _START_RULE,
        }
    ),
]
ArmName = Annotated[
    str,
    Field(
        pattern=r"^[^\x00-\x1f\x7f]{1,60}$",
        json_schema_extra={"x-rule": "a name of 1 to 60 characters on one line"},
    ),
]
# No system has a NUL in a path; Python would fail on it with a traceback.
Folder = Annotated[
    str,
    Field(
        pattern=r"^[^\x00]+$", json_schema_extra={"x-rule": "the folder of an earlier run's result"}
    ),
]


class InterventionSection(Section):
    """One thing that the platform does from a day on, to one set of groups.

    The set is given in one of five ways: ``roles``, ``names``, ``from_result``,
    ``from_detector`` or ``oracle``.
    """

    kind: Literal["gysj_seed_filter", "invite_friction", "demotion", "invite_cap"] = Field(
        description="gysj_seed_filter: nothing is recommended from the groups; invite_friction: "
        "invitations to their members are dropped; demotion: feeds and recommendations pass "
        "them over; invite_cap: nobody invites more than so many at once"
    )
    arm: ArmName = Field(
        default="all interventions",
        description="interventions of the same arm act together, in one paired run",
    )
    start: Start = Field(description="day of the simulation, or date, from which it acts")
    share: Annotated[Number, Field(gt=0.0, le=1.0)] | None = Field(
        default=None,
        description="invite_friction: share of invitations dropped; demotion: share of "
        "impressions passed over",
    )
    most: Annotated[Count, Field(ge=0, lt=INT32_END)] | None = Field(
        default=None, description="invite_cap: most people invited at once"
    )
    roles: tuple[GroupRole, ...] | None = Field(
        default=None,
        min_length=1,
        strict=False,
        description="groups by planted role; planted: every gateway, look_alikes: all three kinds",
    )
    names: tuple[str, ...] | None = Field(
        default=None, min_length=1, strict=False, description="groups by name"
    )
    from_result: Folder | None = Field(
        default=None, description="groups that a detector of an earlier run found: its folder"
    )
    detector: str | None = Field(
        default=None, min_length=1, description="from_result: which of its detectors"
    )
    digest: Digest | None = Field(
        default=None,
        description="from_result: sha256 of its gateways.parquet; a rerun refuses another",
    )
    from_detector: str | None = Field(
        default=None,
        min_length=1,
        description="groups that a detector of this run found, which has seen the whole log",
    )
    oracle: Literal["direct_effect", "caused"] | None = Field(
        default=None,
        description="groups by the truth: direct_effect per join, or caused in all (times joins)",
    )
    top: Annotated[Count, Field(ge=1, lt=INT32_END)] | None = Field(
        default=None,
        description="only so many: by rank, by truth, or of roles the most joined; equals at the "
        "end all come in",
    )
    flagged: bool | None = Field(
        default=None, description="from_result, from_detector: the groups that it flagged"
    )


def in_any_order(
    interventions: tuple[InterventionSection, ...],
) -> tuple[InterventionSection, ...]:
    """Forget the order in the file: the same interventions must give the same result."""
    return tuple(sorted(interventions, key=_as_text))


def _as_text(section: InterventionSection) -> str:
    return json.dumps(section.model_dump(mode="json"), sort_keys=True)


class TruthSection(Section):
    """Groups whose total effect is measured, each by a simulation without the group."""

    total: Annotated[Count, Field(ge=0, le=100_000)] = Field(
        default=0, description="so many groups of total_roles, those with the most joins"
    )
    total_roles: tuple[GroupRole, ...] = Field(
        default=("planted",), min_length=1, strict=False, description="roles that total counts"
    )
    total_groups: tuple[str, ...] | None = Field(
        default=None, min_length=1, strict=False, description="names of further groups"
    )
