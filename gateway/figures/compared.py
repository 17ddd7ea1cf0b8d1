"""What the figures of the note's analyses read: rows of published beside simulated."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from gateway.figures.stored import Tables

__all__ = ["FITTED", "compared_rows"]

FITTED = (
    "Where the world's parameters were fitted to the published numbers, agreement is not "
    "evidence about the real platform."
)
"""What every caption of such a figure ends with."""


def compared_rows(tables: Tables, claims: Iterable[str]) -> pa.Table | None:
    """Return the rows of some claims, by claim and quantity; None where the result has none."""
    if "analyses/comparison" not in tables:
        return None
    rows = tables["analyses/comparison"]
    rows = rows.filter(pc.is_in(rows["id"], pa.array(list(claims), pa.string())))
    return rows.sort_by([("id", "ascending"), ("quantity", "ascending")]) if len(rows) else None
