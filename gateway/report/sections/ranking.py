"""The ranked groups of every detector, with every number that the detector gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.report.blocks import Body, Cell, Column, Filter, Row, Section, Table, role
from gateway.report.numbers import (
    MISSING,
    count,
    counted,
    decimal,
    interval,
    name,
    p_value,
    points,
    share,
)
from gateway.report.stored import DETECTOR, Result
from gateway.report.summary import CAVEAT

__all__ = ["ranking"]

_SHARES = frozenset({DETECTOR})
"""Detectors whose score is a share of joiners."""

_COLUMNS: Mapping[str, Column] = {
    "rank": Column("rank", "equal scores share a rank"),
    "group": Column("group", is_number=False),
    "role": Column(
        "planted role",
        "gateway: sends its members on; homophily and hub: look-alikes that send nobody; "
        "harmful: outside the target set",
        is_number=False,
    ),
    "score": Column(
        "score", "what the detector ranks by; of spike: shrunken share of joiners that spike"
    ),
    "interval": Column("95 % interval", "of the score's estimate; sorted by its lower end"),
    "n_joiners": Column("joiners", "joiners whose probability was evaluated"),
    "n_spiking": Column("spiking", "joiners whose probability spiked"),
    "mean_jump": Column("mean jump", "mean change of the probability, percentage points"),
    "realised_effect": Column(
        "realised effect",
        "share who joined a target later minus what was predicted before the join, "
        "percentage points",
    ),
    "statistic": Column("T", "excess of target joins over the prediction, in standard deviations"),
    "p_value": Column("p", "one-sided, of T"),
    "q_value": Column("q", "Benjamini-Hochberg"),
    "flagged": Column("flagged", "whether the detector calls it a gateway group", is_number=False),
    "detector": Column("detector", is_number=False),
}
_FORMS = {
    "n_joiners": count,
    "n_spiking": count,
    "mean_jump": points,
    "realised_effect": points,
    "statistic": lambda x: decimal(x, digits=2),
    "p_value": p_value,
    "q_value": p_value,
}


def ranking(result: Result) -> Section:
    """Return the first groups of each detector, the note's own first."""
    caveat = [CAVEAT] if result.has_truth() else []
    rows = [row for detector in result.detectors() for row in result.ranked(detector)]
    if not rows:
        nothing = "No group has enough joiners to be ranked."
        return Section("ranking", "Top groups", [*caveat, nothing])
    return Section("ranking", "Top groups", [*caveat, _table(result, rows)])


def _table(result: Result, rows: Sequence[Mapping[str, Any]]) -> Table:
    roles = result.roles() if result.has_truth() else None
    detectors = list(dict.fromkeys(row["detector"] for row in rows))
    keys = [key for key in _COLUMNS if _is_shown(key, rows, roles=roles, detectors=detectors)]
    filters = []
    if len(detectors) > 1:
        options = [(detector, detector.replace("_", " ")) for detector in detectors]
        filters.append(Filter("detector", "Detector", options, detectors[0]))
    if roles is not None:
        found = sorted({roles.get(row["group"]) or "unknown" for row in rows})
        filters.append(Filter("role", "Role", [(key, role(key).label) for key in found]))
    return Table(
        "ranked",
        _caption(rows, detectors),
        [_COLUMNS[key] for key in keys],
        [Body([_row(row, keys, roles) for row in rows])],
        filters,
        is_sortable=True,
        is_sorted=True,
        has_search=True,
    )


def _caption(rows: Sequence[Mapping[str, Any]], detectors: Sequence[str]) -> str:
    most = max(sum(row["detector"] == detector for row in rows) for detector in detectors)
    of = "" if len(detectors) == 1 else f" of each of {len(detectors)} detectors"
    return f"The {counted(most, 'highest ranked group')}{of}."


def _is_shown(
    key: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    roles: Mapping[str, str] | None,
    detectors: Sequence[str],
) -> bool:
    """Whether any row has something in the column."""
    if key == "role":
        return roles is not None
    if key == "detector":
        return len(detectors) > 1
    return key == "interval" or any(row.get(key) is not None for row in rows)


def _row(row: Mapping[str, Any], keys: Sequence[str], roles: Mapping[str, str] | None) -> Row:
    marks = {"detector": row["detector"]}
    if roles is not None:
        marks["role"] = roles.get(row["group"]) or "unknown"
    return Row([_cell(key, row, marks) for key in keys], marks)


def _cell(key: str, row: Mapping[str, Any], marks: Mapping[str, str]) -> Cell:
    form = share if row["detector"] in _SHARES else decimal
    if key in _FORMS:
        return Cell(_FORMS[key](row.get(key)), row.get(key))
    if key == "group":
        return Cell(name(row["group"]), name(row["group"]), "name")
    if key == "role":
        drawn = role(marks["role"])
        return Cell(drawn.label, drawn.label, "text", drawn)
    if key == "detector":
        return Cell(row["detector"].replace("_", " "), row["detector"], "text")
    if key == "interval":
        return Cell(interval(form(row.get("ci_low")), form(row.get("ci_high"))), row.get("ci_low"))
    return _plain(key, row, form)


def _plain(key: str, row: Mapping[str, Any], form: Any) -> Cell:
    if key == "flagged":
        told = MISSING if row[key] is None else "yes" if row[key] else "no"
        return Cell(told, told, "text")
    if key == "rank":
        return Cell(str(row[key]), row[key])
    return Cell(form(row[key]), row[key])
