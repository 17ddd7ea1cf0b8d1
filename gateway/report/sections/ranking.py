"""The ranked groups of every detector, with every number that the detector gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gateway.detect import Measure, Quantity, measure_of
from gateway.report.blocks import Body, Cell, Column, Filter, Row, Section, Table, role
from gateway.report.numbers import (
    MISSING,
    count,
    counted,
    decimal,
    name,
    points,
)
from gateway.report.quantities import NOT_HELD, interval_of, tested, written
from gateway.report.stored import Result
from gateway.report.summary import CAVEAT

__all__ = ["ranking"]

_COLUMNS: Mapping[str, Column] = {
    "rank": Column("rank", "equal scores share a rank"),
    "group": Column("group", is_number=False),
    "role": Column(
        "planted role",
        "gateway: sends its members on; homophily and hub: look-alikes that send nobody; "
        "harmful: outside the target set",
        is_number=False,
    ),
    "score": Column("score"),
    "estimate": Column("estimate"),
    "interval": Column("95 % interval", "of the estimate; sorted by its lower end"),
    "n_joiners": Column("joiners"),
    "n_events": Column("events"),
    "mean_jump": Column("mean jump", "mean change of the probability, percentage points"),
    "statistic": Column(
        "T", "excess of target joins over what is expected, in standard deviations"
    ),
    "p_value": Column("p"),
    "q_value": Column("q", "Benjamini-Hochberg"),
    "flagged": Column(
        "flagged",
        "called a gateway group: q below the detector's alpha, and as many events as it asks for",
        is_number=False,
    ),
    "detector": Column("detector", is_number=False),
}
_WARNING: Final = f"; {NOT_HELD}: too many are small where nothing is true, and nothing is flagged"
_FORMS: Mapping[str, Callable[[Any], str]] = {
    "n_joiners": count,
    "n_events": count,
    "mean_jump": points,
    "statistic": lambda x: decimal(x, digits=2),
}


def ranking(result: Result) -> Section:
    """Return the first groups of each detector, the note's own first."""
    caveat = [CAVEAT] if result.has_truth() else []
    rows = [row for detector in result.detectors() for row in result.ranked(detector)]
    if not rows:
        nothing = "No group is ranked; what the log can show, under the verdict, says why."
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
        [_column(key, detectors) for key in keys],
        [Body([_row(row, keys, roles) for row in rows])],
        filters,
        is_sortable=True,
        is_sorted=True,
        has_search=True,
    )


def _column(key: str, detectors: Sequence[str]) -> Column:
    """A column, explained by each detector in its words; those that say the same together."""
    said: dict[str, list[str]] = {}
    for detector in detectors:
        meaning = _meanings(measure_of(detector)).get(key)
        if meaning:
            said.setdefault(meaning, []).append(detector.replace("_", " "))
    if not said:
        return _COLUMNS[key]
    parts = [
        meaning if len(detectors) == 1 else f"{', '.join(names)}: {meaning}"
        for meaning, names in said.items()
    ]
    return replace(_COLUMNS[key], title=". ".join(parts))


def _meanings(measure: Measure) -> Mapping[str, str]:
    warning = "" if measure.holds_level or not measure.test else _WARNING
    return {
        "score": _explained(measure.score),
        "estimate": _explained(measure.estimate),
        "n_joiners": measure.joiners,
        "n_events": measure.events,
        "p_value": measure.test + warning,
    }


def _explained(quantity: Quantity) -> str:
    return f"{quantity.axis}: {quantity.meaning}"


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
    measure = measure_of(row["detector"])
    if key in _FORMS:
        return Cell(_FORMS[key](row.get(key)), row.get(key))
    if key == "group":
        return Cell(name(row["group"]), name(row["group"]), "name")
    if key == "role":
        drawn = role(marks["role"])
        return Cell(drawn.label, drawn.label, "text", drawn)
    if key == "interval":
        low, high = row.get("ci_low"), row.get("ci_high")
        return Cell(interval_of(measure.estimate, low, high), low)
    if key in ("p_value", "q_value"):
        return Cell(tested(row[key], level_held=row.get("level_held")), row[key])
    return _plain(key, row, measure)


def _plain(key: str, row: Mapping[str, Any], measure: Measure) -> Cell:
    if key == "flagged":
        told = MISSING if row[key] is None else "yes" if row[key] else "no"
        return Cell(told, told, "text")
    if key == "detector":
        return Cell(row[key].replace("_", " "), row[key], "text")
    if key == "rank":
        return Cell(str(row[key]), row[key])
    quantity = measure.score if key == "score" else measure.estimate
    return Cell(written(quantity, row[key]), row[key])
