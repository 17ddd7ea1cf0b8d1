"""CSV and gzip CSV files as tables of text.

pyarrow reads a good file fast, on several threads, and so cannot say where a bad one
breaks. Only when it fails is the file read again, slowly, to find the place.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.csv

from gateway.errors import LogError
from gateway.log.files import Format, unreadable
from gateway.log.messages import complaint, listed

__all__ = ["csv_batches", "read_header"]


# Join logs shrink five to thirty times. A stream of one byte repeated shrinks a thousand
# times: a few megabytes of it would fill the memory.
_LARGEST_RATIO = 200
_ALWAYS_ALLOWED = 1 << 28
_BUFFER = 1 << 20


def read_header(path: Path, *, kind: Format) -> list[str]:
    """Return the column names of a CSV file.

    Raises
    ------
    LogError
        If there is no header or it cannot be read.
    """
    try:
        header = next(_records(path, kind))
        "".join(header).encode("utf-8")
    except StopIteration:
        raise complaint(path, "the file", "must have a header and rows; it is blank") from None
    except UnicodeEncodeError as error:
        raise _not_text(path, kind) from error
    except csv.Error as error:
        raise complaint(path, "the header", "cannot be read as CSV", got=str(error)) from error
    except (EOFError, zlib.error, OSError) as error:
        raise _broken_stream(path, error) from error
    return header


def csv_batches(
    path: Path,
    names: Sequence[str],
    *,
    kind: Format,
    by_dictionary: Sequence[str] = (),
    block: int | None = None,
) -> Generator[pa.RecordBatch]:
    """Yield the named columns of a CSV file as text; an empty cell is an empty string.

    Parameters
    ----------
    path
        The file: comma-separated, UTF-8, with a header.
    names
        Columns, each in the header exactly once.
    kind
        ``csv`` or ``gzip``.
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
        "parse_options": pyarrow.csv.ParseOptions(newlines_in_values=True),
        "convert_options": pyarrow.csv.ConvertOptions(
            include_columns=list(names), column_types=text, null_values=[],
            strings_can_be_null=False,
        ),
    }  # fmt: skip
    try:
        with _opened(path, kind) as stream:
            if block is None:
                yield from pyarrow.csv.read_csv(stream, **options).to_batches()
                return
            reading = pyarrow.csv.ReadOptions(block_size=block, use_threads=False)
            with pyarrow.csv.open_csv(stream, read_options=reading, **options) as reader:
                yield from reader
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        raise _explained(path, kind, error) from error


def _opened(path: Path, kind: Format) -> BinaryIO:
    return _open_gzip(path) if kind == "gzip" else path.open("rb")


def _records(path: Path, kind: Format) -> Iterator[list[str]]:
    """Yield the header and the data rows; blank lines are not rows.

    What is not UTF-8 becomes surrogates: it may stand in a column that nobody wants.
    """
    with io.TextIOWrapper(
        _opened(path, kind), encoding="utf-8-sig", errors="surrogateescape", newline=""
    ) as stream:
        yield from (record for record in csv.reader(stream) if record)


def _explained(path: Path, kind: Format, failure: Exception) -> LogError:
    """Return what is wrong with a file that pyarrow could not read."""
    rows = 0
    try:
        records = _records(path, kind)
        width = len(next(records))
        for record in records:
            rows += 1
            if len(record) != width:
                return _ragged(path, rows, record, width)
        if rows > 0:
            return _not_text(path, kind, otherwise=str(failure))
    except csv.Error as error:
        return complaint(
            path,
            f"data row {rows + 1}",
            "cannot be read as CSV",
            got=str(error),
            hint="is a quote opened and never closed?",
        )
    except (EOFError, zlib.error, OSError) as error:
        return _broken_stream(path, error)
    return complaint(path, "the file", "must hold at least one join; it has a header only")


def _ragged(path: Path, row: int, record: list[str], width: int) -> LogError:
    got = f"{len(record)} ({listed(record)})"
    rule = f"must have as many cells as the header, {width}"
    return complaint(path, f"data row {row}", rule, got=got)


def _broken_stream(path: Path, error: Exception) -> LogError:
    if isinstance(error, OSError) and error.errno is not None:
        return unreadable(path, error)
    state = "ends too early" if isinstance(error, EOFError) else "is damaged"
    return complaint(path, "the file", f"must be a whole gzip file; it {state}", got=str(error))


def _not_text(path: Path, kind: Format, *, otherwise: str = "") -> LogError:
    """Return the error that names the first byte that is not UTF-8, if there is one."""
    offset = 0
    with _opened(path, kind) as stream:
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


def _open_gzip(path: Path) -> BinaryIO:
    """Open a gzip file for reading; it may grow 200-fold, and to 256 MiB in any case.

    Raises
    ------
    LogError
        While reading, once the stream is longer than that.
    """
    allowed = max(_ALWAYS_ALLOWED, _LARGEST_RATIO * path.stat().st_size)
    return cast("BinaryIO", io.BufferedReader(_Bounded(path, allowed), _BUFFER))


class _Bounded(io.RawIOBase):
    def __init__(self, path: Path, allowed: int) -> None:
        self._path, self._left, self._allowed = path, allowed, allowed
        self._stream = gzip.open(path, "rb")  # noqa: SIM115  (closed by close)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        got = self._stream.readinto(buffer)
        self._left -= got
        if self._left < 0:
            raise complaint(
                self._path,
                "the gzip stream",
                f"must not grow more than {_LARGEST_RATIO}-fold",
                got=f"more than {self._allowed:,} bytes from {self._path.stat().st_size:,}",
                hint="if it is a log after all, unpack it first",
            )
        return got

    def close(self) -> None:
        self._stream.close()
        super().close()
