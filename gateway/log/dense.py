"""The rows of a log with users and groups as dense ids; a Parquet log read as such.

Of a Parquet file no column is spelt out: blocks of rows are numbered as they come. A log
that breaks a rule is read once more, whole, for the message that says where.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.errors import LogError
from gateway.log.columns import check_names, read_parquet
from gateway.log.ids import Dense, dense_ids
from gateway.log.numbering import Numbering, numbering_of
from gateway.log.parquet_files import count_rows, iterate_batches, read_names_of_columns
from gateway.log.paths import parquet_parts
from gateway.log.rows import assembled
from gateway.log.span import check_span
from gateway.log.ticks import Tick, tick_of
from gateway.log.times import Kind, TimeFormat, are_midnights, form_of, parse_times
from gateway.log.windows import WINDOW, roles_of, window_of_users

__all__ = ["DenseRows", "dense_rows", "read_dense"]

_LIMITS = np.iinfo(np.int32)


@dataclass(frozen=True, eq=False)
class DenseRows:
    """Rows in any order.

    Parameters
    ----------
    user, group
        Of each row.
    since
        int32 or int64, shape (n_rows,): ticks since ``origin``, the first of them.
    origin, tick
        As in ``JoinLog``.
    windows
        int64, shape (n_rows,): first and last tick of the user's observation since
        ``origin``, by name, where the log tells them.
    """

    user: Dense
    group: Dense
    since: npt.NDArray[np.signedinteger]
    origin: int
    tick: Tick
    windows: Mapping[str, npt.NDArray[np.int64]] = field(default_factory=dict)

    def fields(self, where: object) -> dict[str, Any]:
        """Return the fields of a log.

        Raises
        ------
        LogError
            If the log spans too much time, or a user has more than one window; ``where`` is
            its name in messages.
        """
        end = self.origin + int(self.since.max())
        check_span(where, self.origin, end, tick=self.tick)
        told = {
            role: window_of_users(
                ticks, self.user, role=role, where=where, tick=self.tick, origin=self.origin
            )
            for role, ticks in self.windows.items()
        }
        observed = (told.get(WINDOW[0]), told.get(WINDOW[1], end - self.origin))
        columns = assembled(self.user, self.group, self.since, observed=observed, others={})
        facts = {"tick": self.tick, "origin": self.origin, "rows_read": len(self.since)}
        return columns | facts


def dense_rows(table: pa.Table) -> DenseRows:
    """Return the rows of a table that this package read."""
    ticks = table["time"].to_numpy()
    origin = int(ticks.min())
    user, group = dense_ids(table["user"]), dense_ids(table["group"], what="group")
    told = {name: table[name].to_numpy() - origin for name in WINDOW if name in table.column_names}
    return DenseRows(user, group, ticks - origin, origin, tick_of(table), told)


def read_dense(
    path: str | Path, *, user: str = "user", group: str = "group", time: str = "time",
    observed_from: str | None = None, observed_until: str | None = None,
) -> DenseRows:  # fmt: skip
    """Read a Parquet file or a folder of them, in little more room than the log takes.

    Parameters
    ----------
    path
        The file or folder.
    user, group, time, observed_from, observed_until
        Names of the columns.

    Raises
    ------
    LogError
        As ``read_columns``.
    """
    roles = roles_of(user, group, time, observed_from, observed_until)
    if len(roles) > 3:
        return dense_rows(read_parquet(path, **roles))
    try:
        rows = _numbered(Path(path), roles)
    except (LogError, pa.ArrowException, OSError, UnicodeDecodeError):
        rows = None
    if rows is not None:
        return rows
    # What is wrong, and in which row, is found out at leisure.
    return dense_rows(read_parquet(path, **roles))


def _numbered(path: Path, roles: Mapping[str, str]) -> DenseRows | None:
    """Return the rows; None for columns that are not plain, or not of one kind throughout."""
    parts = parquet_parts(path)
    for part in parts:
        check_names(read_names_of_columns(part), roles, where=part)
    total = sum(count_rows(part) for part in parts)
    reading = _Reading(total, form_of(roles["time"]))
    for part in parts:
        for user, group, time in iterate_batches(part, list(roles.values())):
            if not reading.add(user, group, time):
                return None
    return reading.finish()


class _Reading:
    """The columns so far."""

    def __init__(self, rows: int, form: TimeFormat) -> None:
        self._form = form
        self._rows, self._filled = rows, 0
        self._names: tuple[Numbering | None, Numbering | None] | None = None
        self._since = np.empty(rows, np.int32)
        self._first = 0
        self._kind: Kind | None = None
        self._tick: Tick = "integer"

    def add(self, user: pa.Array, group: pa.Array, time: pa.Array) -> bool:
        if self._names is None:
            self._names = (
                numbering_of(user.type, self._rows), numbering_of(group.type, self._rows)
            )  # fmt: skip
        known = all(
            names is not None and names.add(block)
            for names, block in zip(self._names, (user, group), strict=True)
        )
        return known and self._add_times(time)

    def _add_times(self, block: pa.Array) -> bool:
        if block.null_count:
            return False
        times = parse_times(pa.chunked_array([block]), where="", what="time", form=self._form)
        ticks = times.ticks.to_numpy()
        if self._kind is None:
            self._kind, self._tick, self._first = times.kind, times.tick, int(ticks[0])
        since = ticks - self._first
        # Counted from the first row, half the range is left on either side.
        fits = since.min() > _LIMITS.min // 2 and since.max() < _LIMITS.max // 2
        if times.kind != self._kind or not fits:
            return False
        self._since[self._filled : self._filled + len(since)] = since
        self._filled += len(since)
        return True

    def finish(self) -> DenseRows | None:
        if self._names is None or self._filled != self._rows:
            return None
        user, group = self._names
        first, tick = self._first, self._tick
        if tick == "second" and are_midnights(self._since, first):
            # Whole days apart, from a midnight on.
            origin = first // 86_400
            self._since //= 86_400
            first, tick = origin, "day"
        least = int(self._since.min())
        self._since -= least
        assert user is not None and group is not None  # noqa: S101, PT018  (add said so)
        return DenseRows(user.finish(), group.finish(), self._since, first + least, tick)
