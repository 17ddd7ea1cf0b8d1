"""What a simulated platform may do about groups, and whose total effect is measured."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from gateway.config.phrases import listing, say_key, say_value
from gateway.config.rules import Breach, Given, distinct, rule
from gateway.config.types import (
    DATES,
    SAY_DATES,
    Count,
    Digest,
    Folder,
    Natural,
    Number,
    Positive,
    Section,
    Text,
    Texts,
    setting,
    worded,
)
from gateway.errors import Problem

LAST_DAY = 36_500
_START_RULE = f"a day of the simulation (a whole number from 0 to {LAST_DAY:_}) or {SAY_DATES}"
_GATEWAYS = ("influence", "recommender", "inviter")
_LOOK_ALIKES = ("homophily", "hub", "fellow_traveller")
_ONLY_SIMULATED = "cannot be used with [log]: only a simulated platform can be lived through again"

GroupRole = Literal[
    "planted", "look_alikes", "influence", "recommender", "inviter", "homophily", "hub",
    "fellow_traveller", "target", "ordinary",
]  # fmt: skip


def _start(value: Any) -> int | dt.date:
    """Return a day as a whole number, or a date; one type would hide the other's mistakes."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= LAST_DAY:
        value = int(value)
    is_day = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LAST_DAY
    is_date = isinstance(value, dt.date) and not isinstance(value, dt.datetime)
    if is_day or (is_date and DATES[0] <= value <= DATES[1]):
        return value  # type: ignore[no-any-return]
    raise PydanticCustomError("start", "neither a day nor a date")


_DAY = {"type": "integer", "minimum": 0, "maximum": LAST_DAY}
_START_SCHEMA = {"oneOf": [_DAY, {"type": "string", "format": "date"}], "x-rule": _START_RULE}
Start = Annotated[Any, PlainValidator(_start), WithJsonSchema(_START_SCHEMA)]
ArmName = Annotated[
    str, worded(r"^[^\x00-\x1f\x7f]{1,60}$", "a name of 1 to 60 characters on one line")
]
Roles = Annotated[tuple[GroupRole, ...], Field(min_length=1, strict=False)]


class _Acting(Section):
    """One thing that the platform does from a day on."""

    kind: str = Field(description="what it does")
    arm: ArmName = setting(
        "all interventions", "interventions of the same arm act together, in one paired run"
    )
    start: Start = Field(description="day of the simulation, or date, from which it acts")


# Ways to give a set of groups; what must be said beside some of them, one of these; and what
# else may be.
_SETS = ("roles", "names", "from_result", "from_detector", "verdict", "oracle")
_ONE_OF = {"from_result": ("top", "flagged"), "from_detector": ("top", "flagged"),
           "oracle": ("top",)}  # fmt: skip
_ALSO = {"from_result": ("detector", "digest"), "roles": ("top",)}
_DETAILS = ("detector", "digest", "top", "flagged")


@rule("kind")
def _one_set_of_groups(given: Given, _: str) -> Iterator[Breach]:
    written = [name for name in _SETS if given.writes(name)]
    if len(written) > 1:
        text = "cannot stand together: a set of groups is given in one way"
        yield given.breach(text, *written)
    elif not any(given.has(name) for name in _SETS):
        what = say_key(given.path) or "the intervention"
        text = f"names no groups: it needs one of {listing(_SETS)}"
        yield Breach(Problem(what, text), (given.path,))


@rule()
def _details_fit_the_set(given: Given) -> Iterator[Breach]:
    written = [name for name in _SETS if given.writes(name)]
    if len(written) != 1:
        return
    (chosen,) = written
    one_of = _ONE_OF.get(chosen, ())
    told = [name for name in one_of if given.writes(name)]
    for name in _DETAILS:
        if given.writes(name) and name not in (*one_of, *_ALSO.get(chosen, ())):
            yield given.breach(f"has no meaning beside {chosen}", name)
    if len(told) > 1:
        yield given.breach("cannot stand together: give one of them", *told)
    if one_of and not any(given.has(name) for name in one_of):
        text = f"must say which groups: it needs {listing(one_of)} beside it"
        yield given.breach(text, chosen)
    if chosen == "from_result" and not given.has("detector"):
        yield given.breach("must say whose findings: it needs detector beside it", chosen)


@rule("flagged")
def _flagged_means_something(given: Given, flagged: bool) -> Iterator[Breach]:
    if not flagged:
        yield given.refuse("flagged", "must be true, or left out")


class OnGroupsSection(_Acting):
    """What is done to one set of groups.

    The set is given in one of six ways: ``roles``, ``names``, ``from_result``,
    ``from_detector``, ``verdict`` or ``oracle``.
    """

    rules = (_one_set_of_groups, _details_fit_the_set, _flagged_means_something,
             distinct("roles"), distinct("names"))  # fmt: skip

    roles: Roles | None = setting(
        None, "groups by planted role; planted: every gateway, look_alikes: all three kinds"
    )
    names: Texts | None = setting(None, "groups by name")
    from_result: Folder | None = setting(
        None, "groups that a detector of an earlier run found: its folder"
    )
    detector: Text | None = setting(None, "from_result: which of its detectors")
    digest: Digest | None = setting(
        None, "from_result: sha256 of its gateways.parquet; a rerun refuses another"
    )
    from_detector: Text | None = setting(
        None, "groups that a detector of this run found, which has seen the whole log"
    )
    verdict: Literal["changes", "recommends", "invites"] | None = setting(
        None, "groups that this run's verdict says change people, or lead them in that way"
    )
    oracle: Literal["direct_effect", "caused"] | None = setting(
        None, "groups by the truth: direct_effect per join, or caused in all (times joins)"
    )
    top: Positive | None = setting(
        None,
        "only so many: by rank, by truth, or of roles the most joined; equals at the end all "
        "come in",
    )
    flagged: bool | None = setting(None, "from_result, from_detector: the groups that it flagged")


class GysjSeedFilterSection(OnGroupsSection):
    """Nothing is recommended from the groups."""

    kind: Literal["gysj_seed_filter"] = Field(description="what it does")


class InviteFrictionSection(OnGroupsSection):
    """Invitations to members of the groups are dropped."""

    kind: Literal["invite_friction"] = Field(description="what it does")
    share: Number = Field(description="share of invitations dropped", gt=0, le=1)
    senders: Literal["all", "super_inviters"] = setting(
        "all", "of whose invitations; super_inviters: the top 1 % of users by invitations sent"
    )


class DemotionSection(OnGroupsSection):
    """Feeds and recommendations pass the groups over."""

    kind: Literal["demotion"] = Field(description="what it does")
    share: Number = Field(description="share of impressions passed over", gt=0, le=1)


class InviteCapSection(_Acting):
    """Nobody invites more than so many people at once."""

    model_config = ConfigDict(json_schema_extra={"x-reach": "acts on everybody"})

    kind: Literal["invite_cap"] = Field(description="what it does")
    most: Natural = Field(description="most people invited at once")


InterventionSection = (
    GysjSeedFilterSection | InviteFrictionSection | DemotionSection | InviteCapSection
)
_Kind = Literal["gysj_seed_filter", "invite_friction", "demotion", "invite_cap"]


class _OfNoKind(OnGroupsSection):
    """A table whose kind is not known: what else is wrong with it is told all the same."""

    kind: _Kind = Field(description="what it does")
    share: Number | None = setting(None, "see demotion", gt=0, le=1)
    senders: Literal["all", "super_inviters"] | None = setting(None, "see invite_friction")
    most: Natural | None = setting(None, "see invite_cap")


def _of_a_kind(value: Any, made: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    kind = value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", None)
    if kind in get_args(_Kind):
        return made(value)
    return _OfNoKind.model_validate(value, context=info.context)


def _in_any_order(
    interventions: tuple[InterventionSection, ...],
) -> tuple[InterventionSection, ...]:
    """Forget the order in the file: the same interventions must give the same result."""
    return tuple(sorted(interventions, key=_as_text))


def _as_text(section: InterventionSection) -> str:
    every_key = dict.fromkeys(_OfNoKind.model_fields)
    return json.dumps(every_key | section.model_dump(mode="json"), sort_keys=True)


Interventions = Annotated[
    tuple[
        Annotated[InterventionSection, Field(discriminator="kind"), WrapValidator(_of_a_kind)], ...
    ],
    Field(strict=False),
    AfterValidator(_in_any_order),
]


class TruthSection(Section):
    """Groups whose total effect is measured, each by a simulation without the group."""

    rules = (distinct("total_roles"), distinct("total_groups"))

    total: Count = setting(
        0, "so many groups of total_roles, those with the most joins", ge=0, le=100_000
    )
    total_roles: Roles = setting(("planted",), "roles that total counts")
    total_groups: Texts | None = setting(None, "names of further groups")


# Rules between them and the rest of a config -------------------------------------------------


def _items(given: Given) -> Iterator[Given]:
    """Yield the settings of each intervention."""
    tables = given.values.get("interventions")
    for index, table in enumerate(tables if isinstance(tables, list | tuple) else ()):
        if isinstance(table, Mapping):
            yield Given(_OfNoKind, table, given.at(("interventions", index)), given.unsure)


@rule()
def _need_a_world(given: Given) -> Iterator[Breach]:
    if not given.has("log") or given.has("world"):
        return
    tables = given.values.get("interventions")
    if isinstance(tables, list | tuple) and tables:
        yield Breach(Problem("[[interventions]]", _ONLY_SIMULATED), (("interventions",),))
    wanted = [key for key in ("truth.total", "truth.total_groups") if given.value(key)]
    if wanted:
        yield given.breach(_ONLY_SIMULATED, *wanted)


@rule("detect.detectors")
def _detector_runs(given: Given, running: Sequence[str]) -> Iterator[Breach]:
    for item in _items(given):
        name = item.value("from_detector")
        if name is not None and name not in running:
            text, hint = given.one_of("detect.detectors", name, list(running))
            yield item.breach(text, "from_detector", got=say_value(name), hint=hint)


@rule("detect.detectors")
def _verdict_is_given(given: Given, running: Sequence[str]) -> Iterator[Breach]:
    if "edges" in running:
        return
    for item in _items(given):
        if item.value("verdict") is not None:
            text = f"needs edges among {given.name('detect.detectors')}: else there is no verdict"
            yield item.breach(text, "verdict")


_SPAN = ("world.start", "world.days")


@rule(*_SPAN)
def _starts_in_time(given: Given, first: dt.date, days: int) -> Iterator[Breach]:
    for item in _items(given):
        start = item.value("start")
        day = (start - first).days if isinstance(start, dt.date) else start
        if day is not None and not 0 <= day < days:
            span = f"{given.mention('world.start')} and {given.mention('world.days')}"
            told = item.refuse("start", f"must be within the simulated time: {span}")
            yield told._replace(keys=(item.at("start"), *map(given.at, _SPAN)))


@rule()
def _roles_are_planted(given: Given) -> Iterator[Breach]:
    """Refuse a role of which the world holds no group."""
    wanted = [(item, "roles") for item in _items(given)]
    if given.value("truth.total"):
        wanted.append((given, "truth.total_roles"))
    for item, key in wanted:
        for role in dict.fromkeys(item.value(key) or ()):
            members = {"planted": _GATEWAYS, "look_alikes": _LOOK_ALIKES}.get(role, (role,))
            counts = [f"world.roles.{'targets' if name == 'target' else name}" for name in members]
            found = [given.value(count) for count in counts if role != "ordinary"]
            if found and None not in found and not any(found):
                verb = "is" if len(counts) == 1 else "are all"
                text = f"must be in the world: {given.name(*counts)} {verb} 0"
                told = item.breach(text, key, got=say_value(role))
                yield told._replace(keys=(*told.keys, *map(given.at, counts)))


INTERVENTION_RULES = (
    _need_a_world, _detector_runs, _verdict_is_given, _starts_in_time, _roles_are_planted,
)  # fmt: skip
"""Rules of a whole config about them."""
