"""A config as it was written: its values with settings over them, and where each one stands."""

from __future__ import annotations

import copy
import re
import secrets
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from gateway.config.phrases import Key, say_key, say_text, say_value
from gateway.errors import ConfigError, Problem

Table = dict[str, Any]


class Place(NamedTuple):
    """Where something stands: first the file by line, then the overrides in turn."""

    override: int
    line: int
    text: str


Finding = tuple[Place, Problem]


@dataclass(frozen=True)
class Document:
    """Values of a config before any check, as TOML gives them, and where each key was set."""

    name: str  # of the file, printable
    values: Table
    places: Mapping[Key, Place] = field(default_factory=dict)

    def place(self, key: Key) -> Place:
        """Return where a key stands, or else the table that it belongs to."""
        known = (key[:length] for length in range(len(key), 0, -1))
        top = Place(0, 1, f"{self.name}:1")
        return next((self.places[part] for part in known if part in self.places), top)


class Override(NamedTuple):
    """One setting over the file's: path of the key, value, and how messages point to it."""

    key: tuple[str, ...]
    value: Any
    where: str


def read_document(
    text: str, *, name: str, overrides: Sequence[str]
) -> tuple[Document, list[Finding]]:
    """Read TOML text and settings over it, with what is wrong with settings that are left out.

    Raises a ConfigError when the text is not TOML: nothing can be said about its keys then.
    """
    readings = [_read_override(override) for override in overrides]
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


# Text --------------------------------------------------------------------------------------

# What Python makes of a byte that is no UTF-8, in an argument of a command.
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_TWICE = re.compile(r"Cannot (declare|overwrite|mutate|redefine)|Duplicate")
_BARE_MONTH = re.compile(r"=\s*\d{4}-\d{2}\s*(#|$)")
_LONG_NUMBER = re.compile(r"\d[\d_]{600,}")
_BARE_TEXT = re.compile(r"=\s*[^\W\d]")


def _read_text(text: str, name: str) -> Document:
    # Some editors begin a file with a byte-order mark; TOML has no place for it.
    text = text.removeprefix("\ufeff")
    if _LONE_SURROGATE.search(text):
        raise _refusal("this line", "is not text in UTF-8", name, _LONE_SURROGATE, text)
    try:
        values = tomllib.loads(text)
        lines = find_lines(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_problem(text, name, str(error))]) from None
    except ValueError:
        # Python reads no whole number of more than some thousand digits.
        raise _refusal("a number", "has too many digits", name, _LONG_NUMBER, text) from None
    except RecursionError:
        raise ConfigError([Problem("a value", "is nested too deeply", where=name)]) from None
    places = {key: Place(0, line, f"{name}:{line}") for key, line in lines.items()}
    return Document(name, values, places)


def _refusal(what: str, rule: str, name: str, cause: re.Pattern[str], text: str) -> ConfigError:
    match = cause.search(text)
    line = text.count("\n", 0, match.start()) + 1 if match else 1
    return ConfigError([Problem(what, rule, where=f"{name}:{line}")])


def _syntax_problem(text: str, name: str, message: str) -> Problem:
    rows = text.rstrip(" \t\r\n").split("\n")
    position = _POSITION.search(message)
    rule = _POSITION.sub("", message)
    rule = say_text(rule[:1].lower() + rule[1:])
    if _TWICE.match(message):
        rule = "the key or section is given a second time"
    if position is None or position[1] is None or int(position[1]) > len(rows):
        where = f"{name}:{len(rows)}:{len(rows[-1]) + 1}"
        return Problem("the file", f"ends too early: {rule}", _as_code(rows[-1]), where)
    row = rows[int(position[1]) - 1]
    where = f"{name}:{position[1]}:{position[2]}"
    hint = None
    if _BARE_MONTH.search(row):
        hint = "write the month in quotes"
    elif _BARE_TEXT.search(row):
        hint = "text needs quotes; to keep a default, leave the key out"
    return Problem("this line", f"is not TOML: {rule}", _as_code(row), where, hint)


def _as_code(row: str) -> str:
    return f"`{say_text(row.strip())}`"


# Lines -------------------------------------------------------------------------------------

# Comments and blanks match without a group and are dropped. Multi-line strings come before
# plain ones: their opening quotes would read as an empty string. Up to two quotes may stand
# right before the closing three, hence the look-ahead.
_TOKEN = re.compile(
    r"""
      [ \t\r]+ | \#[^\n]*
    | (?P<mark>
          \"{3} (?: [^\\] | \\. )*? \"{3} (?!\")
        | '{3} .*? '{3} (?!')
        | " (?: [^"\\\n] | \\. )* "
        | ' [^'\n]* '
        | [\[\]{},=.\n]
        | [^\s"'\[\]{},=.\#]+
      )
    """,
    re.VERBOSE | re.DOTALL,
)
# A key that no file has.
_MARK = f"line-{secrets.token_hex(16)}"


def find_lines(text: str) -> dict[Key, int]:
    r"""Return the line, from 1, of every table, key and array item of text that is TOML.

    The standard library reads TOML but forgets the lines. So it reads the text a second
    time, with its line in the place of every value. A table that is only implied by a longer
    key has the line of the first such key; an array of tables that of its first header.

    Raises a RecursionError when values are nested some hundred levels deep.

    Examples
    --------
    >>> find_lines('[spike]\nquantile = 0.9\n')
    {('spike',): 1, ('spike', 'quantile'): 2}
    """
    lines: dict[Key, int] = {}
    _note(tomllib.loads(_numbered(text)), (), lines)
    return lines


def _numbered(text: str) -> str:
    """Return TOML text in which every value is its line, and tables and lists hold theirs.

    A list has its line as a first item; a table with a header, and one in braces, under the
    key ``_MARK``.
    """
    out: list[str] = []
    opened: list[tuple[str, int]] = []  # brackets and braces around values, and their lines
    line, header = 1, 0
    is_value = is_done = False
    for match in _TOKEN.finditer(text + "\n"):
        mark = match["mark"]
        if mark == "\n" and not opened:
            out.append(f"\n{_MARK} = {header}\n" if header else "\n")
            header, is_value = 0, False
        elif mark in {"\n", None}:
            pass
        elif is_value and mark in {"[", "{"}:
            opened.append((mark, line))
            out.append(f"[{line}," if mark == "[" else "{")
            is_value = mark == "["
        elif opened and mark in {"]", "}"}:
            _, begun = opened.pop()
            comma = "" if out[-1] == "{" else ","
            out.append("]" if mark == "]" else f"{comma}{_MARK}={begun}}}")
            is_value = is_done = True
        elif mark in {",", "="}:
            out.append(mark)
            is_value, is_done = mark == "=" or opened[-1][0] == "[", False
        elif not is_value:
            out.append(mark)
            header = line if mark == "[" else header
        elif not is_done:
            out.append(str(line))
            is_done = True
        line += match[0].count("\n")
    return "".join(out)


def _note(value: Any, path: Key, lines: dict[Key, int]) -> int:
    """Note the line of a numbered value and of all that is in it; return the former."""
    lines |= {path: 0} if path else {}
    own = value if isinstance(value, int) else 0
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        own = value.pop(_MARK, 0)
        items = list(value.items())
    elif isinstance(value, list):
        own = value.pop(0) if isinstance(value[0], int) else 0
        items = list(enumerate(value))
    inside = [_note(item, (*path, part), lines) for part, item in items]
    line = own or min(inside, default=1)
    lines |= {path: line} if path else {}
    return line


# Overrides ---------------------------------------------------------------------------------

_PART = r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'"""
_FORM = re.compile(rf"\s*((?:{_PART})(?:\s*\.\s*(?:{_PART}))*)\s*=(.*)", re.DOTALL)


def _read_override(text: str) -> Override | Problem:
    """Read ``section.key=value``; the problem, where it cannot be read.

    The value is a TOML value; what is none is taken as plain text, so that a shell needs
    no second pair of quotes.
    """
    where = f"--set {say_text(text)}"
    match = None if _LONE_SURROGATE.search(text) else _FORM.fullmatch(text)
    try:
        parts = re.findall(_PART, match[1]) if match else ()
        key = tuple(next(iter(tomllib.loads(f"{part} = 0"))) for part in parts)
    except tomllib.TOMLDecodeError:
        match = None
    if match is None:
        return Problem("the override", "must look like section.key=value", where=where)
    return Override(key, _value(match[2]), where)


def _value(text: str) -> Any:
    # A ValueError that is no TOMLDecodeError: Python reads no number of 5,000 digits.
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text.strip()
    return table["value"] if len(table) == 1 else text.strip()


def set_in_document(
    document: Document, override: Override, place: Place
) -> tuple[Document, list[Finding]]:
    """Return a document with one more setting, or with what is wrong with it.

    A table of an array is named by its number, from 1 as in messages: with
    ``interventions.2.share=0.7`` the path is ``("interventions", 1, "share")``.
    """
    values = dict(document.values)
    table: Any = values  # a table, or an array of tables
    path: Key = ()
    for depth, part in enumerate(override.key, start=1):
        step = _step_into(table, part)
        outer = say_key(override.key[: depth - (step is None)])
        if step is None:
            rule = f"cannot be set: the tables of {outer} are numbered from 1 to {len(table)}"
            return document, [(place, _unset(override, rule))]
        path = (*path, step)
        if depth == len(override.key):
            table[step] = override.value
            break
        child = table.get(step, {}) if isinstance(table, dict) else table[step]
        if not isinstance(child, dict) and not _holds_tables(child):
            rule = f"cannot be set: {outer} is a value, not a table"
            return document, [(place, _unset(override, rule, say_value(child)))]
        table[step] = copy.copy(child)
        table = table[step]
    kept = {key: old for key, old in document.places.items() if key[: len(path)] != path}
    implied = {path[:length]: place for length in range(1, len(path))}
    return replace(document, values=values, places={**implied, **kept, path: place}), []


def _unset(override: Override, rule: str, got: str | None = None) -> Problem:
    return Problem(say_key(override.key), rule, got, override.where)


def _holds_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value) and value != []


def _step_into(table: Table | list[Table], part: str) -> str | int | None:
    """Return a key, or the index of an array's item; None where there is no such item."""
    if isinstance(table, dict):
        return part
    number = int(part) if re.fullmatch("[0-9]{1,9}", part) else 0
    return number - 1 if 1 <= number <= len(table) else None
