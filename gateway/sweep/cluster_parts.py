"""Parts of a log on the workers of a Dask cluster."""

from __future__ import annotations

import threading
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any, TypeVar
from uuid import uuid4

from distributed import Client, Future, KilledWorker
from distributed.protocol.pickle import dumps, loads

from gateway._numba import set_threads
from gateway.log.work import Workers
from gateway.sweep.cluster import LOOK_SECONDS, Watch, connected
from gateway.sweep.engines import EngineOptions, SweepStoppedError

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
        return max(len(self._watch.workers()), 1)

    def map(self, function: Callable[..., R], units: Iterable[tuple[Any, ...]]) -> Iterator[R]:
        """Yield the results in order, however the workers come by them."""
        # The scheduler looks at what a task is given; it need not see the disk of the log.
        asked = (partial(self._submit, _compute, dumps((function, unit))) for unit in units)
        return self._results(asked, most=_AHEAD * self.count)

    def keep(self, build: Callable[..., Any], units: Iterable[tuple[Any, ...]]) -> _KeptThere:
        """Have each made by a worker, by turns; who takes over from a lost one makes it anew."""
        # Where the last one was just lost, whoever comes next.
        workers: list[str | None] = [*self._watch.workers()] or [None]
        states = [
            self._submit(
                _compute, dumps((build, unit)), workers=workers[k % len(workers)],
                allow_other_workers=True,
            )
            for k, unit in enumerate(units)
        ]  # fmt: skip
        return _KeptThere(self, states)

    def ask(self, states: list[Future], asked: bytes) -> Iterator[Any]:
        """Yield the answers of states, in order."""
        each = (partial(self._submit, _answer, asked, state) for state in states)
        return self._results(each, most=len(states))

    def _results(self, asked: Iterable[Callable[[], Future]], *, most: int) -> Iterator[Any]:
        """Yield the results in order, ``most`` of them under way."""
        handed_out: deque[tuple[Future, Callable[[], Future]]] = deque()
        try:
            for submit in asked:
                handed_out.append((submit(), submit))
                if len(handed_out) >= most:
                    yield self._result(*handed_out.popleft())
            while handed_out:
                yield self._result(*handed_out.popleft())
        finally:
            for future, _ in handed_out:
                future.release()

    def _wait(self, future: Future) -> None:
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        while not done.wait(LOOK_SECONDS):
            self._watch.look()

    def _submit(self, task: Callable[..., Any], *given: Any, **where: Any) -> Future:
        return self._client.submit(
            task, *given, self._options.threads, pure=False,
            key=f"gateway-part-{self._name}-{next(self._number)}", **where,
        )  # fmt: skip

    def _result(self, future: Future, submit: Callable[[], Future]) -> Any:
        self._wait(future)
        # A worker that dies can take a result with it that its client has just been told of.
        for _ in range(_AGAIN):
            if future.status not in {"cancelled", "lost"}:
                break
            self._watch.look()
            future = submit()
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


class _KeptThere:
    """States that workers hold until nobody asks for them any more."""

    def __init__(self, workers: _ClusterWorkers, states: list[Future]) -> None:
        self._workers, self._states = workers, states

    def ask(self, function: Callable[..., R], *given: Any) -> Iterator[R]:
        """Send the question once to each; the answers come in order."""
        return self._workers.ask(self._states, dumps((function, given)))


def _compute(packed: bytes, threads: int) -> Any:
    with _guard:
        set_threads(threads)
        # As Dask sends every task: from the process that asks.
        function, unit = loads(packed)
        return function(*unit)


def _answer(packed: bytes, state: Any, threads: int) -> Any:
    with _guard:
        set_threads(threads)
        function, given = loads(packed)
        return function(state, *given)
