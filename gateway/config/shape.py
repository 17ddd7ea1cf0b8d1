"""The schema as data: its JSON Schema, and what it says about one key."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any

from gateway.config.lines import Key
from gateway.config.schema import Config

__all__ = ["config_json_schema", "is_array_of_tables", "node_at", "sections", "type_of"]

Node = dict[str, Any]

# pydantic leaves a bound under its own name where a function runs before the check.
_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}


def config_json_schema() -> Node:
    """Return the JSON Schema of a config, for editors and other tools.

    It knows every key, its range, its default and its meaning; rules that tie two keys
    together are checked by :func:`gateway.config.parse_config` alone.
    """
    return copy.deepcopy(_schema())


@cache
def _schema() -> Node:
    schema: Node = _plain(Config.model_json_schema())
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


def type_of(node: Node) -> str | None:
    """Return the type of a value, the first where it may be of several."""
    kind = node.get("type")
    return kind[0] if isinstance(kind, list) else kind


def _resolved(node: Node) -> Node:
    if "$ref" not in node:
        return node
    target = _schema()["$defs"][node["$ref"].rpartition("/")[2]]
    return {**target, **{key: value for key, value in node.items() if key != "$ref"}}


def node_at(key: Key) -> Node | None:
    """Return the JSON Schema of the value at a key, or None for an unknown key."""
    node = _resolved(_schema())
    for part in key:
        child = _child(node, part)
        if child is None:
            return None
        node = _resolved(child)
    return node


def _child(node: Node, part: str | int) -> Node | None:
    if isinstance(part, int):
        items: Node | None = node.get("items")
        return items
    found: Node | None = node.get("properties", {}).get(part)
    if found is None:
        free = node.get("patternProperties", {})
        return next(iter(free.values()), None)
    return found


def sections() -> Iterator[tuple[Key, Node]]:
    """Yield every table with fixed keys and its path, the top level first.

    An array of tables is there with its first one.
    """
    waiting: list[Key] = [()]
    for key in waiting:
        node = node_at(key) or {}
        if "properties" in node:
            yield key, node
            waiting.extend((*key, name) for name in node["properties"])
        elif is_array_of_tables(key):
            waiting.append((*key, 0))


def is_array_of_tables(key: Key) -> bool:
    """Tell whether the value at a key is written as ``[[key]]``."""
    return "properties" in (node_at((*key, 0)) or {})
