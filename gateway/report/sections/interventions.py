"""The arms of interventions: what each averted and cost, and where target joins moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.report.blocks import Body, Cell, Column, Filter, Row, Section, Table
from gateway.report.numbers import count, decimal, interval, name, percent, significant
from gateway.report.stored import Result

__all__ = ["interventions"]

_SAID = (
    "Each arm is a simulation of the same platform in which some interventions act and every "
    "other random draw is the factual one's. A set of groups that a detector of this run or the "
    "truth chose has seen what came after the start: nobody could have known it then."
)
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
_DOSES = (
    Column("intervention", is_number=False),
    Column("groups chosen by", is_number=False),
    Column("groups", "number of groups acted on"),
    Column("quantity", is_number=False),
    Column("value"),
    Column("95 % interval"),
)


def interventions(result: Result) -> Section | None:
    """Return what acting on groups averted, arm by arm; None where nothing was tried."""
    tables = [make(result) for make in (_arms, _displacement, _doses)]
    blocks = [table for table in tables if table is not None]
    return Section("interventions", "Interventions", [_SAID, *blocks]) if blocks else None


def _arms(result: Result) -> Table | None:
    """A row for each arm, most target joins averted first."""
    rows = sorted(result.rows("interventions"), key=lambda row: (-row["averted"], row["arm"]))
    body = Body([Row(_arm_cells(row)) for row in rows])
    said = "Arms of interventions, against the factual platform."
    return Table("arms", said, _ARMS, [body], is_sortable=True) if rows else None


def _arm_cells(row: Mapping[str, Any]) -> list[Cell]:
    arm, acts = name(row["arm"]), name(row["acts"], limit=400)
    cost = decimal(row["cost"], digits=1)
    limits = interval(decimal(row["cost_low"], digits=1), decimal(row["cost_high"], digits=1))
    return [
        Cell(arm, arm, "name"),
        Cell(acts, acts, "text"),
        Cell(count(row["n_groups"]), row["n_groups"]),
        Cell(count(row["averted"]), row["averted"]),
        Cell(_limits(row, "averted"), row["averted_low"]),
        Cell(percent(row["share_averted"]), row["share_averted"]),
        Cell(count(row["benign_lost"]), row["benign_lost"]),
        Cell(_limits(row, "benign_lost"), row["benign_lost_low"]),
        Cell(f"{cost} {limits}" if row["cost_low"] is not None else cost, row["cost"]),
        Cell(count(row["harmful_averted"]), row["harmful_averted"]),
        Cell(percent(row["share_diverged"]), row["share_diverged"]),
    ]


def _limits(row: Mapping[str, Any], key: str) -> str:
    return interval(count(row[f"{key}_low"]), count(row[f"{key}_high"]))


def _displacement(result: Result) -> Table | None:
    """Target joins of each source: the factual number, and each arm's change."""
    rows = [row for row in result.rows("intervention_sources") if row["kind"] == "target"]
    arms = sorted({row["arm"] for row in rows})
    change = {(row["source"], row["arm"]): row["otherwise"] - row["factual"] for row in rows}
    columns = [Column("source", "how members came to join", is_number=False),
               Column("factual", "target joins of the factual platform")]  # fmt: skip
    columns += [Column(name(arm), "change in this arm") for arm in arms]
    lines = [
        Row([Cell(source.replace("_", " "), source, "name"), Cell(count(joins), joins),
             *(Cell(_signed(change[source, arm]), change[source, arm]) for arm in arms)])
        for source, joins in {row["source"]: row["factual"] for row in rows}.items()
    ]  # fmt: skip
    said = "Target joins by source: the factual number, and what each arm changes. A plus is a \
target join that moved there."
    return Table("displacement", said, columns, [Body(lines)], is_sortable=True) if rows else None


def _signed(value: float) -> str:
    return f"+{count(value)}" if value > 0 else count(value)


def _doses(result: Result) -> Table | None:
    rows = result.rows("dose_response")
    if not rows:
        return None
    quantities = list(dict.fromkeys(row["quantity"] for row in rows))
    options = [(quantity, quantity.replace("_", " ")) for quantity in quantities]
    return Table(
        "dose-response",
        "What acting on more groups does.",
        _DOSES,
        [Body([_dose_row(row) for row in rows])],
        [Filter("quantity", "Quantity", options, quantities[0])],
        is_sortable=True,
    )


def _dose_row(row: Mapping[str, Any]) -> Row:
    bounds = interval(significant(row["ci_low"]), significant(row["ci_high"]))
    what, by = name(row["intervention"].replace("_", " ")), name(row["chosen_by"].replace("_", " "))
    cells = [
        Cell(what, what, "name"),
        Cell(by, by, "text"),
        Cell(count(row["n_groups"]), row["n_groups"]),
        Cell(row["quantity"].replace("_", " "), row["quantity"], "text"),
        Cell(significant(row["value"]), row["value"]),
        Cell(bounds, row["ci_low"]),
    ]
    return Row(cells, {"quantity": row["quantity"]})
