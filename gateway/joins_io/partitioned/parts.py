"""The parts of a partitioned log, written as the joins come by in canonical order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.joins_io.parquet_files import write_parquet
from gateway.joins_io.partitioned.manifest import PartFacts
from gateway.joins_io.partitioned.sizes import give_back
from gateway.joins_io.paths import file_digest
from gateway.joins_io.ticks import Tick, instants

__all__ = ["JOINS_PER_PART", "PartWriter", "SortedJoins"]

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

JOINS_PER_PART = 1 << 20
"""So many joins, a row group, are in a part where nothing else is asked for."""


@dataclass(frozen=True, eq=False)
class SortedJoins:
    """Joins of some users in canonical order.

    Parameters
    ----------
    users
        Names, sorted, each with at least one join.
    counts
        int64, shape (n_users,): joins of each.
    group
        int32, shape (n_joins,): global id.
    time
        int32, shape (n_joins,): ticks since the log's origin.
    """

    users: pa.StringArray
    counts: Int64
    group: Int32
    time: Int32

    def cut(self, user: int) -> tuple[SortedJoins, SortedJoins]:
        """Return the joins of the users before ``user``, and of the others."""
        row = int(self.counts[:user].sum())
        return (
            SortedJoins(self.users[:user], self.counts[:user], self.group[:row], self.time[:row]),
            SortedJoins(self.users[user:], self.counts[user:], self.group[row:], self.time[row:]),
        )


class PartWriter:
    """Cuts a stream of joins into parts, at users, and writes them.

    A part ends with the user with whom it reaches ``joins_per_part`` joins: where the parts
    are cut depends on the joins alone, not on how the stream was cut.

    Parameters
    ----------
    folder
        Where the parts go.
    groups
        Names by id.
    tick, origin
        Of the log.
    joins_per_part
        At least 1.
    """

    def __init__(
        self, folder: Path, *, groups: pa.StringArray, tick: Tick, origin: int, joins_per_part: int
    ) -> None:
        self._folder, self._groups, self._tick, self._origin = folder, groups, tick, origin
        self._limit = joins_per_part
        self._pending: list[SortedJoins] = []
        self._held = 0
        self.facts: list[PartFacts] = []
        self.members = np.zeros(len(groups), np.int64)
        self.last = 0

    def add(self, joins: SortedJoins) -> None:
        """Take joins of users who come after all users so far."""
        self.members += np.bincount(joins.group, minlength=len(self.members))
        self.last = max(self.last, int(joins.time.max(initial=0)))
        while self._held + len(joins.group) >= self._limit:
            reached = np.cumsum(joins.counts) + self._held
            head, joins = joins.cut(int(np.searchsorted(reached, self._limit)) + 1)
            self._pending.append(head)
            self._write()
        if len(joins.group):
            self._pending.append(joins)
            self._held += len(joins.group)

    def close(self) -> None:
        """Write what is left as the last part."""
        if self._pending:
            self._write()

    def _write(self) -> None:
        table = self._table()
        users = sum(len(joins.users) for joins in self._pending)
        ends = self._pending[0].users[0], self._pending[-1].users[-1]
        self._pending, self._held = [], 0
        path = self._folder / f"part-{len(self.facts):05}.parquet"
        write_parquet(table, path, row_group=len(table), keep_schema=False)
        self.facts.append(
            PartFacts(
                file=path.name,
                first_user=ends[0].as_py(),
                last_user=ends[1].as_py(),
                users=users,
                joins=len(table),
                digest=file_digest(path),
            )
        )
        give_back()

    def _table(self) -> pa.Table:
        """Return the pending joins; text is by dictionary, to be spelt out only in pieces."""
        users = pa.concat_arrays([joins.users for joins in self._pending])
        counts = np.concatenate([joins.counts for joins in self._pending])
        user = np.repeat(np.arange(len(users), dtype=np.int32), counts)
        group = np.concatenate([joins.group for joins in self._pending])
        time = np.concatenate([joins.time for joins in self._pending])
        known, place = np.unique(group, return_inverse=True)
        names = self._groups.take(pa.array(known))
        return pa.table(
            {
                "user": pa.DictionaryArray.from_arrays(user, users),
                "group": pa.DictionaryArray.from_arrays(place.astype(np.int32), names),
                "time": instants(pa.array(time.astype(np.int64) + self._origin), self._tick),
                "group_id": group,
            }
        )
