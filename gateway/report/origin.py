"""What made a result, as lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.report.numbers import MISSING

__all__ = ["provenance_rows"]


def provenance_rows(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return provenance as key and text; what is nested is put on one line.

    A diff stays in ``provenance.json``: that there is one is said by ``dirty``.
    """
    shown = ((key, value) for key, value in provenance.items() if key != "diff")
    return [(key.replace("_", " "), _flat(value)) for key, value in shown]


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_flat(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_flat(item) for item in value)
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
