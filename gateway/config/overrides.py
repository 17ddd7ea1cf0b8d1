"""``--set section.key=value``: one setting over the file's."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Any

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


def with_override(values: Table, override: Override) -> Table | Problem:
    """Return values with one more setting; the problem, where a value is in its way."""
    changed = dict(values)
    table = changed
    for depth, part in enumerate(override.key[:-1], start=1):
        child = table.get(part, {})
        if not isinstance(child, dict):
            return _in_the_way(override, depth, child)
        table[part] = dict(child)
        table = table[part]
    table[override.key[-1]] = override.value
    return changed


def _in_the_way(override: Override, depth: int, value: object) -> Problem:
    return Problem(
        say_key(override.key),
        f"cannot be set: {say_key(override.key[:depth])} is a value, not a table",
        say_value(value),
        override.where,
    )
