"""The engines by name."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from gateway.sweep.events import Event
from gateway.sweep.options import EngineOptions
from gateway.sweep.tasks import Task

__all__ = ["run_tasks"]


def run_tasks(
    tasks: Sequence[Task],
    options: EngineOptions,
    *,
    time_limit: float | None,
    heirlooms: Sequence[int],
) -> Generator[Event]:
    """Compute tasks with the engine that is asked for."""
    if options.engine == "serial":
        from gateway.sweep.serial import run_serially  # noqa: PLC0415

        return run_serially(tasks, threads=options.threads, time_limit=time_limit)
    if options.engine == "dask":
        from gateway.sweep.cluster import run_on_cluster  # noqa: PLC0415  (an extra)

        return run_on_cluster(tasks, options, time_limit=time_limit)
    from gateway.sweep.processes import run_in_processes  # noqa: PLC0415

    return run_in_processes(
        tasks, workers=options.n_workers, threads=options.threads, time_limit=time_limit,
        heirlooms=heirlooms,
    )  # fmt: skip
