"""The inputs of a config: joins and targets, simulated or read, and what is known of the groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.analyses import until
from gateway.config import Config, LogSection
from gateway.config.detectors import OPTIONS
from gateway.config.schema import SCORERS
from gateway.detect import compare_users
from gateway.detect.registry import entry_of
from gateway.detect.self_controlled.windows import window_in
from gateway.errors import ConfigError, LogError, Problem
from gateway.log import ReadReport, Tick, file_digest, read_names, say_duration, ticks_in
from gateway.log.join_log import JoinLog
from gateway.plugins import Kind, Plugin, find_plugin
from gateway.simulate import History, live_through
from gateway.talk import SILENT, Talk
from gateway.targets import TargetSet, check_learnable, named_targets, reading_with, targets_by_rule
from gateway.world import GATEWAYS, Role, World, draw_world


@dataclass(frozen=True, eq=False)
class Inputs:
    """Joins and targets, and what is known of the groups: all of it in a simulated run."""

    joins: JoinLog
    targets: TargetSet
    history: History | None = None

    @cached_property
    def reading(self) -> ReadReport | None:
        """What was done to the data of a real log, None for a simulated one."""
        return None if self.history is not None else reading_with(self.joins, self.targets)

    @property
    def world(self) -> World | None:
        """The simulated world, None for a real log."""
        return None if self.history is None else self.history.world

    @property
    def role(self) -> npt.NDArray[np.str_]:
        """Planted role of every group, ``unknown`` in a real log."""
        if self.world is None:
            return np.full(self.joins.n_groups, "unknown")
        names = np.array([role.name.lower() for role in Role])
        return np.asarray(names[self.world.groups.role])


def obtain_inputs(config: Config, *, talk: Talk = SILENT, trusted: bool = False) -> Inputs:
    """Simulate the inputs, or read a real log, and choose the targets.

    A ``trusted`` log was digested just now and is not digested once more.
    """
    log = config.log
    if log is None:
        return _simulate_inputs(config, talk)
    config = with_named_groups(config)
    if not trusted:
        _check_digest(log)
    inputs = _read_inputs(config, log)
    _check_durations(config, inputs.joins)
    return inputs


def _simulate_inputs(config: Config, talk: Talk) -> Inputs:
    with talk.stage("drawing the world"):
        world = draw_world(config)
    with talk.stage("simulating joins", world.days) as advance:
        history = live_through(world, progress=lambda day: advance(day + 1))
        joins = history.joins()
    targets = _choose_targets(config, history, joins)
    check_learnable(joins, targets, compares=compare_users(config.detect.detectors))
    return Inputs(joins, targets, history)


def _choose_targets(config: Config, history: History, joins: JoinLog) -> TargetSet:
    wanted, world, strikes = config.targets, history.world, history.strikes
    if wanted.groups is not None:
        return named_targets(joins, wanted.groups, skip_unknown=bool(wanted.skip_unknown))
    country = np.array(world.countries)[world.groups.country]
    counted = strikes.of(str(wanted.kind), str(wanted.month))
    description = (
        f"groups based in {wanted.country} with at least {wanted.min_strikes} strikes "
        f"for {wanted.kind} in {wanted.month}"
    )
    meets = (country == wanted.country) & (counted >= (wanted.min_strikes or 1))
    return targets_by_rule(joins, meets, description)


def with_named_groups(config: Config) -> Config:
    """Return the config with the target groups that its file names.

    Raises
    ------
    LogError
        If the file cannot be used.
    """
    wanted = config.targets
    if wanted.file is None:
        return config
    names = read_names(wanted.file, column=wanted.column, where=wanted.where)
    update = {"groups": tuple(sorted(names)), "file": None, "column": None, "where": None}
    return config.model_copy(update={"targets": wanted.model_copy(update=update)})


def plugins_of(config: Config) -> list[Plugin]:
    """Return what installed packages bring to a run: detectors in their order, and the scorer.

    Raises
    ------
    ConfigError
        When something is not installed.
    """
    asked: list[tuple[Kind, str]] = [
        ("detector", name) for name in config.detect.detectors if name not in OPTIONS
    ]
    if config.score.scorer not in SCORERS:
        asked.append(("scorer", config.score.scorer))
    found = []
    for kind, name in asked:
        plugin = find_plugin(kind, name)
        if plugin is None:
            package = _brought(config, kind, name)
            raise ConfigError([Problem(f"{kind} {name}", "must be installed", package)])
        found.append(plugin)
    return found


def _brought(config: Config, kind: Kind, name: str) -> str | None:
    return config.score.brought if kind == "scorer" else (config.detect.brought or {}).get(name)


def pin_plugins(config: Config) -> Config:
    """Put into a config by which version of which package each of its plugins is brought.

    Raises
    ------
    ConfigError
        When one is not installed, or in another version than the config names.
    """
    found = plugins_of(config)
    for plugin in found:
        named = _brought(config, plugin.kind, plugin.entry.name)
        if named not in {None, plugin.package}:
            rule = f"must be brought by {named}, as the config says"
            raise ConfigError([Problem(f"{plugin.kind} {plugin.entry.name}", rule, plugin.package)])
    detect = {p.entry.name: p.package for p in found if p.kind == "detector"}
    score = next((p.package for p in found if p.kind == "scorer"), None)
    update: dict[str, Any] = {}
    if detect:
        update["detect"] = config.detect.model_copy(update={"brought": detect})
    if score:
        update["score"] = config.score.model_copy(update={"brought": score})
    return config.model_copy(update=update)


def _check_digest(log: LogSection) -> None:
    if log.digest is not None and (found := file_digest(log.path)) != log.digest:
        raise LogError(
            f"{log.path} is not the file that the config names: its sha256 is "
            f"{found}, the config says {log.digest}"
        )


def _check_durations(config: Config, joins: JoinLog) -> None:
    """Check before the work begins that every duration is one of this log."""
    if config.score.horizon is not None:
        horizon = ticks_in(config.score.horizon, joins.tick, what="score.horizon")
        first, last = joins.span
        if any(entry_of(name).uses_horizon for name in config.detect.detectors):
            _check_horizon(horizon, last - first, joins.tick)
    window_in(config.self_controlled, joins.tick)


def _check_horizon(horizon: int, length: int, tick: Tick) -> None:
    if horizon >= length:
        rule = f"must be shorter than the log, which is {say_duration(length, tick)} long"
        hint = "no join could be followed up for all of it; leave it out to count any later one"
        raise LogError(str(Problem("score.horizon", rule, say_duration(horizon, tick), hint=hint)))


def _read_inputs(config: Config, log: LogSection) -> Inputs:
    joins = JoinLog.read(log.path, time_format=log.time_format or "auto", **log.columns)
    wanted = config.targets
    targets = named_targets(joins, wanted.groups or (), skip_unknown=bool(wanted.skip_unknown))
    check_learnable(joins, targets, compares=compare_users(config.detect.detectors))
    return Inputs(joins, targets)


def as_known(config: Config, inputs: Inputs) -> Inputs:
    """Return the inputs with the log that detectors may see: before the workflow's day."""
    if config.note is None:
        return inputs
    joins = until(inputs.joins, config.note.workflow_day)
    check_learnable(joins, inputs.targets, compares=compare_users(config.detect.detectors))
    return replace(inputs, joins=joins)


def groups_table(inputs: Inputs, config: Config) -> pa.Table:
    """Return what is known of every group; null where a real log does not tell."""
    n, world = inputs.joins.n_groups, inputs.world
    columns: dict[str, Any] = {
        "group": inputs.joins.groups,
        "role": pa.array(inputs.role.tolist(), pa.string()),
        "mechanism": pa.nulls(n, pa.string()),
        "strength": pa.nulls(n, pa.float64()),
        "topic": pa.nulls(n, pa.int16()),
        "country": pa.nulls(n, pa.string()),
        "created": pa.nulls(n, pa.int32()),
        "size": pa.array(inputs.joins.sizes()),
        "is_target": pa.array(inputs.targets.mask),
        "strikes": pa.nulls(n, pa.int64()),
    }
    if world is not None:
        columns |= _world_columns(world)
    if inputs.history is not None and config.targets.kind and config.targets.month:
        counted = inputs.history.strikes.of(config.targets.kind, config.targets.month)
        columns["strikes"] = pa.array(counted)
    return pa.table(columns)


def _world_columns(world: World) -> dict[str, Any]:
    groups = world.groups
    acts = np.isin(groups.role, GATEWAYS)
    country = np.array(world.countries)[groups.country]
    mechanism = np.array([role.name.lower() for role in Role])[groups.role]
    return {
        "mechanism": pa.array(mechanism.tolist(), pa.string(), mask=~acts),
        "strength": pa.array(groups.strength),
        "topic": pa.array(groups.topic),
        "country": pa.array(country.tolist(), pa.string()),
        "created": pa.array(groups.created),
    }


def say_inputs(config: Config, inputs: Inputs) -> dict[str, str | int]:
    """Return what terminal and report say of a log and its targets, by key."""
    joins, horizon = inputs.joins, config.score.horizon
    until = "until the end of the log"
    if horizon is not None:
        until = say_duration(ticks_in(horizon, joins.tick, what="score.horizon"), joins.tick)
    return {
        "experiment": config.experiment.name,
        "n_users": joins.n_users,
        "n_groups": joins.n_groups,
        "n_joins": joins.n_joins,
        "tick": joins.tick,
        "span": _span(joins),
        "n_targets": int(inputs.targets.mask.sum()),
        "target_rule": inputs.targets.description,
        "horizon": until,
        "source": "simulated" if config.log is None else Path(config.log.path).name,
    }


def text_table(said: Mapping[str, str | int]) -> pa.Table:
    """Return what is said, by key, as a table of text."""
    return pa.table(
        {"key": list(said), "value": [str(value) for value in said.values()]},
        schema=pa.schema([("key", pa.string()), ("value", pa.string())]),
    )


def _span(joins: JoinLog) -> str:
    """First and last tick of the log, as dates where they are."""
    ends = [tick + joins.origin for tick in joins.span]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    if joins.tick == "integer":
        return f"{ends[0]} to {ends[1]}"
    unit = timedelta(days=1) if joins.tick == "day" else timedelta(seconds=1)
    first, last = ((epoch + end * unit).date().isoformat() for end in ends)
    return f"{first} to {last}"
