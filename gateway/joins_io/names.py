"""A list of names in a text file, such as the target groups."""

from __future__ import annotations

from pathlib import Path

from gateway.joins_io.messages import complaint
from gateway.joins_io.paths import unreadable

__all__ = ["read_names"]


def read_names(path: str | Path) -> tuple[str, ...]:
    """Return the names in a file: one a line, in the order of the file, each once.

    Blank lines and lines that start with ``#`` are ignored, and so is white space around
    a name.

    Parameters
    ----------
    path
        A UTF-8 text file.

    Raises
    ------
    LogError
        If the file cannot be read, is not UTF-8 (the message names the line), or holds no
        name.
    """
    path = Path(path)
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise unreadable(path, error) from error
    texts = (_decoded(line, path, number) for number, line in enumerate(lines, start=1))
    names = dict.fromkeys(text for text in texts if text and not text.startswith("#"))
    if not names:
        raise complaint(path, "the file", "must hold at least one name, one a line; it holds none")
    return tuple(names)


def _decoded(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        got = f"byte 0x{line[error.start]:02x} at position {error.start + 1}"
        raise complaint(f"{path}:{number}", "the line", "must be UTF-8", got=got) from error
