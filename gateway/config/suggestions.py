"""What a misspelt key or value was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple

from gateway.config.lines import Key
from gateway.config.phrases import listing, say_key
from gateway.config.shape import node_at, sections

__all__ = ["Suggestion", "did_you_mean", "nearest", "suggest_key"]

# Ratio of difflib from which two words count as one, misspelt: "sede" and "seed" have
# 0.75, "country" and "countries" too; unrelated keys of the schema stay below.
_NEAR = 0.75


class Suggestion(NamedTuple):
    """A way out, and the keys that it names."""

    hint: str
    meant: tuple[Key, ...] = ()


def nearest(word: str, options: Iterable[str]) -> str | None:
    """Return the option that looks most like the word, or None.

    Examples
    --------
    >>> nearest("Log-Odds", ["absolute", "log_odds"])
    'log_odds'
    """
    known = {_folded(option): option for option in options}
    near = difflib.get_close_matches(_folded(word), known, n=1, cutoff=_NEAR)
    return known[near[0]] if near else None


def _folded(word: str) -> str:
    return word.casefold().replace("-", "_").replace(" ", "_")


def did_you_mean(*options: str) -> str:
    """Return the question that puts an error right."""
    return f"did you mean {listing([repr(option) for option in options])}?"


def suggest_key(key: Key) -> Suggestion:
    """Return what an unknown key may stand for.

    A key of the same table that looks like it; else one of another table; else every key
    of the table.
    """
    *table, last = key
    wrong = str(last)
    allowed = list((node_at(tuple(table)) or {})["properties"])
    near = nearest(wrong, allowed)
    if near is not None:
        return Suggestion(did_you_mean(near), ((*table, near),))
    homes = _homes(wrong)
    if homes:
        return Suggestion(did_you_mean(*map(_say_home, homes)), homes)
    return Suggestion(f"allowed here: {', '.join(allowed)}")


def _say_home(key: Key) -> str:
    """Return a key of another table; in an array of tables any of them may be meant."""
    return say_key(tuple(part for part in key if isinstance(part, str)))


def _homes(wrong: str) -> tuple[Key, ...]:
    """Return the keys of this name, or else of the nearest one, in all tables."""
    known = [(*home, name) for home, node in sections() for name in node["properties"]]
    name = nearest(wrong, [str(key[-1]) for key in known])
    return tuple(key for key in known if key[-1] == name)
