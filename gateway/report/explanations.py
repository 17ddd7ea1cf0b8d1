"""The report's table of reasons: why the first groups stand where they stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.report import numbers
from gateway.report.numbers import count, decimal, interval, percent
from gateway.report.stored import Result
from gateway.report.tables import Cell, Column

__all__ = ["explanations"]

_COLUMNS = [
    Column("rank", "equal scores share a rank"),
    Column("group", "name of the group", is_number=False),
    Column("joiners", "joiners at risk: before their first target join"),
    Column("P before", "mean probability of a target join just before the join"),
    Column("P after", "mean probability just after it"),
    Column("later", "joiners who joined a target within the horizon"),
    Column("expected", "how many were expected from the joins before"),
    Column("after/before", "look-alike check: rate of target joins after the join over that "
           "before it, in the same users; near 1 for a group that merely attracts"),
    Column("95 % interval", "exact, given the number of target joins"),
    Column("next", "group most often joined next", is_number=False),
]  # fmt: skip


def explanations(result: Result) -> tuple[list[Column], list[list[Cell]]]:
    """Return the explained groups, best first; no rows where the result explains none."""
    return _COLUMNS, [_row(row) for row in result.rows("explanations")]


def _row(row: Mapping[str, Any]) -> list[Cell]:
    bounds = interval(decimal(row["ci_low"], digits=2), decimal(row["ci_high"], digits=2))
    onward = numbers.MISSING if row["next_group"] is None else numbers.name(row["next_group"])
    name = numbers.name(row["group"])
    return [
        Cell(str(row["rank"]), row["rank"]),
        Cell(name, name, "name"),
        Cell(count(row["n_joiners"]), row["n_joiners"]),
        Cell(percent(row["p_before"]), row["p_before"]),
        Cell(percent(row["p_after"]), row["p_after"]),
        Cell(count(row["observed"]), row["observed"]),
        Cell(decimal(row["expected"], digits=1), row["expected"]),
        Cell(decimal(row["rate_ratio"], digits=2), row["rate_ratio"]),
        Cell(bounds, row["ci_low"]),
        Cell(onward, onward, "text"),
    ]
