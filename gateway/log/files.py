"""What lies at a path: its format by content, its parts, its digest; Parquet files."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Generator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet

from gateway.errors import LogError
from gateway.log.messages import complaint
from gateway.provenance import memory_bytes

__all__ = ["Format", "digest_of", "format_of", "open_plain", "parquet_batches", "parquet_parts",
           "parquet_schema", "read_plain", "unreadable", "write_parquet"]  # fmt: skip

Format = Literal["csv", "gzip", "parquet"]

_ROW_GROUP = 1 << 20
_BUFFER = 1 << 18
# A join takes a user, a group and a time, at four bytes each at the very least.
_BYTES_PER_ROW = 12

_WANTED = "must be a CSV file, a gzip CSV file, a Parquet file or a folder of Parquet files"
_FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"ARROW1": "an Arrow IPC file",
    b"SQLite format 3": "an SQLite database",
}


def open_plain(path: Path, *, follow: bool = True) -> BufferedReader:
    """Open a file for reading: no pipe, which would wait for its writer, no endless device.

    Parameters
    ----------
    path
        Of the file.
    follow
        Whether it may be a link.

    Raises
    ------
    OSError
        If it cannot be opened, or is anything but a plain file.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    handle = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no plain file", str(path))
    return os.fdopen(handle, "rb")


def read_plain(path: Path, most: int, *, follow: bool = True) -> bytes:
    """Return what a plain file holds, which may be so many bytes; as ``open_plain``."""
    with open_plain(path, follow=follow) as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most:,} bytes", str(path))
    return content


def unreadable(path: Path, error: OSError) -> LogError:
    """Return the error for a file that the system does not let us read."""
    if isinstance(error, FileNotFoundError):
        return complaint(path, "the file", "does not exist")
    return complaint(path, "the file", "cannot be read", got=error.strerror or str(error))


def format_of(path: Path) -> Format:
    """Return the format of a log, judged by its first bytes rather than by its name.

    Raises
    ------
    LogError
        If there is nothing at the path, it is empty, or it is of another format.
    """
    if path.is_dir():
        return "parquet"
    head = _first_bytes(path)
    if not head:
        raise complaint(path, "the file", "must hold a join log; it is empty")
    foreign = next((name for magic, name in _FOREIGN.items() if head.startswith(magic)), None)
    if foreign:
        raise complaint(path, "the file", _WANTED, got=foreign)
    if head.startswith(b"PAR1"):
        return "parquet"
    return "gzip" if head.startswith(b"\x1f\x8b") else "csv"


def parquet_parts(path: Path) -> list[Path]:
    """Return the Parquet files of a log: the file itself, or those of a folder by name.

    Files and folders whose name starts with a dot or an underscore are other programs'
    bookkeeping and are left out.

    Raises
    ------
    LogError
        If a folder holds no Parquet file.
    """
    if not path.is_dir():
        return [path]
    parts = sorted(part for part in path.rglob("*.parquet") if _is_data(part.relative_to(path)))
    if not parts:
        raise complaint(path, "the folder", "must hold .parquet files; it holds none")
    return parts


def digest_of(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    try:
        with open_plain(path) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def _is_data(part: Path) -> bool:
    return not any(name.startswith((".", "_")) for name in part.parts)


def _first_bytes(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        # A pipe could be read only once, and we look at the first bytes before we read.
        raise complaint(path, "the path", "must be a regular file or a folder")
    try:
        with open_plain(path) as stream:
            return stream.read(16)
    except OSError as error:
        raise unreadable(path, error) from error


def parquet_schema(path: Path) -> pa.Schema:
    """Return names and types of the columns of one Parquet file, and its metadata.

    Raises
    ------
    LogError
        If it is not a whole Parquet file.
    """
    try:
        return pyarrow.parquet.read_schema(path)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _not_parquet(path, error) from error


def parquet_batches(
    path: Path,
    names: Sequence[str],
    *,
    by_dictionary: Sequence[str] = (),
    rows: int | None = None,
    is_bounded: bool = False,
) -> Generator[pa.RecordBatch]:
    """Yield the named columns of one Parquet file, of whatever type they are.

    Parameters
    ----------
    path
        The file.
    names
        Columns of it.
    by_dictionary
        Columns of text that are not spelt out.
    rows
        Most rows of a batch; None for about a million.
    is_bounded
        Whether batches go as they come, so that the file may be larger than the memory.

    Raises
    ------
    LogError
        If it is not a whole Parquet file, or says that it holds more rows than the memory
        of this machine: a few bytes can stand for any number of equal rows.
    """
    # With a buffer a column is read piece by piece; without, a whole row group of it.
    # A name of a megabyte that stands in every row would be spelt out as often.
    how: dict[str, Any] = {"read_dictionary": list(by_dictionary)}
    how |= {"buffer_size": _BUFFER} if is_bounded else {}
    try:
        # A ParquetFile is this one file; a dataset would look for partitions in the path.
        with pyarrow.parquet.ParquetFile(path, **how) as file:
            if not is_bounded:
                _refuse_beyond_memory(path, file.metadata)
            yield from file.iter_batches(
                rows or _ROW_GROUP, columns=list(names), use_threads=not is_bounded
            )
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _not_parquet(path, error) from error


def write_parquet(table: pa.Table, path: str | Path) -> None:
    """Write a table to a Parquet file (zstd): the whole file or nothing.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and take
    the final name in one step. The same table gives the same bytes with the same pyarrow.

    Parameters
    ----------
    table
        Any table; its metadata are kept.
    path
        The file; its folder is made if need be. An existing file is replaced.

    Raises
    ------
    LogError
        If the folder cannot be written to.
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


def _not_parquet(path: Path, error: Exception) -> LogError:
    if isinstance(error, OSError) and error.errno is not None:
        return unreadable(path, error)
    rule = "must be a whole Parquet file; it is of another format, cut off or damaged"
    return complaint(path, "the file", rule, got=str(error).splitlines()[0])
