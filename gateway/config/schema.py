"""The config of a run: what can be set, in which unit, with which default.

Frozen, strict, and closed: an unknown key, a wrong type or a value out of range is an
error when the config is loaded, never later. The sections of a simulated platform stand
in ``gateway.config.platform``, what acts on it in ``gateway.config.interventions``, the
options of detectors in ``gateway.config.detectors``, kinds of values in
``gateway.config.types``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, create_model

from gateway.config.detectors import (
    OPTIONS,
    DetectSection,
    OutsideOptions,
    known_to,
    names_in_schema,
)
from gateway.config.interventions import INTERVENTION_RULES, Interventions, TruthSection
from gateway.config.platform import ModerationSection, SimulationSection, WorldSection
from gateway.config.rules import Breach, Given, among, below, distinct, rule
from gateway.config.swept import CheckSection, SweepSection
from gateway.config.types import (
    INT32_END,
    Count,
    Digest,
    Duration,
    FilePath,
    Month,
    Name,
    Penalty,
    Positive,
    Proportion,
    Section,
    Share,
    Text,
    Texts,
    days_in,
    setting,
)
from gateway.errors import Problem


class ExperimentSection(Section):
    """Name and seed of the run."""

    name: Name = Field(description="folder of the results under results/")
    seed: Count = setting(1, "seed of every random draw", ge=0, lt=2**32)


@rule("user", "group", "time")
def _columns_differ(given: Given, *columns: str) -> Iterator[Breach]:
    if len(set(columns)) < len(columns):
        keys = ("user", "group", "time")
        got = ", ".join(given.say(key) for key in keys)
        yield given.breach("must name three different columns", *keys, got=got)


class LogSection(Section):
    """A real join log instead of a simulated one."""

    rules = (_columns_differ,)

    path: FilePath = Field(description="CSV, gzip CSV or Parquet file")
    user: Text = setting("user", "name of the user column")
    group: Text = setting("group", "name of the group column")
    time: Text = setting("time", "name of the time column")
    from_column: str | None = setting(
        None,
        "name of a column with the first tick at which a user's joins would have been seen; "
        "left out = the column observed_from, where there is one; empty = not known",
    )
    until_column: str | None = setting(
        None,
        "name of a column with the last such tick; left out = the column observed_until, "
        "where there is one; empty = the log's last",
    )
    source_column: str | None = setting(
        None,
        "name of a column with the sources of the joins; left out = the column source, where "
        "there is one; empty = none",
    )
    confirmed_column: str | None = setting(
        None, "the same for whether a request was confirmed: confirmed"
    )
    inviter_column: str | None = setting(None, "the same for the users who invited: inviter")
    seed_column: str | None = setting(
        None, "the same for the groups that seeded a recommendation: seed_group"
    )
    left_column: str | None = setting(None, "the same for the times at which members left: left")
    time_format: Literal["auto", "yyyymmdd", "epoch_s", "epoch_ms"] | None = setting(
        None,
        "what whole numbers are: dates such as 20240131, or seconds or milliseconds "
        "since 1970; left out = ticks of the log's own",
    )
    digest: Digest | None = setting(None, "sha256 of the file; a rerun refuses another file")

    @property
    def columns(self) -> dict[str, str]:
        """The names of the columns, as ``JoinLog.read`` takes them."""
        optional = {
            "observed_from": self.from_column, "observed_until": self.until_column,
            "source": self.source_column, "confirmed": self.confirmed_column,
            "inviter": self.inviter_column, "seed_group": self.seed_column,
            "left": self.left_column,
        }  # fmt: skip
        named = {role: name for role, name in optional.items() if name is not None}
        return {"user": self.user, "group": self.group, "time": self.time, **named}


_BY_RULE = ("country", "kind", "month", "min_strikes")
_WHOLE_RULE = "country, kind, month and min_strikes"


@rule()
def _by_name_or_by_rule(given: Given) -> Iterator[Breach]:
    by_rule = [key for key in _BY_RULE if given.writes(key)]
    missing = [key for key in _BY_RULE if not given.has(key)]
    named = [key for key in ("groups", "file") if given.has(key)]
    if len(named) > 1:
        text = f"cannot stand beside {given.name('groups')}"
        yield Breach(Problem(given.name("file"), text), tuple(map(given.at, named)))
    for key in ("column", "where"):
        if "file" not in named and given.writes(key):
            yield given.breach(f"goes with {given.name('file')} alone", key)
    for key in (key for key in named if by_rule and given.writes(key)):
        text = f"cannot stand beside {given.name(*by_rule)}: give names or a rule"
        yield given.breach(text, key)
    if named or not missing:
        return
    if by_rule:
        verb = "is" if len(missing) == 1 else "are"
        text = f"{verb} missing: a rule for the targets needs {_WHOLE_RULE}"
        yield Breach(Problem(given.name(*missing), text), (given.path,))
    elif len(missing) == len(_BY_RULE):
        text = f"needs groups or file, the names of the targets, or a whole rule: {_WHOLE_RULE}"
        yield Breach(Problem("[targets]", text), (given.path,))


class TargetsSection(Section):
    """Which groups are the targets: by rule, or by name."""

    rules = (_by_name_or_by_rule, distinct("groups"))

    country: str | None = setting(None, "rule: country of the group")
    kind: str | None = setting(None, "rule: kind of harm")
    month: Month | None = setting(None, "rule: month of the strikes, YYYY-MM")
    min_strikes: Positive | None = setting(
        None, "rule: at least so many strikes of the kind in the month"
    )
    groups: Texts | None = setting(None, "names of the target groups")
    file: FilePath | None = setting(
        None, "file with the names of the target groups, one a line, or a CSV file"
    )
    column: Text | None = setting(None, "file: it is a CSV file with the names here")
    where: dict[str, str] | None = setting(
        None, 'file: rows of a CSV file that count: {category = "Tech"}'
    )
    skip_unknown: bool | None = setting(
        None, "whether names that the log lacks are skipped; left out = they are an error"
    )


SCORERS = ("logistic", "boosted", "markov")


@rule("scorer")
def _is_a_scorer(given: Given, name: str) -> Iterator[Breach]:
    if name not in SCORERS and not given.writes("brought"):
        yield from known_to(given, "scorer", name, SCORERS, "scorer")


class ScoreSection(Section):
    """The classifier: P(join a target within the horizon | joins so far)."""

    rules = (_is_a_scorer,)

    scorer: Annotated[str, Field(json_schema_extra=names_in_schema(SCORERS, "scorer"))] = setting(
        "logistic",
        "logistic: all-prefix regression on the bag of groups; boosted: trees on "
        "running features; markov: the last group alone; or one that an installed package brings",
    )
    brought: Text | None = setting(
        None,
        "by which package, in which version, such a scorer is brought; left out = the installed "
        "one. Another one is refused",
    )
    folds: Count = setting(5, "cross-fitting folds over users", ge=2, le=50)
    penalty: Penalty | None = setting(
        None,
        "logistic: L2 penalty lambda in lambda/2 |w|^2, intercept free; "
        "left out = chosen by the log-loss of held-out users",
    )
    covariates: bool = setting(
        True,
        "logistic: number of joins so far, tenure, gap and calendar beside the groups, whose "
        "weights fade with later joins; false = the note's plain bag of groups",
    )
    horizon: Duration | None = setting(
        None, '"180d", or ticks of the log; left out = until the log ends'
    )
    calibration: Literal["none", "platt", "isotonic"] = setting(
        "platt", "map from the cross-fitted score to a probability"
    )
    tolerance: Proportion = setting(
        1e-7, "logistic: relative reduction of the loss at which it stops"
    )


class EvaluateSection(Section):
    """How detectors are measured against the truth."""

    bootstrap: Count = setting(
        500, "resamples of the groups for the intervals; 0 = no intervals", ge=0, le=100_000
    )


class FiguresSection(Section):
    """What the figures and the report show."""

    curves: Count = setting(4, "users whose probability curve is drawn", ge=1, le=12)
    top: Count = setting(30, "groups in the ranking figure and the report's table", ge=1, le=200)


class NoteSection(Section):
    """The note's analyses R1 to R10; this section switches them on."""

    workflow_day: Count = Field(
        description="day on which the workflow ran: detectors see the log before it alone",
        ge=2,
        lt=INT32_END,
    )
    top: Count = setting(100, "groups that count as the top gateways", ge=1, le=100_000)
    follow_days: Count = setting(
        180, "days after the first gateway join at which risks are compared", ge=1, le=36_500
    )
    equivalence_margin: Proportion = setting(
        0.1,
        "how far the ratio of two arms may be from one to count as equal: half of what the "
        "note reports for GYSJ",
    )
    precision: Share = setting(0.5, "precision at which the recall of entity models is compared")


# Rules between sections ----------------------------------------------------------------------


@rule()
def _one_origin(given: Given) -> Iterator[Breach]:
    if given.writes("world") and given.writes("log"):
        text = "cannot stand together: joins are either simulated or read from a file"
        yield Breach(Problem("[world] and [log]", text), (("log",), ("world",)))
    if not given.has("world") and not given.has("log"):
        text = "is missing: joins are either simulated ([world]) or read from a file ([log])"
        yield Breach(Problem("[world] or [log]", text))


@rule()
def _rules_need_a_world(given: Given) -> Iterator[Breach]:
    by_rule = [f"targets.{key}" for key in _BY_RULE if given.writes(f"targets.{key}")]
    if by_rule and given.has("log") and not given.has("world"):
        text = "cannot be used with [log], which knows no strikes: a rule needs [world]"
        yield given.breach(text, *by_rule, hint="name the targets in targets.groups")
    if given.writes("note") and given.writes("log"):
        text = "needs [world]: a real log knows no requests, invitations, arms and labels"
        yield Breach(Problem("[note]", text), (("note",),))


@rule("targets.month", "world.start", "world.days")
def _month_is_simulated(given: Given, month: str, start: dt.date, days: int) -> Iterator[Breach]:
    end = start + dt.timedelta(days=int(days))
    first = _month_number(start) + (start.day > 1)
    last = _month_number(end) - 1
    year, within = month.split("-")
    if not first <= int(year) * 12 + int(within) - 1 <= last:
        held = f"{_month(first)} to {_month(last)}" if first <= last else "no whole month"
        span = f"{given.mention('world.start')} and {given.mention('world.days')}"
        text = f"must be a whole month of the simulated time: {span} hold {held}"
        yield given.refuse("targets.month", text)


def _month_number(day: dt.date) -> int:
    return day.year * 12 + day.month - 1


def _month(number: int) -> str:
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


@rule("note.workflow_day", "targets.month", "world.start")
def _workflow_follows_the_strikes(
    given: Given, day: int, month: str, start: dt.date
) -> Iterator[Breach]:
    """The target set must be known when the workflow runs: no score sees the future."""
    year, within = (int(part) for part in month.split("-"))
    earliest = (dt.date(year + within // 12, within % 12 + 1, 1) - start).days
    if day < earliest:
        text = (
            f"must not be before the end of {given.mention('targets.month')}, whose strikes "
            f"choose the targets: day {earliest}"
        )
        yield given.refuse("note.workflow_day", text)


@rule("score.horizon", "world.days")
def _horizon_within_the_world(given: Given, horizon: int | str, days: int) -> Iterator[Breach]:
    length = days_in(horizon)
    if length is None:
        text = "must be in days (d) or weeks (w): a world counts in days"
        yield given.refuse("score.horizon", text)
    elif length >= days:
        yield given.refuse("score.horizon", f"must be less than {given.mention('world.days')}")


class _Before(Section):
    """The sections before those of the detectors."""

    experiment: ExperimentSection
    world: WorldSection | None = None
    simulation: SimulationSection = SimulationSection()
    moderation: ModerationSection = ModerationSection()
    log: LogSection | None = None
    targets: TargetsSection
    score: ScoreSection = ScoreSection()
    detect: DetectSection = DetectSection()


if TYPE_CHECKING:

    class _WithDetectors(_Before):
        def __getattr__(self, name: str) -> Any: ...

else:
    _WithDetectors = create_model(
        "_WithDetectors",
        __base__=_Before,
        **{name: (options, options()) for name, options in OPTIONS.items()},
    )


class Config(_WithDetectors):
    """One run. Exactly one of ``world`` and ``log`` says where the joins come from.

    Every detector has a section of its name, with its options. With ``sweep`` a config
    stands for many runs, and each of them has a config without it.
    """

    rules = (
        _one_origin,
        _rules_need_a_world,
        among("targets.kind", "world.kinds"),
        among("targets.country", "world.countries"),
        _month_is_simulated,
        *INTERVENTION_RULES,
        _workflow_follows_the_strikes,
        below("note.workflow_day", "world.days"),
        _horizon_within_the_world,
    )

    def options_of(self, detector: str) -> Any:
        """Return the options of a detector: its section's, or those of one brought to it."""
        if detector in OPTIONS:
            return getattr(self, detector)
        return (self.detect.options or {}).get(detector, OutsideOptions())

    def __repr__(self) -> str:
        what = f"log {self.log.path}" if self.log else "a world"
        if self.world:
            what = f"{self.world.users:,} users and {self.world.groups:,} groups"
        return f"<Config {self.experiment.name!r}: {what}>"

    evaluate: EvaluateSection = EvaluateSection()
    figures: FiguresSection = FiguresSection()
    truth: TruthSection = TruthSection()
    interventions: Interventions = setting(
        (), "what other platforms do, each arm beside the factual one; order has no meaning"
    )
    note: NoteSection | None = None
    check: CheckSection | None = None
    sweep: SweepSection | None = None
