"""What lies at a path: its format by content, its parts, its digest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from gateway.errors import LogError
from gateway.log.manifest import MANIFEST_FILE, read_manifest
from gateway.log.messages import complaint

__all__ = ["Format", "file_digest", "format_of", "parquet_parts", "unreadable"]

Format = Literal["csv", "gzip", "parquet"]

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


def file_digest(path: str | Path) -> str:
    """Return the sha256 of a log, in hexadecimal.

    The digest of a folder is the digest of its Parquet parts' names and digests, that of a
    converted log the digest of its manifest.

    Raises
    ------
    LogError
        If the file cannot be read, a folder holds no Parquet file, or the files of a converted
        log are not those of its manifest.
    """
    path = Path(path)
    if not path.is_dir():
        return _digest(path)
    manifest = read_manifest(path)
    if manifest is not None:
        for name, expected in manifest.digests.items():
            if _digest(path / name) != expected:
                rule = "must be that of the manifest; was it changed by another program?"
                raise complaint(path / name, "the column", rule)
        return _digest(path / MANIFEST_FILE)
    lines = [
        f"{_digest(part)}  {part.relative_to(path).as_posix()}\n" for part in parquet_parts(path)
    ]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _digest(path: Path) -> str:
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
