"""What the log is: its target groups, and what was done to the data."""

from __future__ import annotations

from operator import itemgetter

from gateway.report.content import Body, Section, Table, names, numbers, rows_of, words
from gateway.report.summary import Result
from gateway.wording import MISSING, count, counted, name

__all__ = ["reading", "target_set"]

_MOST = 200
"""Rows of the table; a longer set is cut, and the page says so."""
_NAMES = (
    names("group", itemgetter("group")),
    numbers("members", "size", count, "members in the log"),
)
_KNOWN = (
    words("country", lambda row: MISSING if row["country"] is None else name(row["country"]),
          "home of the group"),
    numbers("strikes", "strikes", count, "of the rule's kind, in the rule's month"),
)  # fmt: skip


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
        [Body(rows_of(columns, rows[:_MOST]))],
        is_sortable=True,
    )
    rule = result.summary("target_rule")
    return Section("targets", "Target set", [*([f"Rule: {rule}."] if rule else []), table])


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
