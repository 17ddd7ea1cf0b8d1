"""The engines of a sweep: which there are, what they are told, and how they are called."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from gateway.errors import ConfigError, Problem
from gateway.sweep.tasks import Event, Task

__all__ = ["ENGINES", "EngineOptions", "run_tasks"]

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
