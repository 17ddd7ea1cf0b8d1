"""The middle of a run: score once, run every detector, and show what the scores show."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.analyses import (
    Explanation,
    event_study,
    explain_group,
    explain_top,
    probability_curves,
)
from gateway.arrays import Mask
from gateway.check import PERMUTED, Permuted, measure_log, permute_few
from gateway.config import Config
from gateway.detect import Detection, find_spikes, run_detector
from gateway.detect.measure import LEADING
from gateway.detect.registry import entry_of
from gateway.errors import GatewayError, Problem
from gateway.evaluate import EVALUATION_SCHEMA
from gateway.inputs import Inputs, say_inputs, text_table
from gateway.log.join_log import JoinLog
from gateway.log.work import Work, check_training, current_work, working
from gateway.score import LogisticScorer, Scorer, Scores, reliability_table, score_joins
from gateway.score.adapter import as_scorer
from gateway.score.logistic import KEEP
from gateway.talk import SILENT, Talk
from gateway.targets import TargetSet

# Groups at the top of the leading ranking that are explained in a result.
EXPLAINED = 10


def score_where_needed(
    config: Config,
    joins: JoinLog,
    targets: TargetSet,
    *,
    talk: Talk,
    cost: dict[str, float] | None = None,
    scratch: Path | None = None,
) -> Scores | None:
    """Score once for all detectors of the config; None where none of them needs it.

    ``cost`` gets the processor seconds of it, all threads together; ``scratch`` is a folder for
    columns too long for the memory, which whoever made it removes.
    """
    if not any(entry_of(name).needs_scores for name in config.detect.detectors):
        return None
    with _timed("scores", cost):
        return _train(config, joins, targets, talk, scratch)


@contextmanager
def _timed(name: str, cost: dict[str, float] | None) -> Iterator[None]:
    begun = time.process_time()
    yield
    if cost is not None:
        cost[name] = round(time.process_time() - begun, 3)


def _train(
    config: Config, joins: JoinLog, targets: TargetSet, talk: Talk, scratch: Path | None = None
) -> Scores:
    options = config.score
    check_training(joins)
    with talk.stage("training and scoring"):
        return score_joins(
            joins,
            targets,
            scorer=scorer_of(config),
            horizon=options.horizon,
            folds=options.folds,
            calibration=options.calibration,
            seed=config.experiment.seed,
            scratch=scratch,
        )


def scorer_of(config: Config) -> Scorer:
    """Return the scorer of a config."""
    options = config.score
    if options.scorer != "logistic":
        return as_scorer(options.scorer)
    keep = KEEP if options.covariates else None
    return LogisticScorer(
        penalty=options.penalty, tolerance=options.tolerance, keep=keep,
        covariates=options.covariates,
    )  # fmt: skip


def run_detectors(
    config: Config,
    joins: JoinLog,
    targets: TargetSet,
    scores: Scores | None,
    *,
    talk: Talk,
    cost: dict[str, float] | None = None,
) -> dict[str, Detection]:
    """Run every detector of the config, in its order; ``cost`` gets what each one took."""
    found: dict[str, Detection] = {}
    for name in config.detect.detectors:
        with talk.stage(f"detecting gateways: {name}"), _timed(name, cost):
            found[name] = run_detector(
                name,
                joins,
                targets,
                options=config.options_of(name),
                scores=scores,
                horizon=config.score.horizon,
                seed=config.experiment.seed,
            )
    return found


def concat_findings(detections: Mapping[str, Detection]) -> pa.Table:
    """Return the rows of every detector, one below the other.

    Raises
    ------
    GatewayError
        If two detectors have columns of one name and different types.
    """
    found = [detection.to_arrow() for detection in detections.values()]
    try:
        return pa.concat_tables(found, promote_options="default")
    except pa.ArrowException as error:
        rule = "must hold the same in all of them"
        what = f"columns of one name, of the detectors {', '.join(detections)},"
        raise GatewayError(str(Problem(what, rule, str(error)))) from None


def leading(detections: Mapping[str, Detection]) -> Detection:
    """Return the detection that report and figures speak of: the note's, else the first."""
    return detections.get(LEADING) or next(iter(detections.values()))


def check_tables(
    config: Config, inputs: Inputs, *, talk: Talk, scratch: Path | None
) -> dict[str, pa.Table]:
    """Return what the detectors of a config say of the log that its ``[check]`` makes of one.

    Returns
    -------
    dict
        ``evaluation``, ``calls`` and ``summary``, and ``planted`` where gateways were.
    """
    if config.check is None:
        raise ValueError("the config has no [check]")

    def run(joins: JoinLog, targets: TargetSet) -> dict[str, Detection]:
        scores = score_where_needed(config, joins, targets, talk=talk, scratch=scratch)
        return run_detectors(config, joins, targets, scores, talk=talk)

    measured = measure_log(
        inputs.joins, inputs.targets, config.check, seed=config.experiment.seed, run=run
    )
    said = text_table({**say_inputs(config, inputs), **measured.summary})
    tables = {"evaluation": measured.evaluation, "calls": measured.calls, "summary": said}
    return tables if measured.planted is None else {**tables, "planted": measured.planted}


def permuted_calls(
    config: Config,
    joins: JoinLog,
    targets: TargetSet,
    detections: dict[str, Detection],
    *,
    talk: Talk,
    cost: dict[str, float],
) -> tuple[Permuted | None, dict[str, Detection]]:
    """Let the detectors see a few permuted logs, and mark those that call too often there.

    Returns
    -------
    tuple
        What they said, None where nothing was to be permuted; and the detections, whose
        p-values are marked as not held where the detector fails. Its flags stay.
    """
    count = PERMUTED if config.detect.permutations is None else config.detect.permutations
    if config.log is None or not count:
        return None, detections

    def run(log: JoinLog, whose: TargetSet, names: Sequence[str]) -> dict[str, Detection]:
        some = config.detect.model_copy(update={"detectors": tuple(names)})
        asked = config.model_copy(update={"detect": some})
        scores = score_where_needed(asked, log, whose, talk=SILENT)
        return run_detectors(asked, log, whose, scores, talk=SILENT)

    # The few users of a permuted log are in memory: nobody else is asked.
    with (
        talk.stage("permuted logs"),
        _timed("permuted", cost),
        working(Work(memory=current_work().memory)),
    ):
        found = permute_few(
            joins, targets, measures=[d.measure for d in detections.values()], run=run,
            seed=config.experiment.seed, count=count,
        )  # fmt: skip
    marked = {
        name: replace(d, measure=replace(d.measure, holds_level=False))
        if name in found.failing
        else d
        for name, d in detections.items()
    }
    return found, marked


def score_tables(
    config: Config,
    joins: JoinLog,
    targets: TargetSet,
    scores: Scores,
    detection: Detection,
    *,
    role: npt.NDArray[np.str_],
) -> dict[str, pa.Table]:
    """What the scores show of single users and of the first groups, and how good they are."""
    spike = _spikes(config, scores)
    trains, rows = scores.prefixes.trains, scores.prefixes
    return {
        "curves": probability_curves(
            joins, targets, scores, detection, spike, role, count=config.figures.curves
        ),
        "explanations": explain_top(joins, targets, scores, spike, detection, count=EXPLAINED),
        "event_study": event_study(scores, detection, role),
        "reliability": reliability_table(scores.at_end[trains], rows.label[trains]),
    }


def _spikes(config: Config, scores: Scores) -> Mask:
    return find_spikes(scores, options=config.spike)


def scorer_quality(scores: Scores | None) -> pa.Table:
    """Return the scorer's measures as rows of an evaluation; none without a scorer."""
    if scores is None:
        return EVALUATION_SCHEMA.empty_table()
    return pa.Table.from_pylist(
        [
            {
                "detector": f"scorer:{scores.scorer}",
                "truth": "outcome",
                "metric": q.metric,
                "value": q.value,
                "ci_low": q.ci_low,
                "ci_high": q.ci_high,
            }
            for q in scores.quality
        ],
        schema=EVALUATION_SCHEMA,
    )


def explain_one(
    config: Config, joins: JoinLog, targets: TargetSet, *, group: str, talk: Talk
) -> Explanation:
    """Score a log, whatever the detectors need, and explain one of its groups."""
    scores = _train(config, joins, targets, talk)
    return explain_group(joins, targets, scores, _spikes(config, scores), group=group)
