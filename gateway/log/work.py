"""Work on a log part by part: who does it, and the memory that it may take."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from gateway.arrays import AnyArray
from gateway.errors import LogError, shown
from gateway.log.join_log import JoinLog
from gateway.log.messages import complaint

R = TypeVar("R")

_UNITS = {"": 1, "B": 1}
_UNITS |= {f"{letter}iB": 2 ** (10 * k) for k, letter in enumerate("KMGT", start=1)}
_UNITS |= {f"{letter}B": 10 ** (3 * k) for k, letter in enumerate("kMGT", start=1)}

# What libraries take beside the work, whatever it is (docs: join logs).
_RESERVE = 2**25
_LARGE = 1 / 8
# Splits, bounds and outcomes of users, and weights with what L-BFGS holds of them (docs: join
# logs).
_TRAINING_PER_USER, _TRAINING_PER_GROUP = 64, 600


def parse_size(text: str) -> int:
    """Return a number of bytes written as ``2GiB``, ``500MB`` or ``1000000``, else a LogError.

    Examples
    --------
    >>> parse_size("2GiB"), parse_size("1.5MB")
    (2147483648, 1500000)
    """
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([A-Za-z]*)", text.strip())
    if found is None or found[2] not in _UNITS:
        rule = f"must be a number and one of {', '.join(filter(None, _UNITS))}, such as 2GiB"
        raise LogError(f"the memory {rule}; got {shown(text)}")
    return int(float(found[1]) * _UNITS[found[2]])


class Kept(Protocol):
    """States that stay where they were made."""

    def ask(self, function: Callable[..., R], *given: Any) -> Iterator[R]:
        """Yield ``function(state, *given)`` for every state, in order."""
        ...


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

    def keep(self, build: Callable[..., Any], units: Iterable[tuple[Any, ...]]) -> Kept:
        """Make ``build(*unit)`` for every unit, each to stay with whoever makes it.

        For work that asks the same of a large state many times: what is asked and answered
        travels, the state does not. ``build`` is as ``function`` of ``map``.
        """
        ...


class _Here:
    """The process itself, one piece after the other."""

    count = 1

    def map(self, function: Callable[..., R], units: Iterable[tuple[Any, ...]]) -> Iterator[R]:
        """Compute each piece when it is asked for."""
        return (function(*unit) for unit in units)

    def keep(self, build: Callable[..., Any], units: Iterable[tuple[Any, ...]]) -> Kept:
        """Make them now."""
        return _KeptHere([build(*unit) for unit in units])


@dataclass(frozen=True, eq=False)
class _KeptHere:
    states: list[Any]

    def ask(self, function: Callable[..., R], *given: Any) -> Iterator[R]:
        return (function(state, *given) for state in self.states)


HERE: Workers = _Here()


@dataclass(frozen=True)
class Work:
    """How a log is worked on."""

    workers: Workers = HERE  # who adds up its parts
    # Bytes that the work may take in each process, the program itself and the pages of mapped
    # files not counted; None for any number.
    memory: int | None = None


_USUAL = Work()
_WORK: ContextVar[Work] = ContextVar("gateway_work", default=_USUAL)
_SCRATCH: ContextVar[Path | None] = ContextVar("gateway_scratch", default=None)


def current_work() -> Work:
    """Return how work is done here and now."""
    return _WORK.get()


@contextmanager
def working(work: Work) -> Iterator[None]:
    """Let all work in the block be done so."""
    token = _WORK.set(work)
    try:
        yield
    finally:
        _WORK.reset(token)


def over_parts(joins: JoinLog, ask: Callable[..., R], *given: Any) -> Iterator[R]:
    """Yield ``ask(part, *given)`` of every part of a log, in order, whoever computes them.

    ``ask`` is a function of a module, so that workers elsewhere can find it.
    """
    yield from _WORK.get().workers.map(ask, ((part, *given) for part in joins.parts()))


def shares(n: int) -> Iterator[slice]:
    """Yield the chunks, of ``n`` one after the other, of each worker."""
    units = min(_WORK.get().workers.count, n)
    for k in range(units):
        yield slice(k * n // units, (k + 1) * n // units)


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path | None]:
    """Give a folder for columns too long for the memory, gone after the block; else None.

    It lies in ``parent``, or in the system's place for temporary files.
    """
    if _WORK.get().memory is None:
        yield None
        return
    with tempfile.TemporaryDirectory(
        prefix=".scratch-", dir=parent, ignore_cleanup_errors=True
    ) as folder:
        token = _SCRATCH.set(Path(folder))
        try:
            yield Path(folder)
        finally:
            _SCRATCH.reset(token)


def new_column(folder: Path, name: str, kind: npt.DTypeLike, size: int) -> AnyArray:
    """Return a new column of zeros in a file, whose pages go back to it when room is short."""
    with (folder / name).open("w+b") as stream:
        return _mapped(stream, kind, size, folder)


def _mapped(stream: Any, kind: npt.DTypeLike, size: int, folder: object) -> AnyArray:
    """Map a new file, as long as the column, with room for all of it on the disk.

    A page that no room is left for when it is written would end the process.

    Raises
    ------
    LogError
        If the disk has not that room.
    """
    count = size * np.dtype(kind).itemsize
    if not count:
        return np.empty(0, kind)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), 0, count)
        else:
            stream.truncate(count)
    except OSError as error:
        what = "the folder for columns that do not fit into memory"
        rule = f"must have room for {count / 2**30:,.1f} GiB more"
        raise complaint(folder, what, rule, got=error.strerror or str(error)) from error
    # Not read-only: kernels are compiled for arrays that can be written to.
    return np.asarray(np.memmap(stream, kind, mode="r+"))


def room(_name: str, kind: npt.DTypeLike, size: int) -> AnyArray:
    """Return a new array of zeros; a large one in a file that is gone with the array.

    Large is what takes more than an eighth of the memory that the work may take. The file is in
    the scratch folder, if there is one, else where the system has its temporary files.
    """
    memory = _WORK.get().memory
    if memory is None or size * np.dtype(kind).itemsize <= memory * _LARGE:
        return np.zeros(size, kind)
    folder = _SCRATCH.get() or tempfile.gettempdir()
    with tempfile.TemporaryFile(dir=folder) as stream:
        return _mapped(stream, kind, size, folder)


def check_training(joins: JoinLog) -> None:
    """Check that training on a log fits into the memory; as ``check_room``."""
    count, size = joins.n_users, joins.n_groups
    needed = count * _TRAINING_PER_USER + size * _TRAINING_PER_GROUP
    check_room(needed, f"training on {count:,} users and {size:,} groups")


def check_room(count: int, what: str) -> None:
    """Raise a LogError unless so many bytes fit into the memory, beside what libraries take."""
    memory, needed = _WORK.get().memory, _RESERVE + count
    if memory is not None and needed > memory:
        rule = f"must be at least {needed / 2**20:,.0f} MiB for {what}"
        raise LogError(f"the memory {rule}; got {memory / 2**20:,.1f} MiB")
