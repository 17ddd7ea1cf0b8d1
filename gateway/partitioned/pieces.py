"""What is asked of every piece of a log: the whole of one in memory, the parts of one on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.errors import LogError
from gateway.joins import JoinLog
from gateway.partitioned.log import AnyLog, PartitionedLog

__all__ = ["over_pieces", "select_users"]

R = TypeVar("R")
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def over_pieces(joins: AnyLog, ask: Callable[..., R], *given: Any) -> Iterator[R]:
    """Yield ``ask(piece, *given)`` of a log in memory, or of every part of one on disk.

    Parameters
    ----------
    joins
        The log.
    ask
        A function of a module, so that workers elsewhere can find it.
    given
        What else it takes.

    Yields
    ------
    R
        In order of the users, whoever computes them.
    """
    if isinstance(joins, JoinLog):
        yield ask(joins, *given)
        return
    units = ((_Ticket.of(joins, k), ask, given) for k in range(len(joins.manifest.parts)))
    yield from joins.workers.map(_ask_part, units)


class _Ticket(NamedTuple):
    """A part, for somebody who may be in another process."""

    folder: str
    digest: str
    memory: int
    part: int

    @classmethod
    def of(cls, joins: PartitionedLog, part: int) -> _Ticket:
        return cls(str(joins.folder.resolve()), joins.digest, joins.memory, part)


def _ask_part(ticket: _Ticket, ask: Callable[..., R], given: tuple[Any, ...]) -> R:
    return ask(_opened(*ticket[:3]).part(ticket.part), *given)


@lru_cache(maxsize=1)
def _opened(folder: str, digest: str, memory: int) -> PartitionedLog:
    """Open a log once for all its parts: the names of its groups are read only then."""
    log = PartitionedLog.at(Path(folder), memory=memory)
    if log.digest != digest:
        rule = "must be the same folder for every worker, on a disk that all of them see"
        raise LogError(f"{folder} {rule}; here it holds another log")
    return log


class _Chosen(NamedTuple):
    """The joins of some users of a part."""

    counts: Int64
    group: Int32
    time: Int32
    users: pa.StringArray
    observed_from: Int32 | None
    observed_until: Int32


def select_users(
    joins: PartitionedLog, wanted: Callable[..., Mask], *given: Any, what: str
) -> JoinLog:
    """Bring the users of a log on disk into memory that a rule chooses, with all their joins.

    Parameters
    ----------
    joins
        The log.
    wanted
        A function of a module, of a part and what is ``given``: bool, shape (n_users,).
    given
        What else it takes.
    what
        What they are called in the message when they are too many.

    Returns
    -------
    JoinLog
        Of the chosen users in order of their names, and all groups.

    Raises
    ------
    LogError
        If they do not fit into the memory.
    """
    chosen: list[_Chosen] = []
    count = 0
    for found in over_pieces(joins, _choose, wanted, given):
        chosen.append(found)
        count += len(found.group)
        joins.check_room(count, what)
    counts, group, time, users, first, last = zip(*chosen, strict=True)
    return JoinLog(
        offsets=np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64),
        group=np.concatenate(group), time=np.concatenate(time), users=pa.concat_arrays(users),
        groups=joins.groups, tick=joins.tick, origin=joins.origin,
        observed_from=None if first[0] is None else np.concatenate(first),
        observed_until=np.concatenate(last),
    )  # fmt: skip


def _choose(part: JoinLog, wanted: Callable[..., Mask], given: tuple[Any, ...]) -> _Chosen:
    users = wanted(part, *given)
    counts = np.diff(part.offsets)
    row = np.repeat(users, counts)
    return _Chosen(
        counts[users], part.group[row], part.time[row], part.users.filter(pa.array(users)),
        None if part.observed_from is None else part.observed_from[users],
        part.observed_until[users],
    )  # fmt: skip
