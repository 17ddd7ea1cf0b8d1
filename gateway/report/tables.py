"""The report's tables, cell by cell, ready for the template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.report import numbers
from gateway.report.numbers import count, decimal, interval, p_value, percent, points
from gateway.report.stored import DETECTOR, SCORER, Result

__all__ = [
    "Cell",
    "Column",
    "Role",
    "evaluation",
    "provenance_rows",
    "ranking",
    "role",
    "scorer",
    "target_set",
]

_MOST_TARGETS = 200
"""Rows of the target table; a longer set is cut, and the page says so."""


@dataclass(frozen=True)
class Role:
    """What a planted role is called, and the mark that the figures use for it."""

    key: str
    label: str
    mark: str


_ROLES = (
    Role("influence", "gateway", "\N{BLACK CIRCLE}"),
    Role("recommender", "gateway: recommender", "\N{BLACK CIRCLE}"),
    Role("inviter", "gateway: inviter", "\N{BLACK CIRCLE}"),
    Role("fellow_traveller", "fellow traveller", "\N{HEAVY GREEK CROSS}"),
    Role("homophily", "homophily", "\N{BLACK UP-POINTING TRIANGLE}"),
    Role("hub", "hub", "\N{BLACK SQUARE}"),
    Role("target", "harmful", "\N{BLACK DOWN-POINTING TRIANGLE}"),
    Role("ordinary", "ordinary", "\N{BLACK DIAMOND}"),
)


@dataclass(frozen=True)
class Column:
    """A column's heading, its explanation, and whether it holds numbers."""

    label: str
    title: str
    is_number: bool = True


@dataclass(frozen=True)
class Cell:
    """A cell's text, and the value that it is sorted by (None sorts last)."""

    text: str
    value: float | str | None = None
    kind: str = "number"
    role: Role | None = None


_GROUP = Column("group", "name of the group", is_number=False)
_ROLE = Column(
    "planted role",
    "gateway: sends its members on; homophily and hub: look-alikes that send nobody; "
    "harmful: outside the target set",
    is_number=False,
)
_RANKING_OF_OTHERS = (
    Column("score", "the detector's score: larger is more of a gateway"),
    Column("95 % interval", "interval of the score, where there is one; sorted by its lower end"),
    Column("joiners", "joiners that the detector counts"),
    Column("p", "one-sided"),
    Column("q", "Benjamini-Hochberg"),
)
_RANKING = (
    Column("score", "shrunken share of joiners that spike"),
    Column("95 % interval", "posterior interval of that share; sorted by its lower end"),
    Column("joiners", "joiners whose probability was evaluated"),
    Column("spiking", "joiners whose probability spiked"),
    Column("mean jump", "mean change of the probability at the join, percentage points"),
    Column("realised effect", "share who joined a target later minus what was predicted before "
           "the join, percentage points"),
    Column("T", "excess of target joins over the prediction, in standard deviations"),
    Column("p", "one-sided, of T"),
    Column("q", "Benjamini-Hochberg"),
)  # fmt: skip
_FLAGGED = Column("flagged", "whether the detector calls it a gateway group", is_number=False)

_METRICS: Mapping[str, tuple[str, Callable[[float | None], str]]] = {
    "average_precision": ("average precision", decimal),
    "spearman_strength": ("rank correlation with the planted strength (Spearman)", decimal),
    "n_flagged": ("groups flagged", count),
    "precision_flagged": ("planted gateways, share of the groups flagged", percent),
    "auc": ("AUC", decimal),
    "log_loss": ("log-loss, nats", lambda x: decimal(x, digits=4)),
    "brier": ("Brier score", lambda x: decimal(x, digits=4)),
    "base_rate": ("base rate", percent),
    "n_rows": ("predictions evaluated", count),
}
_AT_K: Mapping[str, str] = {
    "precision": "planted gateways, share of the top {k}",
    "recall": "planted gateways found in the top {k}",
    "share_homophily": "homophily look-alikes, share of the top {k}",
    "share_hub": "hubs, share of the top {k}",
    "share_ordinary": "ordinary groups, share of the top {k}",
    "share_target": "harmful groups outside the target set, share of the top {k}",
}


def role(key: str) -> Role:
    """Return how a planted role is called and marked."""
    known = {drawn.key: drawn for drawn in _ROLES}
    return known.get(key, Role("other", key, "\N{BLACK DIAMOND}"))


def ranking(result: Result, *, top: int) -> tuple[list[Column], list[list[Cell]]]:
    """Return the leading detector's first ``top`` ranked groups with its numbers."""
    ranked = result.ranked()
    rows = [] if ranked is None else ranked.slice(0, top).to_pylist()
    roles = result.roles() if result.has_truth() else None
    columns = [Column("rank", "equal scores share a rank"), _GROUP]
    columns += [_ROLE] if roles is not None else []
    is_spike = result.detector == DETECTOR
    measures, numbers_of = (
        (_RANKING, _spike_cells) if is_spike else (_RANKING_OF_OTHERS, _other_cells)
    )
    cells = [[*_group_cells(row, roles), *numbers_of(row), _flag_cell(row)] for row in rows]
    return [*columns, *measures, _FLAGGED], cells


def _group_cells(row: Mapping[str, Any], roles: Mapping[str, str] | None) -> list[Cell]:
    cells = [Cell(str(row["rank"]), row["rank"]), _name_cell(row["group"])]
    if roles is not None:
        drawn = role(roles.get(row["group"]) or "unknown")
        cells.append(Cell(drawn.label, drawn.label, "text", drawn))
    return cells


def _flag_cell(row: Mapping[str, Any]) -> Cell:
    text = "yes" if row["flagged"] else "no"
    return Cell(text, text, "text")


def _other_cells(row: Mapping[str, Any]) -> list[Cell]:
    bounds = interval(decimal(row["ci_low"]), decimal(row["ci_high"]))
    return [
        Cell(f"{row['score']:.4g}".replace("-", "\N{MINUS SIGN}"), row["score"]),
        Cell(bounds, row["ci_low"]),
        Cell(count(row["n_joiners"]), row["n_joiners"]),
        Cell(p_value(row["p_value"]), row["p_value"]),
        Cell(p_value(row["q_value"]), row["q_value"]),
    ]


def _spike_cells(row: Mapping[str, Any]) -> list[Cell]:
    bounds = interval(percent(row["ci_low"]), percent(row["ci_high"]))
    return [
        Cell(percent(row["score"]), row["score"]),
        Cell(bounds, row["ci_low"]),
        Cell(count(row["n_joiners"]), row["n_joiners"]),
        Cell(count(row["n_spiking"]), row["n_spiking"]),
        Cell(points(row["mean_jump"]), row["mean_jump"]),
        Cell(points(row["realised_effect"]), row["realised_effect"]),
        Cell(decimal(row["statistic"], digits=2), row["statistic"]),
        Cell(p_value(row["p_value"]), row["p_value"]),
        Cell(p_value(row["q_value"]), row["q_value"]),
    ]


def evaluation(result: Result) -> list[tuple[str, str, str]]:
    """Return metric, value and interval of the ranking against the planted truth."""
    return _metric_rows(
        row
        for row in result.rows("evaluation")
        if row["detector"] == result.detector and row["truth"] == "planted"
    )


def scorer(result: Result) -> list[tuple[str, str, str]]:
    """Return metric, value and interval of the scorer."""
    rows = result.rows("evaluation")
    return _metric_rows(row for row in rows if row["detector"].startswith(SCORER))


def _metric_rows(rows: Any) -> list[tuple[str, str, str]]:
    table = []
    for row in rows:
        label, form = _metric(row["metric"])
        bounds = interval(form(row["ci_low"]), form(row["ci_high"]))
        table.append((label, form(row["value"]), bounds))
    return table


def _metric(key: str) -> tuple[str, Callable[[float | None], str]]:
    stem, _, k = key.rpartition("_at_")
    if stem in _AT_K:
        return _AT_K[stem].format(k=k), percent
    return _METRICS.get(key, (key, decimal))


def target_set(result: Result) -> tuple[list[Column], list[list[Cell]], int]:
    """Return the target groups, most strikes first, then largest; and how many there are."""
    rows = [row for row in result.rows("groups") if row["is_target"]]
    rows.sort(key=lambda row: (-(row["strikes"] or 0), -row["size"], row["group"]))
    columns = [_GROUP, Column("members", "members in the log")]
    if result.has_truth():
        columns += [
            Column("country", "home of the group", is_number=False),
            Column("strikes", "of the rule's kind, in the rule's month"),
        ]
    cells = [_target_row(row, len(columns)) for row in rows[:_MOST_TARGETS]]
    return columns, cells, len(rows)


def _target_row(row: Mapping[str, Any], width: int) -> list[Cell]:
    country = numbers.MISSING if row["country"] is None else numbers.name(row["country"])
    return [
        _name_cell(row["group"]),
        Cell(count(row["size"]), row["size"]),
        Cell(country, country, "text"),
        Cell(count(row["strikes"]), row["strikes"]),
    ][:width]


def provenance_rows(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return provenance as key and text; what is nested is put on one line."""
    return [(key.replace("_", " "), _flat(value)) for key, value in provenance.items()]


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_flat(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_flat(item) for item in value)
    if value is None:
        return numbers.MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _name_cell(group: str) -> Cell:
    text = numbers.name(group)
    return Cell(text, text, "name")
