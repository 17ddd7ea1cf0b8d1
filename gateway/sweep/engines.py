"""The engines of a sweep: which there are, and what they are handed and hand back."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.errors import ConfigError, Problem

# Tables that a point keeps by default: what a sweep is compacted from.
SUMMARY = ("evaluation", "interventions", "summary", "calls", "planted")


@dataclass(frozen=True)
class Task:
    """What a worker is given."""

    key: str
    config: str  # its config, as TOML
    folder: str  # where its result goes
    keep: tuple[str, ...] | None  # tables to store; None for all

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Task:
        """Return a task from its fields as JSON gives them."""
        keep = values["keep"]
        return cls(values["key"], values["config"], values["folder"], keep and tuple(keep))


@dataclass(frozen=True)
class Answer:
    """What became of a point."""

    key: str
    # ``done``; ``failed``: this point cannot be computed; ``stopped``: the disk is full or
    # broken, and no other point could be stored either.
    state: Literal["done", "failed", "stopped"]
    seconds: float = 0.0  # wall time
    cpu_seconds: float = 0.0  # of the process
    peak_mib: float = 0.0  # largest memory of the process so far, other points included
    # Where it is not done.
    reason: str = ""
    traceback: str = ""
    log: str = ""


@dataclass(frozen=True)
class Started:
    """A worker has begun a point."""

    key: str
    worker: str
    pid: int | None = None


@dataclass(frozen=True)
class Finished:
    """A point came to its end, well or not."""

    answer: Answer  # what became of it
    # Its result, where the worker has no access to the sweep's folder.
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Lost:
    """A worker died; its point will be tried again."""

    key: str
    reason: str


Event = Started | Finished | Lost


class SweepStoppedError(Exception):
    """The machine, not a point, is in trouble: nothing more could be computed or stored."""


class ChildDeathError(Exception):
    """A worker ended without an answer: killed, out of memory, or a crash in native code."""


ENGINES = ("serial", "processes", "dask")


@dataclass(frozen=True)
class EngineOptions:
    """Where and how points are computed. Nothing here changes a result.

    Parameters
    ----------
    engine
        ``serial``: in this process; ``processes``: on this machine; ``dask``: on a cluster.
    workers
        How many; None for as many as the cores bear.
    threads
        Of each worker.
    scheduler
        Address of a Dask scheduler, ``tcp://host:port``; None for a cluster of this
        machine's own.

    Raises
    ------
    ConfigError
        When they do not go together.
    """

    engine: str = "processes"
    workers: int | None = None
    threads: int = 1
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ConfigError([Problem("--engine", f"must be one of {', '.join(ENGINES)}",
                                       self.engine)])  # fmt: skip
        if self.scheduler is not None and self.engine != "dask":
            rule = "goes with --engine dask alone"
            raise ConfigError([Problem("--scheduler", rule, f"--engine {self.engine}")])
        if self.scheduler is not None and self.workers is not None:
            rule = "cannot stand beside --scheduler: the cluster has its workers"
            raise ConfigError([Problem("--workers", rule)])

    @property
    def n_workers(self) -> int:
        """How many workers run on this machine."""
        if self.engine == "serial":
            return 1
        return self.workers or max(1, (os.cpu_count() or 1) // self.threads)


def run_tasks(
    tasks: Sequence[Task],
    options: EngineOptions,
    *,
    time_limit: float | None,
    heirlooms: Sequence[int],
) -> Generator[Event]:
    """Compute tasks with the engine that is asked for."""
    if options.engine == "serial":
        from gateway.sweep.running import run_serially  # noqa: PLC0415

        return run_serially(tasks, threads=options.threads, time_limit=time_limit)
    if options.engine == "dask":
        from gateway.sweep.cluster import run_on_cluster  # noqa: PLC0415  (an extra)

        return run_on_cluster(tasks, options, time_limit=time_limit)
    from gateway.sweep.processes import run_in_processes  # noqa: PLC0415

    return run_in_processes(
        tasks, workers=options.n_workers, threads=options.threads, time_limit=time_limit,
        heirlooms=heirlooms,
    )  # fmt: skip
