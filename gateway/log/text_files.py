"""CSV and NDJSON files, packed or not, as tables, and files with a list of names.

pyarrow reads a good file fast, on several threads, and so cannot say where a bad one
breaks. Only when it fails is the file read again, slowly, to find the place.
"""

from __future__ import annotations

import csv
import io
import json
import lzma
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json

from gateway.errors import LogError, did_you_mean, shown
from gateway.log.files import broken_stream, format_of, opened, read_plain, unreadable
from gateway.log.messages import complaint, listed

_BROKEN = (EOFError, zlib.error, lzma.LZMAError, OSError)
_DELIMITERS = ",;\t|"
# Of a list of names: every group of the largest logs stands in a tenth of it.
_LARGEST_LIST = 2**30
# Rows of NDJSON that tell what its columns hold.
_SAMPLE = 1_000
_JSON_TYPES = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}


def read_header(path: Path) -> list[str]:
    """Return the column names of a CSV file; a LogError says that there is no header."""
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
    path: Path, names: Sequence[str], by_dictionary: Sequence[str] = (), *, block: int | None = None
) -> Generator[pa.RecordBatch]:
    """Yield the named columns of a CSV file as text; an empty cell is an empty string.

    The file is UTF-8 with a header that has each name once; cells are separated by commas,
    semicolons, tabs or bars. Columns ``by_dictionary`` are not spelt out. ``block``: bytes of
    text to read at a time; None for all of it, on several threads. A LogError says that the
    file is not UTF-8, has ragged rows, or cannot be unpacked.
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
                got = f"{len(record)} ({listed(record)})"
                rule = f"must have as many cells as the header, {width}"
                return complaint(path, f"data row {rows}", rule, got=got)
        if rows > 0:
            return _not_text(path, otherwise=str(failure))
    except csv.Error as error:
        hint = "is a quote opened and never closed?"
        rule = "cannot be read as CSV"
        return complaint(path, f"data row {rows + 1}", rule, got=str(error), hint=hint)
    except _BROKEN as error:
        return broken_stream(path, error)
    return complaint(path, "the file", "must hold at least one join; it has a header only")


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

    A LogError says that a line is no JSON object, or a key has values of several types.
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
    """Yield columns of an NDJSON file, by name and type; ``block`` as in ``csv_batches``.

    A LogError says in which row a line is no JSON object, or a value is of another type.
    """
    parsing = pyarrow.json.ParseOptions(
        explicit_schema=pa.schema(list(types.items())), unexpected_field_behavior="ignore"
    )
    size = block or max(path.stat().st_size, 2**20)
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


# Lists of names, such as the target groups -------------------------------------------------


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
        If the file cannot be read, is not UTF-8, lacks a column, or holds no name, or no row
        that meets every condition.
    """
    path = Path(path)
    if column is None and where is None:
        names = _names_by_line(path)
    else:
        names = _cells(path, column or "group", where or {})
    if not names:
        raise complaint(path, "the file", "must hold at least one name, one a line; it holds none")
    return names


def _names_by_line(path: Path) -> tuple[str, ...]:
    try:
        text = read_plain(path, _LARGEST_LIST).removeprefix(b"\xef\xbb\xbf").decode()
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        *lines, line = error.object[: error.start].split(b"\n")
        where, got = f"{path}:{len(lines) + 1}", f"byte 0x{error.object[error.start]:02x}"
        got += f" at position {len(line) + 1}"
        raise complaint(where, "the line", "must be UTF-8", got=got) from error
    return _each_once(line.strip() for line in text.split("\n"))


def _cells(path: Path, column: str, where: Mapping[str, str]) -> tuple[str, ...]:
    kind = format_of(path)
    if kind != "csv":
        raise complaint(path, "the list of names", f"must be a CSV file; it is of format {kind}")
    header, wanted = read_header(path), list(dict.fromkeys([column, *where]))
    for name in wanted:
        if header.count(name) != 1:
            rule = f"must be there once; the columns are {listed(header)}"
            raise complaint(path, f"column {shown(name)}", rule, hint=did_you_mean(name, header))
    rows = pa.Table.from_batches(list(csv_batches(path, wanted)))
    for name, value in where.items():
        meets = pc.equal(rows[name], value)
        if not pc.any(meets).as_py():
            hint = did_you_mean(value, pc.unique(rows[name]).to_pylist())
            rule = f"must be {shown(value)} in some row that meets the conditions; it is in none"
            raise complaint(path, f"column {shown(name)}", rule, hint=hint)
        rows = rows.filter(meets)
    return _each_once(name.strip() for name in rows[column].to_pylist())


def _each_once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))
