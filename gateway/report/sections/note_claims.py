"""The note's claims: what was published beside what the simulated platform shows.

Any stored table below ``analyses/`` with the columns ``id``, ``quantity``, ``published``,
``simulated``, ``ci_low`` and ``ci_high`` is taken in. Optional: a text column ``unit`` that
says how its numbers read (``share``: in per cent; ``count``; or anything else), and a truth
value ``within``: whether the simulated value is as near as was set out to be reached.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.report.content import Body, Cell, Column, Row, Section, Table, label
from gateway.report.summary import ANALYSES, Result
from gateway.wording import MISSING, count, decimal, interval, is_missing, significant

CLAIMS_KEY = "claims-table"
"""Of the table with every claim."""

CLAIM_COLUMNS = ("id", "quantity", "published", "simulated", "ci_low", "ci_high")

_WARNING = (
    "The parameters of the simulated world may have been fitted so that these numbers come "
    "close: agreement is no evidence about the real platform, and a world without any gateway, "
    "fitted alike, can stand beside it (configs/note_without_gateways.toml). A dash stands for "
    "what the note does not say."
)
_TITLES = {
    "R1": "Sources of joins of gateway-group members to target groups, over all time",
    "R2": "Confirmed shares of the sources of a second table",
    "R3": "Joining a non-recommendable group, with and without exposure to recommendations",
    "R4": "Invitations to target groups that went to members of a top-100 gateway group",
    "R5": "Share of those invitations sent by super-inviters",
    "R6": "Holdout of suggested invitations (PYMI)",
    "R7": "Friend recommendations (PYMK) and joining harmful groups",
    "R8": "Top 100 gateway groups labelled non-recommendable",
    "R9": "Correlations of group signals",
    "R10": "Gateway groups as features of an entity model",
}
_COLUMNS = (
    Column("quantity", is_number=False),
    Column("published", "in the leaked note"),
    Column("simulated", "on this result's platform"),
    Column("95 % interval", "of the simulated value"),
    Column("difference", "simulated minus published"),
)
_WITHIN = Column("within", "whether it is as near as was set out to be reached", is_number=False)


def claims(result: Result) -> Section | None:
    """Return every claim that the result recomputes, by id; None where it has none."""
    rows = [
        row
        for name, table in result.tables.items()
        if name.startswith(ANALYSES) and set(CLAIM_COLUMNS) <= set(table.column_names)
        for row in table.to_pylist()
    ]
    if not rows:
        return None
    columns = [*_COLUMNS, *([_WITHIN] if any(_WITHIN.label in row for row in rows) else [])]
    ids = sorted({str(row["id"]) for row in rows}, key=_natural)
    bodies = [
        Body([_row(row, len(columns)) for row in rows if str(row["id"]) == key], _heading(key))
        for key in ids
    ]
    caption = "The note's numbers and ours, claim by claim."
    return Section("claims", "The note's claims, published and simulated",
                   [_WARNING, Table(CLAIMS_KEY, caption, columns, bodies)])  # fmt: skip


def _heading(key: str) -> str:
    return f"{key}. {_TITLES[key]}" if key in _TITLES else key


def _natural(key: str) -> list[tuple[int, str]]:
    """R2 before R10."""
    return [(int(part or 0), "") if part.isdigit() else (0, part)
            for part in re.split(r"(\d+)", key)]  # fmt: skip


def _row(row: Mapping[str, Any], width: int) -> Row:
    unit = row.get("unit")
    published, simulated = row["published"], row["simulated"]
    low, high = (_written(row[key], unit) for key in ("ci_low", "ci_high"))
    return Row(
        [
            label(str(row["quantity"])),
            Cell(_written(published, unit), published),
            Cell(_written(simulated, unit), simulated),
            Cell(interval(low, high), row["ci_low"]),
            Cell(_difference(published, simulated, unit)),
            _judged(row.get("within")),
        ][:width]
    )


def _judged(within: bool | None) -> Cell:
    return Cell(MISSING if within is None else "yes" if within else "no", None, "text")


def _written(value: Any, unit: str | None) -> str:
    if value is None or isinstance(value, str):
        return value or MISSING
    number = float(value)
    if unit == "share" and not is_missing(number):
        return f"{significant(100.0 * number, digits=4)}\N{NO-BREAK SPACE}%"
    return count(number) if unit == "count" else significant(number, digits=4)


def _difference(published: Any, simulated: Any, unit: str | None) -> str:
    if any(value is None or isinstance(value, str) for value in (published, simulated)):
        return MISSING
    gap = float(simulated) - float(published)
    if is_missing(gap):
        return MISSING
    written = _points(gap) if unit == "share" else _written(gap, unit)
    return f"+{written}" if gap > 0 else written


def _points(gap: float) -> str:
    return f"{decimal(100.0 * gap, digits=2)} points"
