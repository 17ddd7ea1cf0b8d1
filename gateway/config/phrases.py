"""How a key, a value and a list are put into words.

Keys and values are text from strangers: what a terminal would not print as itself is
escaped, and what is long is cut.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

Key = tuple[str | int, ...]
"""Path of a key: names of tables, and the index of an item of an array, from 0."""

_LONGEST = 60
_MOST_ITEMS = 6
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
NEAR = 0.75
"""Ratio of difflib from which two words count as one, misspelt: "sede" and "seed" have
0.75, "country" and "countries" too; unrelated keys of the schema stay below."""


def say_text(text: str) -> str:
    r"""Return text as one printable line, cut when it is long.

    Examples
    --------
    >>> print(say_text("two\nlines"))
    two\nlines
    """
    cut = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return "".join(c if c.isprintable() else _ESCAPES.get(c, _escaped(c)) for c in cut)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _quoted(text: str) -> str:
    return '"' + say_text(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def say_key(key: Key) -> str:
    """Return a key as it is written in TOML, dotted; an item of an array by its place.

    Examples
    --------
    >>> say_key(("world", "kinds", 1))
    'item 2 of world.kinds'
    >>> say_key(("interventions", 1, "share"))
    'share in item 2 of interventions'
    """
    words, outer = "", ""
    is_item = False
    for part in key:
        if isinstance(part, int):
            words = f"item {part + 1} of {words}"
        else:
            name = say_text(part) if part and _BARE.issuperset(part) else _quoted(part)
            outer = f" in {words}{outer}" if is_item else outer
            words = f"{words}.{name}" if words and not is_item else name
        is_item = isinstance(part, int)
    return words + outer


def say_value(value: object) -> str:
    """Return a value as it is written in TOML, or near enough where that is long.

    Examples
    --------
    >>> say_value(True), say_value("5"), say_value([1.5, {}])
    ('true', '"5"', '[1.5, {…}]')
    """
    if isinstance(value, Mapping):
        return "a table" if value else "an empty table"
    if isinstance(value, list | tuple):
        items = [_item(item) for item in value[:_MOST_ITEMS]]
        return "[" + ", ".join(items + ["…"] * (len(value) > _MOST_ITEMS)) + "]"
    return _item(value)


def _item(value: object) -> str:
    if isinstance(value, Mapping | list | tuple):
        return "{…}" if isinstance(value, Mapping) else "[…]"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    # Python refuses to print a whole number of more than some thousand digits.
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a whole number of about {round(value.bit_length() * 0.30103)} digits"
    return say_text(str(value))


def listing(items: Sequence[str], last: str = "or") -> str:
    """Return items as words.

    Examples
    --------
    >>> listing(["a", "b", "c"])
    'a, b or c'
    """
    *head, tail = items
    return f"{', '.join(head)} {last} {tail}" if head else tail
