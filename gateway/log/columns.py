"""Which columns of a file or a frame hold what, and how they are read from it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa

from gateway.errors import LogError, either, nearest, shown
from gateway.log.exports import read_export
from gateway.log.files import format_of, parquet_parts
from gateway.log.invariants import WINDOW
from gateway.log.messages import complaint, listed
from gateway.log.row_sources import (
    arrow_batches,
    arrow_schema,
    batches_of_rows,
    parquet_batches,
    parquet_schema,
    query_batches,
    query_columns,
    workbook_rows,
)
from gateway.log.text_files import csv_batches, json_batches, read_header, read_keys
from gateway.log.times import TimeFormat

TIMES = ("time", "left", *WINDOW)
"""Columns of times."""
NAMES = ("user", "group", "source", "inviter", "seed_group")
"""Columns of names."""

# The columns of a dump of comments or posts; read as user, group and time.
_REDDIT = ("author", "subreddit", "created_utc")
# Rows of a Parquet file are taken to be of so many bytes, until they are read.
_BYTES_PER_ROW = 64
_FEWEST_ROWS = 256


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a log.

    Of the optional ones None stands for a column of our own name, where there is one, and
    an empty text for none. A LogError says that there is no such form of times.
    """

    user: str = "user"
    group: str = "group"
    time: str = "time"
    source: str | None = None
    confirmed: str | None = None
    inviter: str | None = None
    seed_group: str | None = None
    left: str | None = None
    observed_from: str | None = None
    observed_until: str | None = None
    time_format: TimeFormat = "auto"

    def __post_init__(self) -> None:
        if self.time_format not in get_args(TimeFormat):
            rule = f"must be one of {', '.join(get_args(TimeFormat))}"
            raise LogError(f"time_format {rule}; got {shown(self.time_format)}")

    @property
    def named(self) -> dict[str, str]:
        """The name of the column of each role for which one was named."""
        pairs = {role.name: getattr(self, role.name) for role in fields(self)[:-1]}
        return {role: name for role, name in pairs.items() if name}

    def among(self, present: Sequence[str], where: object) -> dict[str, str]:
        """Return the name of the column of each role that has one, of those that are present.

        Raises a LogError for one that is missing, is there twice, or was named for two roles.
        """
        found = self.named
        if self == Columns() and set(_REDDIT) <= set(present) and not set(found) & set(present):
            return dict(zip(found, _REDDIT, strict=True))
        shared = _repeated(found.values())
        if shared:
            *others, last = found
            rule = f"must not be named for more than one of {', '.join(others)} and {last}"
            raise complaint(where, f"column {shown(shared[0])}", rule)
        for role, name in found.items():
            if name not in present:
                raise _missing(role, name, present, found, where)
        taken = set(found.values())
        for each in fields(self)[:-1]:
            if getattr(self, each.name) is None and each.name in set(present) - taken:
                found[each.name] = each.name
        doubled = [name for name in _repeated(present) if name in found.values()]
        if doubled:
            raise complaint(where, f"column {shown(doubled[0])}", "must be there once", got="twice")
        return found


@dataclass(frozen=True, eq=False)
class Piece:
    """A file of a log, or a frame."""

    where: object  # what it is called in messages
    roles: Mapping[str, str]  # name of the column of each role
    # Reads its columns: all at once, or about so many bytes at a time.
    batches: Callable[[int | None], Generator[pa.RecordBatch]]
    metadata: Mapping[bytes, bytes] = field(default_factory=dict)


def pieces_of(path: Path, columns: Columns) -> list[Piece]:
    """Return the files of a log at a path, by their headers.

    Raises a LogError for a file that is missing, empty, damaged, or lacks a column.
    """
    kind = format_of(path)
    if kind == "export":
        return pieces_of_frame(read_export(path), columns, path)
    if kind != "parquet":
        return [_PIECES[kind](path, columns)]
    pieces = [_parquet_piece(part, columns) for part in parquet_parts(path)]
    for piece in pieces:
        if set(piece.roles) != set(pieces[0].roles):
            rule = f"must be those of {pieces[0].where}, {listed(sorted(pieces[0].roles.values()))}"
            got = listed(sorted(piece.roles.values()))
            raise complaint(piece.where, "the columns of the log", rule, got=got)
    return pieces


def pieces_of_frame(frame: Any, columns: Columns, where: object) -> list[Piece]:
    """Return a data frame as the one piece of a log; otherwise as ``pieces_of``."""
    table = _as_table(frame, wanted=lambda names: columns.among(names, where).values(), where=where)
    roles = columns.among(table.column_names, where)
    chosen = table.select(list(roles.values()))
    batches = chosen.to_batches()
    return [Piece(where, roles, lambda _: (each for each in batches), table.schema.metadata or {})]


def pieces_of_query(path: Path, query: str | None, columns: Columns) -> list[Piece]:
    """Return what a query to a database gives, as the one piece of a log."""
    roles = columns.among(query_columns(path, query), path)
    names = list(roles.values())
    return [Piece(path, roles, lambda _: query_batches(path, query, names))]


def _csv_piece(path: Path, columns: Columns) -> Piece:
    roles = columns.among(read_header(path), path)
    given = path, list(roles.values()), [roles[role] for role in NAMES if role in roles]
    return Piece(path, roles, lambda size: csv_batches(*given, block=size))


def _json_piece(path: Path, columns: Columns) -> Piece:
    types = read_keys(path)
    roles = columns.among(list(types), path)
    # A column without a value in the first rows has names or dates later on, if any.
    wanted = {name: pa.string() if types[name] == pa.null() else types[name]
              for name in roles.values()}  # fmt: skip
    for name, kind in wanted.items():
        if pa.types.is_nested(kind):
            raise complaint(path, f"column {shown(name)}", "must hold plain values", got="others")
    return Piece(path, roles, lambda size: json_batches(path, wanted, block=size))


def _arrow_piece(path: Path, columns: Columns) -> Piece:
    schema = arrow_schema(path)
    roles = columns.among(schema.names, path)
    return Piece(
        path, roles, lambda size: arrow_batches(path, list(roles.values()), rows=_rows_in(size)),
        schema.metadata or {},
    )  # fmt: skip


def _rows_in(size: int | None) -> int | None:
    return None if size is None else max(size // _BYTES_PER_ROW, _FEWEST_ROWS)


def _workbook_piece(path: Path, columns: Columns) -> Piece:
    header = [str(name) for name in next(workbook_rows(path), ())]
    roles = columns.among(header, path)
    at = [header.index(name) for name in roles.values()]

    def batches(_: int | None) -> Generator[pa.RecordBatch]:
        rows = ([row[i] for i in at] for row in islice(workbook_rows(path), 1, None))
        return batches_of_rows(rows, list(roles.values()), path)

    return Piece(path, roles, batches)


_PIECES: Mapping[str, Callable[[Path, Columns], Piece]] = {
    "csv": _csv_piece, "ndjson": _json_piece, "arrow": _arrow_piece, "excel": _workbook_piece,
    "sqlite": lambda path, columns: pieces_of_query(path, None, columns)[0],
    "duckdb": lambda path, columns: pieces_of_query(path, None, columns)[0],
}  # fmt: skip


def _parquet_piece(path: Path, columns: Columns) -> Piece:
    schema = parquet_schema(path)
    roles = columns.among(schema.names, path)
    # The columns of a struct or list have other names in the file.
    flat = [name for name in roles.values() if not pa.types.is_nested(schema.field(name).type)]

    def batches(size: int | None) -> Generator[pa.RecordBatch]:
        return parquet_batches(
            path, list(roles.values()), by_dictionary=flat, rows=_rows_in(size),
            is_bounded=size is not None,
        )  # fmt: skip

    return Piece(path, roles, batches, schema.metadata or {})


def _as_table(
    frame: Any, *, wanted: Callable[[Sequence[str]], Iterable[str]], where: object
) -> pa.Table:
    """Return the wanted columns of a data frame, which no other column can fail to be, as a table.

    Raises a LogError if it is no frame, lacks a wanted column, or has one of mixed types.
    """
    if isinstance(frame, pa.Table):
        return frame
    try:
        if isinstance(frame, Mapping):
            return pa.table({name: frame[name] for name in wanted(list(frame))})
        if hasattr(frame, "__arrow_c_stream__") or hasattr(frame, "__arrow_c_array__"):
            # Other things have columns too, and take no list of names.
            has_names = type(frame).__module__.partition(".")[0] in ("pandas", "polars")
            columns = [c for c in frame.columns if isinstance(c, str)] if has_names else []
            return pa.table(frame[list(wanted(columns))] if has_names else frame)
    except (pa.ArrowException, ValueError, TypeError) as error:
        rule = "must be readable as a table"
        raise complaint(where, "its content", rule, got=shown(str(error))) from error
    rule = "must be a pandas, polars or pyarrow table or a mapping of columns"
    raise complaint(where, "it", rule, got=type(frame).__name__)


def is_reddit(roles: Mapping[str, str]) -> bool:
    """Tell whether the columns are those of a dump of Reddit, whose times are seconds."""
    return tuple(roles.values()) == _REDDIT


def option_of(role: str, name: str) -> str:
    """Return how to say that a column holds a role: as an argument in Python, or an option."""
    short = {"seed_group": "seed", "observed_from": "from", "observed_until": "until"}
    return either(f"{role}={name!r}", f"--{short.get(role, role)}-column {shlex.quote(name)}")


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _missing(
    role: str, name: str, present: Sequence[str], roles: Mapping[str, str], where: object
) -> LogError:
    """Return the error for a column that is not there: what is, and what may be meant."""
    free = [column for column in present if column not in roles.values()]
    meant = nearest(name, free, cutoff=0.4) or (free[0] if len(free) == 1 else None)
    hint = f"say which one with {option_of(role, '...')}"
    if meant:
        hint = f"did you mean {shown(meant)}? say so with {option_of(role, meant)}"
    rule = f"is missing; the columns are {listed(present)}"
    return complaint(where, f"column {shown(name)}", rule, hint=hint)
