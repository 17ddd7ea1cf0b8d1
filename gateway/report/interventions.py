"""The arms of interventions: what each averted and cost, and where target joins moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.report import numbers
from gateway.report.numbers import count, decimal, interval, percent
from gateway.report.stored import Result
from gateway.report.tables import Cell, Column

__all__ = ["arms", "displacement"]

_ARMS = (
    Column("arm", "interventions that act together", is_number=False),
    Column("what acts", "kinds, groups (how many), first day", is_number=False),
    Column("groups", "groups acted on"),
    Column("averted", "target joins of the factual platform minus those of the arm"),
    Column("95 % interval", "from the users' paired differences; sorted by its lower end"),
    Column("share", "of all target joins"),
    Column("benign lost", "joins lost of groups that are not harmful, those acted on among them"),
    Column("95 % interval", "of the benign joins lost"),
    Column("cost", "benign joins lost for each target join averted, with Fieller's 95 % limits; "
           "without limits where the number averted is not clearly above zero"),
    Column("harmful averted", "joins averted of harmful groups outside the target set"),
    Column("users", "of whom anything differs"),
)  # fmt: skip


def arms(result: Result) -> tuple[tuple[Column, ...], list[list[Cell]]]:
    """Return a row for each arm, most target joins averted first."""
    rows = result.rows("interventions")
    rows.sort(key=lambda row: (-row["averted"], row["arm"]))
    return _ARMS, [_arm_row(row) for row in rows]


def _arm_row(row: Mapping[str, Any]) -> list[Cell]:
    name = numbers.name(row["arm"])
    acts = numbers.name(row["acts"], limit=400)
    limits = interval(decimal(row["cost_low"], digits=1), decimal(row["cost_high"], digits=1))
    cost = decimal(row["cost"], digits=1)
    return [
        Cell(name, name, "name"),
        Cell(acts, acts, "text"),
        Cell(count(row["n_groups"]), row["n_groups"]),
        Cell(_signed(row["averted"]), row["averted"]),
        Cell(_limits(row, "averted"), row["averted_low"]),
        Cell(percent(row["share_averted"]), row["share_averted"]),
        Cell(_signed(row["benign_lost"]), row["benign_lost"]),
        Cell(_limits(row, "benign_lost"), row["benign_lost_low"]),
        Cell(f"{cost} {limits}" if row["cost_low"] is not None else cost, row["cost"]),
        Cell(_signed(row["harmful_averted"]), row["harmful_averted"]),
        Cell(percent(row["share_diverged"]), row["share_diverged"]),
    ]


def _signed(value: float) -> str:
    return count(value).replace("-", "\N{MINUS SIGN}")


def _limits(row: Mapping[str, Any], name: str) -> str:
    return interval(_signed(row[f"{name}_low"]), _signed(row[f"{name}_high"]))


def displacement(result: Result) -> tuple[list[Column], list[list[Cell]]]:
    """Return the target joins of each source: the factual number, and each arm's change."""
    rows = [row for row in result.rows("intervention_sources") if row["kind"] == "target"]
    names = sorted({row["arm"] for row in rows})
    columns = [Column("source", "how members came to join", is_number=False),
               Column("factual", "target joins of the factual platform")]  # fmt: skip
    columns += [Column(numbers.name(name), "change in this arm") for name in names]
    change = {(row["source"], row["arm"]): row["otherwise"] - row["factual"] for row in rows}
    factual = {row["source"]: row["factual"] for row in rows}
    return columns, [
        [Cell(source.replace("_", " "), source, "name"), Cell(count(joins), joins),
         *(Cell(_change(change[source, name]), change[source, name]) for name in names)]
        for source, joins in factual.items()
    ]  # fmt: skip


def _change(value: int) -> str:
    return f"{value:+,}".replace("-", "\N{MINUS SIGN}") if value else "0"
