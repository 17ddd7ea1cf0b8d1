"""Rules that tie settings together: how a section declares them, and what they look at.

A rule looks at the settings as written and says nothing where one of its own is unknown or
faulty, so that one mistake is not reported twice, and a mistake elsewhere hides none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel

from gateway.config.phrases import NEAR, Key, listing, say_key, say_value
from gateway.errors import Problem, did_you_mean

Model = type[BaseModel]


class Breach(NamedTuple):
    """One broken rule, and the keys that it ties: the first that is set says where it stands."""

    problem: Problem
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True)
class Given:
    """The settings of a section as written, with its defaults, and what is not known of them.

    Keys are paths in the section, or dotted; a number counts the items of an array from 0.
    """

    model: Model
    values: Mapping[str, Any]
    path: Key = ()  # where the section stands in the config
    # Paths in the config of which the value is not known; all others keep their own rules.
    unsure: frozenset[Key] = frozenset()

    def at(self, key: Key | str) -> Key:
        """Return the path of a key in the config."""
        return (*self.path, *_parts(key))

    def name(self, *keys: Key | str) -> str:
        """Return keys in words; those of one table of an array with the table named once."""
        if self.path and isinstance(self.path[-1], int):
            return f"{listing([str(key) for key in keys], 'and')} in {say_key(self.path)}"
        return listing([say_key(self.at(key)) for key in keys], "and")

    def writes(self, key: Key | str) -> bool:
        """Tell whether a key is written in the config, be its value faulty or not."""
        return look_up(self.values, _parts(key)) is not None

    def has(self, key: Key | str) -> bool:
        """Tell whether a key is written, or may have been meant by a misspelt one."""
        return self.writes(key) or self.at(key) in self.unsure

    def is_sure(self, key: Key | str) -> bool:
        """Tell whether nothing at, above or below a key is faulty."""
        key = self.at(key)
        return not any(part[: len(key)] == key or key[: len(part)] == part for part in self.unsure)

    def value(self, key: Key | str) -> Any:
        """Return a value or its default; None where there is none or it is faulty."""
        if not self.is_sure(key):
            return None
        found = look_up(self.values, _parts(key))
        return _default(self.model, self.values, _parts(key)) if found is None else found

    def mention(self, key: Key | str) -> str:
        """Return a key with its value: ``world.days (540 by default)``."""
        return f"{self.name(key)} ({self.say(key)})"

    def say(self, key: Key | str) -> str:
        """Return a value in words, and that it is a default where nobody wrote it."""
        return f"{say_value(self.value(key))}{'' if self.writes(key) else ' by default'}"

    def one_of(self, key: str, name: str, names: list[str]) -> tuple[str, str | None]:
        """Return the rule that a name is among those of a key, and which one may be meant."""
        verb = "are" if self.writes(key) else "are by default"
        text = f"must be one of {self.name(key)}, which {verb} {say_value(names)}"
        return text, did_you_mean(name, names, cutoff=NEAR)

    def breach(self, text: str, *keys: Key | str, got: str | None = None, **more: Any) -> Breach:
        """Return the breach of a rule by keys, which say where it stands."""
        return Breach(Problem(self.name(*keys), text, got, **more), tuple(map(self.at, keys)))

    def refuse(self, key: Key | str, text: str, hint: str | None = None) -> Breach:
        """Return the breach of a rule by the value of a key; its keys say where it stands."""
        return Breach(Problem(self.name(key), text, self.say(key), hint=hint))


@cache
def _parts(key: Key | str) -> Key:
    if not isinstance(key, str):
        return key
    return tuple(int(part) if part.isdecimal() else part for part in key.split("."))


def look_up(table: Any, key: Key) -> Any:
    """Return the value at a path of nested tables and lists, None where there is none."""
    for part in key:
        if isinstance(part, int):
            table = table[part] if isinstance(table, list | tuple) and part < len(table) else None
        else:
            table = table.get(part) if isinstance(table, Mapping) else None
    return table


def _default(model: Model, values: Any, key: Key) -> Any:
    """Return the default of a key; None where it stands in a section that is left out."""
    *outer, last = key
    for part in outer:
        field = model.model_fields.get(str(part))
        values = values.get(part) if isinstance(values, Mapping) else None
        if field is None or (values is None and field.get_default() is None):
            return None
        (model,) = _sections_in(model).get(str(part), (BaseModel,))
    found = model.model_fields.get(str(last))
    return None if found is None or found.is_required() else found.get_default()


@cache
def _sections_in(model: Model) -> dict[str, tuple[Model, ...]]:
    """Return the keys of a section that hold sections, and what these may be."""
    found = {name: _models_in(field.annotation) for name, field in model.model_fields.items()}
    return {name: models for name, models in found.items() if models}


def _models_in(annotation: Any) -> tuple[Model, ...]:
    """Return the models that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return (annotation,)
    return tuple(model for part in get_args(annotation) for model in _models_in(part))


Rule = Callable[[Given], list[Breach]]


def rule(*keys: str) -> Callable[[Callable[..., Iterator[Breach]]], Rule]:
    """Make a rule of a function of the settings and the values of these keys, if all are known."""

    def decorate(function: Callable[..., Iterator[Breach]]) -> Rule:
        @wraps(function)
        def judged(given: Given) -> list[Breach]:
            values = [given.value(key) for key in keys]
            if any(value is None for value in values):
                return []
            tied = tuple(given.at(key) for key in keys)
            return [Breach(found.problem, found.keys or tied) for found in function(given, *values)]

        return judged

    return decorate


def broken_rules(
    model: Model, values: Any, unsure: frozenset[Key] = frozenset(), path: Key = ()
) -> Iterator[Breach]:
    """Yield every broken rule of a section, and of those in it, that can be judged."""
    if not isinstance(values, Mapping):
        return
    given = Given(model, values, path, unsure)
    for judge in getattr(model, "rules", ()):
        yield from judge(given)
    for name, inner in _sections_in(model).items():
        value = values.get(name)
        if isinstance(value, list | tuple):
            for index, item in enumerate(value):
                of_its_kind = [kind for kind in inner if _is_of(kind, item)]
                for kind in of_its_kind or inner[:1]:
                    yield from broken_rules(kind, item, unsure, (*path, name, index))
        elif len(inner) == 1:
            yield from broken_rules(inner[0], value, unsure, (*path, name))


def _is_of(model: Model, table: Any) -> bool:
    """Tell whether a table is of this kind, where its kind is told by its key ``kind``."""
    field = model.model_fields.get("kind")
    return field is None or (
        isinstance(table, Mapping) and table.get("kind") in get_args(field.annotation)
    )


# Rules of one form -------------------------------------------------------------------------


def below(low: str, high: str, limit: str = "must be less than") -> Rule:
    """Return the rule that one number is less than another."""

    @rule(low, high)
    def judge(given: Given, lower: Any, upper: Any) -> Iterator[Breach]:
        if lower > upper or (lower == upper and limit.endswith("than")):
            yield given.refuse(low, f"{limit} {given.mention(high)}")

    return judge


def at_most(low: str, high: str) -> Rule:
    """Return the rule that one number is not more than another."""
    return below(low, high, "must be at most")


def among(one: str, many: str) -> Rule:
    """Return the rule that one name is among others."""

    @rule(one, many)
    def judge(given: Given, name: str, names: Collection[str]) -> Iterator[Breach]:
        if name not in names:
            text, hint = given.one_of(many, name, sorted(names))
            yield given.refuse(one, text, hint)

    return judge


def distinct(key: str) -> Rule:
    """Return the rule that a list names nothing twice."""

    @rule(key)
    def judge(given: Given, names: Collection[str]) -> Iterator[Breach]:
        twice = [name for name, n in Counter(names).items() if n > 1]
        if twice:
            yield given.breach("must not name anything twice", key, got=say_value(twice))

    return judge


def say_sum(given: Given, terms: tuple[str, ...], text: str) -> Breach:
    """Return the breach of a rule by a sum, with its terms and what is at its default."""
    values = [given.value(term) for term in terms]
    got = f"{' + '.join(map(say_value, values))} = {sum(values):.10g}"
    silent = [term for term in terms if not given.writes(term)]
    verb = "is at its default" if len(silent) == 1 else "are at their defaults"
    hint = f"{given.name(*silent)} {verb}" if 0 < len(silent) < len(terms) else None
    return Breach(Problem(" + ".join(map(given.name, terms)), text, got, hint=hint))
