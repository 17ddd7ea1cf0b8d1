"""Runs what is missing of a sweep, and leaves a folder that can be resumed at any time."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from gateway.config import config_to_toml
from gateway.results import Failure, Journal, Lock, SweepFolder
from gateway.sweep.engines import (
    SUMMARY,
    Answer,
    EngineOptions,
    Event,
    Finished,
    Lost,
    Started,
    SweepStoppedError,
    Task,
    run_tasks,
)
from gateway.sweep.plan import Plan, Point, stored_plan
from gateway.sweep.running import is_cold
from gateway.talk import SILENT, Advance, Talk

# Of the time of a sweep, at most this part goes into writing its tables anew.
COMPACTING_SHARE = 0.05
COMPACTING_SECONDS = 2.0


@dataclass(frozen=True)
class Outcome:
    """What became of a sweep."""

    folder: Path  # where it lies
    # All points; those that stand; those that could not be computed.
    n_points: int
    n_done: int
    n_failed: int
    n_computed: int  # how many were computed this time


def run_sweep(
    plan: Plan,
    *,
    folder: str | Path | None = None,
    options: EngineOptions | None = None,
    talk: Talk = SILENT,
) -> Outcome:
    """Compute every point that is missing.

    Parameters
    ----------
    folder
        Of the sweep; by default ``results/<experiment>/sweep``. Points that stand there
        are kept, whatever design they came from.

    Raises
    ------
    ResultError
        When the folder holds something else, or another sweep works in it.
    SweepStoppedError
        When the disk is full or the cluster is gone; the folder can be resumed.
    """
    place = SweepFolder(Path(folder) if folder is not None else plan.folder)
    with _held(place) as lock:
        place.write_config(plan.toml)
        driver = _Driver(plan, place, options or EngineOptions(), talk, place.journal())
        return driver.run(lock)


def resume_sweep(
    folder: str | Path, *, options: EngineOptions | None = None, talk: Talk = SILENT
) -> Outcome:
    """Compute what is missing of a sweep's folder, failed points included."""
    return run_sweep(stored_plan(folder), folder=folder, options=options, talk=talk)


@contextmanager
def _held(place: SweepFolder) -> Iterator[Lock]:
    lock = place.prepare()
    try:
        yield lock
    finally:
        lock.release()


@dataclass
class _Driver:
    plan: Plan
    place: SweepFolder
    options: EngineOptions
    talk: Talk
    journal: Journal
    failed: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)
    computed: int = 0
    next_tables: float = 0.0

    def run(self, lock: Lock) -> Outcome:
        swept = self.place.sweep_up()
        damaged = self._drop_damaged()
        missing = [point for point in self.plan.points if not self.place.is_done(point.key)]
        self.journal.write(
            "sweep_started", points=len(self.plan.points), missing=len(missing),
            engine=self.options.engine, workers=self.options.n_workers,
            threads=self.options.threads, swept_up=swept, damaged=damaged,
        )  # fmt: skip
        tasks = [self._task(point.key, config_to_toml(point.config)) for point in missing]
        for task in tasks:
            self.place.forget_failure(task.key)
        self._compute(tasks, lock)
        # The drafts of workers that were killed; all workers have ended.
        self.place.sweep_up()
        compact(self.plan, self.place)
        outcome = self._outcome()
        self.journal.write("sweep_finished", done=outcome.n_done, failed=outcome.n_failed)
        return outcome

    def _drop_damaged(self) -> int:
        """Remove finished points whose files are not what was written."""
        bad = [
            p.key
            for p in self.plan.points
            if self.place.is_done(p.key) and not self.place.is_sound(p.key)
        ]
        for key in bad:
            self.journal.write("damaged", point=key)
            self.talk.say(f"point {key} is damaged and is computed again")
            self.place.drop_point(key)
        return len(bad)

    def _task(self, key: str, config: str) -> Task:
        keep = SUMMARY if self.plan.sweep.keep == "summary" else None
        return Task(key, config, str(self.place.point(key).absolute()), keep)

    def _compute(self, tasks: list[Task], lock: Lock) -> None:
        if not tasks:
            return
        configs = {task.key: task.config for task in tasks}
        limit = self.plan.sweep.time_limit
        self._tell_if_cold()
        events = run_tasks(tasks, self.options, time_limit=limit, heirlooms=[lock.handle])
        n_stood = len(self.plan.points) - len(tasks)
        with self.talk.stage("computing points", len(self.plan.points)) as advance:
            advance(n_stood)
            with closing(events):
                for event in events:
                    self._note(event, configs, advance, n_stood)

    def _tell_if_cold(self) -> None:
        """Say that the first point waits for kernels; a cluster's workers say it themselves."""
        if self.options.engine == "dask" or not is_cold():
            return
        self.journal.write("compiling")
        if self.options.engine == "processes":  # in this process it is said anyway
            self.talk.say("compiling kernels, once")

    def _note(self, event: Event, configs: dict[str, str], advance: Advance, n_stood: int) -> None:
        if isinstance(event, Started):
            if event.key in self.running:
                self.journal.write("lost", point=event.key, reason="its worker is gone")
            self.running.add(event.key)
            self.journal.write("started", point=event.key, worker=event.worker, pid=event.pid)
        elif isinstance(event, Lost):
            self.running.discard(event.key)
            self.journal.write("lost", point=event.key, reason=event.reason)
            self.talk.say(f"point {event.key}: {event.reason}; it is tried again")
        else:
            self._finish(event, configs[event.answer.key])
            advance(n_stood + self.computed + len(self.failed))
            self._tables_now_and_then()

    def _finish(self, event: Finished, config: str) -> None:
        answer = event.answer
        self.running.discard(answer.key)
        if answer.state == "stopped":
            raise SweepStoppedError(answer.reason)
        if answer.state == "failed":
            self._fail(answer, config)
            return
        if event.files:
            self.place.keep_point(answer.key, event.files)
        self.computed += 1
        self.journal.write(
            "finished", point=answer.key, seconds=answer.seconds,
            cpu_seconds=answer.cpu_seconds, worker_peak_mib=answer.peak_mib,
        )  # fmt: skip

    def _fail(self, answer: Answer, config: str) -> None:
        self.failed.add(answer.key)
        failure = Failure(answer.reason, answer.traceback, answer.log)
        self.place.keep_failure(answer.key, failure, config=config)
        reason = answer.reason.split("\n")[0]
        self.journal.write("failed", point=answer.key, seconds=answer.seconds, reason=reason)
        self.talk.say(f"point {answer.key} failed: {reason}")

    def _tables_now_and_then(self) -> None:
        if time.monotonic() < self.next_tables:
            return
        begun = time.monotonic()
        compact(self.plan, self.place)
        took = time.monotonic() - begun
        self.next_tables = time.monotonic() + max(COMPACTING_SECONDS, took / COMPACTING_SHARE)

    def _outcome(self) -> Outcome:
        done = sum(self.place.is_done(point.key) for point in self.plan.points)
        n = len(self.plan.points)
        return Outcome(self.place.path, n, done, len(self.failed), self.computed)


def compact(plan: Plan, folder: SweepFolder) -> None:
    """Write all points that are there in a few tables.

    No time and no machine is in them: the tables of a sweep that was killed and resumed, on
    any engine, are those of an undisturbed one, byte for byte.
    """
    failed = folder.failures()
    done = [point for point in plan.points if folder.is_done(point.key)]
    keys = {point.key for point in done}
    state = [
        "done" if point.key in keys else "failed" if point.key in failed else "pending"
        for point in plan.points
    ]
    digest = [_digest(folder, p.key) if p.key in keys else None for p in plan.points]
    columns = {
        **_columns(plan.points, list(plan.sweep.over)),
        "key": pa.array([point.key for point in plan.points], pa.string()),
        "state": pa.array(state, pa.string()),
        "digest": pa.array(digest, pa.string()),
    }
    folder.write_sweep_table("points", pa.table(columns))
    for name in SUMMARY:
        table = _long(done, folder, name, list(plan.sweep.over))
        if table is not None:
            folder.write_sweep_table(name, table)


def _digest(folder: SweepFolder, key: str) -> str:
    """Digest of the tables of a point: one for every engine."""
    files = folder.status(key).files
    tables = sorted((name, was) for name, was in files.items() if name.endswith(".parquet"))
    return hashlib.sha256(json.dumps(tables).encode()).hexdigest()[:16]


def _columns(points: Sequence[Point], swept: Sequence[str]) -> dict[str, pa.Array]:
    seeds = [point.config.experiment.seed for point in points]
    return {
        "point": pa.array([point.index for point in points], pa.int32()),
        "replicate": pa.array([point.replicate for point in points], pa.int32()),
        "seed": pa.array(seeds, pa.int64()),
        **{key: _column([point.settings[key] for point in points]) for key in swept},
    }


def _column(values: Sequence[Any]) -> pa.Array:
    """A column of numbers, texts, truths or dates; anything else as JSON."""
    kinds = {type(value) for value in values}
    if kinds <= {int}:
        return pa.array(values, pa.int64())
    if kinds <= {int, float}:
        return pa.array([float(value) for value in values], pa.float64())
    if len(kinds) == 1 and kinds <= {str, bool, dt.date}:
        return pa.array(values)
    return pa.array([json.dumps(value, sort_keys=True, default=str) for value in values])


def _long(
    points: Sequence[Point], folder: SweepFolder, name: str, swept: Sequence[str]
) -> pa.Table | None:
    found = [(point, folder.table(point.key, name)) for point in points]
    tables = [(point, table) for point, table in found if table is not None]
    if not tables:
        return None
    body = pa.concat_tables([table for _, table in tables], promote_options="default")
    rows = [i for i, (_, table) in enumerate(tables) for _ in range(table.num_rows)]
    head = pa.table(_columns([point for point, _ in tables], swept)).take(
        pa.array(rows, pa.int64())
    )
    for column in body.column_names:
        head = head.append_column(column, body[column])
    return head.combine_chunks()
