"""The parts of a partitioned log, written as the joins come by in canonical order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.joins_io.parquet_files import write_parquet
from gateway.joins_io.partitioned.manifest import PartFacts, users_file
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
        Names, sorted, each with at least one join unless all users are told.
    counts
        int64, shape (n_users,): joins of each.
    group
        int32, shape (n_joins,): global id.
    time
        int32, shape (n_joins,): ticks since the log's origin.
    windows
        int64, shape (n_users,): first and last tick of the observation since the origin, by
        name, where the log tells them.
    """

    users: pa.StringArray
    counts: Int64
    group: Int32
    time: Int32
    windows: Mapping[str, Int64] = field(default_factory=dict)

    def cut(self, user: int) -> tuple[SortedJoins, SortedJoins]:
        """Return the joins of the users before ``user``, and of the others."""
        row = int(self.counts[:user].sum())
        ends = (slice(None, user), slice(None, row)), (slice(user, None), slice(row, None))
        head, tail = (
            SortedJoins(
                self.users[users], self.counts[users], self.group[rows], self.time[rows],
                {name: ticks[users] for name, ticks in self.windows.items()},
            )
            for users, rows in ends
        )  # fmt: skip
        return head, tail


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
    tells_users
        Whether a file beside each part tells its users: those without a join, and when each
        was observed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        groups: pa.StringArray,
        tick: Tick,
        origin: int,
        joins_per_part: int,
        tells_users: bool = False,
    ) -> None:
        self._folder, self._groups, self._tick, self._origin = folder, groups, tick, origin
        self._limit, self._tells_users = joins_per_part, tells_users
        self._pending: list[SortedJoins] = []
        self._held = 0
        self.facts: list[PartFacts] = []
        self.members = np.zeros(len(groups), np.int64)
        self.first, self.last = 2**31 - 1, -(2**31)

    def add(self, joins: SortedJoins) -> None:
        """Take joins of users who come after all users so far."""
        self.members += np.bincount(joins.group, minlength=len(self.members))
        if len(joins.time):
            self.first = min(self.first, int(joins.time.min()))
            self.last = max(self.last, int(joins.time.max()))
        while self._held + len(joins.group) >= self._limit:
            reached = np.cumsum(joins.counts) + self._held
            head, joins = joins.cut(int(np.searchsorted(reached, self._limit)) + 1)
            self._pending.append(head)
            self._write()
        if len(joins.users):
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
        beside = self._write_users()
        self._pending, self._held = [], 0
        path = self._folder / f"part-{len(self.facts):05}.parquet"
        write_parquet(table, path, row_group=max(len(table), 1), keep_schema=False)
        self.facts.append(
            PartFacts(
                file=path.name,
                first_user=ends[0].as_py(),
                last_user=ends[1].as_py(),
                users=users,
                joins=len(table),
                digest=file_digest(path),
                users_digest=beside,
            )
        )
        give_back()

    def _write_users(self) -> str | None:
        """Write who the users of the pending joins are; return the digest of the file."""
        if not self._tells_users:
            return None
        columns: dict[str, Any] = {
            "user": pa.concat_arrays([joins.users for joins in self._pending]),
            "joins": np.concatenate([joins.counts for joins in self._pending]),
        }
        for name in self._pending[0].windows:
            ticks = np.concatenate([joins.windows[name] for joins in self._pending])
            columns[name] = self._instants(ticks)
        path = self._folder / users_file(f"part-{len(self.facts):05}.parquet")
        write_parquet(pa.table(columns), path, keep_schema=False)
        return file_digest(path)

    def _instants(self, ticks: npt.NDArray[Any]) -> pa.Array:
        return instants(pa.array(ticks.astype(np.int64) + self._origin), self._tick)

    def _table(self) -> pa.Table:
        """Return the pending joins; text is by dictionary, to be spelt out only in pieces."""
        users = pa.concat_arrays([joins.users for joins in self._pending])
        counts = np.concatenate([joins.counts for joins in self._pending])
        users, counts = users.filter(pa.array(counts > 0)), counts[counts > 0]
        user = np.repeat(np.arange(len(users), dtype=np.int32), counts)
        group = np.concatenate([joins.group for joins in self._pending])
        time = np.concatenate([joins.time for joins in self._pending])
        known, place = np.unique(group, return_inverse=True)
        names = self._groups.take(pa.array(known))
        return pa.table(
            {
                "user": pa.DictionaryArray.from_arrays(user, users),
                "group": pa.DictionaryArray.from_arrays(place.astype(np.int32), names),
                "time": self._instants(time),
                "group_id": group,
            }
        )
