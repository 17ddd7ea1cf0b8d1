"""Databases and workbooks as record batches."""

from __future__ import annotations

import importlib
import sqlite3
import zipfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from gateway.errors import LogError
from gateway.log.files import format_of
from gateway.log.messages import complaint, did_you_mean, listed, shown

__all__ = ["batches_of_rows", "query_batches", "query_columns", "workbook_rows"]

_ROWS = 1 << 16
# What comes of a workbook that is damaged, encrypted or none.
_UNREADABLE = (OSError, LookupError, ValueError, TypeError, AttributeError, SyntaxError,
               RuntimeError, EOFError, zipfile.BadZipFile, zlib.error)  # fmt: skip
_TABLE = "joins"


def batches_of_rows(
    rows: Iterator[Sequence[Any]], names: Sequence[str], where: object
) -> Generator[pa.RecordBatch]:
    """Yield rows of Python values as record batches.

    Raises
    ------
    LogError
        If a column holds values of several kinds.
    """
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

    Parameters
    ----------
    path
        The file.
    query
        SQL; None for all of the table ``joins``, or of the only one.

    Raises
    ------
    LogError
        If the file or the query cannot be used.
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
    """Yield the rows of the first sheet of an Excel workbook, the header among them.

    Raises
    ------
    LogError
        If it cannot be read, or the library for it is not installed.
    """
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
