"""A join log that stays on disk, in parts by user."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.errors import LogError
from gateway.joins import JoinLog, Tick
from gateway.joins_io import ReadReport, file_digest, read_report
from gateway.joins_io.messages import complaint
from gateway.joins_io.partitioned import (
    MANIFEST_FILE,
    Manifest,
    PartFacts,
    give_back,
    read_groups,
    read_manifest,
    read_part,
)
from gateway.partitioned.workers import HERE, Workers

__all__ = ["AnyLog", "PartitionedLog"]

Int64 = npt.NDArray[np.int64]

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
        Bytes that work on it may take in each process, the program itself not counted.
    workers
        Who reads the parts.
    scratch
        Folder for what is too long for the memory, of about 60 bytes a join; all workers
        must see it. None for the system's place for temporary files.
    """

    folder: Path
    manifest: Manifest
    groups: pa.StringArray
    members: Int64
    memory: int
    workers: Workers = HERE
    scratch: Path | None = None

    @classmethod
    def at(
        cls,
        folder: str | Path,
        *,
        memory: int,
        workers: Workers = HERE,
        scratch: Path | None = None,
    ) -> Self:
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
        log = cls(folder, manifest, groups, members, memory, workers, scratch)
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
        first = self.manifest.first_join
        start = 0 if first is None else first - self.origin
        return start, self.manifest.last_join - self.origin

    def sizes(self) -> Int64:
        """Return the number of members of each group, int64, shape (n_groups,)."""
        return self.members

    @cached_property
    def reading(self) -> ReadReport:
        """As ``JoinLog.reading``, by groups and times alone: the users stay on disk."""
        return read_report(
            rows=self.manifest.rows, joins=self.n_joins, tick=self.tick, origin=self.origin,
            time=np.array(self.span), groups=self.groups, members=self.members,
            n_users=self.n_users,
        )  # fmt: skip

    @cached_property
    def digest(self) -> str:
        """sha256 of the manifest, which has those of all parts."""
        return file_digest(self.folder / MANIFEST_FILE)

    def parts(self) -> Iterator[JoinLog]:
        """Yield the parts as logs of some users and all groups, in order of the users."""
        for k in range(len(self.manifest.parts)):
            yield self.part(k)

    def part(self, k: int) -> JoinLog:
        """Return a part as a log of some users and all groups."""
        give_back()
        return self._part(self.manifest.parts[k])

    def check_room(self, joins: int, what: str) -> None:
        """Check that so many joins fit into the memory.

        Raises
        ------
        LogError
            If they do not; the message says how much is needed.
        """
        self.check_bytes(joins * _BYTES_PER_JOIN, f"{what}, of {joins:,} joins")

    def check_bytes(self, count: int, what: str) -> None:
        """Check that so many bytes fit into the memory, beside what libraries take.

        Raises
        ------
        LogError
            If they do not; the message says how much is needed.
        """
        needed = _RESERVE + count
        if needed > self.memory:
            rule = f"must be at least {needed / 2**20:,.0f} MiB for {what}"
            raise LogError(f"the memory {rule}; got {self.memory / 2**20:,.1f} MiB")

    def _part(self, part: PartFacts) -> JoinLog:
        rows = read_part(self.folder, self.manifest, part)
        try:
            return JoinLog(
                offsets=rows.offsets, group=rows.group, time=rows.time,
                users=rows.users, groups=self.groups, tick=self.tick, origin=self.origin,
                observed_from=rows.observed_from, observed_until=rows.observed_until,
            )  # fmt: skip
        except ValueError as error:
            rule = "cannot be used; was it changed by another program?"
            raise complaint(self.folder / part.file, "the part", rule, got=str(error)) from error


AnyLog = JoinLog | PartitionedLog
