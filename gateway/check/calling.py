"""The one call that says how far detectors can be trusted on a log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from gateway.check.designs import QUICK, THOROUGH, Design, logs_of
from gateway.check.measuring import measure_log
from gateway.check.summary import summarise_check
from gateway.check.words import limits_of, paragraph_of
from gateway.detect import Detection, Measure
from gateway.detect.registry import Detector, entry_of, find_gateways
from gateway.log import Duration
from gateway.log.join_log import JoinLog
from gateway.score import score_joins
from gateway.tabular import Tabular
from gateway.talk import SILENT, Talk
from gateway.targets import TargetSet, as_targets


@dataclass(frozen=True, eq=False, repr=False)
class Check(Tabular):
    """How far detectors can be trusted on a log.

    Parameters
    ----------
    table
        A row for each detector, kind of log and measure; see ``summarise_check``.
    paragraph
        What was done and what came out, fit for a paper.
    limits
        What may not be claimed, in sentences.
    calls, planted
        The groups that were flagged on each log, and the gateways that were planted; see
        ``Measured``. The first columns name the log: ``log``, ``where``, ``ratio``, ``seed``.
        None where the design has no such log.
    """

    table: pa.Table
    paragraph: str
    limits: Sequence[str]
    calls: pa.Table | None
    planted: pa.Table | None

    def to_arrow(self) -> pa.Table:
        """Return the table."""
        return self.table

    def __repr__(self) -> str:
        names = ", ".join(dict.fromkeys(self.table["detector"].to_pylist()))
        return f"<Check of {names}: {self.table.num_rows:,} measures>"


def check(
    joins: JoinLog,
    targets: TargetSet | str | Sequence[str],
    *,
    detectors: Sequence[Detector] = ("spike", "self_controlled"),
    thorough: bool = False,
    design: Design | None = None,
    horizon: Duration | None = None,
    seed: int = 1,
    talk: Talk = SILENT,
) -> Check:
    """Check how far detectors can be trusted on a log, here and now.

    Labels are permuted over all joins and within users, time runs backwards, other groups
    of like size are targets, and gateways of known strength are planted. ``gateway check``
    does the same on many processes, and can be resumed.

    Parameters
    ----------
    joins, targets
        The log, and the target set or the names of the target groups.
    detectors
        Names or functions, as ``gateway.detect`` takes them.
    thorough
        Whether many logs of each kind are made, or few.
    design
        Just how many; over ``thorough``.
    horizon
        Time within which a target join counts; see ``detect``.
    seed
        Of the first log of each kind.
    talk
        Who hears of the progress.

    Returns
    -------
    Check
        ``paragraph`` says what came out, ``limits`` what may not be claimed; ``to_pandas()``,
        ``to_polars()`` and ``to_arrow()`` give every measure.

    Raises
    ------
    GatewayError
        For an unknown detector, or a log on which the check cannot be run.
    """
    targets = as_targets(joins, targets)
    run = _runner(detectors, horizon=horizon, seed=seed)
    logs = logs_of(design or (THOROUGH if thorough else QUICK), seed=seed)
    rows: list[dict[str, Any]] = []
    of_groups: dict[str, list[pa.Table]] = {"calls": [], "planted": []}
    measures: dict[str, Measure] = {}
    notes: dict[str, str] = {}
    with talk.stage("checking", len(logs)) as advance:
        for i, log in enumerate(logs):
            measured = measure_log(joins, targets, log.section(), seed=log.seed, run=run)
            place: dict[str, Any] = {"log": log.log, "where": log.where, "ratio": log.ratio}
            rows += [{**place, **row} for row in measured.evaluation.to_pylist()]
            place["seed"] = log.seed
            for name, tables in of_groups.items():
                table = getattr(measured, name)
                if table is not None:
                    tables.append(_headed(place, table))
            measures |= measured.measures
            notes |= {"notes": measured.summary["notes"]} if "notes" in measured.summary else {}
            advance(i + 1)
    table = summarise_check(pa.Table.from_pylist(rows), measures)
    counts = {
        "n_joins": joins.n_joins, "n_users": joins.n_users, "n_groups": joins.n_groups,
        "n_targets": targets.count,
    }  # fmt: skip
    said = {key: str(value) for key, value in counts.items()} | notes
    found = table.to_pylist()
    calls, planted = (pa.concat_tables(tables) if tables else None for tables in of_groups.values())
    return Check(table, paragraph_of(found, said), limits_of(found), calls, planted)


def _headed(place: Mapping[str, Any], table: pa.Table) -> pa.Table:
    """Return a table with the same first columns in every row."""
    head = pa.table({name: pa.repeat(value, table.num_rows) for name, value in place.items()})
    for column in table.column_names:
        head = head.append_column(column, table[column])
    return head


def _runner(
    detectors: Sequence[Detector], *, horizon: Duration | None, seed: int
) -> Callable[[JoinLog, TargetSet], Mapping[str, Detection]]:
    for detector in detectors:
        entry_of(detector)

    def run(joins: JoinLog, targets: TargetSet) -> Mapping[str, Detection]:
        scores = None
        if any(entry_of(detector).needs_scores for detector in detectors):
            scores = score_joins(joins, targets, horizon=horizon, seed=seed)
        found = [
            find_gateways(
                joins, targets, detector=detector, scores=scores, horizon=horizon, seed=seed
            )
            for detector in detectors
        ]
        return {one.detector: one for one in found}

    return run
