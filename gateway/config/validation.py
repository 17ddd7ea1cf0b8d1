"""Whether values make a model, or everything that is wrong with them, in our words.

Single keys are judged by the validator, whose errors are put into words here; rules that tie
keys together by the model's ``rules``, wherever the keys of a rule are sound themselves.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.document import Document, Finding, Place
from gateway.config.phrases import NEAR, Key, say_key, say_value
from gateway.config.rules import broken_rules, look_up
from gateway.config.shape import (
    is_array_of_tables,
    node_at,
    say_rule,
    suggest_key,
    type_of,
    without_tags,
)
from gateway.errors import ConfigError, GatewayError, Problem, did_you_mean

Model = type[BaseModel]
Made = TypeVar("Made", bound=BaseModel)
Node = Mapping[str, Any]

READING: Mapping[str, Any] = {"reading": True}
"""The context in which a whole document is read: its reader says what is wrong with all of it."""

# Problems that are put into words: nobody reads more at once, and each takes milliseconds.
_MOST = 200
# What pydantic appends to the path of an error in a key of a free table.
_KEY_MARK = "[key]"


def check_document(
    model: type[Made], document: Document, *, within: Key = ()
) -> tuple[Made | None, list[Finding]]:
    """Return the model that a document makes, and every problem with it.

    A missing key is not reported beside its own misspelling, nor an empty table whose
    every entry is reported, nor what stands below a key whose name is faulty. ``within`` is
    the path by which messages name the model: that of a section which stands alone.
    """
    made, errors = None, list[ErrorDetails]()
    try:
        made = model.model_validate(document.values, context=READING)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    n_more, errors = max(0, len(errors) - _MOST), errors[:_MOST]
    faults = [_Fault(model, error, within) for error in errors]
    unknown = [fault for fault in faults if fault.error["type"] == "extra_forbidden"]
    meant = {key for fault in unknown for key in fault.meant}
    findings = [
        (document.place(fault.path), fault.problem(document))
        for fault in faults
        if not _is_echo(fault, faults, meant)
    ]
    if n_more:
        problem = Problem(f"{n_more:,} more keys", "are wrong", where=document.name)
        findings.append((Place(2**31, 0, ""), problem))
    doubtful = meant | {fault.path for fault in faults if fault.node}
    unsure = frozenset((*within, *key) for key in doubtful)
    for breach in broken_rules(model, document.values, unsure, within):
        place = _place(breach.keys, document)
        findings.append((place, replace(breach.problem, where=place.text)))
    return made, findings


def config_error(findings: Sequence[Finding]) -> ConfigError:
    """Return the error that tells every problem once, in the order of the file."""
    ordered = sorted(findings, key=lambda finding: finding[0])
    return ConfigError(list(dict.fromkeys(problem for _, problem in ordered)))


def refusal_of(model: Model, values: Any, *, name: str = "") -> GatewayError:
    """Put into words what is wrong with values that a model was to be made of in Python."""
    if not isinstance(values, Mapping):
        return GatewayError(f"{model.__name__} cannot be made of {say_value(values)}")
    document = Document(name, dict(values))
    _, findings = check_document(model, document, within=(name,) if name else ())
    return GatewayError("\n".join(str(replace(problem, where=None)) for _, problem in findings))


def _place(keys: Sequence[Key], document: Document) -> Place:
    """Return where keys were brought together: the override, else the first that is written."""
    written = [document.places[key] for key in keys if key in document.places]
    overridden = [place for place in written if place.override]
    return next(iter([*overridden, *written]), document.place(keys[0] if keys else ()))


class _Fault:
    """An error of the validator, and the key that it is about."""

    def __init__(self, model: Model, error: ErrorDetails, within: Key) -> None:
        self.model, self.error, self.within = model, error, within
        self.path, self.kind = without_tags(model, error["loc"])
        table = node_at(model, self.path[:-2]) or {}
        # A key of a free table is faulty, which may itself be named as the mark.
        self.is_of_a_name = self.path[-1:] == (_KEY_MARK,) and "patternProperties" in table
        self.path = self.path[:-1] if self.is_of_a_name else self.path
        self.node: Node = node_at(model, self.path) or {}

    @property
    def meant(self) -> tuple[Key, ...]:
        """Keys that an unknown one may stand for; none where it is known to tables of a kind."""
        return () if self.node else suggest_key(self.model, self.path).meant

    def problem(self, document: Document) -> Problem:
        where, got = document.place(self.path).text, look_up(document.values, self.path)
        got = self.error["input"] if got is None else got
        what = say_key((*self.within, *self.path))
        if self.error["type"] == "extra_forbidden":
            return self._unknown(what, got, where)
        if self.error["type"] == "missing":
            return self._missing(what, where)
        if self.is_of_a_name:
            rule = (node_at(self.model, self.path[:-1]) or {})["x-key-rule"]
            return Problem(what, f"must be named by {rule}", where=where)
        return Problem(what, self._rule(got), say_value(got), where, _hint(self.node, got))

    def _unknown(self, what: str, got: object, where: str) -> Problem:
        if self.node and self.kind:
            kind = (node_at(self.model, self.path[:-1]) or {})["x-kinds"][self.kind]
            reach = f", which {kind['x-reach']}" if "x-reach" in kind else ""
            return Problem(what, f"has no meaning for {self.kind}{reach}", where=where)
        noun = "section" if isinstance(got, dict) else "key"
        hint = suggest_key(self.model, self.path).hint
        return Problem(what, f"is not a known {noun}", where=where, hint=hint)

    def _missing(self, what: str, where: str) -> Problem:
        if "properties" in self.node:
            hint = f"its keys: {', '.join(self.node['properties'])}"
            return Problem(f"[{what}]", "is missing", where=where, hint=hint)
        table = node_at(self.model, self.path[:-1]) or {}
        if self.kind and self.path[-1] not in table["required"]:
            return Problem(what, f"is missing: {self.kind} needs it", where=where)
        return Problem(what, f"is missing: it must be {say_rule(self.node)}", where=where)

    def _rule(self, got: object) -> str:
        if "properties" in self.node and "x-rule" not in self.node:
            is_item = isinstance(self.path[-1], int)
            name = say_key(self.path[:-1] if is_item else self.path)
            return f"must be a section, written {f'[[{name}]]' if is_item else f'[{name}]'}"
        if is_array_of_tables(self.model, self.path):
            return f"must be sections, each written [[{say_key(self.path)}]]"
        return f"must be {say_rule(self.node, got)}"


def _is_echo(fault: _Fault, faults: Iterable[_Fault], meant: set[Key]) -> bool:
    path, depth = fault.path, len(fault.path)
    if fault.error["type"] == "missing":
        return path in meant
    if any(o.is_of_a_name and path[: len(o.path)] == o.path != path for o in faults):
        return True
    return fault.error["type"] == "too_short" and any(
        len(other.path) > depth and other.path[:depth] == path for other in faults
    )


def _hint(node: Node, got: object) -> str | None:
    """Return the way out of the slips that are easy to make in TOML."""
    may_be_date = any(choice.get("format") == "date" for choice in node.get("oneOf", [node]))
    if isinstance(got, str):
        return _hint_for_text(node, got, may_be_date=may_be_date)
    if isinstance(got, dt.datetime) and may_be_date:
        return "leave the time of day out"
    if isinstance(got, int | float | dt.date) and node.get("type") == "string":
        return None if node.get("format") == "date" else "write it in quotes"
    return None


def _hint_for_text(node: Node, got: str, *, may_be_date: bool) -> str | None:
    choices = node.get("enum", [node["const"]] if "const" in node else [])
    if hint := did_you_mean(got, choices, cutoff=NEAR):
        return hint
    if node.get("type") == "array":
        inside = got.startswith("[")
        return "inside a list, text needs quotes" if inside else f"write [{say_value(got)}]"
    is_number = type_of(node) in {"integer", "number"} and _reads_as(float, got)
    if is_number or (may_be_date and _reads_as(dt.date.fromisoformat, got)):
        return "write it without quotes"
    return None


def _reads_as(reader: Any, text: str) -> bool:
    try:
        reader(text)
    except ValueError:
        return False
    return True
