"""Who reads the parts of a log on disk: this process, or a Dask cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.cli.terminal import complain
from gateway.errors import ConfigError, Problem
from gateway.log.work import parse_size

if TYPE_CHECKING:
    from gateway.log.work import Workers
    from gateway.sweep import EngineOptions

__all__ = ["PartOptions", "options_for_parts", "workers_for"]

STOPPED = 1


@dataclass(frozen=True)
class PartOptions:
    """How a log on disk is worked on: bytes that each process may take, and who they are."""

    memory: int
    engine: EngineOptions


def options_for_parts(
    memory: str | None,
    *,
    engine: str,
    scheduler: str | None,
    workers: int | None,
    threads: int | None,
) -> PartOptions | None:
    """Return how a log on disk is worked on; None for a log in memory.

    Raises
    ------
    GatewayError
        When the options do not go together.
    """
    if engine not in ("serial", "dask"):
        raise ConfigError([Problem("--engine", "must be serial or dask", engine)])
    if engine == "serial":
        for name, value in (("--scheduler", scheduler), ("--workers", workers)):
            if value is not None:
                raise ConfigError([Problem(name, "goes with --engine dask alone", str(value))])
    if memory is None:
        if engine != "serial":
            raise ConfigError([Problem("--engine", "goes with --memory alone", engine)])
        return None
    from gateway.sweep import EngineOptions  # noqa: PLC0415  (a log in memory needs no engine)

    return PartOptions(parse_size(memory), EngineOptions(engine, workers, threads or 1, scheduler))


@contextmanager
def workers_for(options: PartOptions) -> Iterator[Workers]:
    """Give the workers while the block lasts; a cluster that is lost ends the command."""
    from gateway.log.work import HERE  # noqa: PLC0415  (quick help)

    if options.engine.engine == "serial":
        yield HERE
        return
    from gateway.sweep import SweepStoppedError  # noqa: PLC0415  (a cluster's)
    from gateway.sweep.cluster_parts import cluster_workers  # noqa: PLC0415  (an extra)

    try:
        with cluster_workers(options.engine) as workers:
            yield workers
    except SweepStoppedError as error:
        complain(f"the run has stopped: {error}; nothing is left of it")
        sys.exit(STOPPED)
