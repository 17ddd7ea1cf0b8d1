"""A rule that ties settings together, and is broken."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Breach"]


@dataclass(frozen=True)
class Breach:
    """One broken rule and the keys that it ties together.

    Parameters
    ----------
    keys
        Dotted; the first that the user has set says where the problem stands.
    what, rule, got, hint
        As in :class:`gateway.errors.Problem`.
    """

    keys: tuple[str, ...]
    what: str
    rule: str
    got: str | None = None
    hint: str | None = None
