"""A journal: one JSON object a line, only ever appended to.

A line is one write to a file opened for appending, so that two writers never mix theirs.
A process that dies in the middle of a line leaves a torn one: the next writer begins a new
line, and readers pass over what is no JSON.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.results.writing import open_own

__all__ = ["Journal", "read_journal"]


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


def read_journal(path: Path) -> list[Mapping[str, Any]]:
    """Return every whole line, oldest first; none where there is no file."""
    if not path.is_file():
        return []
    lines = path.read_bytes().decode("utf-8", errors="replace").split("\n")
    entries = (_entry(line) for line in lines)
    return [entry for entry in entries if entry is not None]


def _entry(line: str) -> Mapping[str, Any] | None:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return None
    return entry if isinstance(entry, dict) and "event" in entry else None
