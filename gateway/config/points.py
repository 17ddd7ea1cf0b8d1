"""From a config with a ``[sweep]`` to the configs of its points, or all that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from gateway.config.document import Document, Finding, Place, read_document, set_in_document
from gateway.config.lines import Key
from gateway.config.load import check_document
from gateway.config.overrides import Override
from gateway.config.phrases import say_key, say_value
from gateway.config.schema import Config
from gateway.config.shape import node_at, type_of
from gateway.config.swept import SAMPLED, AxisSection, SweepSection
from gateway.errors import ConfigError, Problem

__all__ = ["Design", "Setting", "Variant", "Variants", "parse_points"]

MOST = 100_000


@dataclass(frozen=True)
class Setting:
    """A key and its value in one point.

    Parameters
    ----------
    key
        Dotted.
    value
        As TOML gives it.
    item
        Which item of the axis' list it is, None for a value of a range.
    """

    key: str
    value: Any
    item: int | None = None


# The section and its whole-number keys, to the settings of every point.
Design = Callable[[SweepSection, frozenset[str]], Sequence[Sequence[Setting]]]


@dataclass(frozen=True)
class Variant:
    """One point: what is set, for which replicate, and the config that comes of it."""

    index: int
    replicate: int
    settings: tuple[Setting, ...]
    config: Config


@dataclass(frozen=True)
class Variants:
    """A config with its ``[sweep]``, and the points in order.

    ``written`` holds the settings as they were given: a swept key may name the second table
    of an array, and a resolved config has these in an order of its own.
    """

    written: Mapping[str, Any]
    config: Config
    sweep: SweepSection
    points: tuple[Variant, ...]


def parse_points(
    text: str, *, design: Design, name: str = "config", overrides: Sequence[str] = ()
) -> Variants:
    """Read a config with a ``[sweep]`` and check every point of it.

    Parameters
    ----------
    text
        TOML.
    design
        Draws the points.
    name, overrides
        As in :func:`gateway.config.parse_config`.

    Raises
    ------
    ConfigError
        With every problem at once: of the config, of its sweep, and of every point, each
        at the line that brought it.
    """
    document, findings = read_document(text, name=name, overrides=overrides)
    config, faults = check_document(document)
    findings += faults
    sweep = _section(document)
    if sweep is None:
        findings += [] if "sweep" in document.values else [_no_sweep(document)]
        raise _refusal(findings)
    problems = list(_axis_findings(document, sweep))
    points: tuple[Variant, ...] = ()
    if not problems:
        points, problems = _resolve(document, sweep, design)
    findings += problems
    if findings or config is None:
        raise _refusal(findings)
    return Variants(document.values, config, sweep, points)


def _refusal(findings: Sequence[Finding]) -> ConfigError:
    """Each problem once, though it may hold for many points."""
    ordered = sorted(findings, key=lambda finding: finding[0])
    return ConfigError(list(dict.fromkeys(problem for _, problem in ordered)))


def _section(document: Document) -> SweepSection | None:
    try:
        return SweepSection.model_validate(document.values.get("sweep"))
    except ValidationError:
        return None


def _no_sweep(document: Document) -> Finding:
    place = document.place(())
    return place, Problem("[sweep]", "is missing: it says what is swept", where=place.text)


def _axis_findings(document: Document, sweep: SweepSection) -> Iterator[Finding]:
    def finding(key: Key, rule: str, got: object = None) -> Finding:
        place = document.place(key)
        said = None if got is None else say_value(got)
        return place, Problem(say_key(key), rule, said, place.text)

    sampled = sweep.design in SAMPLED
    if sampled and sweep.points is None:
        yield finding(("sweep", "points"), f"is missing: how many points a {sweep.design} has")
    if not sampled and sweep.points is not None:
        rule = f"cannot stand with design {sweep.design}, which has as many as its values"
        yield finding(("sweep", "points"), rule, sweep.points)
    if "experiment.seed" in sweep.over and sweep.replicates > 1:
        rule = "cannot stand beside sweep.replicates, which sets it"
        yield finding(("sweep", "over", "experiment.seed"), rule)
    for name, axis in sweep.over.items():
        for rule, got in _axis_problems(name, axis, sweep):
            yield finding(("sweep", "over", name), rule, got)
    yield from _count_findings(sweep, finding)


def _axis_problems(
    name: str, axis: AxisSection, sweep: SweepSection
) -> Iterator[tuple[str, object]]:
    is_range = axis.low is not None or axis.high is not None
    if is_range == (axis.values is not None):
        yield "must be either a list of values or a range with low and high", None
        return
    if axis.values is not None:
        if axis.points is not None or axis.scale != "linear":
            yield "is a list: points and scale are for ranges", None
        if _has_twice(axis.values) and sweep.design == "grid":
            yield "must not name a value twice in a grid", list(axis.values)
        return
    if axis.low is None or axis.high is None:
        yield "needs both low and high", None
        return
    if axis.low >= axis.high:
        yield "must have low below high", [axis.low, axis.high]
    if axis.scale == "log" and axis.low <= 0.0:
        yield "must have low above 0 on a log scale", axis.low
    node = node_at(tuple(name.split("."))) or {"type": "number"}
    if type_of(node) not in {"integer", "number"}:
        yield "is no number: give a list of values instead of a range", None
    if sweep.design in SAMPLED and axis.points is not None:
        yield f"cannot have points of its own in a {sweep.design}: see sweep.points", axis.points
    if sweep.design not in SAMPLED and axis.points is None:
        yield f"needs points, how many values a {sweep.design} takes of the range", None


def _has_twice(values: Sequence[Any]) -> bool:
    return any(value in values[:index] for index, value in enumerate(values))


def _count_findings(sweep: SweepSection, finding: Callable[..., Finding]) -> Iterator[Finding]:
    lengths = {
        name: len(axis.values) if axis.values is not None else axis.points or 0
        for name, axis in sweep.over.items()
    }
    if sweep.design == "zip" and len(set(lengths.values())) > 1:
        said = ", ".join(f"{say_key((name,))}: {n}" for name, n in lengths.items())
        yield finding(("sweep", "over"), f"must have lists of one length in a zip ({said})")
    count = sweep.points or 1
    if sweep.design == "grid":
        for length in lengths.values():
            count *= max(length, 1)
    if count * sweep.replicates > MOST:
        rule = f"must have at most {MOST:_} points, replicates included"
        yield finding(("sweep",), rule, count * sweep.replicates)


def _resolve(
    document: Document, sweep: SweepSection, design: Design
) -> tuple[tuple[Variant, ...], list[Finding]]:
    whole = frozenset(
        name for name in sweep.over if type_of(node_at(tuple(name.split("."))) or {}) == "integer"
    )
    base = {key: value for key, value in document.values.items() if key != "sweep"}
    plain = replace(document, values=base)
    found: list[Finding] = []
    points = []
    for index, row in enumerate(design(sweep, whole)):
        settings = tuple(row)
        for replicate in range(sweep.replicates):
            config, findings = _point(plain, settings, replicate)
            found += findings
            if config is not None:
                points.append(Variant(index, replicate, settings, config))
    return tuple(points), found


def _point(
    document: Document, settings: Sequence[Setting], replicate: int
) -> tuple[Config | None, list[Finding]]:
    """Check one point: as if its settings stood in the file, at the lines of the sweep."""
    point, found = document, list[Finding]()
    for setting in settings:
        point, problems = _with(point, setting)
        found += problems
    if replicate:
        point, _ = _with(point, _seed(point, replicate))
    config, problems = check_document(point)
    found += problems
    return (None if found else config), found


def _seed(document: Document, replicate: int) -> Setting:
    experiment = document.values.get("experiment")
    first = experiment.get("seed", 1) if isinstance(experiment, dict) else 1
    return Setting("experiment.seed", first + replicate if isinstance(first, int) else first)


def _with(document: Document, setting: Setting) -> tuple[Document, list[Finding]]:
    place = _place(document, setting)
    override = Override(tuple(setting.key.split(".")), setting.value, place.text)
    return set_in_document(document, override, place)


def _place(document: Document, setting: Setting) -> Place:
    axis: Key = ("sweep", "over", setting.key)
    return document.place(axis if setting.item is None else (*axis, setting.item))
