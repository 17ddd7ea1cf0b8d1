"""A model as data: its JSON Schema, what that says about one key, and where a key belongs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from pydantic import BaseModel

from gateway.config.phrases import NEAR, Key, listing, say_key
from gateway.errors import nearest

Node = dict[str, Any]
Model = type[BaseModel]

# pydantic leaves a bound under its own name where a function runs before the check.
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
# A limit of the storage, not of the subject: it is named only to who exceeds it.
_TECHNICAL = 2**31 - 1


@cache
def json_schema(model: Model) -> Node:
    """Return the JSON Schema of a model, for editors and other tools."""
    schema: Node = _plain(model.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _plain(node: Any) -> Any:
    """Name bounds as JSON Schema does, and drop null, which TOML cannot write."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _plain(value) for key, value in node.items() if value is not None}
    if "anyOf" in node:
        choice = next(choice for choice in node.pop("anyOf") if choice != {"type": "null"})
        node = {**choice, **node}
    if isinstance(node.get("type"), str | list) and type_of(node) in {"integer", "number"}:
        node = {_BOUNDS.get(key, key): value for key, value in node.items()}
    return node


def type_of(node: Mapping[str, Any]) -> str | None:
    """Return the type of a value, the first where it may be of several."""
    kind = node.get("type")
    return kind[0] if isinstance(kind, list) else kind


def node_at(model: Model, key: Key) -> Node | None:
    """Return the JSON Schema of the value at a key, or None for an unknown key.

    Where a table may be of several kinds, its node has the keys of all, and each kind's own
    node under ``x-kinds``.
    """
    node = _resolved(model, json_schema(model))
    for part in key:
        child = _child(node, part)
        if child is None:
            return None
        node = _resolved(model, child)
    return node


def _child(node: Node, part: str | int) -> Node | None:
    if isinstance(part, int):
        items: Node | None = node.get("items")
        return items
    found: Node | None = node.get("properties", {}).get(part)
    return found or next(iter(node.get("patternProperties", {}).values()), None)


def _resolved(model: Model, node: Node) -> Node:
    if "$ref" in node:
        target = json_schema(model)["$defs"][node["$ref"].rpartition("/")[2]]
        return {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    if "discriminator" not in node:
        return node
    tag = node["discriminator"]["propertyName"]
    choices = [_resolved(model, choice) for choice in node["oneOf"]]
    kinds = {choice["properties"][tag]["const"]: choice for choice in choices}
    keys: Node = {}
    for kind in choices:
        keys |= kind["properties"]
    keys[tag] = {**keys[tag], "enum": list(kinds)}
    needed = set.intersection(*(set(kind["required"]) for kind in kinds.values()))
    return {"type": "object", "properties": keys, "required": needed, "x-kinds": kinds}


def without_tags(model: Model, path: Key) -> tuple[Key, str]:
    """Return a path without the kinds of tables that the validator puts in, and the last kind."""
    plain: Key = ()
    kind = ""
    for part in path:
        if part in (node_at(model, plain) or {}).get("x-kinds", ()) and not kind:
            kind = str(part)
        else:
            plain = (*plain, part)
    return plain, kind


def sections(model: Model) -> Iterator[tuple[Key, Node]]:
    """Yield every table with fixed keys and its path, the top level first.

    An array of tables is there with its first one.
    """
    waiting: list[Key] = [()]
    for key in waiting:
        node = node_at(model, key) or {}
        if "properties" in node:
            yield key, node
            waiting.extend((*key, name) for name in node["properties"])
        elif is_array_of_tables(model, key):
            waiting.append((*key, 0))


def is_array_of_tables(model: Model, key: Key) -> bool:
    """Tell whether the value at a key is written as ``[[key]]``."""
    return "properties" in (node_at(model, (*key, 0)) or {})


class Suggestion(NamedTuple):
    """A way out, and the keys that it names."""

    hint: str
    meant: tuple[Key, ...] = ()


@cache
def suggest_key(model: Model, key: Key) -> Suggestion:
    """Return what an unknown key may stand for.

    A key of the same table that looks like it; else one of another table; else every key
    of the table.
    """
    *table, last = key
    wrong = str(last)
    allowed = list((node_at(model, tuple(table)) or {})["properties"])
    near = nearest(wrong, allowed, cutoff=NEAR)
    if near is not None:
        return Suggestion(f"did you mean {near!r}?", ((*table, near),))
    known = [(*home, name) for home, node in sections(model) for name in node["properties"]]
    near = nearest(wrong, [str(key[-1]) for key in known], cutoff=NEAR)
    homes = tuple(key for key in known if key[-1] == near)
    if homes:
        # In an array of tables any of them may be meant.
        names = [say_key(tuple(part for part in key if isinstance(part, str))) for key in homes]
        return Suggestion(f"did you mean {listing([repr(name) for name in names])}?", homes)
    return Suggestion(f"allowed here: {', '.join(allowed)}")


def say_rule(node: Mapping[str, Any], got: object = None) -> str:
    """Return what holds for a value, given its JSON Schema: the words after "must be".

    Of a number's two bounds the upper one is named where it means something; what the value
    ``got`` keeps to anyway is left unsaid.

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
        is_number = isinstance(got, int | float) and not isinstance(got, bool)
        return _range(node) if is_number else f"a number {_range(node)}"
    return _say_type(node)


def _say_type(node: Mapping[str, Any]) -> str:
    if node.get("type") == "array":
        some = "one or more items" if node.get("minItems") else "items"
        return f"a list of {some}, each {say_rule(node['items'])}"
    if node.get("type") == "object":
        return "a table with at least one key" if node.get("minProperties") else "a table"
    return "text that is not empty" if node.get("minLength") else "text"


def _choice(values: Sequence[str]) -> str:
    listed = ", ".join(f"'{value}'" for value in values)
    return f"one of {listed}" if len(values) > 1 else listed


def _whole_range(node: Mapping[str, Any], got: object) -> str:
    low = node["minimum"] if "minimum" in node else node["exclusiveMinimum"] + 1
    high = node["maximum"] if "maximum" in node else node["exclusiveMaximum"] - 1
    exceeds = isinstance(got, int | float) and got > high
    is_open = high >= _TECHNICAL and not exceeds
    return f"of at least {low:_}" if is_open else f"from {low:_} to {high:_}"


def _range(node: Mapping[str, Any]) -> str:
    left, right = "[" if "minimum" in node else "(", "]" if "maximum" in node else ")"
    low = node.get("minimum", node.get("exclusiveMinimum"))
    high = node.get("maximum", node.get("exclusiveMaximum"))
    return f"in {left}{_figure(low)}, {_figure(high)}{right}"


def _figure(bound: Any) -> str:
    return f"{int(bound):_}" if float(bound).is_integer() else str(bound)
