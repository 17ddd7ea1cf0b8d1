"""The ranked groups of every detector, and the verdict of association and change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from gateway.analyses import MEANING, Verdict, verdict_of
from gateway.detect import Measure, Quantity, measure_of
from gateway.report.blocks import Body, Cell, Column, Filter, Row, Section, Table, role
from gateway.report.summary import CAVEAT, Result
from gateway.wording import (
    MISSING,
    NOT_HELD,
    count,
    counted,
    decimal,
    interval_of,
    name,
    p_value,
    points,
    tested,
    written,
)

__all__ = ["ranking", "verdict"]

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


def verdict(result: Result) -> Section | None:
    """Return the verdict with the groups behind it; None for a result that holds neither."""
    said = (result.summary("information") or "").splitlines()
    left_out = result.summary("left_out")
    blocks: list[str | Table] = [_sentence(left_out)] if left_out else []
    found = verdict_of(result.tables["gateways"]) if "gateways" in result.tables else None
    if found is not None:
        blocks += [_sentence(found.text), _sentence(found.agreement), _sentence(MEANING)]
        blocks += _verdict_tables(result, found)
    blocks += [_sentence(line) for line in said]
    return Section("verdict", "Verdict", blocks) if blocks else None


def _verdict_columns(found: Verdict) -> tuple[Column, ...]:
    return (
        Column("group", is_number=False),
        Column("association", f"flagged by {found.association_by}", is_number=False),
        Column("q of association", "Benjamini-Hochberg"),
        Column("change", f"flagged by {found.change_by}", is_number=False),
        Column("q of change", "Benjamini-Hochberg"),
    )


def _sentence(line: str) -> str:
    return f"{line[:1].upper()}{line[1:]}."


def _verdict_tables(result: Result, found: Verdict) -> list[Table]:
    """The groups that either detector flags, those of both first."""
    named = dict.fromkeys([*found.both, *found.association, *found.change])
    if not named:
        return []
    q = {(row["detector"], row["group"]): row["q_value"] for row in result.rows("gateways")}
    rows = [_verdict_row(group, found, q) for group in list(named)[: result.top]]
    caption = "Groups flagged by association or by change, those of both first."
    return [
        Table("verdict-groups", caption, _verdict_columns(found), [Body(rows)], is_sortable=True)
    ]


def _verdict_row(group: str, found: Verdict, q: dict[tuple[str, str], Any]) -> Row:
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
