"""From the options of ``gateway detect`` to a config."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import tomli_w

from gateway.config import Config, parse_config
from gateway.errors import ConfigError, LogError, Problem
from gateway.joins import JoinLog
from gateway.joins_io import file_digest, parse_duration, read_names
from gateway.joins_io.partitioned import read_manifest

__all__ = ["BOTH", "config_for_log"]

# What answers where no detector is named: one of association, one of change.
BOTH = ("spike", "self_controlled")


def config_for_log(
    path: Path,
    *,
    targets: Path | None,
    named: Sequence[str],
    detectors: Sequence[str] | None,
    columns: Mapping[str, str],
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
    wanted = [*(read_names(targets) if targets is not None else []), *named]
    if not wanted:
        raise LogError("no target group: give --targets FILE or --target GROUP")
    document: dict[str, dict[str, object]] = {
        "experiment": {"name": _slug(path)},
        "log": {"path": str(path), "digest": file_digest(path), **columns},
        "targets": {"groups": sorted(set(wanted))},
    }
    if seed is not None:
        document["experiment"]["seed"] = seed
    document["detect"] = {"detectors": list(detectors or BOTH)}
    if horizon is not None:
        document["score"] = {"horizon": _ticks(path, horizon, columns)}
    try:
        return parse_config(tomli_w.dumps(document), overrides=settings)
    except ConfigError as error:
        raise ConfigError([_without_line(problem) for problem in error.problems]) from None


def _without_line(problem: Problem) -> Problem:
    """Drop a line number of the config that the options were turned into: nobody sees it."""
    where = problem.where if problem.where and problem.where.startswith("--set") else None
    return replace(problem, where=where)


def _ticks(path: Path, horizon: str, columns: Mapping[str, str]) -> int:
    """A bare number needs no look at the log; a unit does."""
    if horizon.strip().isdigit():
        return parse_duration(horizon, "integer")
    manifest = read_manifest(path)
    tick = JoinLog.read(path, **columns).tick if manifest is None else manifest.tick
    return parse_duration(horizon, tick)


def _slug(path: Path) -> str:
    """Name of the experiment: the file's stem, as far as a folder can bear it."""
    stem = path.name.split(".")[0].lower()
    return re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-_")[:64] or "log"
