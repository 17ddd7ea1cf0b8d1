"""What a sweep has to do: where its points lie, the config of each and its key.

``random`` and ``sobol`` can be extended: with more points, the first ones stay. A Latin
hypercube cannot: its strata are as many as its points, so another number of points is
another design, and every point is computed anew.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from gateway.arrays import Float64
from gateway.check import Design, logs_of
from gateway.config import Config
from gateway.config.document import Document, Finding, Override, read_document, set_in_document
from gateway.config.swept import AxisSection, SweepSection, kind_of
from gateway.config.validation import check_document, config_error
from gateway.errors import GatewayError, Problem
from gateway.log import file_digest
from gateway.pipeline import pin_inputs
from gateway.results import SweepFolder, read_config_text, result_id


@dataclass(frozen=True)
class Point:
    """One run of a sweep."""

    key: str  # digest of resolved config, seed and model version: 16 hexadecimal digits
    index: int  # place in the design; all replicates share it
    replicate: int  # from 0
    settings: dict[str, Any]  # the swept keys and their values
    config: Config  # resolved, without ``[sweep]``


@dataclass(frozen=True)
class Plan:
    """A sweep before it runs."""

    config: Config  # the base, with its ``[sweep]``
    toml: str  # the same as it was given, to be read again
    sweep: SweepSection  # that section
    # In the order of the design. Two rows of a design that come to the same config (a whole
    # number drawn twice) are one point.
    points: tuple[Point, ...]

    @property
    def folder(self) -> Path:
        """Where the sweep goes unless told otherwise."""
        return Path("results") / self.config.experiment.name / "sweep"


def read_plan(path: str | Path, *, overrides: Sequence[str] = ()) -> Plan:
    """Read a config with a ``[sweep]`` and draw its points.

    Raises
    ------
    ConfigError
        With every problem of config, sweep and points at once.
    """
    text = read_config_text(Path(path))
    return parse_points(text, name=str(path), overrides=overrides)


def check_plan(config: Config, design: Design) -> Plan:
    """Return the plan of a check: a point for each log that a design makes of the config's.

    What ``[check]`` of the config says otherwise, such as ``users``, holds for every log.

    Raises
    ------
    GatewayError
        When the log cannot be read.
    """
    logs = logs_of(design, seed=config.experiment.seed)
    over = {
        "check.log": [log.log for log in logs],
        "check.where": [log.where for log in logs],
        "check.ratio": [log.ratio for log in logs],
        "experiment.seed": [log.seed for log in logs],
    }
    document = config.model_dump(exclude_none=True)
    document.setdefault("check", {})
    document["sweep"] = {"design": "zip", "over": over}
    return parse_points(tomli_w.dumps(document), name="[check]")


def stored_plan(folder: str | Path) -> Plan:
    """Return the plan of a sweep's folder.

    Raises
    ------
    ResultError
        When the folder is no sweep's.
    """
    stored = SweepFolder(Path(folder))
    return parse_points(stored.config_text(), name=str(stored.path / "sweep.toml"))


def parse_points(text: str, *, name: str = "config", overrides: Sequence[str] = ()) -> Plan:
    """Read a config with a ``[sweep]`` and check every point of it.

    Raises
    ------
    ConfigError
        With every problem at once: of the config, of its sweep, and of every point, each
        at the line that brought it.
    """
    document, findings = read_document(text, name=name, overrides=overrides)
    config, faults = check_document(Config, document)
    findings += faults
    sweep, points = _section(document), list[Point]()
    if sweep is not None:
        points, faults = _resolve(document, sweep)
        findings += faults
    elif "sweep" not in document.values:
        place = document.place(())
        rule = "is missing: it says what is swept"
        findings.append((place, Problem("[sweep]", rule, where=place.text)))
    if findings or config is None or sweep is None:
        raise config_error(findings)
    digest, pinned = cache(file_digest), dict[str, Point]()
    for point in points:
        whole = pin_inputs(point.config, digest=digest)
        key = result_id(whole)
        pinned.setdefault(key, replace(point, key=key, config=whole))
    # As it was given: a swept key may name the second table of an array, and a resolved config
    # has these in an order of its own.
    return Plan(config, _toml(document.values), sweep, tuple(pinned.values()))


def _section(document: Document) -> SweepSection | None:
    """Return the section where it keeps its own rules."""
    try:
        return SweepSection.model_validate(document.values.get("sweep"))
    except GatewayError:
        return None


def _resolve(document: Document, sweep: SweepSection) -> tuple[list[Point], list[Finding]]:
    """Return the points, without keys yet, and what is wrong with any of them."""
    whole = frozenset(name for name in sweep.over if kind_of(name) == "integer")
    base = {key: value for key, value in document.values.items() if key != "sweep"}
    plain = replace(document, values=base)
    found: list[Finding] = []
    points = []
    for index, settings in enumerate(draw_design(sweep, whole)):
        for replicate in range(sweep.replicates):
            config, findings = _point(plain, settings, replicate)
            found += findings
            if config is not None:
                values = {setting.key: setting.value for setting in settings}
                points.append(Point("", index, replicate, values, config))
    return points, found


def _point(
    document: Document, settings: Sequence[Setting], replicate: int
) -> tuple[Config | None, list[Finding]]:
    """Check one point: as if its settings stood in the file, at the lines of the sweep."""
    point, found = document, list[Finding]()
    for setting in settings:
        point, problems = _with(point, setting)
        found += problems
    if replicate:
        experiment = point.values.get("experiment")
        first = experiment.get("seed", 1) if isinstance(experiment, dict) else 1
        seed = first + replicate if isinstance(first, int) else first
        point, _ = _with(point, Setting("experiment.seed", seed))
    config, problems = check_document(Config, point)
    found += problems
    return (None if found else config), found


def _with(document: Document, setting: Setting) -> tuple[Document, list[Finding]]:
    axis = ("sweep", "over", setting.key)
    place = document.place(axis if setting.item is None else (*axis, setting.item))
    override = Override(tuple(setting.key.split(".")), setting.value, place.text)
    return set_in_document(document, override, place)


def _toml(written: Mapping[str, Any]) -> str:
    """Return settings as text, with the swept keys in their order.

    It says which one changes first, and which dimension of a drawn design is whose. TOML
    writes plain values before tables, so every axis becomes a table.
    """
    sweep = dict(written["sweep"])
    sweep["over"] = {
        key: {"values": axis} if isinstance(axis, list) else axis
        for key, axis in sweep["over"].items()
    }
    return tomli_w.dumps({**written, "sweep": sweep})


# Where the points lie ------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """A key and its value in one point."""

    key: str  # dotted
    value: Any  # as TOML gives it
    item: int | None = None  # which item of the axis' list it is, None for a value of a range


def draw_design(sweep: SweepSection, whole: frozenset[str]) -> list[tuple[Setting, ...]]:
    """Return the settings of every point, replicates left out.

    Parameters
    ----------
    whole
        Keys that take whole numbers.

    Returns
    -------
    list
        One row per point, in the order of the design: in a grid the last key changes
        first.
    """
    if sweep.design in {"grid", "zip"}:
        axes = [_listed(key, axis, key in whole) for key, axis in sweep.over.items()]
        rows = itertools.product(*axes) if sweep.design == "grid" else zip(*axes, strict=True)
        return list(rows)
    unit = _unit_points(sweep.design, sweep.points or 0, len(sweep.over), sweep.design_seed)
    return [_row(sweep.over, u, whole) for u in unit]


def _unit_points(design: str, n: int, d: int, seed: int) -> Float64:
    """Draw points in the unit cube, shape (n, d)."""
    rng = np.random.default_rng(seed)
    if design == "random":
        return rng.random((n, d))
    from scipy.stats import qmc  # noqa: PLC0415  (a second to load; other designs need none)

    if design == "latin_hypercube":
        return np.asarray(qmc.LatinHypercube(d, rng=rng).random(n))
    # A whole power of two keeps the balance that scipy warns about, and is cut afterwards.
    return np.asarray(qmc.Sobol(d, rng=rng).random_base2(max(n - 1, 0).bit_length())[:n])


def _listed(key: str, axis: AxisSection, is_whole: bool) -> Sequence[Setting]:
    """Return every value of an axis; a whole number that comes twice counts once."""
    if axis.values is not None:
        return [Setting(key, value, item) for item, value in enumerate(axis.values)]
    assert axis.low is not None  # noqa: S101  (the section's own rule)
    assert axis.high is not None  # noqa: S101
    space = np.geomspace if axis.scale == "log" else np.linspace
    values = space(axis.low, axis.high, axis.points or 2).tolist()
    if is_whole:
        values = list(dict.fromkeys(round(value) for value in values))
    return [Setting(key, value) for value in values]


def _row(over: Mapping[str, AxisSection], u: Float64, whole: frozenset[str]) -> tuple[Setting, ...]:
    return tuple(
        _drawn(key, axis, float(x), key in whole)
        for (key, axis), x in zip(over.items(), u, strict=True)
    )


def _drawn(key: str, axis: AxisSection, u: float, is_whole: bool) -> Setting:
    """Return the value at quantile ``u`` in [0, 1) of an axis."""
    if axis.values is not None:
        item = int(u * len(axis.values))
        return Setting(key, axis.values[item], item)
    assert axis.low is not None  # noqa: S101  (the section's own rule)
    assert axis.high is not None  # noqa: S101
    # Every whole number from low to high has its own share of the range.
    low, high = axis.low, axis.high + 1.0 if is_whole else axis.high
    value = low * math.exp(u * math.log(high / low)) if axis.scale == "log" else (
        low + u * (high - low)
    )  # fmt: skip
    return Setting(key, min(math.floor(value), int(axis.high)) if is_whole else value)
