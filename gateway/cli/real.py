"""From the options of ``gateway detect`` to a config."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import tomli_w

from gateway.config import Config, config_to_toml, parse_config
from gateway.errors import ConfigError, LogError, Problem
from gateway.log import parse_duration, read_names
from gateway.log.messages import shown
from gateway.results import open_result, stands

__all__ = ["BOTH", "change_alone", "config_for_log", "config_of_result"]

# What answers where no detector is named: one of association, one of change.
BOTH = ("spike", "self_controlled")
_NO_TARGET = "no target group: give --targets FILE or --target GROUP"


def config_for_log(
    path: Path,
    *,
    targets: Path | None,
    targets_column: str | None = None,
    targets_where: Sequence[str] = (),
    skip_unknown: bool = False,
    named: Sequence[str],
    detectors: Sequence[str] | None,
    columns: Mapping[str, str],
    optional: Mapping[str, str | None] | None = None,
    time_format: str | None = None,
    horizon: str | None,
    seed: int | None,
    settings: Sequence[str],
) -> Config:
    """Return the config that ``gateway run`` would need to do the same.

    Raises
    ------
    GatewayError
        When no target is given, or the log or an option cannot be used.
    """
    conditions = dict(_condition(text) for text in targets_where) or None
    if targets is None and (targets_column or conditions):
        raise LogError("--targets-column and --targets-where go with --targets FILE alone")
    listed = () if targets is None else read_names(
        targets, column=targets_column, where=conditions
    )  # fmt: skip
    wanted = [*listed, *named]
    if not wanted:
        raise LogError(_NO_TARGET)
    document: dict[str, dict[str, object]] = {
        "experiment": {"name": _slug(path)},
        "log": {"path": str(path), **columns},
        "targets": {"groups": sorted(set(wanted))},
    }
    document["log"] |= {key: name for key, name in (optional or {}).items() if name is not None}
    if time_format is not None:
        document["log"]["time_format"] = time_format
    if skip_unknown:
        document["targets"]["skip_unknown"] = True
    if seed is not None:
        document["experiment"]["seed"] = seed
    document["detect"] = {"detectors": list(detectors or BOTH)}
    if horizon is not None:
        document["score"] = {"horizon": _duration(horizon)}
    try:
        return parse_config(tomli_w.dumps(document), overrides=settings)
    except ConfigError as error:
        raise ConfigError([_without_line(problem) for problem in error.problems]) from None


def config_of_result(
    folder: Path, *, detectors: Sequence[str] | None, seed: int | None, settings: Sequence[str]
) -> Config:
    """Return the config of a stored result, with other detectors or another seed where asked.

    Raises
    ------
    GatewayError
        When the folder holds no result: a log needs target groups.
    """
    if not stands(folder):
        raise LogError(_NO_TARGET)
    document = tomllib.loads(config_to_toml(open_result(folder).config))
    if detectors:
        document["detect"] = {"detectors": list(detectors)}
    if seed is not None:
        document["experiment"]["seed"] = seed
    return parse_config(tomli_w.dumps(document), overrides=settings)


def change_alone(config: Config) -> Config | None:
    """Return the config with what needs no users to compare with; None unless both were to run."""
    if config.detect.detectors != BOTH:
        return None
    detect = config.detect.model_copy(update={"detectors": BOTH[1:]})
    return config.model_copy(update={"detect": detect})


def _without_line(problem: Problem) -> Problem:
    """Drop a line number of the config that the options were turned into: nobody sees it."""
    where = problem.where if problem.where and problem.where.startswith("--set") else None
    return replace(problem, where=where)


def _condition(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not (column and equals):
        raise LogError(f"--targets-where must look like category=Tech; got {shown(text)}")
    return column, value


def _duration(horizon: str) -> int | str:
    """Return a bare number as one; whether a unit fits is known when the log is read."""
    if horizon.strip().isdigit():
        return parse_duration(horizon, "integer")
    parse_duration(horizon, "second")
    return horizon.strip()


def _slug(path: Path) -> str:
    """Name of the experiment: the file's stem, as far as a folder can bear it."""
    stem = path.name.split(".")[0].lower()
    return re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-_")[:64] or "log"
