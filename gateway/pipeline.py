"""A run, from config to stored result: each stage one line."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gateway import __version__
from gateway._numba import set_threads, threads
from gateway.analyses import (
    Explanation,
    analyse_note,
    information_of,
    judge_groups,
    nothing_ranked,
    record_of,
    verdict_of,
)
from gateway.config import Config, config_digest, config_to_toml
from gateway.counterfactual import live_arms, measure_truth, pin_groups
from gateway.detect import Detection
from gateway.detect.measure import words_of
from gateway.errors import ConfigError, Problem, ResultError, either
from gateway.evaluate import evaluate_effects, evaluate_planted
from gateway.finding import (
    check_tables,
    concat_findings,
    explain_one,
    leading,
    permuted_calls,
    run_detectors,
    score_tables,
    score_where_needed,
    scorer_quality,
)
from gateway.inputs import (
    Inputs,
    as_known,
    groups_table,
    obtain_inputs,
    pin_plugins,
    plugins_of,
    say_inputs,
    text_table,
    with_named_groups,
)
from gateway.log import file_digest, ticks_in
from gateway.log.work import current_work, scratch_folder
from gateway.provenance import describe_environment, peak_memory_mib
from gateway.results import Draft, Result, draft_result, open_result, result_folder, settle, stands
from gateway.score import Scores
from gateway.talk import SILENT, Talk
from gateway.world import check_fits

# False-discovery rate where a detector has none of its own.
CALLED_AT = 0.05
# Joiners of a ranked group where the detector is not of this package and says nothing else.
LEAST_JOINERS = 20

# Adds figures and report to a result in the making.
Illustrate = Callable[[Draft, dict[str, pa.Table], Config, dict[str, Any]], None]


def execute(
    config: Config,
    *,
    folder: str | Path | None = None,
    force: bool = False,
    n_threads: int | None = None,
    talk: Talk = SILENT,
    illustrate: Illustrate | None = None,
    keep: Collection[str] | None = None,
    left_out: str | None = None,
) -> Result:
    """Run a config and store what comes out: ``gateway.run``, without figures and report.

    Parameters
    ----------
    illustrate
        Adds these before the result gets its name.
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
    given, config = config, pin_inputs(config)
    final = Path(folder) if folder is not None else result_folder(config)
    settle(final.parent, final.name)
    if not force and stands(final):
        return _same_result(final, config, talk)
    if n_threads is not None:
        set_threads(n_threads)
    begun, spent = time.monotonic(), time.process_time()
    with draft_result(final, replaces="run" if force else None) as draft:
        inputs = obtain_inputs(config, talk=talk, trusted=given.log != config.log)
        for line in [] if inputs.reading is None else inputs.reading.lines():
            talk.say(f"note: {line}")
        cost: dict[str, float] = {}
        with scratch_folder(draft.folder) as scratch:
            tables = _compute(config, inputs, talk=talk, cost=cost, scratch=scratch)
        if left_out is not None:
            said = pa.table({"key": ["left_out"], "value": [left_out]})
            tables["summary"] = pa.concat_tables([tables["summary"], said])
        for name, table in tables.items():
            if keep is None or name in keep:
                draft.write_table(name, table)
        draft.write_text("config.toml", config_to_toml(config))
        provenance = _provenance(config, begun, spent) | {"cpu_seconds": cost}
        if illustrate is not None:
            with talk.stage("drawing figures and report"):
                illustrate(draft, tables, config, provenance)
        draft.write_json("provenance.json", provenance)
        wall = round(time.monotonic() - begun, 2)
        draft.write_status("run", wall_seconds=wall)
    return open_result(final)


def _compute(
    config: Config, inputs: Inputs, *, talk: Talk, cost: dict[str, float], scratch: Path | None
) -> dict[str, pa.Table]:
    """Score, detect and evaluate, on the log or on the one that ``[check]`` makes of it."""
    seen = as_known(config, inputs)
    if config.check is not None:
        return check_tables(config, seen, talk=talk, scratch=scratch)
    joins, targets = seen.joins, seen.targets
    scores = score_where_needed(config, joins, targets, talk=talk, cost=cost, scratch=scratch)
    detections = run_detectors(config, joins, targets, scores, talk=talk, cost=cost)
    permuted, detections = permuted_calls(config, joins, targets, detections, talk=talk, cost=cost)
    tables = _tables(config, seen, scores, detections, talk)
    if permuted is not None:
        tables["permuted"] = permuted.to_arrow()
        said = text_table({"permuted": permuted.line()})
        tables["summary"] = pa.concat_tables([tables["summary"], said])
    return tables | _note(config, inputs, detections, talk)


def pin_inputs(config: Config, *, digest: Callable[[str], str] = file_digest) -> Config:
    """Put what a run takes in into its config, digests and versions: other inputs, another run.

    Parameters
    ----------
    digest
        Of a log by its path; a caller with many configs remembers it.

    Raises
    ------
    GatewayError
        When the log or an earlier result cannot be read, a named group is unknown, a detector
        or scorer that it names is not installed, or the world does not fit into the memory.
    """
    if config.world is not None:
        check_fits(config.world)
    if config.log is not None and config.log.digest is None:
        log = config.log.model_copy(update={"digest": digest(config.log.path)})
        config = config.model_copy(update={"log": log})
    return pin_groups(with_named_groups(pin_plugins(config)))


def _same_result(final: Path, config: Config, talk: Talk) -> Result:
    """Return the finished result at ``final`` if it is of this config; never replace another."""
    stored = open_result(final)
    if stored.config != config:
        raise ResultError(
            f"{final} holds the result of another config; give "
            f"{either('force=True', '--force')} to replace it, or another folder"
        )
    talk.say(f"{final} is there already ({either('force=True', '--force')} computes it again)")
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
    with draft_result(final) as draft:
        inputs = obtain_inputs(config, talk=talk)
        inputs.joins.to_parquet(draft.place("joins/part-00000.parquet"))
        draft.write_table("groups", groups_table(inputs, config))
        if inputs.history is not None:
            draft.write_table("strikes", inputs.history.strikes.to_arrow(inputs.joins.groups))
            draft.write_table("requests", inputs.history.requests())
            draft.write_table("invitations", inputs.history.invitations.to_arrow())
        draft.write_text("config.toml", config_to_toml(config))
        draft.write_status("simulation")
    return final


def explain(config: Config, group: str, *, talk: Talk = SILENT) -> Explanation:
    """Say why a group stands where it does in the run of a config.

    The log is simulated or read again and scored again: a result holds neither. ``config``
    is best the stored one, which names the log's digest.

    Raises
    ------
    GatewayError
        When the log has no such group, or it is a target.
    """
    inputs = obtain_inputs(config, talk=talk)
    return explain_one(config, inputs.joins, inputs.targets, group=group, talk=talk)


def _note(
    config: Config, inputs: Inputs, detections: dict[str, Detection], talk: Talk
) -> dict[str, pa.Table]:
    """Tables of the note's analyses, none where the config does not ask for them."""
    if config.note is None or inputs.history is None:
        return {}
    with talk.stage("analysing as the note does"):
        record = record_of(
            inputs.history, inputs.joins, inputs.targets, leading(detections),
            workflow_day=config.note.workflow_day, top=config.note.top,
        )  # fmt: skip
        found = analyse_note(record, config.note, seed=config.experiment.seed)
    return {f"analyses/{name}": table for name, table in found.items()}


def _tables(
    config: Config,
    inputs: Inputs,
    scores: Scores | None,
    detections: dict[str, Detection],
    talk: Talk,
) -> dict[str, pa.Table]:
    """Everything that is stored as a table."""
    gateways = concat_findings(detections)
    otherwise = _counterfactual(config, inputs, gateways, talk)
    with talk.stage("evaluating"):
        evaluation = _evaluate(config, inputs, scores, detections, otherwise.get("truth"))
    tables = {
        "groups": groups_table(inputs, config),
        "gateways": gateways,
        "evaluation": evaluation,
        "summary": _summary(config, inputs, detections, gateways),
    }
    if (judged := judge_groups(gateways)) is not None:
        tables["verdicts"] = judged
    if scores is not None:
        tables |= score_tables(
            config, inputs.joins, inputs.targets, scores, leading(detections),
            role=inputs.role,
        )  # fmt: skip
    if inputs.reading is not None:
        tables["reading"] = inputs.reading.to_arrow()
    if inputs.history is not None:
        tables["strikes"] = inputs.history.strikes.to_arrow(inputs.joins.groups)
    return tables | otherwise


def _counterfactual(
    config: Config, inputs: Inputs, gateways: pa.Table, talk: Talk
) -> dict[str, pa.Table]:
    """What would have been otherwise: the truth of every group, and the arms; a world's only."""
    if inputs.history is None:
        return {}
    history, joins, mask = inputs.history, inputs.joins, inputs.targets.mask
    truth = measure_truth(
        history, mask, joins, section=config.truth, leads="edges" in config.detect.detectors,
        talk=talk,
    )  # fmt: skip
    arms = live_arms(config, history, joins, mask, gateways=gateways, truth=truth, talk=talk)
    return {"truth": truth, **arms}


def _evaluate(
    config: Config,
    inputs: Inputs,
    scores: Scores | None,
    detections: dict[str, Detection],
    truth: pa.Table | None,
) -> pa.Table:
    """Detectors against every truth that is known, and the scorer against the outcomes."""
    scorer = scorer_quality(scores)
    if inputs.world is None or truth is None:
        return scorer
    draws, seed = config.evaluate.bootstrap, config.experiment.seed
    strength, found = inputs.world.groups.strength, detections.values()
    parts = [evaluate_planted(d, inputs.role, strength, seed=seed, draws=draws) for d in found]
    for kind in ("direct", "total"):
        effect, error = (truth[f"{kind}_{part}"].to_numpy() for part in ("effect", "se"))
        if not np.isnan(effect).all():
            parts += [
                evaluate_effects(d, effect, error, truth=kind, seed=seed, draws=draws)
                for d in found
            ]
    return pa.concat_tables([*parts, scorer])


def _summary(
    config: Config, inputs: Inputs, detections: dict[str, Detection], gateways: pa.Table
) -> pa.Table:
    """What terminal and report say first, as text."""
    found = leading(detections)
    said = {
        **say_inputs(config, inputs),
        "detector": found.detector,
        "n_ranked": int((found.rank > 0).sum()),
        "n_flagged": int(found.flagged.sum()),
        **_said_of_log(config, inputs, detections),
    }
    if (verdict := verdict_of(gateways)) is not None:
        said |= {"agreement": verdict.agreement, "verdict": verdict.text}
    return text_table(said)


def _said_of_log(
    config: Config, inputs: Inputs, detections: dict[str, Detection]
) -> dict[str, str | int]:
    """How much the log can show to the leading detector: numbers, and the same in sentences.

    Of the others, which of them rank nothing.
    """
    found = leading(detections)
    options, horizon = config.options_of(found.detector), config.score.horizon
    ticks = None
    if horizon is not None:
        ticks = ticks_in(horizon, inputs.joins.tick, what="score.horizon")
    held = information_of(
        inputs.joins, inputs.targets, found,
        horizon=ticks, min_joiners=options.min_joiners or LEAST_JOINERS,
        alpha=getattr(options, "alpha", None) or CALLED_AT,
    )  # fmt: skip
    silent = [
        nothing_ranked(other, min_joiners=config.options_of(name).min_joiners or LEAST_JOINERS)
        for name, other in detections.items()
        if other is not found
    ]
    notes = [
        f"{words_of(name)}: {note}" for name, other in detections.items() for note in other.notes
    ]
    lines = [*held.lines, *(line for line in silent if line is not None), *notes]
    counts = ("n_target_joins", "n_cases", "n_preceded", "n_candidates", "n_enough")
    ratios = ("base_rate", "ratio_typical", "ratio_largest")
    return {
        **{name: getattr(held, name) for name in counts},
        "min_joiners": held.min_joiners,
        **{name: _or_undefined(getattr(held, name)) for name in ratios},
        "information": "\n".join(lines),
    }


def _or_undefined(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else "undefined"


def _provenance(config: Config, begun: float, spent: float) -> dict[str, Any]:
    """What made a result; ``begun`` and ``spent`` were clock and processor at its start."""
    plugins = {plugin.what: plugin.entry.value for plugin in plugins_of(config)}
    how, work = current_work(), {}
    if how.memory is not None:
        work = {"work": {"memory": how.memory, "workers": how.workers.count}}
    return {
        "gateway_version": __version__,
        **describe_environment(),
        "seed": config.experiment.seed,
        "config_digest": config_digest(config),
        **({"plugins": plugins} if plugins else {}),
        "threads": threads(),
        "finished": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "compute_seconds": round(time.monotonic() - begun, 2),
        "process_cpu_seconds": round(time.process_time() - spent, 2),
        **work,
        "peak_memory_mib": round(peak_memory_mib(), 1),
    }
