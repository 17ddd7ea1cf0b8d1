"""The ranked groups of every detector, with every number that the detector gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

_WARNING: Final = f"; {NOT_HELD}: too many are small where nothing is true, and nothing is flagged"
_FORMS: Mapping[str, Callable[[Any], str]] = {
    "n_joiners": count,
    "n_events": count,
    "mean_jump": points,
    "statistic": lambda x: decimal(x, digits=2),
}


def ranking(result: Result) -> Section:
    """Return the first groups of each detector, a table each, the note's own first."""
    caveat = [CAVEAT] if result.has_truth() else []
    ranked = {name: rows for name in result.detectors() if (rows := result.ranked(name))}
    if not ranked:
        nothing = "No group is ranked; what the log can show, under the verdict, says why."
        return Section("ranking", "Top groups", [*caveat, nothing])
    tables = [
        _table(result, detector, rows, key=f"ranked-{detector}" if len(ranked) > 1 else "ranked",
               is_folded=i > 0)
        for i, (detector, rows) in enumerate(ranked.items())
    ]  # fmt: skip
    return Section("ranking", "Top groups", [*caveat, *tables])


def _table(
    result: Result,
    detector: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    key: str,
    is_folded: bool,
) -> Table:
    roles = result.roles() if result.has_truth() else None
    measure = measure_of(detector)
    columns = {
        name: column
        for name, column in _columns(measure).items()
        if _is_shown(name, rows, measure, has_roles=roles is not None)
    }
    filters = []
    if roles is not None:
        found = sorted({roles.get(row["group"]) or "unknown" for row in rows})
        filters.append(Filter("role", "Role", [(one, role(one).label) for one in found]))
    return Table(
        key,
        f"The {counted(len(rows), 'group')} that {detector.replace('_', ' ')} ranks highest.",
        list(columns.values()),
        [Body([_row(row, list(columns), measure, roles) for row in rows])],
        filters,
        is_sortable=True,
        is_sorted=True,
        has_search=True,
        is_folded=is_folded,
    )


def _columns(measure: Measure) -> dict[str, Column]:
    """Every column that there can be, in the detector's own words and units."""
    warning = "" if measure.holds_level or not measure.test else _WARNING
    return {
        "rank": Column("rank", "equal scores share a rank"),
        "group": Column("group", is_number=False),
        "role": Column(
            "planted role",
            "gateway: sends its members on; homophily and hub: look-alikes that send nobody; "
            "harmful: outside the target set",
            is_number=False,
        ),
        "score": _quantity(measure.score),
        "estimate": _quantity(measure.estimate),
        "interval": Column(
            "95 % interval", f"of the {measure.estimate.name}; sorted by its lower end"
        ),
        "n_joiners": Column("joiners", measure.joiners),
        "n_events": Column("events", measure.events),
        "mean_jump": Column(
            "mean jump (percentage points)", "mean change of the probability at the join"
        ),
        "statistic": Column(
            "T", "excess of target joins over what is expected, in standard deviations"
        ),
        "p_value": Column("p", measure.test + warning),
        "q_value": Column("q", "Benjamini-Hochberg"),
        "flagged": Column(
            "flagged",
            "called a gateway group: q below the detector's alpha, and as many events as it asks "
            "for",
            is_number=False,
        ),
    }


def _quantity(quantity: Quantity) -> Column:
    none = quantity.no_effect
    if not isinstance(none, float):
        return Column(quantity.axis, quantity.meaning)
    return Column(
        quantity.axis, f"{quantity.meaning}; {quantity.factor * none:g} where there is no effect"
    )


def _is_shown(
    key: str, rows: Sequence[Mapping[str, Any]], measure: Measure, *, has_roles: bool
) -> bool:
    """Whether any row has something in the column that no other column says."""
    if key == "role":
        return has_roles
    if key == "score" and measure.score is measure.estimate:
        return False
    return key == "interval" or any(row.get(key) is not None for row in rows)


def _row(
    row: Mapping[str, Any],
    keys: Sequence[str],
    measure: Measure,
    roles: Mapping[str, str] | None,
) -> Row:
    marks = {} if roles is None else {"role": roles.get(row["group"]) or "unknown"}
    return Row([_cell(key, row, measure, marks) for key in keys], marks)


def _cell(key: str, row: Mapping[str, Any], measure: Measure, marks: Mapping[str, str]) -> Cell:
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
    if key == "rank":
        return Cell(str(row[key]), row[key])
    quantity = measure.score if key == "score" else measure.estimate
    return Cell(written(quantity, row[key]), row[key])
