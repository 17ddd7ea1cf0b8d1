"""Our files by their names, replaced in one step or appended to, without following a link.

A folder may come from a stranger. What is written below it stays below it: a name that is
a link, or has a second name elsewhere (a hard link), is refused.

A journal has one JSON object a line and is only ever appended to. A line is one write to a file
opened for appending, so that two writers never mix theirs. A process that dies in the middle of
a line leaves a torn one: the next writer begins a new line, and readers pass over what is no
JSON.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from gateway._processes import lock_file
from gateway.errors import ResultError

STATUS = "status.json"
CONFIG = "config.toml"
PROVENANCE = "provenance.json"
SWEEP = "sweep.toml"
METADATA = "ro-crate-metadata.json"
# What ``status.json`` says of a folder that is ours.
FORMAT = "gateway result, 1"

# A draft, and an older result that steps aside for it: ``.<name>.<8 random>.draft``.
DRAFT, ASIDE = ".draft", ".old"
DRAFT_MARKER = ".gateway-draft.json"

_MADE = re.compile(
    r"(config\.toml|(provenance|status|ro-crate-metadata)\.json|report\.html"
    r"|(traceback|log)\.txt|(analyses/)?[^/]+\.parquet|joins/part-\d+\.parquet"
    r"|figures/[^/]+\.(pdf|svg|png|csv)|tables/[^/]+\.tex)"
)
_TRANSIENT = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}(?P<kind>\.draft|\.old)")
_PARTIAL = re.compile(
    r"\.[^/]+\.(toml|parquet|json|html|tex|pdf|svg|png|csv)\.[a-z0-9_]{8}\.partial"
)
_KEY = re.compile(r"[0-9a-f]{16}")


def is_made(name: str) -> bool:
    """Tell whether a path below a result is one that we give to a file."""
    return _MADE.fullmatch(name) is not None and ".." not in name.split("/")


def is_key(name: str) -> bool:
    """Tell whether a name is that of a point: 16 hexadecimal digits."""
    return _KEY.fullmatch(name) is not None


def is_partial(name: str) -> bool:
    """Tell whether a name is that of a file which is being written."""
    return _PARTIAL.fullmatch(name) is not None


def transient(name: str) -> tuple[str, str] | None:
    """Return the result that a draft's or an older result's name is about, and its ending."""
    found = _TRANSIENT.fullmatch(name)
    return None if found is None else (found["name"], found["kind"])


def refuse_links(folder: Path, name: str) -> None:
    """Refuse to go from a folder to a path below it over a link, or onto one.

    Raises
    ------
    ResultError
        When a part of the path is a link, or is there as something else than it must be.
    """
    place = folder
    parts = Path(name).parts
    for i, part in enumerate(parts, 1):
        place /= part
        try:
            mode = place.lstat().st_mode
        except FileNotFoundError:
            return
        if stat.S_ISLNK(mode):
            raise ResultError(f"{place} is a link; gateway writes and deletes over none")
        if i < len(parts) and not stat.S_ISDIR(mode):
            raise ResultError(f"{place} must be a folder")
        if i == len(parts) and not stat.S_ISREG(mode):
            raise ResultError(f"{place} must be a file")


@contextmanager
def replacing(folder: Path, name: str) -> Iterator[IO[bytes]]:
    """Give a stream whose content stands at ``folder/name`` after the block, or nothing does.

    Parameters
    ----------
    folder
        Where nothing below is followed that is a link.
    name
        Path of the file below it; its folder is made if need be.

    Raises
    ------
    ResultError
        As ``refuse_links``.
    """
    refuse_links(folder, name)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = _held_partial(path)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fchmod(handle, 0o644)
            os.fsync(handle)
            # Before the lock ends with the stream.
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _held_partial(path: Path) -> tuple[int, Path]:
    """Make a file for what is to stand at a path, and hold its lock.

    Somebody else may have taken it for what a dead process left before it was locked: then
    another one is made.
    """
    while True:
        handle, text = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        with suppress(OSError):
            lock_file(handle)
        if os.fstat(handle).st_nlink:
            return handle, Path(text)
        os.close(handle)


def replace_file(folder: Path, name: str, content: bytes) -> None:
    """Replace one file; a reader sees the old one or the new one.

    Raises
    ------
    ResultError
        As ``refuse_links``.
    """
    with replacing(folder, name) as stream:
        stream.write(content)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder that is new or empty.

    Raises
    ------
    ResultError
        When it holds anything, or cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ResultError(f"{folder} must be a new or an empty folder; it holds files")
        for name, content in files.items():
            replace_file(folder, name, content)
    except OSError as error:
        raise ResultError(f"cannot write to {folder}: {error.strerror}") from None


def open_own(path: Path, flags: int) -> int:
    """Open a file of ours in place.

    Raises
    ------
    ResultError
        When it is a link, no plain file, or has a second name.
    OSError
        When it cannot be opened.
    """
    with suppress(FileNotFoundError):
        refuse_links(path.parent, path.name)
    handle = os.open(path, flags | os.O_NOFOLLOW, 0o644)
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(handle)
        raise ResultError(f"{path} must be a file of one name: a hard link leads elsewhere")
    return handle


def sync_path(path: Path) -> None:
    """Ask the disk to keep a file, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# What a worker says is kept up to this; a loop that warns must not fill the disk.
LONGEST_LOG = 2**20


def capture_file() -> IO[bytes]:
    """Return a file without a name for what a worker says; it is gone when closed."""
    return tempfile.TemporaryFile("a+b", buffering=0, prefix="gateway-")


def captured(file: IO[bytes]) -> str:
    """Return the end of what was said into a capture file."""
    size = os.fstat(file.fileno()).st_size
    start = max(0, size - LONGEST_LOG)
    return os.pread(file.fileno(), size - start, start).decode("utf-8", errors="replace")


# Journals ------------------------------------------------------------------------------------


class Journal:
    """The writing end.

    Parameters
    ----------
    path
        Of the file; it is made when it is missing.

    Raises
    ------
    ResultError
        When the file is a link, or has a second name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        os.close(self._open())
        self._close_torn_line()

    def write(self, event: str, **facts: Any) -> None:
        """Append one line with the time, and ask the disk to keep it."""
        entry = {"time": _now(), "event": event, **facts}
        line = json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n"
        self._append(line.encode("utf-8", errors="replace"))

    def _append(self, line: bytes) -> None:
        handle = self._open()
        try:
            os.write(handle, line)
            os.fsync(handle)
        finally:
            os.close(handle)

    def _open(self) -> int:
        return open_own(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def _close_torn_line(self) -> None:
        if self._path.is_file():
            with self._path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(size - 1, 0))
                torn = size > 0 and file.read(1) != b"\n"
            if torn:
                self._append(b"\n")


def _now() -> str:
    return datetime.now(tz=UTC).isoformat(timespec="milliseconds")
