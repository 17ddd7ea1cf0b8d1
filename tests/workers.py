"""Workers of this process who get and give copies of everything, made as those that are sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np


class Posting:
    """So many workers, and the bytes of arrays that went either way."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.states: list[Any] = []
        self.sent: list[int] = []
        self.received: list[int] = []

    def map(self, function: Callable, units: Iterable[tuple]) -> Iterator:
        return (posted(function(*posted(unit))) for unit in units)

    def keep(self, build: Callable, units: Iterable[tuple]) -> Kept:
        self.states = [build(*posted(unit)) for unit in units]
        return Kept(self, self.states)


class Kept:
    """What they hold."""

    def __init__(self, workers: Posting, states: list[Any]) -> None:
        self._workers, self._states = workers, states

    def ask(self, function: Callable, *given: Any) -> Iterator:
        for state in self._states:
            answer = function(state, *posted(given, self._workers.sent))
            yield posted(answer, self._workers.received)


def posted(value: Any, sizes: list[int] | None = None) -> Any:
    """What another process makes of a value that it is sent: by its `__reduce__`."""
    if sizes is not None:
        sizes.append(sum(each.nbytes for each in value if isinstance(each, np.ndarray)))
    return deepcopy(value)
