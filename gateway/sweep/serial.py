"""One point after the other, in this process."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

from gateway._numba import set_threads
from gateway._numba import threads as current_threads
from gateway.sweep.events import Event, Finished, Started
from gateway.sweep.running import run_task
from gateway.sweep.tasks import Answer, Task
from gateway.sweep.warming import warm_up

__all__ = ["run_serially"]


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
