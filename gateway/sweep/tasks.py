"""What drivers, engines and workers of a sweep hand each other.

A task and its answer can cross a pipe or a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["SUMMARY", "Answer", "ChildDeathError", "Event", "Finished", "Lost", "Started",
           "SweepStoppedError", "Task"]  # fmt: skip

# Tables that a point keeps by default: what a sweep is compacted from.
SUMMARY = ("evaluation", "interventions", "summary")


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


@dataclass(frozen=True)
class Started:
    """A worker has begun a point."""

    key: str
    worker: str
    pid: int | None = None


@dataclass(frozen=True)
class Finished:
    """A point came to its end, well or not.

    Parameters
    ----------
    answer
        What became of it.
    files
        Its result, where the worker has no access to the sweep's folder.
    """

    answer: Answer
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Lost:
    """A worker died; its point will be tried again."""

    key: str
    reason: str


Event = Started | Finished | Lost


class SweepStoppedError(Exception):
    """The machine, not a point, is in trouble: nothing more could be computed or stored."""


class ChildDeathError(Exception):
    """A worker ended without an answer: killed, out of memory, or a crash in native code."""
