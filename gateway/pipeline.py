"""A run, from config to stored result: each stage one line."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway import __version__
from gateway._numba import set_threads, threads
from gateway.analyses import Explanation, analyse_note, record_of, until
from gateway.config import Config, config_digest, config_to_toml
from gateway.counterfactual import live_arms, measure_truth, pin_groups
from gateway.detect import Detection
from gateway.errors import ConfigError, LogError, Problem, ResultError
from gateway.evaluate import evaluate_planted
from gateway.finding import (
    explain_one,
    leading,
    run_detectors,
    score_tables,
    score_where_needed,
    scorer_quality,
)
from gateway.joins import JoinLog
from gateway.joins_io import file_digest
from gateway.provenance import MODEL_VERSION, describe_environment, peak_memory_mib
from gateway.score import Scores
from gateway.simulate import History, live_through
from gateway.store import (
    Draft,
    Result,
    draft_result,
    open_result,
    refuse_filled,
    result_folder,
    stands,
)
from gateway.talk import SILENT, Talk
from gateway.targets import TargetSet, check_learnable, named_targets, targets_by_rule
from gateway.world import GATEWAYS, Role, World, draw_world

__all__ = [
    "Illustrate",
    "Platform",
    "execute",
    "explain",
    "obtain_platform",
    "pin_inputs",
    "simulate_only",
]

# Adds figures and report to a result in the making.
Illustrate = Callable[[Draft, dict[str, pa.Table], Config, dict[str, Any]], None]


@dataclass(frozen=True, eq=False)
class Platform:
    """Joins and targets, and what is known of the groups: all of it in a simulated run."""

    joins: JoinLog
    targets: TargetSet
    history: History | None = None

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


def execute(
    config: Config,
    *,
    folder: str | Path | None = None,
    force: bool = False,
    n_threads: int | None = None,
    talk: Talk = SILENT,
    illustrate: Illustrate | None = None,
    keep: Collection[str] | None = None,
) -> Result:
    """Run a config and store what comes out.

    Parameters
    ----------
    config
        What to do.
    folder
        Where the result goes; by default ``results/<experiment>/<id>``. A finished result
        of the same config there is returned as it is.
    force
        Compute again even then.
    n_threads
        Threads of the kernels; None for all cores. It does not change the result.
    talk
        Who hears of the progress.
    illustrate
        Adds figures and report before the result gets its name.
    keep
        Names of the tables to store; None for all.

    Raises
    ------
    GatewayError
        When config, log or targets cannot be used; nothing is left behind.
    """
    if config.sweep is not None:
        rule = "stands for many runs: use 'gateway sweep'"
        raise ConfigError([Problem("[sweep]", rule)])
    config = pin_inputs(config)
    final = Path(folder) if folder is not None else result_folder(config)
    if not force and stands(final):
        return _same_result(final, config, talk)
    if n_threads is not None:
        set_threads(n_threads)
    begun = time.monotonic()
    with draft_result(final) as draft:
        platform = obtain_platform(config, talk=talk)
        seen = _as_known(config, platform)
        joins, targets = seen.joins, seen.targets
        scores = score_where_needed(config, joins, targets, talk=talk)
        detections = run_detectors(config, joins, targets, scores, talk=talk)
        tables = _tables(config, seen, scores, detections, talk)
        tables |= _note(config, platform, detections, talk)
        for name, table in tables.items():
            if keep is None or name in keep:
                draft.write_table(name, table)
        draft.write_text("config.toml", config_to_toml(config))
        provenance = _provenance(config, begun)
        if illustrate is not None:
            with talk.stage("drawing figures and report"):
                illustrate(draft, tables, config, provenance)
        draft.write_json("provenance.json", provenance)
        wall = round(time.monotonic() - begun, 2)
        status = {"state": "done", "kind": "run", "wall_seconds": wall, "files": draft.digests()}
        draft.write_json("status.json", status)
    return open_result(final)


def pin_inputs(config: Config, *, digest: Callable[[str], str] = file_digest) -> Config:
    """Put the digests of what a run reads into its config: other inputs, another run.

    Parameters
    ----------
    config
        Resolved.
    digest
        Of a log by its path; a caller with many configs remembers it.

    Raises
    ------
    GatewayError
        When the log or an earlier result cannot be read, or a named group is unknown.
    """
    if config.log is not None and config.log.digest is None:
        log = config.log.model_copy(update={"digest": digest(config.log.path)})
        config = config.model_copy(update={"log": log})
    return pin_groups(config)


def _same_result(final: Path, config: Config, talk: Talk) -> Result:
    """Return the finished result at ``final`` if it is of this config; never replace another."""
    stored = open_result(final)
    same_model = stored.provenance.get("model_version") == MODEL_VERSION
    if stored.config != config or not same_model:
        raise ResultError(
            f"{final} holds the result of another config or version; give --force to replace "
            "it, or another folder"
        )
    talk.say(f"{final} is there already (--force computes it again)")
    return stored


def simulate_only(config: Config, folder: str | Path, *, talk: Talk = SILENT) -> Path:
    """Simulate a config's world and store its log, groups and strikes, nothing else.

    Raises
    ------
    GatewayError
        When the config is of a real log, or the folder is not empty.
    """
    final = Path(folder)
    if config.world is None:
        raise ConfigError([Problem("world", "is missing: a real log cannot be simulated")])
    refuse_filled(final)
    with draft_result(final) as draft:
        platform = obtain_platform(config, talk=talk)
        platform.joins.to_parquet(draft.place("joins/part-00000.parquet"))
        draft.write_table("groups", groups_table(platform, config))
        if platform.history is not None:
            draft.write_table("strikes", platform.history.strikes.to_arrow(platform.joins.groups))
            draft.write_table("requests", platform.history.requests())
            draft.write_table("invitations", platform.history.invitations.to_arrow())
        draft.write_text("config.toml", config_to_toml(config))
        draft.write_json("status.json", {"state": "done", "kind": "simulation"})
    return final


def obtain_platform(config: Config, *, talk: Talk = SILENT) -> Platform:
    """Simulate the platform, or read a real log, and choose the targets."""
    return _read_platform(config) if config.log is not None else _simulate_platform(config, talk)


def explain(config: Config, group: str, *, talk: Talk = SILENT) -> Explanation:
    """Say why a group stands where it does in the run of a config.

    The log is simulated or read again and scored again: a result holds neither. ``config``
    is best the stored one, which names the log's digest.

    Raises
    ------
    GatewayError
        When the log has no such group, or it is a target.
    """
    platform = obtain_platform(config, talk=talk)
    return explain_one(config, platform.joins, platform.targets, group=group, talk=talk)


def _simulate_platform(config: Config, talk: Talk) -> Platform:
    with talk.stage("drawing the world"):
        world = draw_world(config)
    with talk.stage("simulating joins", world.days) as advance:
        history = live_through(world, progress=lambda day: advance(day + 1))
        joins = history.joins()
    targets = _choose_targets(config, history, joins)
    check_learnable(joins, targets)
    return Platform(joins, targets, history)


def _choose_targets(config: Config, history: History, joins: JoinLog) -> TargetSet:
    wanted, world, strikes = config.targets, history.world, history.strikes
    if wanted.groups is not None:
        return named_targets(joins, wanted.groups)
    country = np.array(world.countries)[world.groups.country]
    counted = strikes.of(str(wanted.kind), str(wanted.month))
    description = (
        f"groups based in {wanted.country} with at least {wanted.min_strikes} strikes "
        f"for {wanted.kind} in {wanted.month}"
    )
    meets = (country == wanted.country) & (counted >= (wanted.min_strikes or 1))
    return targets_by_rule(joins, meets, description)


def _read_platform(config: Config) -> Platform:
    assert config.log is not None  # noqa: S101  (the config's own rule)
    log = config.log
    if log.digest is not None and file_digest(log.path) != log.digest:
        raise LogError(
            f"{log.path} is not the file that the config names: its sha256 is "
            f"{file_digest(log.path)}, the config says {log.digest}"
        )
    joins = JoinLog.read(log.path, user=log.user, group=log.group, time=log.time)
    targets = named_targets(joins, config.targets.groups or ())
    check_learnable(joins, targets)
    return Platform(joins, targets)


def _as_known(config: Config, platform: Platform) -> Platform:
    """Return the platform with the log that detectors may see: before the workflow's day."""
    if config.note is None:
        return platform
    joins = until(platform.joins, config.note.workflow_day)
    check_learnable(joins, platform.targets)
    return replace(platform, joins=joins)


def _note(
    config: Config, platform: Platform, detections: dict[str, Detection], talk: Talk
) -> dict[str, pa.Table]:
    """Tables of the note's analyses, none where the config does not ask for them."""
    if config.note is None or platform.history is None:
        return {}
    with talk.stage("analysing as the note does"):
        record = record_of(
            platform.history, platform.joins, platform.targets, leading(detections),
            workflow_day=config.note.workflow_day, top=config.note.top,
        )  # fmt: skip
        found = analyse_note(record, config.note, seed=config.experiment.seed)
    return {f"analyses/{name}": table for name, table in found.items()}


def _tables(
    config: Config,
    platform: Platform,
    scores: Scores | None,
    detections: dict[str, Detection],
    talk: Talk,
) -> dict[str, pa.Table]:
    """Everything that is stored as a table."""
    found = [d.to_arrow() for d in detections.values()]
    with talk.stage("evaluating"):
        evaluation = _evaluate(config, platform, scores, detections)
    tables = {
        "groups": groups_table(platform, config),
        "gateways": pa.concat_tables(found, promote_options="default"),
        "evaluation": evaluation,
        "summary": _summary(config, platform, detections),
    }
    if scores is not None:
        tables |= score_tables(
            config, platform.joins, platform.targets, scores, leading(detections),
            role=platform.role,
        )  # fmt: skip
    if platform.history is not None:
        tables["strikes"] = platform.history.strikes.to_arrow(platform.joins.groups)
    return tables | _counterfactual(config, platform, tables["gateways"], talk)


def _counterfactual(
    config: Config, platform: Platform, gateways: pa.Table, talk: Talk
) -> dict[str, pa.Table]:
    """What would have been otherwise: the truth of every group, and the arms; a world's only."""
    if platform.history is None:
        return {}
    history, joins, mask = platform.history, platform.joins, platform.targets.mask
    truth = measure_truth(history, mask, joins, section=config.truth, talk=talk)
    arms = live_arms(config, history, joins, mask, gateways=gateways, truth=truth, talk=talk)
    return {"truth": truth, **arms}


def _evaluate(
    config: Config, platform: Platform, scores: Scores | None, detections: dict[str, Detection]
) -> pa.Table:
    """Detectors against the planted truth, and the scorer against the outcomes."""
    scorer = scorer_quality(scores)
    if platform.world is None:
        return scorer
    strength = platform.world.groups.strength
    planted = [
        evaluate_planted(d, platform.role, strength, seed=config.experiment.seed)
        for d in detections.values()
    ]
    return pa.concat_tables([*planted, scorer])


def groups_table(platform: Platform, config: Config) -> pa.Table:
    """Return what is known of every group; null where a real log does not tell."""
    n, world = platform.joins.n_groups, platform.world
    columns: dict[str, Any] = {
        "group": platform.joins.groups,
        "role": pa.array(platform.role.tolist(), pa.string()),
        "mechanism": pa.nulls(n, pa.string()),
        "strength": pa.nulls(n, pa.float64()),
        "topic": pa.nulls(n, pa.int16()),
        "country": pa.nulls(n, pa.string()),
        "created": pa.nulls(n, pa.int32()),
        "size": pa.array(platform.joins.sizes()),
        "is_target": pa.array(platform.targets.mask),
        "strikes": pa.nulls(n, pa.int64()),
    }
    if world is not None:
        columns |= _world_columns(world)
    if platform.history is not None and config.targets.kind and config.targets.month:
        counted = platform.history.strikes.of(config.targets.kind, config.targets.month)
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


def _summary(config: Config, platform: Platform, detections: dict[str, Detection]) -> pa.Table:
    """What the report says first, as text."""
    joins, found = platform.joins, leading(detections)
    horizon = config.score.horizon
    unit = {"day": "days", "second": "seconds", "integer": "ticks"}[joins.tick]
    said = {
        "experiment": config.experiment.name,
        "n_users": joins.n_users,
        "n_groups": joins.n_groups,
        "n_joins": joins.n_joins,
        "tick": joins.tick,
        "span": _span(joins),
        "n_targets": int(platform.targets.mask.sum()),
        "target_rule": platform.targets.description,
        "horizon": "until the end of the log" if horizon is None else f"{horizon:,} {unit}",
        "detector": found.detector,
        "n_ranked": int((found.rank > 0).sum()),
        "n_flagged": int(found.flagged.sum()),
        "source": "simulated" if config.log is None else Path(config.log.path).name,
    }
    return pa.table(
        {"key": list(said), "value": [str(value) for value in said.values()]},
        schema=pa.schema([("key", pa.string()), ("value", pa.string())]),
    )


def _span(joins: JoinLog) -> str:
    """First and last tick of the log, as dates where they are."""
    ends = [int(joins.time.min()) + joins.origin, int(joins.time.max()) + joins.origin]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    if joins.tick == "integer":
        return f"{ends[0]} to {ends[1]}"
    unit = timedelta(days=1) if joins.tick == "day" else timedelta(seconds=1)
    first, last = ((epoch + end * unit).date().isoformat() for end in ends)
    return f"{first} to {last}"


def _provenance(config: Config, begun: float) -> dict[str, Any]:
    return {
        "gateway_version": __version__,
        **describe_environment(),
        "seed": config.experiment.seed,
        "config_digest": config_digest(config),
        "threads": threads(),
        "finished": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "compute_seconds": round(time.monotonic() - begun, 2),
        "peak_memory_mib": round(peak_memory_mib(), 1),
    }
