"""Points on a Dask cluster: of this machine's own, or one whose scheduler is named."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any
from uuid import uuid4

from gateway.errors import ConfigError, Problem
from gateway.results import scratch_folder
from gateway.sweep.engines import (
    Answer,
    EngineOptions,
    Event,
    Finished,
    Lost,
    Started,
    SweepStoppedError,
    Task,
)

try:
    import cryptography  # noqa: F401  (TLS between the processes of this machine)
    import dask
    import distributed
    from distributed import Client, Future, LocalCluster
    from distributed.comm import connect
    from distributed.security import Security
except ImportError:
    rule = "needs the packages of the extra [dask]: pip install 'gateway-groups[dask]'"
    raise ConfigError([Problem("--engine dask", rule)]) from None

from gateway.sweep import cluster_worker

CONNECT_SECONDS = 10.0
# How long a cluster may be without any worker before the sweep gives up.
LONELY_SECONDS = 120.0
LOOK_SECONDS = 2.0
# Of Python: the current folder is no place to import from.
_SAFE_PATH = "PYTHONSAFEPATH"


def run_on_cluster(
    tasks: Sequence[Task], options: EngineOptions, *, time_limit: float | None
) -> Generator[Event]:
    """Compute every task as a future of a Dask cluster.

    A worker that is lost has its point computed again by another one.

    Raises
    ------
    ConfigError
        When the scheduler cannot be reached, or a worker has other versions.
    SweepStoppedError
        When the scheduler or all workers are gone.
    """
    with connected(options) as client:
        yield from _Cluster(client, options).compute(tasks, time_limit)


@contextmanager
def connected(options: EngineOptions) -> Iterator[Client]:
    """Open a cluster whose scheduler and workers have our versions, while the block lasts.

    Raises
    ------
    ConfigError
        When the scheduler cannot be reached, has no worker, or some version differs.
    """
    _hush()
    # A point of a fit has eight bytes for each group, which is a large task and must be.
    large = {"distributed.admin.large-graph-warning-threshold": "1TiB"}
    with dask.config.set(large), _client(options) as client:
        _check_versions(client)
        yield client


def _hush() -> None:
    """Keep Dask's own log, tracebacks included, off the terminal: we say what happened."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in {"distributed", "tornado", "asyncio"}:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


@contextmanager
def _client(options: EngineOptions) -> Iterator[Client]:
    with ExitStack() as stack:
        address: Any = options.scheduler
        if address is None:
            scratch = stack.enter_context(scratch_folder())
            address = stack.enter_context(_cluster_of_this_machine(options, str(scratch)))
        yield stack.enter_context(_connected(address, options))


@contextmanager
def _cluster_of_this_machine(options: EngineOptions, scratch: str) -> Iterator[LocalCluster]:
    """Start scheduler and workers that nobody else on the machine can use.

    A scheduler runs what it is sent by whoever connects, and loopback is open to every user: so
    each connection needs a certificate, which is in these processes' memory alone. Workers
    import nothing from the current folder.
    """
    no_pages: dict[str, list[str]] = {
        f"distributed.{who}.http.routes": [] for who in ("scheduler", "worker")
    }
    before = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    try:
        with dask.config.set(no_pages), LocalCluster(
            n_workers=options.n_workers, threads_per_worker=1, processes=True,
            # Points live in children of the workers; Dask must not judge by its own memory.
            memory_limit=0, dashboard_address=None, local_directory=scratch,
            silence_logs=logging.CRITICAL + 1, security=Security.temporary(),
        ) as cluster:  # fmt: skip
            yield cluster
    finally:
        if before is None:
            del os.environ[_SAFE_PATH]
        else:
            os.environ[_SAFE_PATH] = before


def _connected(address: Any, options: EngineOptions) -> Client:
    try:
        # By itself first: a client that never got through complains at the very end.
        if options.scheduler is not None:
            asyncio.run(_knock(options.scheduler))
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError, ImportError) as error:
        rule = f"cannot be reached ({type(error).__name__})"
        raise ConfigError([Problem("--scheduler", rule, options.scheduler)]) from None


async def _knock(address: str) -> None:
    comm = await connect(address, timeout=CONNECT_SECONDS)
    comm.abort()


def _check_versions(client: Client) -> None:
    """Refuse a cluster that would give other results, or that cannot be talked to."""
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError:
        raise ConfigError([Problem("the cluster", "has no worker")]) from None
    # The scheduler first: with another version of it, nothing else may work.
    problems = _scheduler_problems(client) or _worker_problems(client)
    if problems:
        raise ConfigError(problems)


def _worker_problems(client: Client) -> list[Problem]:
    found = client.run(cluster_worker.report_versions, on_error="return")
    mine = cluster_worker.report_versions()
    problems = []
    for address, theirs in sorted(found.items()):
        if isinstance(theirs, BaseException):
            rule = f"must be able to import gateway with its extra [dask]: {theirs}"
            problems.append(Problem(f"worker {address}", rule))
            continue
        problems += [
            Problem(
                f"worker {address}",
                f"must have {name} {mine[name]}, as here",
                str(theirs.get(name)),
            )
            for name in mine
            if theirs.get(name) != mine[name]
        ]
    return problems


def _scheduler_problems(client: Client) -> list[Problem]:
    try:
        said = client.get_versions(check=False)
    except (
        AssertionError, AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError,
    ) as error:  # fmt: skip
        # What an answer of another version looks like to Dask.
        rule = f"must have distributed {distributed.__version__}, as here"
        got = f"an answer that it cannot be asked ({type(error).__name__})"
        return [Problem("the scheduler", rule, got)]
    mine, theirs = (said[side]["packages"].get("distributed") for side in ("client", "scheduler"))
    if mine == theirs:
        return []
    return [Problem("the scheduler", f"must have distributed {mine}, as here", str(theirs))]


class Watch:
    """Sees whether there is still somebody who works.

    Parameters
    ----------
    client
        Of the cluster.
    options
        As it was asked for.
    """

    def __init__(self, client: Client, options: EngineOptions) -> None:
        self._client = client
        self._address = options.scheduler or "this machine"
        self._seen_workers = time.monotonic()

    def look(self) -> None:
        """Look once, every few seconds while nothing comes.

        Raises
        ------
        SweepStoppedError
            When the scheduler is gone, or all workers have been for a while.
        """
        if self._client.status != "running":
            raise self.gone()
        if self.workers():
            self._seen_workers = time.monotonic()
        elif time.monotonic() > self._seen_workers + LONELY_SECONDS:
            raise SweepStoppedError(f"the cluster at {self._address} has lost all its workers")

    def workers(self) -> list[str]:
        """Return the addresses of the workers that are there now, sorted.

        The scheduler is asked: what the client keeps of it is renewed by a thread of Dask's, and
        may for a moment name none.

        Raises
        ------
        SweepStoppedError
            When the scheduler is gone.
        """
        try:
            return sorted(self._client.nthreads())
        except OSError:
            raise self.gone() from None

    def gone(self) -> SweepStoppedError:
        """Return what is raised when the scheduler is gone."""
        return SweepStoppedError(f"the scheduler at {self._address} is gone")


class _Cluster:
    def __init__(self, client: Client, options: EngineOptions) -> None:
        self._client = client
        self._options = options
        # Filled by threads of Dask's; emptied by ours.
        self._news: queue.Queue[Event | Future] = queue.Queue()
        self._watch = Watch(client, options)

    def compute(self, tasks: Sequence[Task], time_limit: float | None) -> Iterator[Event]:
        self._client.subscribe_topic(cluster_worker.TOPIC, self._hear)
        futures = self._submit(tasks, time_limit)
        try:
            while futures:
                yield from self._next(futures)
            self._client.run(cluster_worker.dismiss)
        finally:
            for future in futures:
                future.release()

    def _submit(self, tasks: Sequence[Task], time_limit: float | None) -> dict[Future, Task]:
        sweep = uuid4().hex
        options = {"threads": self._options.threads, "time_limit": time_limit,
                   "versions": cluster_worker.report_versions()}  # fmt: skip
        futures = {
            self._client.submit(
                cluster_worker.compute, asdict(task), **options, pure=False,
                key=f"gateway-{task.key}-{sweep}",
            ): task
            for task in tasks
        }  # fmt: skip
        for future in futures:
            future.add_done_callback(self._news.put)
        return futures

    def _hear(self, event: tuple[float, Mapping[str, Any]]) -> None:
        _, facts = event
        if facts["event"] == "started":
            self._news.put(Started(facts["key"], facts["worker"], facts["pid"]))
        else:
            self._news.put(Lost(facts["key"], facts["reason"]))

    def _next(self, futures: dict[Future, Task]) -> Iterator[Event]:
        try:
            news = self._news.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            self._watch.look()
            return
        if not isinstance(news, Future):
            yield news
        elif news in futures:
            yield self._finished(news, futures.pop(news))

    def _finished(self, future: Future, task: Task) -> Finished:
        if future.status in {"cancelled", "lost"}:
            raise self._watch.gone()
        if future.status == "error":
            error = future.exception()
            reason = f"{type(error).__name__}: {error}"
            return Finished(Answer(task.key, "failed", reason=reason))
        try:
            found = future.result()
        except OSError:
            raise self._watch.gone() from None
        future.release()
        return Finished(Answer(**found["answer"]), found["files"])
