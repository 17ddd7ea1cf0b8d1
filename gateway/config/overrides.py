"""``--set section.key=value``: one setting over the file's."""

from __future__ import annotations

import copy
import re
import tomllib
from dataclasses import dataclass
from typing import Any

from gateway.config.lines import Key
from gateway.config.phrases import say_key, say_text, say_value
from gateway.errors import Problem

__all__ = ["LONE_SURROGATE", "Override", "read_override", "with_override"]

Table = dict[str, Any]

# What Python makes of a byte that is no UTF-8, in an argument of a command.
LONE_SURROGATE = re.compile("[\ud800-\udfff]")

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_FORM = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Override:
    """One setting from the command line.

    Parameters
    ----------
    key
        Path of the key, at least one part.
    value
        What to set it to.
    where
        How messages point to it.
    """

    key: tuple[str, ...]
    value: Any
    where: str


def read_override(text: str) -> Override | Problem:
    """Read ``section.key=value``; the problem, where it cannot be read.

    The value is a TOML value; what is none is taken as plain text, so that a shell needs
    no second pair of quotes.

    Examples
    --------
    >>> read_override("world.days=90").value, read_override("targets.month=2020-04").value
    (90, '2020-04')
    """
    where = f"--set {say_text(text)}"
    match = _FORM.fullmatch(text)
    key = _key(match[1]) if match and not LONE_SURROGATE.search(text) else None
    if match is None or key is None:
        return Problem("the override", "must look like section.key=value", where=where)
    return Override(key, _value(match[2]), where)


def _key(dotted: str) -> tuple[str, ...] | None:
    try:
        table: Any = tomllib.loads(f"{dotted} = 0")
    except tomllib.TOMLDecodeError:
        return None
    parts = []
    while isinstance(table, dict):
        ((part, table),) = table.items()
        parts.append(part)
    return tuple(parts)


def _value(text: str) -> Any:
    # A ValueError that is no TOMLDecodeError: Python reads no number of 5,000 digits.
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text.strip()
    return table["value"] if len(table) == 1 else text.strip()


def with_override(values: Table, override: Override) -> tuple[Table, Key] | Problem:
    """Return values with one more setting, and the path of its key.

    A table of an array is named by its number, from 1 as in messages: with
    ``interventions.2.share=0.7`` the path is ``("interventions", 1, "share")``. The
    problem is returned where a value is in the way, or no table has that number.
    """
    changed = dict(values)
    table: Any = changed  # a table, or an array of tables
    path: Key = ()
    for depth, part in enumerate(override.key, start=1):
        place = _place_in(table, part)
        if place is None:
            return _no_such_table(override, depth - 1, len(table))
        path = (*path, place)
        if depth == len(override.key):
            table[place] = override.value
            break
        child = table.get(part, {}) if isinstance(table, dict) else table[place]
        if not isinstance(child, dict) and not _holds_tables(child):
            return _in_the_way(override, depth, child)
        table[place] = copy.copy(child)
        table = table[place]
    return changed, path


def _holds_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value) and value != []


def _place_in(table: Table | list[Table], part: str) -> str | int | None:
    """Return a key, or the index of an array's item; None where there is no such item."""
    if isinstance(table, dict):
        return part
    number = int(part) if re.fullmatch("[0-9]{1,9}", part) else 0
    return number - 1 if 1 <= number <= len(table) else None


def _no_such_table(override: Override, depth: int, count: int) -> Problem:
    array = say_key(override.key[:depth])
    rule = f"cannot be set: the tables of {array} are numbered from 1 to {count}"
    return Problem(say_key(override.key), rule, where=override.where)


def _in_the_way(override: Override, depth: int, value: object) -> Problem:
    return Problem(
        say_key(override.key),
        f"cannot be set: {say_key(override.key[:depth])} is a value, not a table",
        say_value(value),
        override.where,
    )
