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
    Column("targets after", "look-alike check: target joins after the join, by the joiners who "
           "made joins before and after it, some but not all of targets"),
    Column("by chance", "how many of their target joins would stand there if nothing changed"),
    Column("odds ratio", "odds that a join is of a target, after the join over before it, in "
           "the same users; near 1 for a group that merely attracts"),
    Column("95 % interval", "leaves out 1 where the Mantel-Haenszel test rejects at 5 %"),
    Column("next", "group most often joined next", is_number=False),
)  # fmt: skip
_SAID = (
    "Of a group that merely attracts users who were going anyway, the joins after it are of "
    "targets as often as those before it: an odds ratio of 1. Time trends, and users whose first "
    "joins are of another kind than their later ones, move the ratio too. For one group in full: "
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
    bounds = interval(_odds(row["ci_low"]), _odds(row["ci_high"]))
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
            Cell(count(row["targets_after"]), row["targets_after"]),
            Cell(decimal(row["targets_expected"], digits=1), row["targets_expected"]),
            Cell(_odds(row["odds_ratio"]), row["odds_ratio"]),
            Cell(bounds, row["ci_low"]),
            Cell(onward, onward, "text"),
        ]
    )


def _odds(value: float | None) -> str:
    return "\N{INFINITY}" if value == float("inf") else decimal(value, digits=2)
