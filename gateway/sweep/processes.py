"""Several worker processes on this machine, each watched over on its own."""

from __future__ import annotations

import select
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

from gateway.sweep.supervisor import Child
from gateway.sweep.tasks import (
    Answer,
    ChildDeathError,
    Event,
    Finished,
    Lost,
    Started,
    SweepStoppedError,
    Task,
)

__all__ = ["ATTEMPTS", "late_answer", "run_in_processes"]

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
