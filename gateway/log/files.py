"""What lies at a path: its format by content, its parts, its digest; gzip within bounds."""

from __future__ import annotations

import gzip
import hashlib
import io
from pathlib import Path
from typing import BinaryIO, Literal, cast

from gateway.errors import LogError
from gateway.log.messages import complaint

__all__ = ["Format", "digest_of", "format_of", "open_gzip", "parquet_parts", "unreadable"]

Format = Literal["csv", "gzip", "parquet"]

# Join logs shrink five to thirty times. A stream of one byte repeated shrinks a thousand
# times: a few megabytes of it would fill the memory.
_LARGEST_RATIO = 200
_ALWAYS_ALLOWED = 1 << 28
_BUFFER = 1 << 20

_WANTED = "must be a CSV file, a gzip CSV file, a Parquet file or a folder of Parquet files"
_FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"ARROW1": "an Arrow IPC file",
    b"SQLite format 3": "an SQLite database",
}


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
        with path.open("rb") as stream:
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
        with path.open("rb") as stream:
            return stream.read(16)
    except OSError as error:
        raise unreadable(path, error) from error


def open_gzip(path: Path) -> BinaryIO:
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
