"""What lies at a path: its format by content, its parts, its digest."""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import io
import json
import lzma
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import pyarrow as pa
import pyarrow.parquet

from gateway.errors import LogError
from gateway.log.messages import complaint

Format = Literal["csv", "ndjson", "parquet", "arrow", "sqlite", "duckdb", "excel", "export"]
"""``csv`` and ``ndjson`` may be packed; ``export`` is what a platform gives its users."""

_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
_KNOWN: dict[bytes, Format] = {
    b"PAR1": "parquet", b"ARROW1": "arrow", b"\xff\xff\xff\xff": "arrow",
    b"SQLite format 3": "sqlite",
}  # fmt: skip
# Join logs shrink five to thirty times. A stream of one byte repeated shrinks a thousand
# times: a few megabytes of it would fill the memory.
_LARGEST_RATIO = 200
_ALWAYS_ALLOWED = 1 << 28
_STREAM_BUFFER = 1 << 20
# Part of the name of a file in a Facebook download.
MEMBERSHIPS = "group_membership_activity"
# A platform's export that somebody wrote in one line.
_EXPORT = re.compile(rb'"(messages|groups_joined\w*)"\s*:\s*\[|"chats"\s*:\s*\{')
# So much of a text tells what it is.
_HEAD = 1 << 12


def open_plain(path: Path, *, follow: bool = True) -> io.BufferedReader:
    """Open a file for reading: no pipe, which would wait for its writer, no endless device.

    It may be a link if ``follow``. Raises an OSError for anything but a plain file.
    """
    names = ["O_CLOEXEC", "O_NONBLOCK", "O_BINARY", *([] if follow else ["O_NOFOLLOW"])]
    # Of these Windows has one, Unix the others.
    handle = os.open(path, sum(getattr(os, name, 0) for name in names) | os.O_RDONLY)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no plain file", str(path))
    return os.fdopen(handle, "rb")


def read_plain(path: Path, most: int, *, follow: bool = True) -> bytes:
    """Return what a plain file holds, which may be so many bytes; as ``open_plain``."""
    with open_plain(path, follow=follow) as stream:
        # Of a file with holes a few bytes may lie on the disk: not read to see that it is long.
        is_long = os.fstat(stream.fileno()).st_size > most
        content = b"" if is_long else stream.read(most + 1)
    if is_long or len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most:,} bytes", str(path))
    return content


def unreadable(path: Path, error: OSError) -> LogError:
    """Return the error for a file that the system does not let us read."""
    if isinstance(error, FileNotFoundError):
        return complaint(path, "the file", "does not exist")
    return complaint(path, "the file", "cannot be read", got=error.strerror or str(error))


def format_of(path: Path) -> Format:
    """Return the format of a log, judged by its first bytes rather than by its name.

    A text that begins with a brace is NDJSON, unless all of it is one value: then it is the
    export of a platform, as is a zip archive that is no workbook, and a folder without Parquet
    files. A LogError says that there is nothing at the path, or that it cannot be read.
    """
    if path.is_dir():
        return "parquet" if any(path.rglob("*.parquet")) or not export_files(path) else "export"
    head = first_bytes(path)
    if not head:
        raise complaint(path, "the file", "must hold a join log; it is empty")
    for magic, known in _KNOWN.items():
        if head.startswith(magic):
            return known
    if head[8:12] == b"DUCK":
        return "duckdb"
    if head.startswith(b"PK\x03\x04"):
        return "excel" if _is_workbook(path) else "export"
    return _text_format(path)


def export_files(folder: Path) -> list[Path]:
    """Return the files of exports of platforms in a folder, at any depth, by name.

    A Facebook download has thousands, of which only that of the group memberships is wanted.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".zip"))
    return [p for p in files if MEMBERSHIPS in p.name or p.suffix == ".zip"] or files


def parts_of(folder: Path) -> list[Path]:
    """Return the files of a folder that is a log; otherwise as ``parquet_parts``."""
    return export_files(folder) if format_of(folder) == "export" else parquet_parts(folder)


@contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive whose files grow as little as those of ``opened``, else a LogError."""
    try:
        with zipfile.ZipFile(path) as archive:
            grown = sum(entry.file_size for entry in archive.infolist())
            if grown > max(_ALWAYS_ALLOWED, _LARGEST_RATIO * path.stat().st_size):
                raise _grown(path, "the zip archive", f"{grown:,} bytes")
            yield archive
    # Encrypted files and unknown ways of packing are said by RuntimeError, and its kinds.
    except (zipfile.BadZipFile, RuntimeError, EOFError, zlib.error, lzma.LZMAError) as error:
        rule = "must be a whole zip archive that anybody can unpack"
        raise complaint(path, "the file", rule, got=str(error)) from error
    except OSError as error:
        raise unreadable(path, error) from error


def _grown(path: Path, what: str, got: str) -> LogError:
    rule = f"must not grow more than {_LARGEST_RATIO}-fold"
    return complaint(path, what, rule, got=got, hint="if it is a log after all, unpack it first")


def _is_workbook(path: Path) -> bool:
    with opened_zip(path) as archive:
        return "xl/workbook.xml" in archive.namelist()


def _text_format(path: Path) -> Format:
    """Tell CSV from NDJSON, and this from one JSON value over several lines."""
    with opened(path) as stream:
        try:
            head = stream.read(_HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()
        except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
            raise broken_stream(path, error) from error
    if not head.startswith((b"{", b"[")):
        return "csv"
    line = head.partition(b"\n")[0].strip()
    return "ndjson" if head.startswith(b"{") and _is_object(line, len(head)) else "export"


def _is_object(line: bytes, read: int) -> bool:
    """Tell whether a first line is a row of NDJSON; one longer than what was read may be."""
    if _EXPORT.search(line):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return len(line) >= read == _HEAD


def packing_of(path: Path) -> str | None:
    """Return how a text file is packed: gzip, zstd, bzip2 or xz; None for not at all."""
    head = first_bytes(path)
    return next((name for magic, name in _PACKED.items() if head.startswith(magic)), None)


def opened(path: Path) -> BinaryIO:
    """Open a text file for reading, unpacked; it may grow 200-fold, and to 256 MiB in any case.

    Raises a LogError; while reading, once the stream is longer than that.
    """
    try:
        packing = packing_of(path)
        if packing is None:
            return path.open("rb")
        allowed = max(_ALWAYS_ALLOWED, _LARGEST_RATIO * path.stat().st_size)
        stream = _Bounded(path, packing, allowed)
    except OSError as error:
        raise unreadable(path, error) from error
    return cast("BinaryIO", io.BufferedReader(stream, _STREAM_BUFFER))


def broken_stream(path: Path, error: Exception) -> LogError:
    """Return the error for a packed file that cannot be unpacked."""
    if isinstance(error, OSError) and error.errno is not None:
        return unreadable(path, error)
    packing, hint = packing_of(path), None
    if packing == "zstd" and "memory" in str(error):
        hint = "its window is too long: unpack it first, with zstd -d --long=31"
    state = "ends too early" if isinstance(error, EOFError) else "is damaged"
    rule = f"must be a whole {packing} file; it {state}"
    return complaint(path, "the file", rule, got=str(error), hint=hint)


class _Bounded(io.RawIOBase):
    def __init__(self, path: Path, packing: str, allowed: int) -> None:
        self._path, self._packing, self._left, self._allowed = path, packing, allowed, allowed
        self._stream = _unpacked(path, packing)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        got: int = self._stream.readinto(buffer)
        self._left -= got
        if self._left < 0:
            grown = f"more than {self._allowed:,} bytes from {self._path.stat().st_size:,}"
            raise _grown(self._path, f"the {self._packing} stream", grown)
        return got

    def close(self) -> None:
        self._stream.close()
        super().close()


def _unpacked(path: Path, packing: str) -> Any:
    if packing == "zstd":
        return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
    openers: dict[str, Any] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
    return openers[packing](path, "rb")


def parquet_parts(path: Path) -> list[Path]:
    """Return the Parquet files of a log: the file itself, or those of a folder by name.

    Files and folders whose name starts with a dot or an underscore are other programs'
    bookkeeping and are left out; a LogError says that none is left.
    """
    if not path.is_dir():
        return [path]
    parts = sorted(
        part for part in path.rglob("*.parquet")
        if not any(name.startswith((".", "_")) for name in part.relative_to(path).parts)
    )  # fmt: skip
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


def first_bytes(path: Path) -> bytes:
    """Return the beginning of a plain file."""
    if path.exists() and not path.is_file():
        # A pipe could be read only once, and we look at the first bytes before we read.
        raise complaint(path, "the path", "must be a regular file or a folder")
    try:
        with open_plain(path) as stream:
            return stream.read(16)
    except OSError as error:
        raise unreadable(path, error) from error
