"""One point as a task that can cross a pipe or a network, and what comes back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["SUMMARY", "Answer", "Task"]

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
