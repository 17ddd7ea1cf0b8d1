"""What a long job says while it works, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

# Called with the number of steps that are done so far.
Advance = Callable[[int], object]


class Talk(Protocol):
    """A listener: a progress bar, plain lines, or nobody."""

    def stage(self, name: str, total: int | None = None) -> AbstractContextManager[Advance]:
        """Open a stage of ``total`` steps; it ends with the block."""
        ...

    def say(self, text: str) -> None:
        """Say one line."""
        ...


class _Silence:
    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:  # noqa: ARG002
        yield lambda _: None

    def say(self, text: str) -> None:
        """Say nothing."""


SILENT: Talk = _Silence()
