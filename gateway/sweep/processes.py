"""Worker processes on this machine, each watched over on its own.

A pool that loses its whole batch when one process is killed, or waits for ever for one
that hangs, is no use for a night's work. Here every child has its own two pipes and its
own deadline: a child that dies or hangs costs the one point that it was at.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

from gateway._processes import command_of
from gateway.results import capture_file, captured
from gateway.sweep.engines import (
    Answer,
    ChildDeathError,
    Event,
    Finished,
    Lost,
    Started,
    SweepStoppedError,
    Task,
)

# A cold start compiles every kernel, for a minute or two, and waits for others that do.
START_SECONDS = 900.0
# How long a child that hangs may take to say where.
LAST_WORDS_SECONDS = 1.0


def worker_environment(threads: int) -> dict[str, str]:
    """Return the environment of a worker that keeps to so many threads.

    Workers times threads should be the number of cores: numba, BLAS, OpenMP and Arrow would
    each take all cores otherwise.
    """
    limits = (
        "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS",
    )  # fmt: skip
    return {**os.environ, **dict.fromkeys(limits, str(threads)), "MPLBACKEND": "agg"}


class Child:
    """One worker process.

    Parameters
    ----------
    heirlooms
        Descriptors that it inherits: the lock of the sweep, so that nobody enters while
        an orphan still lives.
    patience
        Seconds without a task after which it ends by itself; None for never.
    """

    def __init__(
        self, *, threads: int, heirlooms: Sequence[int] = (), patience: float | None = None
    ) -> None:
        self._log = capture_file()
        self._answers, theirs = os.pipe()
        self._buffer = b""
        idle = () if patience is None else (patience,)
        try:
            self._process = subprocess.Popen(  # noqa: S603  (our own module, no shell)
                command_of("gateway.sweep.child", theirs, *idle),
                stdin=subprocess.PIPE, stdout=self._log, stderr=self._log,
                pass_fds=(theirs, *heirlooms), env=worker_environment(threads),
                # A Ctrl-C at the terminal is for the supervisor alone.
                start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(theirs)
        self.pid = self._process.pid
        self.task: Task | None = None
        self.has_started = False
        self._deadline = time.monotonic() + START_SECONDS

    def fileno(self) -> int:
        """Return what to wait on."""
        return self._answers

    @property
    def is_ready(self) -> bool:
        """Whether it has started and has nothing to do."""
        return self.has_started and self.task is None

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    @property
    def is_late(self) -> bool:
        """Whether it has passed its deadline."""
        return time.monotonic() > self._deadline

    @property
    def seconds_left(self) -> float:
        """Until its deadline, in seconds, at least 0."""
        return max(0.0, self._deadline - time.monotonic())

    def give(self, task: Task, *, time_limit: float | None) -> None:
        """Give it a point.

        Raises
        ------
        ChildDeathError
            When nobody listens any more.
        """
        self._log.truncate(0)
        self._deadline = time.monotonic() + time_limit if time_limit else float("inf")
        self.task = task
        assert self._process.stdin is not None  # noqa: S101  (it was asked for)
        try:
            self._process.stdin.write(json.dumps(asdict(task)).encode("ascii") + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ChildDeathError(self._how_it_ended()) from None

    def read(self) -> Answer | None:
        """Read what it has written; None where no answer is whole yet.

        Raises
        ------
        ChildDeathError
            When it ended without one, with how.
        """
        piece = os.read(self._answers, 1 << 16)
        if not piece:
            raise ChildDeathError(self._how_it_ended())
        self._buffer += piece
        if not self._buffer.endswith(b"\n"):
            return None
        values = json.loads(self._buffer)
        self._buffer = b""
        if "ready" in values:
            self.has_started, self._deadline = True, float("inf")
            return None
        self.task = None
        answer = Answer(**values)
        return answer if answer.state == "done" else replace(answer, log=self.log())

    def wait(self) -> Answer | None:
        """Wait for the answer to its task, or its readiness; None when the deadline passes.

        Raises
        ------
        ChildDeathError
            As ``read``.
        """
        had_task = self.task is not None
        while not self.is_late:
            limit = None if self._deadline == float("inf") else self.seconds_left
            ready, _, _ = select.select([self], [], [], limit)
            if ready:
                answer = self.read()
                if answer is not None or (not had_task and self.is_ready):
                    return answer
        return None

    def last_words(self) -> str:
        """Ask a child that hangs where it is, and return the traceback of its threads."""
        before = len(self.log())
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGUSR1)
        deadline = time.monotonic() + LAST_WORDS_SECONDS
        while time.monotonic() < deadline and not self.log()[before:].endswith("\n"):
            time.sleep(0.05)
        return self.log()[before:]

    def log(self) -> str:
        """Return what it has said on stdout and stderr since it was given its task."""
        return captured(self._log)

    def kill(self) -> None:
        """End it at once, with whatever it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        os.close(self._answers)
        self._log.close()

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        if code >= 0:
            return f"worker process {self.pid} ended with exit code {code}"
        name = signal.Signals(-code).name
        oom = " (out of memory, if nobody killed it)" if name == "SIGKILL" else ""
        return f"worker process {self.pid} was ended by {name}{oom}"


# A point whose worker was killed is tried so often; then it is taken for the cause.
ATTEMPTS = 3


@dataclass
class _Crew:
    """The children, and what is left to do."""

    threads: int
    time_limit: float | None
    heirlooms: Sequence[int]
    waiting: deque[Task]
    attempts: Counter[str] = field(default_factory=Counter)
    children: list[Child] = field(default_factory=list)

    def hire(self) -> None:
        self.children.append(Child(threads=self.threads, heirlooms=self.heirlooms))

    def dismiss(self, child: Child) -> None:
        self.children.remove(child)
        child.kill()

    @property
    def is_working(self) -> bool:
        return bool(self.waiting) or any(child.task for child in self.children)


def run_in_processes(
    tasks: Sequence[Task],
    *,
    workers: int,
    threads: int,
    time_limit: float | None,
    heirlooms: Sequence[int] = (),
) -> Generator[Event]:
    """Compute every task in one of ``workers`` processes.

    A worker that dies is replaced and its point tried again, three times in all; one that
    passes the time limit is ended and its point has failed.

    Raises
    ------
    SweepStoppedError
        When a worker dies before it was given anything.
    """
    crew = _Crew(threads, time_limit, heirlooms, deque(tasks))
    try:
        for _ in range(min(workers, len(tasks))):
            crew.hire()
        while crew.is_working:
            yield from _hand_out(crew)
            yield from _collect(crew)
    finally:
        for child in list(crew.children):
            crew.dismiss(child)


def _hand_out(crew: _Crew) -> Iterator[Event]:
    for child in list(crew.children):
        if child.is_ready and crew.waiting:
            task = crew.waiting.popleft()
            crew.attempts[task.key] += 1
            yield Started(task.key, f"pid {child.pid}", child.pid)
            try:
                child.give(task, time_limit=crew.time_limit)
            except ChildDeathError as error:
                yield from _bury(crew, child, str(error))


def _collect(crew: _Crew) -> Iterator[Event]:
    patience = min(child.seconds_left for child in crew.children)
    limit = None if patience == float("inf") else patience
    ready, _, _ = select.select(crew.children, [], [], limit)
    for child in ready:
        try:
            answer = child.read()
        except ChildDeathError as error:
            yield from _bury(crew, child, str(error))
            continue
        if answer is not None:
            yield Finished(answer)
    for child in list(crew.children):
        if child.is_late and child not in ready:
            yield from _end(crew, child)


def _end(crew: _Crew, child: Child) -> Iterator[Event]:
    """End a child that has passed its deadline."""
    if child.task is None:
        raise SweepStoppedError("a worker process does not get ready:\n" + child.log())
    answer = late_answer(child, child.task, crew.time_limit)
    crew.dismiss(child)
    yield Finished(answer)
    if crew.waiting:
        crew.hire()


def _bury(crew: _Crew, child: Child, reason: str) -> Iterator[Event]:
    """Replace a child that died, and try its point again or give it up."""
    task, log = child.task, child.log()
    crew.dismiss(child)
    if not child.has_started:
        raise SweepStoppedError(f"{reason} before it was given anything:\n{log}")
    if crew.waiting or task is not None:
        crew.hire()
    if task is None:
        return
    if crew.attempts[task.key] < ATTEMPTS:
        crew.waiting.appendleft(task)
        yield Lost(task.key, reason)
    else:
        said = f"{reason}, as before it {ATTEMPTS - 1} others with this point"
        yield Finished(Answer(task.key, "failed", reason=said, log=log))


def late_answer(child: Child, task: Task, time_limit: float | None) -> Answer:
    """Return the failure of a point that passed its time limit, with where it hung."""
    log = child.log()
    words = child.last_words()
    reason = f"exceeded the time limit of {time_limit:g} s"
    seconds = float(time_limit or 0.0)
    return Answer(task.key, "failed", seconds, reason=reason, traceback=words, log=log)
