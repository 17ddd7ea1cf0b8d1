"""Parts of a log on the workers of a Dask cluster."""

from __future__ import annotations

import threading
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, TypeVar
from uuid import uuid4

from distributed import Client, Future, KilledWorker
from distributed.protocol.pickle import dumps, loads

from gateway._numba import set_threads
from gateway.log.work import Workers
from gateway.sweep.cluster import LOOK_SECONDS, Watch, connected
from gateway.sweep.engines import EngineOptions
from gateway.sweep.tasks import SweepStoppedError

__all__ = ["cluster_workers"]

R = TypeVar("R")
# Pieces handed out for each worker: one at work, one that waits for it.
_AHEAD = 2
# How often a piece whose result is lost is handed out again.
_AGAIN = 3
# numba's simplest threading layer aborts where two threads of a process enter it.
_guard = threading.Lock()


@contextmanager
def cluster_workers(options: EngineOptions) -> Iterator[Workers]:
    """Open a cluster for the parts of a log while the block lasts.

    Raises
    ------
    ConfigError
        When the scheduler cannot be reached, has no worker, or some version differs.
    """
    with connected(options) as client:
        yield _ClusterWorkers(client, options)


class _ClusterWorkers:
    """Workers that get pieces as futures; a piece of a lost worker goes to another one."""

    def __init__(self, client: Client, options: EngineOptions) -> None:
        self._client, self._options = client, options
        self._watch = Watch(client, options)
        self._name, self._number = uuid4().hex, count()

    @property
    def count(self) -> int:
        """Workers that are there now, at least one."""
        return max(len(self._client.scheduler_info()["workers"]), 1)

    def map(self, function: Callable[..., R], units: Iterable[tuple[Any, ...]]) -> Iterator[R]:
        """Yield the results in order, however the workers come by them."""
        handed_out: deque[tuple[Future, tuple[Any, ...]]] = deque()
        most = _AHEAD * self.count
        try:
            for unit in units:
                handed_out.append((self._submit(function, unit), unit))
                if len(handed_out) >= most:
                    yield self._result(function, *handed_out.popleft())
            while handed_out:
                yield self._result(function, *handed_out.popleft())
        finally:
            for future, _ in handed_out:
                future.release()

    def _wait(self, future: Future) -> None:
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        while not done.wait(LOOK_SECONDS):
            self._watch.look()

    def _submit(self, function: Callable[..., R], unit: tuple[Any, ...]) -> Future:
        # The scheduler looks at what a task is given; it need not see the disk of the log.
        packed = dumps((function, unit))
        return self._client.submit(
            _compute, packed, self._options.threads, pure=False,
            key=f"gateway-part-{self._name}-{next(self._number)}",
        )  # fmt: skip

    def _result(self, function: Callable[..., R], future: Future, unit: tuple[Any, ...]) -> Any:
        self._wait(future)
        # A worker that dies can take a result with it that its client has just been told of.
        for _ in range(_AGAIN):
            if future.status not in {"cancelled", "lost"}:
                break
            self._watch.look()
            future = self._submit(function, unit)
            self._wait(future)
        if future.status in {"cancelled", "lost"}:
            raise self._watch.gone()
        try:
            found = future.result()
        except KilledWorker:
            reason = "the same part of the log has ended several workers (not enough memory?)"
            raise SweepStoppedError(reason) from None
        except (OSError, CancelledError):
            raise self._watch.gone() from None
        future.release()
        return found


def _compute(packed: bytes, threads: int) -> Any:
    with _guard:
        set_threads(threads)
        # As Dask sends every task: from the process that asks.
        function, unit = loads(packed)
        return function(*unit)
