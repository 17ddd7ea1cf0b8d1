"""A join log that stays on disk: parts by user, read one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.errors import LogError
from gateway.joins import JoinLog, Tick
from gateway.joins_io.messages import complaint
from gateway.joins_io.partitioned import (
    Manifest,
    PartFacts,
    give_back,
    read_groups,
    read_manifest,
    read_part,
)

__all__ = ["AnyLog", "PartitionedLog", "pieces_of", "select_users"]

Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# What a detector holds at once for each join that is in memory, of a part or of the cases,
# and what libraries take whatever the work (docs/logs.md: measured).
_BYTES_PER_JOIN = 400
_RESERVE = 2**25


@dataclass(frozen=True, eq=False, repr=False)
class PartitionedLog:
    """A log that ``gateway convert`` wrote.

    Make one with ``at``.

    Parameters
    ----------
    folder
        Where it lies.
    manifest
        Its own account of what is in it.
    groups
        Names, as ``JoinLog.groups``.
    members
        int64, shape (n_groups,).
    memory
        Bytes that work on it may take, the program itself not counted.
    """

    folder: Path
    manifest: Manifest
    groups: pa.StringArray
    members: Int64
    memory: int

    @classmethod
    def at(cls, folder: str | Path, *, memory: int) -> Self:
        """Return the log at a folder.

        Raises
        ------
        LogError
            If it is no converted log, was changed, or its parts are too large for the memory.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        if manifest is None:
            rule = "must be a log that 'gateway convert' made, to be read part by part"
            raise complaint(folder, "the log", rule)
        groups, members = read_groups(folder, manifest)
        log = cls(folder, manifest, groups, members, memory)
        log.check_room(max(part.joins for part in manifest.parts), "the largest part")
        return log

    def __repr__(self) -> str:
        size = f"{self.n_joins:,} joins of {self.n_groups:,} groups by {self.n_users:,} users"
        return f"<PartitionedLog: {size}, {len(self.manifest.parts):,} parts>"

    @property
    def n_users(self) -> int:
        """Number of users."""
        return self.manifest.users

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.groups)

    @property
    def n_joins(self) -> int:
        """Number of joins."""
        return self.manifest.joins

    @property
    def tick(self) -> Tick:
        """Unit of time."""
        return self.manifest.tick

    @property
    def origin(self) -> int:
        """Tick zero, as ``JoinLog.origin``."""
        return self.manifest.origin

    @property
    def span(self) -> tuple[int, int]:
        """Ticks of the first and the last join."""
        return 0, self.manifest.last_join - self.manifest.origin

    def sizes(self) -> Int64:
        """Return the number of members of each group, int64, shape (n_groups,)."""
        return self.members

    def parts(self) -> Iterator[JoinLog]:
        """Yield the parts as logs of some users and all groups, in order of the users."""
        for part in self.manifest.parts:
            yield self._part(part)
            give_back()

    def check_room(self, joins: int, what: str) -> None:
        """Check that so many joins fit into the memory.

        Raises
        ------
        LogError
            If they do not; the message says how much is needed.
        """
        needed = _RESERVE + joins * _BYTES_PER_JOIN
        if needed > self.memory:
            rule = f"must be at least {needed / 2**20:,.0f} MiB for {what}, of {joins:,} joins"
            raise LogError(f"the memory {rule}; got {self.memory / 2**20:,.1f} MiB")

    def _part(self, part: PartFacts) -> JoinLog:
        rows = read_part(self.folder, self.manifest, part)
        span = self.manifest.last - self.manifest.origin
        n = len(rows.users)
        try:
            return JoinLog(
                offsets=rows.offsets, group=rows.group, time=rows.time,
                users=rows.users, groups=self.groups, tick=self.tick, origin=self.origin,
                observed_from=np.zeros(n, np.int32), observed_until=np.full(n, span, np.int32),
            )  # fmt: skip
        except ValueError as error:
            rule = "cannot be used; was it changed by another program?"
            raise complaint(self.folder / part.file, "the part", rule, got=str(error)) from error


AnyLog = JoinLog | PartitionedLog


def pieces_of(joins: AnyLog) -> Iterator[JoinLog]:
    """Yield a log in memory as it is, one on disk part by part."""
    if isinstance(joins, JoinLog):
        yield joins
    else:
        yield from joins.parts()


def select_users(joins: PartitionedLog, wanted: Callable[[JoinLog], Mask], *, what: str) -> JoinLog:
    """Bring the users of a log on disk into memory that a rule chooses, with all their joins.

    Parameters
    ----------
    joins
        The log.
    wanted
        Of a part: bool, shape (n_users,).
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
    chosen: list[JoinLog] = []
    count = 0
    for part in joins.parts():
        chosen.append(_subset(part, wanted(part)))
        count += chosen[-1].n_joins
        joins.check_room(count, what)
    first = chosen[0]
    counts = np.concatenate([np.diff(log.offsets) for log in chosen])
    return JoinLog(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        group=np.concatenate([log.group for log in chosen]),
        time=np.concatenate([log.time for log in chosen]),
        users=pa.concat_arrays([log.users for log in chosen]),
        groups=joins.groups, tick=first.tick, origin=first.origin,
        observed_from=np.concatenate([log.observed_from for log in chosen]),
        observed_until=np.concatenate([log.observed_until for log in chosen]),
    )  # fmt: skip


def _subset(part: JoinLog, users: Mask) -> JoinLog:
    counts = np.diff(part.offsets)
    row = np.repeat(users, counts)
    return JoinLog(
        offsets=np.concatenate([[0], np.cumsum(counts[users])]).astype(np.int64),
        group=part.group[row], time=part.time[row],
        users=part.users.filter(pa.array(users)),
        groups=part.groups, tick=part.tick, origin=part.origin,
        observed_from=part.observed_from[users], observed_until=part.observed_until[users],
    )  # fmt: skip
