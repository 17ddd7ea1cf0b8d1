"""The config of a run: what can be set, in which unit, with which default.

Frozen, strict, and closed: an unknown key, a wrong type or a value out of range is an
error when the config is loaded, never later. The sections of a simulated platform stand
in ``gateway.config.platform``, the options of detectors in
``gateway.config.detectors``, kinds of values in ``gateway.config.types``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.config.check import CheckSection
from gateway.config.detectors import (
    CoefficientOptions,
    DetectSection,
    FrequentistOptions,
    HittingOptions,
    MarkovRemovalOptions,
    MatchingOptions,
    OrderOptions,
    SelfControlledOptions,
    SpikeOptions,
    SurvivalOptions,
)
from gateway.config.interventions import InterventionSection, TruthSection, in_any_order
from gateway.config.platform import (
    ModerationSection,
    RolesSection,
    SimulationSection,
    SourcesSection,
    WorldSection,
)
from gateway.config.swept import SweepSection
from gateway.config.types import (
    INT32_END,
    Count,
    Digest,
    Duration,
    Month,
    Name,
    Number,
    Section,
    Share,
)

__all__ = [
    "CheckSection",
    "Config",
    "Count",
    "DetectSection",
    "EvaluateSection",
    "ExperimentSection",
    "FiguresSection",
    "InterventionSection",
    "LogSection",
    "ModerationSection",
    "NoteSection",
    "RolesSection",
    "ScoreSection",
    "SimulationSection",
    "SourcesSection",
    "TargetsSection",
    "TruthSection",
    "WorldSection",
]


class ExperimentSection(Section):
    """Name and seed of the run."""

    name: Name = Field(description="folder of the results under results/")
    seed: Annotated[Count, Field(ge=0, lt=2**32)] = Field(
        default=1, description="seed of every random draw"
    )


class LogSection(Section):
    """A real join log instead of a simulated one."""

    # No system has a NUL in a path; Python would fail on it with a traceback.
    path: str = Field(
        min_length=1,
        pattern=r"^[^\x00]*$",
        description="CSV, gzip CSV or Parquet file",
        json_schema_extra={"x-rule": "the path of a file"},
    )
    user: str = Field(default="user", min_length=1, description="name of the user column")
    group: str = Field(default="group", min_length=1, description="name of the group column")
    time: str = Field(default="time", min_length=1, description="name of the time column")
    from_column: str | None = Field(
        default=None,
        min_length=1,
        description="name of a column with the first tick at which a user's joins would have "
        "been seen; left out = not known",
    )
    until_column: str | None = Field(
        default=None,
        min_length=1,
        description="name of a column with the last such tick; left out = the log's last",
    )
    time_format: Literal["auto", "yyyymmdd", "epoch_s", "epoch_ms"] | None = Field(
        default=None,
        description="what whole numbers are: dates such as 20240131, or seconds or milliseconds "
        "since 1970; left out = ticks of the log's own",
    )
    digest: Digest | None = Field(
        default=None, description="sha256 of the file; a rerun refuses another file"
    )

    @property
    def columns(self) -> dict[str, str]:
        """The names of the columns, as ``JoinLog.read`` takes them."""
        windows = {"observed_from": self.from_column, "observed_until": self.until_column}
        named = {role: name for role, name in windows.items() if name is not None}
        return {"user": self.user, "group": self.group, "time": self.time, **named}


class TargetsSection(Section):
    """Which groups are the targets: by rule, or by name."""

    country: str | None = Field(default=None, description="rule: country of the group")
    kind: str | None = Field(default=None, description="rule: kind of harm")
    month: Month | None = Field(default=None, description="rule: month of the strikes, YYYY-MM")
    min_strikes: Annotated[Count, Field(ge=1, lt=INT32_END)] | None = Field(
        default=None, description="rule: at least so many strikes of the kind in the month"
    )
    groups: tuple[str, ...] | None = Field(
        default=None, min_length=1, strict=False, description="names of the target groups"
    )
    file: str | None = Field(
        default=None,
        min_length=1,
        pattern=r"^[^\x00]*$",
        description="file with the names of the target groups, one a line, or a CSV file",
        json_schema_extra={"x-rule": "the path of a file"},
    )
    column: str | None = Field(
        default=None, min_length=1, description="file: it is a CSV file with the names here"
    )
    where: dict[str, str] | None = Field(
        default=None, description='file: rows of a CSV file that count: {category = "Tech"}'
    )
    skip_unknown: bool | None = Field(
        default=None,
        description="whether names that the log lacks are skipped; left out = they are an error",
    )


class ScoreSection(Section):
    """The classifier: P(join a target within the horizon | joins so far)."""

    scorer: Literal["logistic", "boosted", "markov"] = Field(
        default="logistic",
        description="logistic: all-prefix regression on the bag of groups; boosted: trees on "
        "running features; markov: the last group alone",
    )
    folds: Annotated[Count, Field(ge=2, le=50)] = Field(
        default=5, description="cross-fitting folds over users"
    )
    penalty: Annotated[Number, Field(gt=0.0, le=1e12)] | None = Field(
        default=None,
        description="logistic: L2 penalty lambda in lambda/2 |w|^2, intercept free; "
        "left out = chosen by the log-loss of held-out users",
    )
    horizon: Duration | None = Field(
        default=None,
        description='"180d", or ticks of the log; left out = until the log ends',
    )
    calibration: Literal["none", "platt", "isotonic"] = Field(
        default="platt", description="map from the cross-fitted score to a probability"
    )
    tolerance: Annotated[Number, Field(gt=0.0, lt=1.0)] = Field(
        default=1e-7, description="logistic: relative reduction of the loss at which it stops"
    )


class EvaluateSection(Section):
    """How detectors are measured against the truth."""

    bootstrap: Annotated[Count, Field(ge=0, le=100_000)] = Field(
        default=500, description="resamples of the groups for the intervals; 0 = no intervals"
    )


class FiguresSection(Section):
    """What the figures and the report show."""

    curves: Annotated[Count, Field(ge=1, le=12)] = Field(
        default=4, description="users whose probability curve is drawn"
    )
    top: Annotated[Count, Field(ge=1, le=200)] = Field(
        default=30, description="groups in the ranking figure and the report's table"
    )


class NoteSection(Section):
    """The note's analyses R1 to R10; this section switches them on."""

    workflow_day: Annotated[Count, Field(ge=2, lt=INT32_END)] = Field(
        description="day on which the workflow ran: detectors see the log before it alone"
    )
    top: Annotated[Count, Field(ge=1, le=100_000)] = Field(
        default=100, description="groups that count as the top gateways"
    )
    recent_days: Annotated[Count, Field(ge=1, le=36_500)] = Field(
        default=60, description="length of the recent window, the last days of the observation"
    )
    follow_days: Annotated[Count, Field(ge=1, le=36_500)] = Field(
        default=180, description="days after the first gateway join at which risks are compared"
    )
    equivalence_margin: Annotated[Number, Field(gt=0.0, lt=1.0)] = Field(
        default=0.01,
        description="difference of shares below which two arms count as equal: half of what the "
        "note reports for GYSJ",
    )
    precision: Share = Field(
        default=0.5, description="precision at which the recall of entity models is compared"
    )


class Config(Section):
    """One run. Exactly one of ``world`` and ``log`` says where the joins come from.

    With ``sweep`` it stands for many runs, and each of them has a config without it.
    """

    experiment: ExperimentSection
    world: WorldSection | None = None
    simulation: SimulationSection = SimulationSection()
    moderation: ModerationSection = ModerationSection()
    log: LogSection | None = None
    targets: TargetsSection
    score: ScoreSection = ScoreSection()
    detect: DetectSection = DetectSection()
    spike: SpikeOptions = SpikeOptions()
    frequentist: FrequentistOptions = FrequentistOptions()
    survival: SurvivalOptions = SurvivalOptions()
    coefficient: CoefficientOptions = CoefficientOptions()
    markov_removal: MarkovRemovalOptions = MarkovRemovalOptions()
    hitting: HittingOptions = HittingOptions()
    matching: MatchingOptions = MatchingOptions()
    order: OrderOptions = OrderOptions()
    self_controlled: SelfControlledOptions = SelfControlledOptions()
    evaluate: EvaluateSection = EvaluateSection()
    figures: FiguresSection = FiguresSection()
    truth: TruthSection = TruthSection()
    interventions: Annotated[tuple[InterventionSection, ...], AfterValidator(in_any_order)] = Field(
        default=(),
        strict=False,
        description="what other platforms do, each arm beside the factual one; order has no "
        "meaning",
    )
    note: NoteSection | None = None
    check: CheckSection | None = None
    sweep: SweepSection | None = None
