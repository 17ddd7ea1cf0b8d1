"""What a single key has wrong, in our words instead of the validator's."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from gateway.config.document import Document, Finding
from gateway.config.lines import Key
from gateway.config.phrases import say_key, say_rule, say_value
from gateway.config.shape import is_array_of_tables, node_at, type_of
from gateway.config.suggestions import did_you_mean, nearest, suggest_key
from gateway.errors import Problem

__all__ = ["Faults", "find_faults"]

Node = dict[str, Any]

# What pydantic appends to the path of an error in a key of a free table.
_KEY_MARK = "[key]"


@dataclass(frozen=True)
class Faults:
    """What single keys have wrong.

    Parameters
    ----------
    findings
        One problem per fault.
    unsure
        Keys whose value is not known: faulty, missing, or behind a misspelt name.
    """

    findings: list[Finding]
    unsure: frozenset[Key]


def find_faults(errors: Sequence[ErrorDetails], document: Document) -> Faults:
    """Put the validator's errors into words.

    A missing key is not reported beside its own misspelling, nor an empty table whose
    every entry is reported, nor what stands below a key whose name is faulty.
    """
    meant = {
        key
        for error in errors
        if error["type"] == "extra_forbidden"
        for key in suggest_key(error["loc"]).meant
    }
    told = [error for error in errors if not _is_echo(error, errors, meant)]
    findings = [(document.place(_path(error)), _problem(error, document)) for error in told]
    broken = {_path(error) for error in errors if error["type"] != "extra_forbidden"}
    return Faults(findings, frozenset(broken | meant))


def _path(error: ErrorDetails) -> Key:
    return error["loc"][:-1] if _is_about_a_name(error) else error["loc"]


def _is_about_a_name(error: ErrorDetails) -> bool:
    """Tell whether a key of a free table is faulty, which may itself be named as the mark."""
    table = node_at(error["loc"][:-2]) or {}
    return error["loc"][-1:] == (_KEY_MARK,) and "patternProperties" in table


def _is_echo(error: ErrorDetails, errors: Sequence[ErrorDetails], meant: set[Key]) -> bool:
    path = _path(error)
    if error["type"] == "missing":
        return path in meant
    if any(_is_about_a_name(e) and path[: len(_path(e))] == _path(e) != path for e in errors):
        return True
    depth = len(path)
    return error["type"] == "too_short" and any(
        len(_path(other)) > depth and _path(other)[:depth] == path for other in errors
    )


def _problem(error: ErrorDetails, document: Document) -> Problem:
    path = _path(error)
    where = document.place(path).text
    if error["type"] == "extra_forbidden":
        return _unknown(path, error["input"], where)
    node = node_at(path) or {}
    if error["type"] == "missing":
        return _missing(path, node, where)
    if _is_about_a_name(error):
        rule = (node_at(path[:-1]) or {})["x-key-rule"]
        return Problem(say_key(path), f"must be named by {rule}", where=where)
    got = error["input"]
    return Problem(say_key(path), _rule(path, node, got), say_value(got), where, _hint(node, got))


def _unknown(path: Key, got: object, where: str) -> Problem:
    noun = "section" if isinstance(got, dict) else "key"
    return Problem(
        say_key(path), f"is not a known {noun}", where=where, hint=suggest_key(path).hint
    )


def _missing(path: Key, node: Node, where: str) -> Problem:
    if "properties" in node:
        hint = f"its keys: {', '.join(node['properties'])}"
        return Problem(f"[{say_key(path)}]", "is missing", where=where, hint=hint)
    return Problem(say_key(path), f"is missing: it must be {say_rule(node)}", where=where)


def _rule(path: Key, node: Node, got: object) -> str:
    if "properties" in node and "x-rule" not in node:
        written = f"[[{say_key(path[:-1])}]]" if isinstance(path[-1], int) else f"[{say_key(path)}]"
        return f"must be a section, written {written}"
    if is_array_of_tables(path):
        return f"must be sections, each written [[{say_key(path)}]]"
    return f"must be {say_rule(node, got)}"


def _hint(node: Node, got: object) -> str | None:
    """Return the way out of the slips that are easy to make in TOML."""
    if isinstance(got, str):
        return _hint_for_text(node, got)
    if isinstance(got, dt.datetime) and _may_be_date(node):
        return "leave the time of day out"
    if isinstance(got, int | float | dt.date) and node.get("type") == "string":
        return None if node.get("format") == "date" else "write it in quotes"
    return None


def _hint_for_text(node: Node, got: str) -> str | None:
    near = nearest(got, node.get("enum", [node["const"]] if "const" in node else []))
    if near is not None:
        return did_you_mean(near)
    if node.get("type") == "array":
        inside = got.startswith("[")
        return "inside a list, text needs quotes" if inside else f"write [{say_value(got)}]"
    if type_of(node) in {"integer", "number"} and _reads_as(float, got):
        return "write it without quotes"
    if _may_be_date(node) and _reads_as(dt.date.fromisoformat, got):
        return "write it without quotes"
    return None


def _may_be_date(node: Node) -> bool:
    return any(choice.get("format") == "date" for choice in node.get("oneOf", [node]))


def _reads_as(reader: Any, text: str) -> bool:
    try:
        reader(text)
    except ValueError:
        return False
    return True
