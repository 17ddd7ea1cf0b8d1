"""Parquet files: columns of one part, whole tables that carry a mark, and writing."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from gateway.errors import LogError
from gateway.log.messages import complaint
from gateway.log.paths import parquet_parts, unreadable

__all__ = ["count_rows", "iterate_batches", "iterate_raw_columns", "marked_table",
           "metadata_at", "read_names_of_columns", "read_raw_columns",
           "write_parquet"]  # fmt: skip

_ROW_GROUP = 1 << 20
_BUFFER = 1 << 18
# A join takes a user, a group and a time, at four bytes each at the very least.
_BYTES_PER_ROW = 12


def read_names_of_columns(path: Path) -> list[str]:
    """Return the column names of a Parquet file.

    Raises
    ------
    LogError
        If it is not a whole Parquet file.
    """
    return list(_schema(path).names)


def read_raw_columns(
    path: Path, names: Sequence[str], *, as_dictionary: Sequence[str] = ()
) -> pa.Table:
    """Return the named columns of one Parquet file, of whatever type they are.

    Columns of text in ``as_dictionary`` are not spelt out.

    Raises
    ------
    LogError
        If it is not a whole Parquet file, or says that it holds more rows than the memory
        of this machine: a few bytes can stand for any number of equal rows.
    """
    try:
        # A ParquetFile is this one file; read_table would look for partitions in the path.
        with pyarrow.parquet.ParquetFile(path, read_dictionary=list(as_dictionary)) as file:
            _refuse_beyond_memory(path, file.metadata.num_rows)
            return file.read(columns=list(names))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _not_parquet(path, error) from error


def iterate_raw_columns(path: Path, names: Sequence[str], *, rows: int) -> Iterator[pa.Table]:
    """Yield the rows of ``read_raw_columns`` in blocks of at most ``rows``, whatever its size."""
    try:
        # With a buffer a column is read piece by piece; without, a whole row group of it.
        with pyarrow.parquet.ParquetFile(path, buffer_size=_BUFFER) as file:
            for batch in file.iter_batches(rows, columns=list(names), use_threads=False):
                yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _not_parquet(path, error) from error


def count_rows(path: Path) -> int:
    """Return how many rows a Parquet file says it holds.

    Raises
    ------
    LogError
        If it is not a whole Parquet file, or they are more than the memory holds.
    """
    try:
        rows = int(pyarrow.parquet.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _not_parquet(path, error) from error
    _refuse_beyond_memory(path, rows)
    return rows


def iterate_batches(path: Path, names: Sequence[str]) -> Iterator[list[pa.Array]]:
    """Yield the named columns of a Parquet file by about a million rows, text by dictionary.

    Raises
    ------
    pyarrow.ArrowException, OSError
        If the file is damaged.
    """
    schema = _schema(path)
    # The columns of a struct or list have other names in the file.
    flat = [name for name in names if not pa.types.is_nested(schema.field(name).type)]
    with pyarrow.parquet.ParquetFile(path, read_dictionary=flat) as file:
        for batch in file.iter_batches(_ROW_GROUP, columns=list(names)):
            yield [batch.column(batch.schema.get_field_index(name)) for name in names]


def marked_table(path: str | Path, mark: bytes) -> pa.Table | None:
    """Return the whole table of a Parquet log if its metadata hold ``mark``, else None.

    Parameters
    ----------
    path
        A Parquet file or a folder of parts; a log of several parts carries no mark.
    mark
        Key of the schema's metadata.
    """
    parts = parquet_parts(Path(path))
    if len(parts) > 1:
        return None
    schema = _schema(parts[0])
    return read_raw_columns(parts[0], schema.names) if mark in (schema.metadata or {}) else None


def metadata_at(path: str | Path, mark: bytes) -> bytes | None:
    """Return what stands under ``mark`` in the metadata of a Parquet log of one part."""
    parts = parquet_parts(Path(path))
    metadata = _schema(parts[0]).metadata if len(parts) == 1 else None
    return (metadata or {}).get(mark)


def write_parquet(
    table: pa.Table, path: str | Path, *, row_group: int = _ROW_GROUP, keep_schema: bool = True
) -> None:
    """Write a table to a Parquet file (zstd): the whole file or nothing.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and take
    the final name in one step. The same table gives the same bytes with the same pyarrow.

    Parameters
    ----------
    table
        Any table; its metadata are kept.
    path
        The file; its folder is made if need be. An existing file is replaced.
    row_group
        Rows in a row group, at least 1.
    keep_schema
        Whether the types of Arrow and the metadata are kept. Without them dictionaries are
        read back as what they stand for.

    Raises
    ------
    LogError
        If the folder cannot be written to.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, table, row_group, keep_schema=keep_schema)
    except OSError as error:
        got = error.strerror or str(error)
        raise complaint(path, "the file", "cannot be written", got=got) from error


def _replace(path: Path, table: pa.Table, row_group: int, *, keep_schema: bool) -> None:
    temporary = path.parent / f".joins-{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        with temporary.open("xb") as stream:
            pyarrow.parquet.write_table(
                table, stream, compression="zstd", row_group_size=row_group,
                store_schema=keep_schema,
            )  # fmt: skip
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _schema(path: Path) -> pa.Schema:
    try:
        return pyarrow.parquet.read_schema(path)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _not_parquet(path, error) from error


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
