"""Who computes what is asked of each part of a log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

__all__ = ["HERE", "OnDisk", "Workers"]

R = TypeVar("R")


class Workers(Protocol):
    """Somebody who computes pieces of work, in this process or elsewhere.

    Nothing here changes a result: the pieces are the same, and come in the same order.
    """

    @property
    def count(self) -> int:
        """How many work at once."""
        ...

    def map(self, function: Callable[..., R], units: Iterable[tuple[Any, ...]]) -> Iterator[R]:
        """Yield ``function(*unit)`` for every unit, in order.

        ``function`` must be one of a module, for others to find it, and what it is given
        and gives must be small beside the memory: some results wait for their turn.
        """
        ...


class _Here:
    """The process itself, one piece after the other."""

    count = 1

    def map(self, function: Callable[..., R], units: Iterable[tuple[Any, ...]]) -> Iterator[R]:
        """Compute each piece when it is asked for."""
        return (function(*unit) for unit in units)


HERE: Workers = _Here()


@dataclass(frozen=True)
class OnDisk:
    """How a log that stays on disk is worked on.

    Parameters
    ----------
    memory
        Bytes that the work may take in each process, the program itself not counted.
    workers
        Who reads the parts.
    scratch
        Folder for what is too long for the memory, as in ``PartitionedLog``.
    """

    memory: int
    workers: Workers = HERE
    scratch: Path | None = None
