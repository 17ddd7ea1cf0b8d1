"""Before a run: are the groups that its config names there, and in which file?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gateway.config import Config
from gateway.config.interventions import InterventionSection, OnGroupsSection
from gateway.errors import ConfigError, Problem, ResultError
from gateway.log import file_digest
from gateway.log.join_log import numbered_names
from gateway.log.messages import nearest, shown
from gateway.results import open_result

_TABLE = "gateways"


def pin_groups(config: Config) -> Config:
    """Check every named group and earlier result, and put the digests of these in the config.

    Raises
    ------
    ConfigError
        When a group is not in the world: every one of them at once.
    ResultError
        When an earlier result is missing, has changed, or lacks the detector.
    """
    if config.world is None:
        return config
    problems = list(_unknown_names(config))
    if problems:
        raise ConfigError(problems)
    pinned = tuple(_pinned(config, section) for section in config.interventions)
    return config.model_copy(update={"interventions": pinned})


def world_names(config: Config) -> pa.StringArray:
    """Return the names of the groups of a simulated world, in the order of their ids."""
    return numbered_names("g", np.arange(0 if config.world is None else config.world.groups))


def _unknown_names(config: Config) -> Iterator[Problem]:
    on_groups = [one for one in config.interventions if isinstance(one, OnGroupsSection)]
    lists = [("names in interventions", one.names) for one in on_groups]
    lists.append(("truth.total_groups", config.truth.total_groups))
    if not any(names for _, names in lists):
        return
    known = world_names(config).to_pylist()
    there = set(known)
    for what, names in lists:
        for name in names or ():
            if name not in there:
                near = nearest(name, known)
                hint = None if near is None else f"did you mean {shown(near)}?"
                rule = f"must be groups of the world, {shown(known[0])} to {shown(known[-1])}"
                yield Problem(what, rule, shown(name), hint=hint)


def _pinned(config: Config, section: InterventionSection) -> InterventionSection:
    if not isinstance(section, OnGroupsSection) or section.from_result is None:
        return section
    found = earlier_findings(section)
    unknown = set(found["group"].to_pylist()) - set(world_names(config).to_pylist())
    if unknown:
        raise ResultError(
            f"{section.from_result} is of another world: it ranks {shown(min(unknown))}, which "
            "this config's world does not have"
        )
    digest = file_digest(_table_path(section.from_result))
    return section.model_copy(update={"digest": digest})


def earlier_findings(section: OnGroupsSection) -> pa.Table:
    """Return what the detector of an intervention's earlier run found.

    Raises
    ------
    ResultError
        When the run is missing, is not the one that the config names, or lacks the detector.
    """
    folder = str(section.from_result)
    table = open_result(folder).table(_TABLE)
    digest = file_digest(_table_path(folder))
    if section.digest is not None and digest != section.digest:
        raise ResultError(
            f"{folder} is not the result that the config names: the sha256 of its "
            f"{_TABLE}.parquet is {digest}, the config says {section.digest}"
        )
    detectors = sorted(set(table["detector"].to_pylist()))
    if section.detector not in detectors:
        there = ", ".join(detectors) or "none"
        raise ResultError(
            f"{folder} has no findings of a detector {shown(str(section.detector))}; "
            f"it has: {there}"
        )
    return table.filter(pc.equal(table["detector"], section.detector))


def _table_path(folder: str) -> str:
    return str(Path(folder) / f"{_TABLE}.parquet")
