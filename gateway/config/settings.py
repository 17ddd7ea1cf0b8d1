"""What rules look at: the settings as written, with defaults, and what is not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.config.detectors import DetectSection, SpikeOptions
from gateway.config.lines import Key
from gateway.config.phrases import say_key, say_value
from gateway.config.schema import (
    LogSection,
    ScoreSection,
    SimulationSection,
    TruthSection,
    WorldSection,
)

__all__ = ["Settings", "as_key"]

_DEFAULTS: dict[str, Any] = {
    "world": WorldSection().model_dump(),
    "simulation": SimulationSection().model_dump(),
    "log": LogSection(path="-").model_dump(exclude={"path"}),
    "score": ScoreSection().model_dump(),
    "detect": DetectSection().model_dump(),
    "spike": SpikeOptions().model_dump(),
    "truth": TruthSection().model_dump(),
}
_OPTIONAL_SECTIONS = frozenset({"world", "log", "targets", "note"})


@dataclass(frozen=True)
class Settings:
    """The settings as written, and what is not known about them.

    Parameters
    ----------
    given
        Nested tables; a value outside ``unsure`` keeps its own rules.
    unsure
        Paths of which the value is not known.
    """

    given: Mapping[str, Any]
    unsure: frozenset[Key] = frozenset()

    def writes(self, dotted: str) -> bool:
        """Tell whether a key is written in the config, be its value faulty or not."""
        return _look_up(self.given, as_key(dotted)) is not None

    def has(self, dotted: str) -> bool:
        """Tell whether a key is written, or may have been meant by a misspelt one."""
        return self.writes(dotted) or as_key(dotted) in self.unsure

    def is_sure(self, dotted: str) -> bool:
        """Tell whether nothing at, above or below a key is faulty."""
        key = as_key(dotted)
        return not any(part[: len(key)] == key or key[: len(part)] == part for part in self.unsure)

    def value(self, dotted: str) -> Any:
        """Return a value or its default; None where there is none or it is faulty."""
        key = as_key(dotted)
        if not self.is_sure(dotted) or (key[0] in _OPTIONAL_SECTIONS and key[0] not in self.given):
            return None
        found = _look_up(self.given, key)
        return _look_up(_DEFAULTS, key) if found is None else found

    def values(self, *dotted: str) -> list[Any] | None:
        """Return several values, or None where one of them is None."""
        found = [self.value(key) for key in dotted]
        return None if any(value is None for value in found) else found

    def mention(self, dotted: str) -> str:
        """Return a key with its value: ``world.days (540 by default)``."""
        return f"{say_key(as_key(dotted))} ({self.say(dotted)})"

    def say(self, dotted: str) -> str:
        """Return a value in words, and that it is a default where nobody wrote it."""
        default = "" if self.writes(dotted) else " by default"
        return f"{say_value(self.value(dotted))}{default}"


def as_key(dotted: str) -> Key:
    """Return the path of a dotted key; a number in it counts the items of an array from 0."""
    return tuple(int(part) if part.isdecimal() else part for part in dotted.split("."))


def _look_up(table: Any, key: Key) -> Any:
    for part in key:
        if isinstance(part, int):
            table = table[part] if isinstance(table, list) and part < len(table) else None
        else:
            table = table.get(part) if isinstance(table, Mapping) else None
    return table
