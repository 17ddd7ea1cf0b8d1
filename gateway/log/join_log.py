"""The join log: who joined which group when, in columns."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.arrays import Int32, Int64, Mask, UInt8
from gateway.errors import LogError
from gateway.log.columns import Columns, Piece, pieces_of, pieces_of_frame, pieces_of_query
from gateway.log.files import format_of
from gateway.log.in_memory import fields_of_arrays, read_fields
from gateway.log.invariants import SOURCES, STAYS, checked_columns
from gateway.log.log_table import table_of
from gateway.log.mapped import Views, read_manifest
from gateway.log.messages import complaint
from gateway.log.numbering import numbered_names
from gateway.log.read_report import ReadReport, read_report
from gateway.log.row_sources import write_parquet
from gateway.log.sorting import count_values
from gateway.log.times import Tick, TimeFormat, instants
from gateway.tabular import Tabular

__all__ = ["SOURCES", "STAYS", "JoinLog", "numbered_names"]


@dataclass(frozen=True, eq=False, repr=False)
class JoinLog(Views, Tabular):
    """Joins sorted by user, then time, in compressed rows by user.

    A user joins a group once. Joins of one user in the same tick are a *tie block* and
    have no inner order: within a block they stand by dense group id, which carries no
    meaning.

    Make one with ``from_arrays``, ``from_dataframe``, ``read``, ``from_csv`` or
    ``from_parquet``: they number, sort and check. All of them bring rows into the same
    order, so that the same joins give the same log, bit for bit, whatever the order of
    the rows. A membership that is there several times is kept once, at its earliest time.
    Or map one from a disk with ``open``: nothing else about it is different.

    Parameters
    ----------
    offsets
        int64, shape (n_users + 1,): joins of user u are ``offsets[u]:offsets[u + 1]``.
    group
        int32, shape (n_joins,): dense group id.
    time
        int32, shape (n_joins,): ticks since ``origin``, not decreasing within a user.
    users, groups
        Original names, shapes (n_users,) and (n_groups,), unique, sorted.
    tick
        Unit of time: ``day``, ``second``, or ``integer`` for a log that counts in a
        unit of its own.
    origin
        Tick zero: days or seconds since 1970-01-01 UTC; in the log's own unit for
        ``integer``. In a log that was read it is the time of the first join.
    observed_from, observed_until
        int32, shape (n_users,): first and last tick at which the user's joins would have
        been seen (arrival and censoring). A log that does not tell when its users came
        does not know: ``observed_from`` is None. Where it does not tell when they left,
        ``observed_until`` is the last tick of the log, after which nobody is seen.
    source
        uint8 index into ``sources``, shape (n_joins,), or None.
    confirmed, inviter, seed_group
        Optional, shape (n_joins,): bool; int32 user id or -1; int32 group id or -1.
    left
        int32, shape (n_joins,), or None: first tick, after that of the join, in which the
        user is no member any more; ``STAYS`` for who did not leave. At ``t`` those are
        members who have ``time < t < left``.
    sources
        Names of the log's sources: ``SOURCES``, then those that the log has beside them.
    part_of
        Of a part of a log: the id of its first user in the whole log, and the number of
        users there. The ids of ``inviter`` are those of the whole log.
    rows_read
        Rows that the log was made of, repeated ones included; None where nobody counted.
        It is no part of what makes two logs equal.

    Raises
    ------
    ValueError
        If the columns do not fit together, are not sorted, or hold ids or times out of
        range. That a membership is there only once is not checked here.

    Notes
    -----
    The arrays are views that cannot be written to.
    """

    offsets: Int64
    group: Int32
    time: Int32
    users: pa.StringArray
    groups: pa.StringArray
    tick: Tick
    origin: int
    observed_from: Int32 | None
    observed_until: Int32
    source: UInt8 | None = None
    confirmed: Mask | None = None
    inviter: Int32 | None = None
    seed_group: Int32 | None = None
    left: Int32 | None = None
    sources: tuple[str, ...] = SOURCES
    part_of: tuple[int, int] | None = None
    rows_read: int | None = None

    def __post_init__(self) -> None:
        views = checked_columns(vars(self))
        for name, view in views.items():
            object.__setattr__(self, name, view)

    @classmethod
    def from_arrays(  # noqa: PLR0913  (one argument for each column of the log)
        cls,
        user: Any,
        group: Any,
        time: Any,
        *,
        users: Any = None,
        groups: Any = None,
        tick: Tick = "integer",
        origin: int = 0,
        observed_from: npt.ArrayLike | None = None,
        observed_until: npt.ArrayLike | None = None,
        source: npt.ArrayLike | None = None,
        sources: Sequence[str] = SOURCES,
        confirmed: npt.ArrayLike | None = None,
        inviter: npt.ArrayLike | None = None,
        seed_group: npt.ArrayLike | None = None,
        left: npt.ArrayLike | None = None,
    ) -> Self:
        """Make a log from one value for each join, in any order.

        Parameters
        ----------
        user, group
            Names, or ids from 0; shape (n_rows,).
        time
            Integers, ticks since ``origin``; shape (n_rows,). For dates and timestamps
            see ``from_dataframe``.
        users, groups
            Name of each id, unique, in any order; those without a join are kept. Without
            them an id is named after its number: ``u0000012``, ``g0000003``.
        tick, origin
            Unit of time, and tick zero since 1970-01-01 UTC (or 0).
        observed_from, observed_until
            Ticks, one for all users or one for each of them: in the order of ``users``,
            else in order of their names. Without a first tick it is not known; without a
            last one it is that of all rows, repeated ones included: they too were seen.
        source, confirmed, inviter, seed_group, left
            As the columns of a log, shape (n_rows,), with ids like those of ``user`` and
            ``group``.
        sources
            Names of the sources, the first of which are ``SOURCES``; at most 256.

        Returns
        -------
        JoinLog
            Of several rows of one user and group, the earliest; of several earliest ones,
            the least by source, confirmed, inviter, seed group and leaving.

        Raises
        ------
        LogError
            If there is no row, columns differ in length, a name is empty or there twice,
            an id has no name, or a time does not fit into 32 bits.

        Examples
        --------
        >>> joins = JoinLog.from_arrays(["eve", "ann", "eve"], ["b", "b", "a"], [5, 2, 3])
        >>> joins.users.to_pylist(), joins.group.tolist(), joins.time.tolist()
        (['ann', 'eve'], [1, 0, 1], [2, 3, 5])
        """
        found = fields_of_arrays(
            user, group, time, users=users, groups=groups, sources=tuple(sources),
            observed=(observed_from, observed_until), source=source, confirmed=confirmed,
            inviter=inviter, seed_group=seed_group, left=left,
        ) | {"tick": tick, "origin": int(origin)}  # fmt: skip
        return cls._made(found)

    @classmethod
    def read(  # noqa: PLR0913  (one name for each column of the log)
        cls, path: str | Path, *, user: str = "user", group: str = "group", time: str = "time",
        source: str | None = None, confirmed: str | None = None, inviter: str | None = None,
        seed_group: str | None = None, left: str | None = None, observed_from: str | None = None,
        observed_until: str | None = None, time_format: TimeFormat = "auto",
    ) -> Self:  # fmt: skip
        """Read a log from a file or a folder; map one that was converted.

        A file that ``to_parquet`` wrote gives back the log with all its columns.

        Parameters
        ----------
        path
            CSV (cells separated by commas, semicolons, tabs or bars) or NDJSON, as they are or
            packed with gzip, zstd, bzip2 or xz; Parquet, or a folder of it; Arrow or Feather; an
            SQLite or DuckDB file with one table, or one or a view named ``joins``; an Excel
            workbook, of which the first sheet is read; or what a platform gives its users (see
            ``gateway.log.exports``). The format is judged by the content.
        user, group, time
            Names of the columns. Dates make a log of days, ISO or Parquet timestamps a
            log of seconds in UTC (of days, where all are midnights), integers a log in a
            unit of its own.
        source, confirmed, inviter, seed_group, left, observed_from, observed_until
            Names of the columns that hold: the name of the join's source; true or false;
            the names of the inviting user and of the seed, null or empty for none; when
            the member left, null or empty for who did not; and the first and the last
            tick at which the user's joins would have been seen, the same in every row of
            the user. Times are in the form of the time column. None takes the column of
            that name where there is one, and an empty text none.
        time_format
            What whole numbers in the time column are: ``auto``, ticks of the log's own;
            ``yyyymmdd``, dates such as 20240131; ``epoch_s`` or ``epoch_ms``, seconds or
            milliseconds since 1970-01-01 UTC.

        Raises
        ------
        LogError
            If the log cannot be used; the message names file, row, column and rule.

        Notes
        -----
        An inviter who joins nothing is a user without joins; in a log that tells when
        users were there, this one was so from the first invitation to the last. A seed
        that nobody joins is a group without members.
        """
        columns = Columns(
            user, group, time, source, confirmed, inviter, seed_group, left, observed_from,
            observed_until, time_format,
        )  # fmt: skip
        if read_manifest(path) is not None:
            if columns != Columns():
                rule = "columns are user, group and time, and their form is known; name no others"
                raise LogError(f"{path}: a converted log's {rule}")
            return cls.open(path)
        return cls._of(pieces_of(Path(path), columns), columns, path)

    @classmethod
    def from_csv(cls, path: str | Path, **columns: Any) -> Self:
        """Read a log from a CSV file, packed or not; otherwise as ``read``."""
        if (kind := format_of(Path(path))) != "csv":
            raise complaint(path, "the log", f"must be a CSV file; it is of format {kind}")
        return cls.read(path, **columns)

    @classmethod
    def from_parquet(cls, path: str | Path, **columns: Any) -> Self:
        """Read a log from a Parquet file or folder; otherwise as ``read``."""
        if format_of(Path(path)) != "parquet":
            raise complaint(path, "the log", "must be a Parquet file; it is of another format")
        return cls.read(path, **columns)

    @classmethod
    def from_query(cls, path: str | Path, query: str, **columns: Any) -> Self:
        """Make a log of what a query to a database gives; otherwise as ``read``.

        Parameters
        ----------
        path
            An SQLite or DuckDB file; nothing in it is changed.
        query
            SQL that gives a row for each join: ``SELECT who AS user, ...``.
        columns
            Names of the columns, and the form of times.
        """
        named = Columns(**columns)
        return cls._of(pieces_of_query(Path(path), query, named), named, path)

    @classmethod
    def from_dataframe(cls, frame: Any, **columns: Any) -> Self:
        """Make a log from a data frame; otherwise as ``read``.

        Parameters
        ----------
        frame
            pandas, polars, pyarrow, a DuckDB relation, a mapping of names to columns, or
            anything with the Arrow C stream interface.
        columns
            Names of the columns, and the form of times.
        """
        named, where = Columns(**columns), "the data frame"
        return cls._of(pieces_of_frame(frame, named, where), named, where)

    @classmethod
    def _of(cls, pieces: Sequence[Piece], columns: Columns, where: object) -> Self:
        return cls._made(read_fields(pieces, columns, where))

    @classmethod
    def _made(cls, found: dict[str, Any]) -> Self:
        try:
            return cls(**found)
        except ValueError as error:
            raise LogError(f"the joins cannot be used: {error}") from error

    def __repr__(self) -> str:
        size = f"{self.n_joins:,} joins of {self.n_groups:,} groups by {self.n_users:,} users"
        return f"<JoinLog: {size}, by the {self.tick}>"

    def _repr_html_(self) -> str:
        # Not as a table: to write out a mapped log would bring all of it into memory.
        return f"<p>{html.escape(repr(self))}</p>"

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.offsets) - 1

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.groups)

    @property
    def n_joins(self) -> int:
        """Number of joins."""
        return len(self.group)

    @property
    def span(self) -> tuple[int, int]:
        """Ticks of the first and the last join, of which there must be one."""
        return int(self.time.min()), int(self.time.max())

    def user(self) -> Int32:
        """Return the dense user id of each join, int32, shape (n_joins,)."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), np.diff(self.offsets))

    def sizes(self) -> Int64:
        """Return the number of members of each group, int64, shape (n_groups,)."""
        return count_values(self.group, self.n_groups)

    @cached_property
    def reading(self) -> ReadReport:
        """What was done to the data that the log was read from, and what in it looks odd."""
        return read_report(self)

    def when(self, ticks: npt.ArrayLike) -> pa.Array:
        """Return ticks of the log as date32, timestamp[s, UTC] or int64 by its unit."""
        return instants(pa.array(np.asarray(ticks, np.int64) + self.origin), self.tick)

    def equals(self, other: JoinLog) -> bool:
        """Return whether two logs are the same in every column, name and number."""
        names = [field.name for field in fields(self) if field.name != "rows_read"]
        pairs = ((getattr(self, name), getattr(other, name)) for name in names)
        return all(_same(ours, theirs) for ours, theirs in pairs)

    def to_arrow(self) -> pa.Table:
        """Return the log as a table, one join a row, with names and times in full.

        Returns
        -------
        pyarrow.Table
            ``user``, ``group``, ``time`` (date32, timestamp[s, UTC] or int64); of
            ``source``, ``confirmed``, ``inviter``, ``seed_group``, ``left`` what the log has,
            with names for ids and null for none; ``observed_from`` where it is known, and
            ``observed_until`` there or where it is not the last join for every user. Its
            metadata hold what else ``from_dataframe`` needs to give back an equal log.
        """
        return table_of(vars(self))

    def to_parquet(self, path: str | Path) -> None:
        """Write the log to a Parquet file that ``from_parquet`` gives back in full.

        Parameters
        ----------
        path
            The file; it appears whole or not at all, and replaces an existing one. The
            same log gives the same bytes with the same version of pyarrow.

        Raises
        ------
        LogError
            If the file cannot be written.
        """
        write_parquet(self.to_arrow(), path)


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, np.ndarray) or isinstance(theirs, np.ndarray):
        return type(ours) is type(theirs) and np.array_equal(ours, theirs)
    return bool(ours.equals(theirs)) if isinstance(ours, pa.Array) else bool(ours == theirs)
