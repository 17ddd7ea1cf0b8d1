"""How far a sweep, or a single run, is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.results import SweepFolder, is_sweep, open_result, resident_mib
from gateway.sweep.plan import stored_plan


@dataclass(frozen=True)
class RunningPoint:
    """A point at work."""

    # Which one, and where.
    key: str
    worker: str
    seconds: float  # since it was begun
    memory_mib: float | None  # what its process holds now; None where that is another machine's


@dataclass(frozen=True)
class Status:
    """How far a folder is."""

    folder: str
    # ``running``, ``done``, ``incomplete`` or, with every missing point failed, ``failed``.
    state: str
    # They add up: n_points is the sum of the others.
    n_points: int
    n_done: int
    n_failed: int
    n_running: int
    n_pending: int
    # At the mean pace of the points so far; None where there is none yet or nothing runs.
    seconds_left: float | None
    peak_mib: float | None  # largest memory of a worker so far; None where nothing is known
    running: tuple[RunningPoint, ...] = ()  # points at work
    failures: Mapping[str, str] | None = None  # reasons by key
    is_compiling: bool = False  # whether the first points wait for kernels to be compiled


def folder_status(folder: str | Path) -> Status:
    """Return how far a sweep's or a run's folder is; it may be at work meanwhile.

    Raises
    ------
    ResultError
        When the folder is neither.
    """
    folder = Path(folder)
    return _of_sweep(folder) if is_sweep(folder) else _of_run(folder)


def _of_run(folder: Path) -> Status:
    """A run's folder gets its name when it is done."""
    provenance = open_result(folder).provenance
    peak = provenance.get("peak_memory_mib")
    return Status(str(folder), "done", 1, 1, 0, 0, 0, 0.0, peak)


def _of_sweep(folder: Path) -> Status:
    # Before anything is counted: a sweep that ends meanwhile was at work when we looked.
    place = SweepFolder(folder)
    busy = place.is_busy
    plan, history = stored_plan(folder), place.history()
    done = {point.key for point in plan.points if place.is_done(point.key)}
    keys = {point.key for point in plan.points}
    failures = {k: r for k, r in place.failures().items() if k in keys - done}
    running = _running(history, keys - done - failures.keys()) if busy else ()
    n_left = len(keys) - len(done) - len(failures)
    state = "running" if busy else "incomplete"
    if not busy and n_left == 0:
        state = "failed" if failures else "done"
    return Status(
        str(folder), state, len(keys), len(done), len(failures), len(running),
        n_left - len(running), _seconds_left(history, n_left, busy=busy), _peak(history),
        running, failures, busy and _is_compiling(history),
    )  # fmt: skip


def _running(history: list[Mapping[str, Any]], missing: set[str]) -> tuple[RunningPoint, ...]:
    """Points of the latest sweep that were begun and have not come to an end."""
    begun: dict[str, Mapping[str, Any]] = {}
    for entry in history:
        if entry["event"] == "sweep_started":
            begun.clear()
        elif entry["event"] == "started":
            begun[entry["point"]] = entry
        elif entry["event"] == "lost":
            begun.pop(entry["point"], None)
    now = datetime.now(tz=UTC)
    return tuple(
        RunningPoint(
            key, entry.get("worker") or "unknown",
            # A clock may have been set back meanwhile.
            max(0.0, round((now - datetime.fromisoformat(entry["time"])).total_seconds(), 1)),
            resident_mib(entry["pid"]) if _is_here(entry) else None,
        )
        for key, entry in begun.items()
        if key in missing
    )  # fmt: skip


def _is_here(entry: Mapping[str, Any]) -> bool:
    """Tell whether a point is at work in a process of this machine."""
    return entry.get("pid") is not None and str(entry.get("worker")).startswith("pid ")


def _is_compiling(history: list[Mapping[str, Any]]) -> bool:
    """Whether the latest sweep began to compile and has begun no point yet."""
    told = [e["event"] for e in history if e["event"] in {"sweep_started", "compiling", "started"}]
    return told[-1:] == ["compiling"]


def _seconds_left(history: list[Mapping[str, Any]], n_left: int, *, busy: bool) -> float | None:
    """Estimate by the pace since the latest start, or before it by the points' own time."""
    starts = [i for i, entry in enumerate(history) if entry["event"] == "sweep_started"]
    if not busy or not starts:
        return 0.0 if n_left == 0 else None
    latest = history[starts[-1] :]
    ended = [entry for entry in latest if entry["event"] in {"finished", "failed"}]
    begun = [entry for entry in latest if entry["event"] == "started"]
    if not ended or not begun:
        return None
    first, last = (datetime.fromisoformat(e["time"]) for e in (begun[0], ended[-1]))
    since, took = (datetime.now(tz=UTC) - last).total_seconds(), (last - first).total_seconds()
    if min(since, took) < 0.0:
        # The clock was set back meanwhile: its times tell nothing.
        return None
    pace = took / len(ended)
    return round(max(0.0, pace * n_left - since), 1)


def _peak(history: list[Mapping[str, Any]]) -> float | None:
    peaks = [peak for entry in history if (peak := entry.get("worker_peak_mib")) is not None]
    return max(peaks, default=None)
