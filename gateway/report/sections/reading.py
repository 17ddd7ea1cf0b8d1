"""What was done to the data of a real log, and what in it looks odd."""

from __future__ import annotations

from gateway.report.blocks import Section
from gateway.report.numbers import count
from gateway.report.stored import Result

__all__ = ["reading"]


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
