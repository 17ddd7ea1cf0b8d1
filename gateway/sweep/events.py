"""What an engine tells its driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.sweep.tasks import Answer

__all__ = ["Event", "Finished", "Lost", "Started"]


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
