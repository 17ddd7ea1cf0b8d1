"""The table of reasons: why the first groups stand where they stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.report.blocks import Body, Cell, Column, Row, Section, Table
from gateway.report.numbers import MISSING, count, counted, decimal, interval, name, percent
from gateway.report.stored import Result

__all__ = ["explanations"]

_COLUMNS = (
    Column("rank", "equal scores share a rank"),
    Column("group", is_number=False),
    Column("joiners", "joiners at risk: before their first target join"),
    Column("P before", "mean probability of a target join just before the join"),
    Column("P after", "mean probability just after it"),
    Column("later", "joiners who joined a target within the horizon"),
    Column("expected", "how many were expected from the joins before"),
    Column("after/before", "look-alike check: rate of target joins after the join over that "
           "before it, in the same users; near 1 for a group that merely attracts"),
    Column("95 % interval", "exact, given the number of target joins"),
    Column("next", "group most often joined next", is_number=False),
)  # fmt: skip
_SAID = (
    "A group that merely attracts users who were going anyway has a rate of target joins after "
    "the join like that before it; time trends move the ratio too. For one group in full: "
    "gateway explain DIR GROUP."
)


def explanations(result: Result) -> Section | None:
    """Return the explained groups, best first; None where the result explains none."""
    rows = result.rows("explanations")
    if not rows:
        return None
    said = f"The first {counted(len(rows), 'group')}."
    body = Body([_row(row) for row in rows])
    table = Table("reasons", said, _COLUMNS, [body], is_sortable=True, is_sorted=True)
    return Section("explanations", "Why these groups", [_SAID, table])


def _row(row: Mapping[str, Any]) -> Row:
    bounds = interval(decimal(row["ci_low"], digits=2), decimal(row["ci_high"], digits=2))
    onward = MISSING if row["next_group"] is None else name(row["next_group"])
    group = name(row["group"])
    return Row(
        [
            Cell(str(row["rank"]), row["rank"]),
            Cell(group, group, "name"),
            Cell(count(row["n_joiners"]), row["n_joiners"]),
            Cell(percent(row["p_before"]), row["p_before"]),
            Cell(percent(row["p_after"]), row["p_after"]),
            Cell(count(row["observed"]), row["observed"]),
            Cell(decimal(row["expected"], digits=1), row["expected"]),
            Cell(decimal(row["rate_ratio"], digits=2), row["rate_ratio"]),
            Cell(bounds, row["ci_low"]),
            Cell(onward, onward, "text"),
        ]
    )
