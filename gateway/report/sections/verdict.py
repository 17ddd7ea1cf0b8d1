"""What the log can show, and what association and change say together."""

from __future__ import annotations

from typing import Any

from gateway.analyses import MEANING, Verdict, verdict_of
from gateway.report.blocks import Body, Cell, Column, Row, Section, Table
from gateway.report.numbers import name, p_value
from gateway.report.stored import Result

__all__ = ["verdict"]


def verdict(result: Result) -> Section | None:
    """Return the verdict with the groups behind it; None for a result that holds neither."""
    said = (result.summary("information") or "").splitlines()
    left_out = result.summary("left_out")
    blocks: list[str | Table] = [_sentence(left_out)] if left_out else []
    found = verdict_of(result.tables["gateways"]) if "gateways" in result.tables else None
    if found is not None:
        blocks += [_sentence(found.text), _sentence(found.agreement), _sentence(MEANING)]
        blocks += _tables(result, found)
    blocks += [_sentence(line) for line in said]
    return Section("verdict", "Verdict", blocks) if blocks else None


def _columns(found: Verdict) -> tuple[Column, ...]:
    return (
        Column("group", is_number=False),
        Column("association", f"flagged by {found.association_by}", is_number=False),
        Column("q of association", "Benjamini-Hochberg"),
        Column("change", f"flagged by {found.change_by}", is_number=False),
        Column("q of change", "Benjamini-Hochberg"),
    )


def _sentence(line: str) -> str:
    return f"{line[:1].upper()}{line[1:]}."


def _tables(result: Result, found: Verdict) -> list[Table]:
    """The groups that either detector flags, those of both first."""
    named = dict.fromkeys([*found.both, *found.association, *found.change])
    if not named:
        return []
    q = {(row["detector"], row["group"]): row["q_value"] for row in result.rows("gateways")}
    rows = [_row(group, found, q) for group in list(named)[: result.top]]
    caption = "Groups flagged by association or by change, those of both first."
    return [Table("verdict-groups", caption, _columns(found), [Body(rows)], is_sortable=True)]


def _row(group: str, found: Verdict, q: dict[tuple[str, str], Any]) -> Row:
    association, change = (
        q.get((detector, group)) for detector in (found.association_by, found.change_by)
    )
    told = "not tested" if group in found.untested else _yes(group in found.change)
    by = _yes(group in found.association)
    return Row([
        Cell(name(group), name(group), "name"),
        Cell(by, by, "text"), Cell(p_value(association), association),
        Cell(told, told, "text"), Cell(p_value(change), change),
    ])  # fmt: skip


def _yes(flagged: bool) -> str:
    return "yes" if flagged else "no"
