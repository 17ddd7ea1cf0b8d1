"""How a key, a value and a rule are put into words.

Keys and values are text from strangers: what a terminal would not print as itself is
escaped, and what is long is cut.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.config.lines import Key

__all__ = ["listing", "say_key", "say_rule", "say_text", "say_value"]

Node = Mapping[str, Any]

_LONGEST = 60
_MOST_ITEMS = 6
# A limit of the storage, not of the subject: it is named only to who exceeds it.
_TECHNICAL = 2**31 - 1
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


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
    if isinstance(value, Mapping):
        return "{…}"
    if isinstance(value, list | tuple):
        return "[…]"
    return _quoted(value) if isinstance(value, str) else _scalar(value)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    # Python refuses to print a whole number of more than some thousand digits.
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a whole number of about {round(value.bit_length() * 0.30103)} digits"
    return str(value)


def listing(items: Sequence[str], last: str = "or") -> str:
    """Return items as words.

    Examples
    --------
    >>> listing(["a", "b", "c"])
    'a, b or c'
    """
    *head, tail = items
    return f"{', '.join(head)} {last} {tail}" if head else tail


def say_rule(node: Node, got: object = None) -> str:
    """Return what holds for a value: the words after "must be".

    A number has two bounds; the upper one is named where it means something.

    Parameters
    ----------
    node
        JSON Schema of the value.
    got
        The value that breaks the rule: what it keeps to anyway is left unsaid.

    Examples
    --------
    >>> say_rule({"type": "integer", "minimum": 2, "maximum": 50})
    'a whole number from 2 to 50'
    >>> say_rule({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 1.5)
    'in (0, 1)'
    """
    if "x-rule" in node:
        return str(node["x-rule"])
    if "enum" in node or "const" in node:
        return _choice(node.get("enum", [node.get("const")]))
    if node.get("type") == "integer":
        return f"a whole number {_whole_range(node, got)}"
    if node.get("type") == "number":
        return _range(node) if _is_number(got) else f"a number {_range(node)}"
    return _shape(node)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _choice(values: Sequence[str]) -> str:
    listed = ", ".join(f"'{value}'" for value in values)
    return f"one of {listed}" if len(values) > 1 else listed


def _shape(node: Node) -> str:
    if node.get("type") == "array":
        some = "one or more items" if node.get("minItems") else "items"
        return f"a list of {some}, each {say_rule(node['items'])}"
    if node.get("type") == "object":
        return "a table with at least one key" if node.get("minProperties") else "a table"
    return "text that is not empty" if node.get("minLength") else "text"


def _whole_range(node: Node, got: object) -> str:
    low = node["minimum"] if "minimum" in node else node["exclusiveMinimum"] + 1
    high = node["maximum"] if "maximum" in node else node["exclusiveMaximum"] - 1
    exceeds = isinstance(got, int | float) and got > high
    is_open = high >= _TECHNICAL and not exceeds
    return f"of at least {low:_}" if is_open else f"from {low:_} to {high:_}"


def _range(node: Node) -> str:
    left, right = "[" if "minimum" in node else "(", "]" if "maximum" in node else ")"
    low = node.get("minimum", node.get("exclusiveMinimum"))
    high = node.get("maximum", node.get("exclusiveMaximum"))
    return f"in {left}{_figure(low)}, {_figure(high)}{right}"


def _figure(bound: float) -> str:
    return f"{int(bound):_}" if float(bound).is_integer() else str(bound)
