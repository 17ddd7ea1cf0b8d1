"""What a sweep has to do: its points, each with the key that it is stored under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import tomli_w

from gateway.check import Design, logs_of
from gateway.config import Config, SweepSection
from gateway.log import file_digest
from gateway.pipeline import pin_inputs
from gateway.results import SweepFolder, read_config_text, result_id
from gateway.sweep.design import Variants, parse_points


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
    return _plan(parse_points(text, name=str(path), overrides=overrides))


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
    return _plan(parse_points(tomli_w.dumps(document), name="[check]"))


def stored_plan(folder: str | Path) -> Plan:
    """Return the plan of a sweep's folder.

    Raises
    ------
    ResultError
        When the folder is no sweep's.
    """
    stored = SweepFolder(Path(folder))
    text = stored.config_text()
    name = str(stored.path / "sweep.toml")
    return _plan(parse_points(text, name=name))


def _plan(variants: Variants) -> Plan:
    digest = cache(file_digest)
    points: dict[str, Point] = {}
    for variant in variants.points:
        config = pin_inputs(variant.config, digest=digest)
        key = result_id(config)
        settings = {setting.key: setting.value for setting in variant.settings}
        points.setdefault(key, Point(key, variant.index, variant.replicate, settings, config))
    return Plan(variants.config, _toml(variants.written), variants.sweep, tuple(points.values()))


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
