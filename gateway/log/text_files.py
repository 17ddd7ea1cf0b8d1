"""CSV and NDJSON files, packed or not, as tables.

pyarrow reads a good file fast, on several threads, and so cannot say where a bad one
breaks. Only when it fails is the file read again, slowly, to find the place.
"""

from __future__ import annotations

import csv
import io
import json
import lzma
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json

from gateway.errors import LogError
from gateway.log.files import broken_stream, opened
from gateway.log.messages import complaint, listed, shown

__all__ = ["csv_batches", "csv_of", "json_batches", "read_header", "read_keys"]


_BROKEN = (EOFError, zlib.error, lzma.LZMAError, OSError)
_DELIMITERS = ",;\t|"
# Rows of NDJSON that tell what its columns hold.
_SAMPLE = 1_000
_JSON_TYPES = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}


def read_header(path: Path) -> list[str]:
    """Return the column names of a CSV file.

    Raises
    ------
    LogError
        If there is no header or it cannot be read.
    """
    try:
        header = next(_records(path))
        "".join(header).encode("utf-8")
    except StopIteration:
        raise complaint(path, "the file", "must have a header and rows; it is blank") from None
    except UnicodeEncodeError as error:
        raise _not_text(path) from error
    except csv.Error as error:
        raise complaint(path, "the header", "cannot be read as CSV", got=str(error)) from error
    except _BROKEN as error:
        raise broken_stream(path, error) from error
    return header


def csv_batches(
    path: Path,
    names: Sequence[str],
    *,
    by_dictionary: Sequence[str] = (),
    block: int | None = None,
) -> Generator[pa.RecordBatch]:
    """Yield the named columns of a CSV file as text; an empty cell is an empty string.

    Parameters
    ----------
    path
        The file: UTF-8, with a header; cells are separated by commas, semicolons, tabs or bars.
    names
        Columns, each in the header exactly once.
    by_dictionary
        Columns that are not spelt out.
    block
        Bytes of text to read at a time; None for all of it, on several threads.

    Raises
    ------
    LogError
        If the file is not UTF-8, has ragged rows, or its gzip stream is broken.
    """
    text = dict.fromkeys(names, pa.string())
    text |= dict.fromkeys(by_dictionary, pa.dictionary(pa.int32(), pa.string()))
    options = {
        # A quoted name may hold a line break.
        "parse_options": pyarrow.csv.ParseOptions(
            newlines_in_values=True, delimiter=_delimiter(path)
        ),
        "convert_options": pyarrow.csv.ConvertOptions(
            include_columns=list(names), column_types=text, null_values=[],
            strings_can_be_null=False,
        ),
    }  # fmt: skip
    try:
        with opened(path) as stream:
            if block is None:
                yield from pyarrow.csv.read_csv(stream, **options).to_batches()
                return
            reading = pyarrow.csv.ReadOptions(block_size=block, use_threads=False)
            with pyarrow.csv.open_csv(stream, read_options=reading, **options) as reader:
                yield from reader
    except (pa.ArrowException, *_BROKEN) as error:
        raise _explained(path, error) from error


def _records(path: Path) -> Iterator[list[str]]:
    """Yield the header and the data rows; blank lines are not rows.

    What is not UTF-8 becomes surrogates: it may stand in a column that nobody wants.
    """
    with _text(path) as stream:
        yield from (r for r in csv.reader(stream, delimiter=_delimiter(path)) if r)


def _text(path: Path) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        opened(path), encoding="utf-8-sig", errors="surrogateescape", newline=""
    )


def _delimiter(path: Path) -> str:
    """Return what separates the cells of the header: what makes most of them, else a comma."""
    with _text(path) as stream:
        first = next((line for line in stream if line.strip()), "")
    cells = {mark: len(next(csv.reader([first], delimiter=mark), [])) for mark in _DELIMITERS}
    return max(_DELIMITERS, key=lambda mark: cells[mark])


def _explained(path: Path, failure: Exception) -> LogError:
    """Return what is wrong with a file that pyarrow could not read."""
    rows = 0
    try:
        records = _records(path)
        width = len(next(records))
        for record in records:
            rows += 1
            if len(record) != width:
                return _ragged(path, rows, record, width)
        if rows > 0:
            return _not_text(path, otherwise=str(failure))
    except csv.Error as error:
        return complaint(
            path,
            f"data row {rows + 1}",
            "cannot be read as CSV",
            got=str(error),
            hint="is a quote opened and never closed?",
        )
    except _BROKEN as error:
        return broken_stream(path, error)
    return complaint(path, "the file", "must hold at least one join; it has a header only")


def _ragged(path: Path, row: int, record: list[str], width: int) -> LogError:
    got = f"{len(record)} ({listed(record)})"
    rule = f"must have as many cells as the header, {width}"
    return complaint(path, f"data row {row}", rule, got=got)


def _not_text(path: Path, *, otherwise: str = "") -> LogError:
    """Return the error that names the first byte that is not UTF-8, if there is one."""
    offset = 0
    with opened(path) as stream:
        # No byte of a multi-byte UTF-8 character is a line feed: lines may be decoded alone.
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                got = f"byte 0x{line[error.start]:02x} at byte {offset + error.start + 1}"
                hint = "save the file as UTF-8"
                where = f"{path}:{number}"
                return complaint(where, "the text", "must be UTF-8", got=got, hint=hint)
            offset += len(line)
    return complaint(path, "the file", "cannot be read as CSV", got=otherwise)


def csv_of(table: Any) -> bytes:
    """Return a table, or anything that gives one, as CSV: UTF-8 with a header."""
    buffer = io.BytesIO()
    pyarrow.csv.write_csv(pa.table(table), buffer)
    return buffer.getvalue()


def read_keys(path: Path) -> dict[str, pa.DataType]:
    """Return the keys of the first objects of an NDJSON file, and the type of their values.

    Raises
    ------
    LogError
        If a line is no JSON object, or a key has values of several types.
    """
    found: dict[str, pa.DataType] = {}
    for row, line in enumerate(islice(_lines(path), _SAMPLE), start=1):
        for key, value in _object(path, row, line).items():
            kind = _JSON_TYPES.get(type(value), pa.null() if value is None else pa.list_(pa.null()))
            known = found.setdefault(key, kind)
            if known != kind and not pa.types.is_null(kind):
                if not pa.types.is_null(known) and {known, kind} != {pa.int64(), pa.float64()}:
                    rule = f"must be of one type in all rows; it is {known} in the first"
                    raise complaint(path, f"data row {row}: {shown(key)}", rule, got=str(kind))
                found[key] = pa.float64() if pa.float64() in (known, kind) else kind
    return found


def json_batches(
    path: Path, types: Mapping[str, pa.DataType], *, block: int | None = None
) -> Generator[pa.RecordBatch]:
    """Yield columns of an NDJSON file.

    Parameters
    ----------
    path
        The file: one JSON object a line.
    types
        Names of the columns, and their types.
    block
        Bytes of text to read at a time; None for all of it, on several threads.

    Raises
    ------
    LogError
        If a line is no JSON object, or a value is of another type (the message names the row).
    """
    parsing = pyarrow.json.ParseOptions(
        explicit_schema=pa.schema(list(types.items())), unexpected_field_behavior="ignore"
    )
    size = block or max(path.stat().st_size, _LEAST_BLOCK)
    reading = pyarrow.json.ReadOptions(use_threads=block is None, block_size=min(size, 2**30))
    try:
        with opened(path) as stream:
            if block is None:
                table = pyarrow.json.read_json(stream, reading, parsing)
                yield from table.select(list(types)).to_batches()
                return
            with pyarrow.json.open_json(stream, reading, parsing) as reader:
                for batch in reader:
                    yield batch.select(list(types))
    except (pa.ArrowException, *_BROKEN) as error:
        raise _explained_json(path, types, error) from error


_LEAST_BLOCK = 1 << 20


def _lines(path: Path) -> Iterator[str]:
    with _text(path) as stream:
        yield from (line for line in stream if line.strip())


def _object(path: Path, row: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise complaint(path, f"data row {row}", "must be a JSON object", got=str(error)) from error
    if not isinstance(value, dict):
        raise complaint(path, f"data row {row}", "must be a JSON object", got=shown(value))
    return value


def _explained_json(path: Path, types: Mapping[str, pa.DataType], failure: Exception) -> LogError:
    """Return what is wrong with a file that pyarrow could not read."""
    try:
        for row, line in enumerate(_lines(path), start=1):
            found = _object(path, row, line)
            for key, kind in types.items():
                try:
                    pa.array([found.get(key)], kind)
                except (pa.ArrowException, TypeError):
                    rule = f"must be {kind}, as in the first rows"
                    return complaint(path, f"data row {row}: {shown(key)}", rule,
                                     got=shown(found[key]))  # fmt: skip
    except LogError as error:
        return error
    except _BROKEN as error:
        return broken_stream(path, error)
    got = str(failure).splitlines()[0]
    return complaint(path, "the file", "cannot be read as NDJSON", got=got)
