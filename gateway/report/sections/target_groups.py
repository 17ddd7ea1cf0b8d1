"""What the log is: its target groups, and what was done to the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.report.blocks import Body, Cell, Column, Row, Section, Table
from gateway.report.summary import Result
from gateway.wording import MISSING, count, counted, name

__all__ = ["reading", "target_set"]

_MOST = 200
"""Rows of the table; a longer set is cut, and the page says so."""
_NAMES = (Column("group", is_number=False), Column("members", "members in the log"))
_KNOWN = (
    Column("country", "home of the group", is_number=False),
    Column("strikes", "of the rule's kind, in the rule's month"),
)


def target_set(result: Result) -> Section:
    """Return the target groups, most strikes first, then largest."""
    rows = [row for row in result.rows("groups") if row["is_target"]]
    rows.sort(key=lambda row: (-(row["strikes"] or 0), -row["size"], row["group"]))
    columns = (*_NAMES, *(_KNOWN if result.has_truth() else ()))
    cut = f", the first {_MOST} of them" if len(rows) > _MOST else ""
    table = Table(
        "target-groups",
        f"{counted(len(rows), 'target group')}{cut}.",
        columns,
        [Body([Row(_cells(row)[: len(columns)]) for row in rows[:_MOST]])],
        is_sortable=True,
    )
    rule = result.summary("target_rule")
    return Section("targets", "Target set", [*([f"Rule: {rule}."] if rule else []), table])


def _cells(row: Mapping[str, Any]) -> list[Cell]:
    group = name(row["group"])
    country = MISSING if row["country"] is None else name(row["country"])
    return [
        Cell(group, group, "name"),
        Cell(count(row["size"]), row["size"]),
        Cell(country, country, "text"),
        Cell(count(row["strikes"]), row["strikes"]),
    ]


def reading(result: Result) -> Section | None:
    """Return the counts of the reader and its remarks, one paragraph each."""
    rows = result.rows("reading")
    if not rows:
        return None
    n = {row["what"]: row["count"] for row in rows}
    counts = (
        f"{count(n['rows'])} rows were read: {count(n['joins'])} joins of {count(n['groups'])} "
        f"groups by {count(n['users'])} users; {count(n['repeats'])} rows that repeat a user and "
        "group were dropped, the earliest counts."
    )
    remarks = [f"{row['text'][:1].upper()}{row['text'][1:]}." for row in rows if row["text"]]
    return Section("reading", "What was done to the data", [counts, *remarks])
