"""One point as a task that can cross a pipe or a network, and what comes back."""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from gateway.config import parse_config
from gateway.errors import GatewayError
from gateway.pipeline import execute
from gateway.provenance import peak_memory_mib
from gateway.talk import Advance

__all__ = ["SUMMARY", "Answer", "Task", "run_task"]

# Tables that a point keeps by default: what a sweep is compacted from.
SUMMARY = ("evaluation", "summary")

# The machine is in trouble, not the point: every other one would fail too.
_STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


@dataclass(frozen=True)
class Task:
    """What a worker is given.

    Parameters
    ----------
    key
        Of the point.
    config
        Its config, as TOML.
    folder
        Where its result goes.
    keep
        Tables to store; None for all.
    """

    key: str
    config: str
    folder: str
    keep: tuple[str, ...] | None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Task:
        """Return what ``as_json`` gave."""
        keep = values["keep"]
        return cls(values["key"], values["config"], values["folder"], keep and tuple(keep))


@dataclass(frozen=True)
class Answer:
    """What became of a point.

    Parameters
    ----------
    key
        Of the point.
    state
        ``done``; ``failed``: this point cannot be computed; ``stopped``: the disk is full
        or broken, and no other point could be stored either.
    seconds
        Wall time.
    cpu_seconds
        Of the process.
    peak_mib
        Largest memory of the process so far, other points included.
    reason, traceback, log
        Where it is not done.
    """

    key: str
    state: Literal["done", "failed", "stopped"]
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mib: float = 0.0
    reason: str = ""
    traceback: str = ""
    log: str = ""


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
