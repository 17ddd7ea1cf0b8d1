"""Parquet files: columns of one part by batches of rows, and writing."""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from gateway.errors import LogError
from gateway.log.files import unreadable
from gateway.log.messages import complaint

__all__ = ["parquet_batches", "parquet_schema", "write_parquet"]

_ROW_GROUP = 1 << 20
_BUFFER = 1 << 18
# A join takes a user, a group and a time, at four bytes each at the very least.
_BYTES_PER_ROW = 12


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
    how = {"buffer_size": _BUFFER} if is_bounded else {"read_dictionary": list(by_dictionary)}
    try:
        # A ParquetFile is this one file; a dataset would look for partitions in the path.
        with pyarrow.parquet.ParquetFile(path, **how) as file:
            if not is_bounded:
                _refuse_beyond_memory(path, file.metadata.num_rows)
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


def _refuse_beyond_memory(path: Path, rows: int) -> None:
    most = _memory() // _BYTES_PER_ROW
    if rows > most:
        rule = f"must fit into memory: at most {most:,} rows here"
        raise complaint(path, "the file", rule, got=f"{rows:,}")


def _memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _not_parquet(path: Path, error: Exception) -> LogError:
    if isinstance(error, OSError) and error.errno is not None:
        return unreadable(path, error)
    rule = "must be a whole Parquet file; it is of another format, cut off or damaged"
    return complaint(path, "the file", rule, got=str(error).splitlines()[0])
