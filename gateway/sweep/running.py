"""Computes points in this process, once kernels are compiled, and answers whatever happens."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import signal
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Literal

from gateway import _numba
from gateway._cache import filling, is_filled
from gateway._numba import set_threads
from gateway._numba import threads as current_threads
from gateway.config import parse_config
from gateway.detect import DETECTORS
from gateway.errors import GatewayError
from gateway.pipeline import execute
from gateway.provenance import cpu_name, peak_memory_mib, result_versions
from gateway.results import scratch_folder
from gateway.sweep.engines import Answer, Event, Finished, Started, Task
from gateway.talk import Advance

# The machine is in trouble, not the point: every other one would fail too.
_STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


def run_task(task: Task, say: Callable[[str], object]) -> Answer:
    """Compute one point and store it; whatever it raises becomes the answer."""
    wall, cpu = time.monotonic(), time.process_time()
    say(f"point {task.key}")
    state: Literal["done", "failed", "stopped"] = "done"
    reason = trace = ""
    try:
        config = parse_config(task.config, name=f"point {task.key}")
        execute(config, folder=Path(task.folder), keep=task.keep, talk=_Lines(say))
    except GatewayError as error:
        state, reason, trace = "failed", str(error), traceback.format_exc()
    except Exception as error:  # noqa: BLE001  (the outermost edge of a point: others go on)
        is_storage = isinstance(error, OSError) and error.errno in _STORAGE
        state = "stopped" if is_storage else "failed"
        reason = f"{type(error).__name__}: {error}"
        trace = traceback.format_exc()
    say(reason or "done")
    return Answer(
        task.key,
        state,
        round(time.monotonic() - wall, 3),
        round(time.process_time() - cpu, 3),
        round(peak_memory_mib(), 1),
        reason,
        trace,
    )


class _Lines:
    """Each stage as a line when it begins, so that the log of a dead worker tells where."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say

    @contextmanager
    def _stage(self, name: str) -> Iterator[Advance]:
        begun = time.monotonic()
        self._say(f"{name} ...")
        yield lambda _: None
        self._say(f"{name}: {time.monotonic() - begun:.2f} s")

    def stage(self, name: str, total: int | None = None) -> AbstractContextManager[Advance]:  # noqa: ARG002
        """Say when a stage begins, and how long it took."""
        return self._stage(name)

    def say(self, text: str) -> None:
        """Say one line."""
        self._say(text)


class _TimeLimitError(Exception):
    """The point has had its time."""


def run_serially(
    tasks: Sequence[Task], *, threads: int, time_limit: float | None
) -> Generator[Event]:
    """Compute every task here.

    Limits
    ------
    A crash in native code, or the memory running out, ends the whole sweep; it can be
    resumed. The time limit acts between kernels, not within one.
    """
    before = current_threads()
    set_threads(threads)
    try:
        warm_up()
        for task in tasks:
            yield Started(task.key, f"pid {os.getpid()}", os.getpid())
            yield Finished(_run(task, time_limit))
    finally:
        set_threads(before)


def _run(task: Task, time_limit: float | None) -> Answer:
    lines: list[str] = []
    with _alarm(time_limit):
        answer = run_task(task, lines.append)
    if answer.state == "done":
        return answer
    if answer.reason.startswith(_TimeLimitError.__name__):
        answer = replace(answer, reason=f"exceeded the time limit of {time_limit:g} s")
    return replace(answer, log="\n".join(lines) + "\n")


@contextmanager
def _alarm(seconds: float | None) -> Iterator[None]:
    if seconds is None:
        yield
        return
    before = signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def _ring(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise _TimeLimitError


# The smallest world that goes through every stage and every detector.
TINY = """
[experiment]
name = "warm-up"
seed = 5
[world]
users = 400
groups = 80
days = 120
arrival_days = 30
joins_per_user = 9.0
mean_friends = 6.0
topics = 8
harm_interest = 0.1
strikes_per_member = 2.0
countries = { US = 1.0 }
[world.roles]
targets = 16
influence = 6
homophily = 6
hub = 3
[targets]
country = "US"
kind = "nudity"
month = "2020-03"
min_strikes = 1
[score]
horizon = 30
[spike]
min_joiners = 5
min_spiking = 2
"""


def is_cold() -> bool:
    """Tell whether kernels are still to be compiled on this machine."""
    return _numba.is_compiled() and not is_filled(_numba.CACHE, _marker())


def _marker() -> str:
    facts = [result_versions(), cpu_name(), platform.machine(), platform.python_version()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def warm_up() -> None:
    """Run a tiny world once per machine, processor and set of versions.

    One process of a machine fills the cache, the others wait: what compiles is no point's time.
    """
    with filling(_numba.CACHE, _marker()) as cold:
        if cold and _numba.is_compiled():
            with scratch_folder() as scratch:
                every = f"detect.detectors={json.dumps(list(DETECTORS))}"
                execute(parse_config(TINY, overrides=[every]), folder=scratch / "warm-up")
