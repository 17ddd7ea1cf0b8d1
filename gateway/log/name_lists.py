"""A list of names in a file, such as the target groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from gateway.errors import LogError
from gateway.log.files import format_of, read_plain, unreadable
from gateway.log.messages import complaint, did_you_mean, listed, shown
from gateway.log.text_files import csv_batches, read_header

__all__ = ["read_names"]

_NAMES = "group"
# Of a list of names: every group of the largest logs stands in a tenth of it.
_LARGEST = 2**30


def read_names(
    path: str | Path, *, column: str | None = None, where: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return the names in a file, in its order, each once.

    Without ``column`` and ``where`` a text file with one name a line; blank lines and white
    space around a name are ignored. A name may begin with ``#``, as chat channels do.

    Parameters
    ----------
    path
        A UTF-8 text file; with ``column`` or ``where`` a CSV or gzip CSV file.
    column
        Which column of the CSV file holds the names; by default ``group``.
    where
        Column names and what must stand there, letter for letter, in a row that is taken:
        ``{"category": "Tech"}``. All must hold.

    Raises
    ------
    LogError
        If the file cannot be read, is not UTF-8 (the message names the line), lacks a
        column, or holds no name, or no row that meets every condition.
    """
    path = Path(path)
    if column is None and where is None:
        names = _lines(path)
    else:
        names = _cells(path, column or _NAMES, where or {})
    if not names:
        raise complaint(path, "the file", "must hold at least one name, one a line; it holds none")
    return names


def _lines(path: Path) -> tuple[str, ...]:
    try:
        lines = read_plain(path, _LARGEST).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise unreadable(path, error) from error
    return _each_once(_decoded(line, path, number) for number, line in enumerate(lines, start=1))


def _cells(path: Path, column: str, where: Mapping[str, str]) -> tuple[str, ...]:
    kind = format_of(path)
    if kind != "csv":
        raise complaint(path, "the list of names", f"must be a CSV file; it is of format {kind}")
    header, wanted = read_header(path), list(dict.fromkeys([column, *where]))
    for name in wanted:
        if header.count(name) != 1:
            raise _no_column(path, name, header)
    rows = pa.Table.from_batches(list(csv_batches(path, wanted)))
    for name, value in where.items():
        meets = pc.equal(rows[name], value)
        if not pc.any(meets).as_py():
            raise _no_row(path, name, value, rows[name])
        rows = rows.filter(meets)
    return _each_once(name.strip() for name in rows[column].to_pylist())


def _each_once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))


def _no_column(path: Path, name: str, header: list[str]) -> LogError:
    rule = f"must be there once; the columns are {listed(header)}"
    return complaint(path, f"column {shown(name)}", rule, hint=did_you_mean(name, header))


def _no_row(path: Path, name: str, value: str, column: pa.ChunkedArray) -> LogError:
    hint = did_you_mean(value, pc.unique(column).to_pylist())
    rule = f"must be {shown(value)} in some row that meets the conditions; it is in none"
    return complaint(path, f"column {shown(name)}", rule, hint=hint)


def _decoded(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        got = f"byte 0x{line[error.start]:02x} at position {error.start + 1}"
        raise complaint(f"{path}:{number}", "the line", "must be UTF-8", got=got) from error
