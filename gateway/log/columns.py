"""The columns of a join log, whatever it was stored in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from gateway.errors import LogError
from gateway.log.csv_files import read_header, read_text_columns
from gateway.log.messages import complaint, listed, nearest, rows_like_it, shown
from gateway.log.parquet_files import read_names_of_columns, read_raw_columns
from gateway.log.paths import format_of, parquet_parts
from gateway.log.ticks import with_tick
from gateway.log.times import Times, are_midnights, form_of, parse_times
from gateway.log.windows import WINDOW, check_within, roles_of

__all__ = ["Part", "as_columns", "check_kind", "check_names", "checked_part", "read_columns",
           "read_csv", "read_parquet"]  # fmt: skip

_TIMES = ("time", *WINDOW)
_TEXT_OR_INTEGERS = "must hold text or integers"
_TEXTS = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
)


def read_columns(
    path: str | Path, *, user: str = "user", group: str = "group", time: str = "time",
    observed_from: str | None = None, observed_until: str | None = None,
) -> pa.Table:  # fmt: skip
    """Read a join log from CSV, gzip CSV, Parquet, or a folder of Parquet parts.

    The format is judged by the content. Rows keep their order; parts of a folder stand
    in order of their paths.

    Parameters
    ----------
    path
        The file or folder.
    user, group, time
        Names of the columns; other columns are not read.
    observed_from, observed_until
        Names of columns with the first and the last tick of the user's observation, in
        every row of the user; None where the log has none.

    Returns
    -------
    pyarrow.Table
        ``user`` and ``group``, text, neither null nor empty; ``time``, int64 ticks since
        1970-01-01 (or 0 for integers), whose unit ``tick_of`` tells: timestamps that are
        all midnights in UTC are days; ``observed_from`` and ``observed_until`` like it,
        where they were named. At least one row.

    Raises
    ------
    LogError
        If the file is missing, empty, damaged or of another format, lacks a column, or
        holds a value that cannot be used.
    """
    kind = format_of(Path(path))
    read = read_parquet if kind == "parquet" else read_csv
    return read(path, **roles_of(user, group, time, observed_from, observed_until))


def read_csv(
    path: str | Path, *, user: str = "user", group: str = "group", time: str = "time",
    observed_from: str | None = None, observed_until: str | None = None,
) -> pa.Table:  # fmt: skip
    """Read a join log from a CSV or gzip CSV file; otherwise as ``read_columns``."""
    path = Path(path)
    kind = format_of(path)
    if kind == "parquet":
        raise complaint(path, "the log", "must be a CSV file; it is Parquet")
    roles = roles_of(user, group, time, observed_from, observed_until)
    check_names(read_header(path, kind=kind), roles, where=path)
    table = read_text_columns(path, list(roles.values()), kind=kind)
    return _combined([checked_part(table, roles, path)], path)


def read_parquet(
    path: str | Path, *, user: str = "user", group: str = "group", time: str = "time",
    observed_from: str | None = None, observed_until: str | None = None,
) -> pa.Table:  # fmt: skip
    """Read a join log from a Parquet file or a folder of them; otherwise as ``read_columns``."""
    path = Path(path)
    if format_of(path) != "parquet":
        raise complaint(path, "the log", "must be a Parquet file; it is of another format")
    roles = roles_of(user, group, time, observed_from, observed_until)
    return _combined([_parquet_part(part, roles) for part in parquet_parts(path)], path)


def as_columns(
    table: pa.Table,
    *,
    user: str = "user",
    group: str = "group",
    time: str = "time",
    observed_from: str | None = None,
    observed_until: str | None = None,
    where: str = "the table",
) -> pa.Table:
    """Return the columns of a log in memory; otherwise as ``read_columns``.

    Parameters
    ----------
    table
        Any table.
    user, group, time, observed_from, observed_until
        Names of the columns.
    where
        What the table is called in messages.
    """
    roles = roles_of(user, group, time, observed_from, observed_until)
    check_names(table.column_names, roles, where=where)
    return _combined([checked_part(table, roles, where)], where)


def check_names(present: Sequence[str], roles: Mapping[str, str], *, where: object) -> None:
    """Check that each role has a column of its own, and that there is one of its name.

    Parameters
    ----------
    present
        Names of the columns there are.
    roles
        Column name of each role: ``user``, ``group``, ``time``, and of the windows.
    where
        What the log is called in messages.

    Raises
    ------
    LogError
        If a column is missing, is there twice, or was named for two roles.
    """
    shared = _repeated(roles.values())
    if shared:
        *others, last = roles
        rule = f"must not be named for more than one of {', '.join(others)} and {last}"
        raise complaint(where, f"column {shown(shared[0])}", rule)
    for role, name in roles.items():
        if name not in present:
            raise _missing(role, name, present, roles, where)
    doubled = [name for name in _repeated(present) if name in roles.values()]
    if doubled:
        raise complaint(where, f"column {shown(doubled[0])}", "must be there once", got="twice")


@dataclass(frozen=True, eq=False)
class Part:
    """The checked columns of one file; ``times`` is None where it has no rows.

    ``windows`` are the times of the columns that tell when users were observed, by name.
    """

    where: object
    user: pa.ChunkedArray
    group: pa.ChunkedArray
    times: Times | None
    windows: Mapping[str, Times] = field(default_factory=dict)


def _parquet_part(path: Path, roles: Mapping[str, str]) -> Part:
    check_names(read_names_of_columns(path), roles, where=path)
    return checked_part(read_raw_columns(path, list(roles.values())), roles, path)


def checked_part(
    table: pa.Table, roles: Mapping[str, str], where: object, *, first_row: int | None = None
) -> Part:
    """Return the columns of a file, or of a block of it that begins at ``first_row``, checked.

    Raises
    ------
    LogError
        If a value cannot be used.
    """
    labels = {role: f"column {shown(name)}" for role, name in roles.items()}
    plain = {
        role: _filled(
            _plain(table.column(name), where, labels[role], first_row),
            where, labels[role], first_row,
        )
        for role, name in roles.items()
    }  # fmt: skip
    told = [role for role in ("time", *WINDOW) if role in roles and len(table)]
    times = {
        role: parse_times(
            plain[role],
            where=where,
            what=labels[role],
            first_row=first_row,
            form=form_of(roles["time"]),
        )
        for role in told
    }
    part = Part(
        where=where,
        user=_named(plain["user"], where, labels["user"]),
        group=_named(plain["group"], where, labels["group"]),
        times=times.pop("time", None),
        windows=times,
    )
    if part.times is not None:
        check_within(where, part.user, part.group, part.times, times, labels)
    return part


def _combined(parts: Sequence[Part], where: object) -> pa.Table:
    filled = [(part, part.times) for part in parts if part.times is not None]
    if not filled:
        raise complaint(where, "the log", "must hold at least one join; it holds no rows")
    first, times = filled[0]
    for part, others in filled:
        check_kind(others, part.where, first=times, first_where=first.where)
    columns = {
        "user": _chained(part.user for part, _ in filled),
        "group": _chained(part.group for part, _ in filled),
        "time": _chained(others.ticks for _, others in filled),
        **{
            name: _chained(part.windows[name].ticks for part, _ in filled)
            for name in filled[0][0].windows
        },
    }
    tick = times.tick
    ticks = {name: column.to_numpy() for name, column in columns.items() if name in _TIMES}
    if tick == "second" and all(are_midnights(seconds) for seconds in ticks.values()):
        columns |= {name: pa.array(seconds // 86_400) for name, seconds in ticks.items()}
        tick = "day"
    return with_tick(pa.table(columns), tick)


def check_kind(times: Times, where: object, *, first: Times, first_where: object) -> None:
    """Check that two parts of a log count time in the same way.

    Raises
    ------
    LogError
        If they do not.
    """
    if times.kind != first.kind:
        rule = f"must be of the same kind as in {first_where}, {first.phrase}"
        raise complaint(where, "the time", rule, got=times.phrase)


def _chained(columns: Iterable[pa.ChunkedArray]) -> pa.ChunkedArray:
    return pa.chunked_array([chunk for column in columns for chunk in column.chunks])


def _plain(
    column: pa.ChunkedArray, where: object, what: str, first_row: int | None
) -> pa.ChunkedArray:
    """Return the column without dictionary, and any kind of text as valid ``string``."""
    if pa.types.is_dictionary(column.type) and not pa.types.is_nested(column.type.value_type):
        column = column.cast(column.type.value_type)
    if pa.types.is_nested(column.type) or pa.types.is_dictionary(column.type):
        hint = "a log has one user, one group and one time a row"
        got = f"values of type {column.type}"
        raise complaint(where, what, "must hold plain values", got=got, hint=hint)
    if not any(is_text(column.type) for is_text in _TEXTS):
        return column
    try:
        text = column.cast(pa.string())
        text.validate(full=True)
    except pa.ArrowInvalid as error:
        raise _undecodable(column, where, what, first_row) from error
    return text


def _undecodable(
    column: pa.ChunkedArray, where: object, what: str, first_row: int | None
) -> LogError:
    for row, value in enumerate(column.cast(pa.binary()), start=first_row or 0):
        try:
            (value.as_py() or b"").decode("utf-8")
        except UnicodeDecodeError:
            got = f"{shown(value.as_py())} in data row {row + 1}"
            return complaint(where, what, "must be UTF-8 text", got=got)
    return complaint(where, what, "must be UTF-8 text")


def _filled(
    column: pa.ChunkedArray, where: object, what: str, first_row: int | None
) -> pa.ChunkedArray:
    missing = pc.is_null(column, nan_is_null=True)
    if pa.types.is_string(column.type):
        missing = pc.or_kleene(missing, pc.equal(column, ""))
    if pc.any(missing).as_py():
        row, count = pc.index(missing, True).as_py(), pc.sum(missing).as_py()
        got = rows_like_it("nothing", row, count, first_row=first_row)
        raise complaint(where, what, "must not be empty", got=got)
    return column


def _named(column: pa.ChunkedArray, where: object, what: str) -> pa.ChunkedArray:
    if pa.types.is_string(column.type) or len(column) == 0:
        return column
    if not pa.types.is_integer(column.type):
        raise complaint(where, what, _TEXT_OR_INTEGERS, got=f"values of type {column.type}")
    return column.cast(pa.string())


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _missing(
    role: str, name: str, present: Sequence[str], roles: Mapping[str, str], where: object
) -> LogError:
    """Return the error for a column that is not there: what is, and what may be meant."""
    free = [column for column in present if column not in roles.values()]
    meant = nearest(name, free, cutoff=0.4) or (free[0] if len(free) == 1 else None)
    option = f"--{role.removeprefix('observed_')}-column"
    hint = f"say which one with {option}"
    if len(present) == 1 and any(mark in present[0] for mark in ";\t|"):
        hint = "cells must be separated by commas"
    elif meant:
        hint = f"did you mean {shown(meant)}? say so with {option}"
    rule = f"is missing; the columns are {listed(present)}"
    return complaint(where, f"column {shown(name)}", rule, hint=hint)
