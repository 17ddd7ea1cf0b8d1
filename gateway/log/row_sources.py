"""Parquet and Arrow files, databases and workbooks as record batches."""

from __future__ import annotations

import importlib
import os
import secrets
import sqlite3
import zipfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from gateway.errors import LogError, did_you_mean, shown
from gateway.log.files import first_bytes, format_of, unreadable
from gateway.log.messages import complaint, listed
from gateway.provenance import memory_bytes

_ROWS = 1 << 16
# What comes of a workbook that is damaged, encrypted or none.
_UNREADABLE = (OSError, LookupError, ValueError, TypeError, AttributeError, SyntaxError,
               RuntimeError, EOFError, zipfile.BadZipFile, zlib.error)  # fmt: skip
_TABLE = "joins"
_ROW_GROUP = 1 << 20
_BUFFER = 1 << 18
# A join takes a user, a group and a time, at four bytes each at the very least.
_BYTES_PER_ROW = 12


def batches_of_rows(
    rows: Iterator[Sequence[Any]], names: Sequence[str], where: object
) -> Generator[pa.RecordBatch]:
    """Yield rows of Python values as record batches; a column must hold values of one kind."""
    row = 0
    while chunk := list(islice(rows, _ROWS)):
        arrays = []
        for name, values in zip(names, zip(*chunk, strict=True), strict=True):
            try:
                arrays.append(pa.array(values))
            except (pa.ArrowException, OverflowError) as error:
                rule = (
                    f"must hold values of one kind; in data rows {row + 1:,} and after it does not"
                )
                got = str(error).splitlines()[0]
                raise complaint(where, f"column {shown(name)}", rule, got=got) from error
        yield pa.RecordBatch.from_arrays(arrays, names=list(names))
        row += len(chunk)


def query_columns(path: Path, query: str | None) -> list[str]:
    """Return the names of the columns of a query to an SQLite or DuckDB file.

    None is for all of the table ``joins``, or of the only one.
    """
    with _cursor(path, query) as cursor:
        return [column[0] for column in cursor.description]


def query_batches(path: Path, query: str | None, names: Sequence[str]) -> Generator[pa.RecordBatch]:
    """Yield the named columns of a query, as ``query_columns``."""
    with _cursor(path, query) as cursor:
        there = [column[0] for column in cursor.description]
        at = [there.index(name) for name in names]
        rows = iter(lambda: cursor.fetchmany(_ROWS), [])
        chosen = ([row[i] for i in at] for chunk in rows for row in chunk)
        yield from batches_of_rows(chosen, names, path)


@contextmanager
def _cursor(path: Path, query: str | None) -> Iterator[Any]:
    """Open a database that is only read, and run a query."""
    is_duckdb = format_of(path) == "duckdb"
    database: Any = _library("duckdb") if is_duckdb else sqlite3
    is_whole = query is None
    try:
        if is_duckdb:
            # A view of a stranger's file may ask for other files, or for the network. A query
            # that the caller gives is the caller's own.
            away = {"enable_external_access": False} if is_whole else {}
            connection = database.connect(str(path), read_only=True, config=away)
        else:
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        with closing(connection):
            if query is None:
                query = f'SELECT * FROM "{_table(connection, path)}"'  # noqa: S608  (quoted)
            cursor = connection.execute(query)
            if cursor.description is None:
                raise complaint(path, "the query", "must give rows", got=shown(query))
            yield cursor
    except database.Error as error:
        what = "the file" if is_whole else "the query"
        got = str(error).splitlines()[0]
        raise complaint(path, what, "must be readable as a database's", got=got) from error


def _table(connection: Any, path: Path) -> str:
    """Return the table that holds the log."""
    catalogue = (
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') "
        "AND name NOT LIKE 'sqlite_%'"
    )
    names = sorted(row[0] for row in connection.execute(catalogue).fetchall())
    if _TABLE in names or len(names) == 1:
        found: str = _TABLE if _TABLE in names else names[0]
        return found.replace('"', '""')
    rule = f"must have one table, or one or a view named {_TABLE}"
    hint = did_you_mean(_TABLE, names) or "JoinLog.from_query takes a query"
    got = listed(names) if names else "none"
    raise complaint(path, "the database", rule, got=got, hint=hint)


def workbook_rows(path: Path) -> Generator[tuple[Any, ...]]:
    """Yield the rows of the first sheet of an Excel workbook, the header among them."""
    library = _library("openpyxl")
    try:
        # As a stream: the library judges a path by its ending.
        with path.open("rb") as stream:
            book = library.load_workbook(stream, read_only=True, data_only=True)
            for row in book.worksheets[0].iter_rows(values_only=True):
                if any(value is not None for value in row):
                    yield row
    except _UNREADABLE as error:
        rule = "must be whole, and its first sheet a table"
        raise complaint(path, "the workbook", rule, got=str(error)) from error


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        message = f"{name} reads such files and is not installed: pip install {name}"
        raise LogError(message) from error


# Parquet and Arrow -----------------------------------------------------------------------


def parquet_schema(path: Path) -> pa.Schema:
    """Return names and types of the columns of one Parquet file, and its metadata."""
    with _whole(path, "Parquet"):
        return pyarrow.parquet.read_schema(path)


def parquet_batches(
    path: Path,
    names: Sequence[str],
    *,
    by_dictionary: Sequence[str] = (),
    rows: int | None = None,
    is_bounded: bool = False,
) -> Generator[pa.RecordBatch]:
    """Yield the named columns of one Parquet file, of whatever type they are.

    Columns ``by_dictionary`` are not spelt out; a batch has so many ``rows``, or about a million.
    If ``is_bounded`` batches go as they come, and the file may be larger than the memory; else a
    LogError says that it is: a few bytes can stand for any number of equal rows.
    """
    # With a buffer a column is read piece by piece; without, a whole row group of it.
    # A name of a megabyte that stands in every row would be spelt out as often.
    how: dict[str, Any] = {"read_dictionary": list(by_dictionary)}
    how |= {"buffer_size": _BUFFER} if is_bounded else {}
    # A ParquetFile is this one file; a dataset would look for partitions in the path.
    with _whole(path, "Parquet"), pyarrow.parquet.ParquetFile(path, **how) as file:
        if not is_bounded:
            _refuse_beyond_memory(path, file.metadata)
        yield from file.iter_batches(
            rows or _ROW_GROUP, columns=list(names), use_threads=not is_bounded
        )


def arrow_schema(path: Path) -> pa.Schema:
    """Return the columns of an Arrow (Feather) file or stream; otherwise as ``parquet_schema``."""
    with _opened_arrow(path) as (reader, _):
        return reader.schema


def arrow_batches(
    path: Path, names: Sequence[str], *, rows: int | None = None
) -> Generator[pa.RecordBatch]:
    """Yield the named columns of an Arrow (Feather) file or stream; see ``parquet_batches``."""
    with _opened_arrow(path) as (reader, batches):
        at = [reader.schema.get_field_index(name) for name in names]
        for batch in batches:
            chosen = pa.RecordBatch.from_arrays([batch.column(i) for i in at], names=list(names))
            step = rows or max(len(chosen), 1)
            yield from (chosen.slice(k, step) for k in range(0, len(chosen), step))


@contextmanager
def _opened_arrow(path: Path) -> Iterator[tuple[Any, Iterator[pa.RecordBatch]]]:
    """Open an Arrow file, mapped, or a stream: its reader and its batches."""
    with _whole(path, "Arrow"), pa.memory_map(str(path)) as source:
        if first_bytes(path).startswith(b"ARROW1"):
            reader = pa.ipc.open_file(source)
            yield reader, map(reader.get_batch, range(reader.num_record_batches))
        else:
            reader = pa.ipc.open_stream(source)
            yield reader, iter(reader)


def write_parquet(table: pa.Table, path: str | Path) -> None:
    """Write a table to a Parquet file (zstd): the whole file or nothing.

    The bytes go to a temporary file in the same folder, which is made if need be, are flushed to
    the disk, and take the final name in one step: an existing file is replaced. Metadata are
    kept; the same table gives the same bytes with the same pyarrow. A LogError says that the
    folder cannot be written to.
    """
    path = Path(path)
    temporary = path.parent / f".joins-{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as stream:
                pyarrow.parquet.write_table(
                    table, stream, compression="zstd", row_group_size=_ROW_GROUP
                )
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        got = error.strerror or str(error)
        raise complaint(path, "the file", "cannot be written", got=got) from error


def _refuse_beyond_memory(path: Path, metadata: pyarrow.parquet.FileMetaData) -> None:
    memory, rows = memory_bytes(), metadata.num_rows
    unpacked = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    for needed, what in ((rows * _BYTES_PER_ROW, f"{rows:,} rows"), (unpacked, "its columns")):
        if needed > memory:
            rule = f"must fit into memory, {memory / 2**30:,.1f} GiB here"
            got = f"{what}, which take at least {needed / 2**30:,.1f} GiB"
            raise complaint(path, "the file", rule, got=got)


@contextmanager
def _whole(path: Path, kind: str) -> Iterator[None]:
    """Say of a file that cannot be read as one of its kind that it is damaged, or why."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(path, error) from error
        rule = f"must be a whole {kind} file; it is of another format, cut off or damaged"
        got = str(error).splitlines()[0]
        raise complaint(path, "the file", rule, got=got) from error
