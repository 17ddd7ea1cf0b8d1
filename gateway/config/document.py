"""A config as it was written: its values, and where each of them stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from gateway.config.lines import Key, find_lines
from gateway.config.overrides import LONE_SURROGATE, Override, read_override, with_override
from gateway.config.phrases import say_text
from gateway.errors import ConfigError, Problem

__all__ = ["Document", "Finding", "Place", "read_document", "set_in_document"]

_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_TWICE = re.compile(r"Cannot (declare|overwrite|mutate|redefine)|Duplicate")
_BARE_MONTH = re.compile(r"=\s*\d{4}-\d{2}\s*(#|$)")
_LONG_NUMBER = re.compile(r"\d[\d_]{600,}")
_BARE_TEXT = re.compile(r"=\s*[^\W\d]")


class Place(NamedTuple):
    """Where something stands: first the file by line, then the overrides in turn."""

    override: int
    line: int
    text: str


Finding = tuple[Place, Problem]


@dataclass(frozen=True)
class Document:
    """Values of a config before any check.

    Parameters
    ----------
    name
        Of the file, printable.
    values
        Nested tables, as TOML gives them.
    places
        Where each key was set.
    """

    name: str
    values: dict[str, Any]
    places: Mapping[Key, Place]

    def place(self, key: Key) -> Place:
        """Return where a key stands, or else the table that it belongs to."""
        known = (key[:length] for length in range(len(key), 0, -1))
        top = Place(0, 1, f"{self.name}:1")
        return next((self.places[part] for part in known if part in self.places), top)


def read_document(
    text: str, *, name: str, overrides: Sequence[str]
) -> tuple[Document, list[Finding]]:
    """Read TOML text and settings over it.

    Returns
    -------
    tuple
        The document, and what is wrong with overrides that had to be left out.

    Raises
    ------
    ConfigError
        When the text is not TOML: nothing can be said about its keys then.
    """
    readings = [read_override(override) for override in overrides]
    findings = [
        (Place(1 + index, 0, reading.where or ""), reading)
        for index, reading in enumerate(readings)
        if isinstance(reading, Problem)
    ]
    try:
        document = _read_text(text, say_text(name))
    except ConfigError as error:
        raise ConfigError([*error.problems, *(problem for _, problem in findings)]) from None
    for index, reading in enumerate(readings):
        if isinstance(reading, Override):
            place = Place(1 + index, 0, reading.where)
            document, problems = set_in_document(document, reading, place)
            findings += problems
    return document, findings


def _read_text(text: str, name: str) -> Document:
    # Some editors begin a file with a byte-order mark; TOML has no place for it.
    text = text.removeprefix("\ufeff")
    if LONE_SURROGATE.search(text):
        where = f"{name}:{_line_of(LONE_SURROGATE, text)}"
        raise ConfigError([Problem("this line", "is not text in UTF-8", where=where)])
    try:
        values = tomllib.loads(text)
        lines = find_lines(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_problem(text, name, str(error))]) from None
    except ValueError:
        # Python reads no whole number of more than some thousand digits.
        where = f"{name}:{_line_of(_LONG_NUMBER, text)}"
        raise ConfigError([Problem("a number", "has too many digits", where=where)]) from None
    except RecursionError:
        raise ConfigError([Problem("a value", "is nested too deeply", where=name)]) from None
    places = {key: Place(0, line, f"{name}:{line}") for key, line in lines.items()}
    return Document(name, values, places)


def set_in_document(
    document: Document, override: Override, place: Place
) -> tuple[Document, list[Finding]]:
    """Return a document with one more setting, or with what is wrong with it."""
    changed = with_override(document.values, override)
    if isinstance(changed, Problem):
        return document, [(place, changed)]
    values, path = changed
    depth = len(path)
    places = {key: old for key, old in document.places.items() if key[:depth] != path}
    for length in range(1, depth):
        places.setdefault(path[:length], place)
    places[path] = place
    return replace(document, values=values, places=places), []


def _line_of(pattern: re.Pattern[str], text: str) -> int:
    match = pattern.search(text)
    return text.count("\n", 0, match.start()) + 1 if match else 1


def _syntax_problem(text: str, name: str, message: str) -> Problem:
    rows = text.rstrip(" \t\r\n").split("\n")
    position = _POSITION.search(message)
    rule = _syntax_rule(_POSITION.sub("", message))
    if position is None or position[1] is None or int(position[1]) > len(rows):
        row = rows[-1].strip()
        where = f"{name}:{len(rows)}:{len(rows[-1]) + 1}"
        return Problem("the file", f"ends too early: {rule}", _as_code(row), where)
    row = rows[int(position[1]) - 1].strip()
    where = f"{name}:{position[1]}:{position[2]}"
    return Problem("this line", f"is not TOML: {rule}", _as_code(row), where, _syntax_hint(row))


def _as_code(row: str) -> str:
    return f"`{say_text(row)}`"


def _syntax_rule(message: str) -> str:
    if _TWICE.match(message):
        return "the key or section is given a second time"
    return say_text(message[:1].lower() + message[1:])


def _syntax_hint(row: str) -> str | None:
    if _BARE_MONTH.search(row):
        return "write the month in quotes"
    if _BARE_TEXT.search(row):
        return "text needs quotes; to keep a default, leave the key out"
    return None
