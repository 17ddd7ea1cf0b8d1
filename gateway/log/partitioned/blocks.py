"""A log of any format, block by block, checked as it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from gateway.log.columns import Part, check_kind, check_names, checked_part
from gateway.log.csv_files import iterate_text_columns, read_header
from gateway.log.messages import complaint
from gateway.log.parquet_files import iterate_raw_columns, read_names_of_columns
from gateway.log.paths import format_of, parquet_parts

__all__ = ["iterate_blocks"]

# Rows of a Parquet file are taken to be of so many bytes, until they are read.
_BYTES_PER_ROW = 64
_FEWEST_ROWS = 256


def iterate_blocks(path: Path, *, roles: Mapping[str, str], block: int) -> Iterator[Part]:
    """Yield the rows of a log in order, checked as ``read_columns`` checks them.

    Parameters
    ----------
    path
        CSV, gzip CSV, Parquet, or a folder of Parquet parts.
    roles
        Column name of each role: ``user``, ``group``, ``time``.
    block
        Bytes to read at once, about.

    Raises
    ------
    LogError
        If the log, or a value in it, cannot be used. Of several bad rows the message names
        the first of the first block that holds one.
    """
    first: Part | None = None
    for where, table, row in _tables(path, roles, block):
        part = checked_part(table, roles, where, first_row=row)
        if part.times is None:
            continue
        if first is None:
            first = replace(part, user=part.user[:0], group=part.group[:0])
        assert first.times is not None  # noqa: S101  (a part without times was left out)
        rows = f"{where}, from data row {row + 1:,} on"
        check_kind(part.times, rows, first=first.times, first_where=f"data row 1 of {first.where}")
        yield part
    if first is None:
        raise complaint(path, "the log", "must hold at least one join; it holds no rows")


def _tables(
    path: Path, roles: Mapping[str, str], block: int
) -> Iterator[tuple[Path, pa.Table, int]]:
    """Yield file, rows and the number of the first of them."""
    kind, names = format_of(path), list(roles.values())
    if kind == "parquet":
        rows = max(block // _BYTES_PER_ROW, _FEWEST_ROWS)
        for part in parquet_parts(path):
            check_names(read_names_of_columns(part), roles, where=part)
            yield from _numbered(part, iterate_raw_columns(part, names, rows=rows))
    else:
        check_names(read_header(path, kind=kind), roles, where=path)
        yield from _numbered(path, iterate_text_columns(path, names, kind=kind, block=block))


def _numbered(path: Path, tables: Iterator[pa.Table]) -> Iterator[tuple[Path, pa.Table, int]]:
    row = 0
    for table in tables:
        yield path, table, row
        row += len(table)
