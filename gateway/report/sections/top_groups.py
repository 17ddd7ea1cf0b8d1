"""The ranked groups of every detector, and the verdict of association and change."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import isinf
from operator import itemgetter
from typing import Any, Final

from gateway.analyses import MEANING, Verdict, verdict_of
from gateway.detect import Measure, Quantity, measure_of
from gateway.detect.measure import words_of
from gateway.report.content import (
    Body,
    Cell,
    Column,
    Filter,
    Section,
    Stored,
    Table,
    bounds,
    names,
    numbers,
    role,
    rows_of,
    words,
)
from gateway.report.summary import CAVEAT, Result
from gateway.wording import (
    MISSING,
    NOT_HELD,
    count,
    counted,
    decimal,
    name,
    p_value,
    points,
    tested,
    written,
)

_WARNING: Final = f"; {NOT_HELD}: too many are small where nothing is true, and nothing is flagged"


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
    result: Result, detector: str, rows: Sequence[Stored], *, key: str, is_folded: bool
) -> Table:
    measure, roles = measure_of(detector), result.roles() if result.has_truth() else None
    columns = {
        name: column
        for name, column in ranked_columns(measure).items()
        if _is_shown(name, rows, measure, has_roles=roles is not None)
    }
    filters = []
    if roles is not None:
        rows = [{**row, "role": roles.get(row["group"]) or "unknown"} for row in rows]
        found = sorted({row["role"] for row in rows})
        filters.append(Filter("role", "Role", [(one, role(one).label) for one in found]))
    shown = list(columns.values())
    return Table(
        key,
        f"The {counted(len(rows), 'group')} that {words_of(detector)} ranks highest.",
        shown,
        [Body(rows_of(shown, rows, *(["role"] if roles is not None else [])))],
        filters,
        is_sortable=True,
        is_sorted=True,
        has_search=True,
        is_folded=is_folded,
    )


def ranked_columns(measure: Measure) -> dict[str, Column]:
    """Every column that there can be, in the detector's own words and units."""
    warning = "" if measure.holds_level or not measure.test else _WARNING
    return {
        "rank": numbers("rank", "rank", str, "equal scores share a rank"),
        "group": names("group", itemgetter("group")),
        "role": Column(
            "planted role",
            "gateway: sends its members on; homophily and hub: look-alikes that send nobody; "
            "harmful: outside the target set",
            is_number=False,
            cell=_role,
        ),
        "score": _quantity("score", measure.score),
        "estimate": _quantity("estimate", measure.estimate),
        "interval": bounds(
            "95 % interval", ("ci_low", "ci_high"), partial(written, measure.estimate),
            f"of the {measure.estimate.name}; sorted by its lower end",
        ),
        "n_joiners": numbers("joiners", "n_joiners", count, measure.joiners),
        "n_events": numbers("events", "n_events", count, measure.events),
        "mean_jump": numbers(
            "mean jump (percentage points)", "mean_jump", points,
            "mean change of the probability at the join",
        ),
        "statistic": numbers(
            "T", "statistic", partial(decimal, digits=2),
            "excess of target joins over what is expected, in standard deviations",
        ),
        "e_value": numbers(
            "E-value", "e_value", partial(decimal, digits=2),
            "how much a hidden change within the users would have to raise both the joining of "
            "the group and the rate of target joins to explain the lower limit away",
        ),
        "gamma": numbers(
            "Rosenbaum's Gamma", "gamma", partial(decimal, digits=2),
            "odds of being the group's by which joins of one stratum may differ, because of "
            "something hidden, before the call falls",
        ),
        "p_value": Column("p", measure.test + warning, cell=partial(_tested, "p_value")),
        "q_value": Column("q", "Benjamini-Hochberg", cell=partial(_tested, "q_value")),
        "flagged": words(
            "flagged", _flagged,
            "called a gateway group: q below the detector's alpha, and as many events as it asks "
            f"for; {NOT_HELD}: the detector calls groups where there is nothing to find",
        ),
    }  # fmt: skip


def _flagged(row: Stored) -> str:
    if row["flagged"] is None:
        return MISSING
    is_doubtful = row["flagged"] and row.get("level_held") is False
    return f"yes {NOT_HELD}" if is_doubtful else _yes(row["flagged"])


def _role(row: Stored) -> Cell:
    drawn = role(row["role"])
    return Cell(drawn.label, drawn.label, "text", drawn)


def _tested(key: str, row: Stored) -> Cell:
    return Cell(tested(row[key], level_held=row.get("level_held")), row[key])


def _quantity(key: str, quantity: Quantity) -> Column:
    none = quantity.no_effect
    told = ""
    if isinstance(none, float):
        told = f"; {quantity.factor * none:g} where there is no effect"
    return numbers(quantity.axis, key, partial(written, quantity), quantity.meaning + told)


def _is_shown(key: str, rows: Sequence[Stored], measure: Measure, *, has_roles: bool) -> bool:
    """Whether any row has something in the column that no other column says."""
    if key == "role":
        return has_roles
    if key == "score" and measure.score is measure.estimate:
        return False
    return key == "interval" or any(row.get(key) is not None for row in rows)


def verdict(result: Result) -> Section | None:
    """Return the verdict with the groups behind it; None for a result that holds neither."""
    said = (result.summary("information") or "").splitlines()
    left_out = result.summary("left_out")
    blocks: list[str | Table] = [_sentence(left_out)] if left_out else []
    found = verdict_of(result.tables["gateways"]) if "gateways" in result.tables else None
    if found is not None:
        blocks += [_sentence(found.text), _sentence(found.agreement), _sentence(MEANING)]
        blocks += _verdict_tables(result, found)
    blocks += _judged(result)
    blocks += [_sentence(line) for line in [*said, result.summary("permuted")] if line]
    return Section("verdict", "Verdict", blocks) if blocks else None


def _sentence(line: str) -> str:
    return f"{line[:1].upper()}{line[1:]}."


def _verdict_tables(result: Result, found: Verdict) -> list[Table]:
    """The groups that either detector flags, those of both first."""
    named = dict.fromkeys([*found.both, *found.association, *found.change])
    if not named:
        return []
    q = {(row["detector"], row["group"]): row["q_value"] for row in result.rows("gateways")}
    rows = [
        {
            "group": group,
            "association": _yes(group in found.association),
            "q_association": q.get((found.association_by, group)),
            "change": "not tested" if group in found.untested else _yes(group in found.change),
            "q_change": q.get((found.change_by, group)),
        }
        for group in list(named)[: result.top]
    ]
    columns = [
        names("group", itemgetter("group")),
        words("association", itemgetter("association"), f"flagged by {found.association_by}"),
        numbers("q of association", "q_association", p_value, "Benjamini-Hochberg"),
        words("change", itemgetter("change"), f"flagged by {found.change_by}"),
        numbers("q of change", "q_change", p_value, "Benjamini-Hochberg"),
    ]
    caption = "Groups flagged by association or by change, those of both first."
    bodies = [Body(rows_of(columns, rows))]
    return [Table("verdict-groups", caption, columns, bodies, is_sortable=True)]


def _yes(flagged: bool) -> str:
    return "yes" if flagged else "no"


def _judged(result: Result) -> list[str | Table]:
    """What change, traces and association say together of the first groups."""
    rows = result.rows("verdicts")
    if not rows:
        return []
    columns = [
        names("group", itemgetter("group")),
        words("verdict", itemgetter("verdict")),
        *(
            Column(label, f"odds ratio and 95 % interval: {title}", cell=partial(_ratio_cell, of))
            for of, label, title in _LEADS
        ),
        Column("averted", "target joins through the group that would not have been", cell=_averted),
    ]
    caption = "What change, traces and association together say of each group that was flagged."
    bodies = [Body(rows_of(columns, rows[: result.top]))]
    return [_JUDGED_MEANING, Table("verdicts", caption, columns, bodies, is_sortable=True)]


_JUDGED_MEANING: Final = (
    "A group changes people where the same users go to targets more often after joining it; it "
    "leads them by recommendation or invitation where joins that came through it are of targets "
    "more often than the same users' other joins; it attracts people where its joiners go to "
    "targets more often than others, and all effects that can be seen are small."
)
_LEADS: Final = (
    ("change", "change", "after the join against before"),
    ("seed", "recommended", "joins recommended because of the group"),
    ("member", "invited", "joins that members were invited to"),
    ("fellow", "by a fellow", "joins that fellow members invited to"),
)


def _averted(row: Stored) -> Cell:
    averted = row["averted"]
    return Cell(MISSING if averted is None else decimal(averted, digits=0), averted)


def _ratio_cell(of: str, row: Stored) -> Cell:
    ends: list[Any] = [row[f"{of}_ratio{end}"] for end in ("", "_low", "_high")]
    if None in ends:
        return Cell(MISSING, None)
    said = ["\N{INFINITY}" if isinf(x) else decimal(x, digits=2) for x in ends]
    return Cell(f"{said[0]} ({said[1]}\N{EN DASH}{said[2]})", ends[0])


_MOST = 200
"""Rows of the table; a longer set is cut, and the page says so."""
_NAMES = (
    names("group", itemgetter("group")),
    numbers("members", "size", count, "members in the log"),
)
_KNOWN = (
    words("country", lambda row: MISSING if row["country"] is None else name(row["country"]),
          "home of the group"),
    numbers("strikes", "strikes", count, "of the rule's kind, in the rule's month"),
)  # fmt: skip


def target_set(result: Result) -> Section:
    """Return the target groups, most strikes first, then largest."""
    rows = [row for row in result.rows("groups") if row["is_target"]]
    rows.sort(key=lambda row: (-(row["strikes"] or 0), -row["size"], row["group"]))
    columns = (*_NAMES, *(_KNOWN if result.has_truth() else ()))
    cut = f", the first {_MOST} of them" if len(rows) > _MOST else ""
    table = Table(
        "target-groups",
        f"{counted(len(rows), 'target group')}{cut}.",
        columns,
        [Body(rows_of(columns, rows[:_MOST]))],
        is_sortable=True,
    )
    rule = result.summary("target_rule")
    return Section("targets", "Target set", [*([f"Rule: {rule}."] if rule else []), table])


def reading(result: Result) -> Section | None:
    """Return the counts of the reader and its remarks, one paragraph each."""
    rows = result.rows("reading")
    if not rows:
        return None
    n = {row["what"]: row["count"] for row in rows}
    counts = (
        f"{count(n['rows'])} rows were read: {count(n['joins'])} joins of {count(n['groups'])} "
        f"groups by {count(n['users'])} users; {count(n['repeats'])} rows that repeat a user and "
        "group were dropped, the earliest counts."
    )
    remarks = [f"{row['text'][:1].upper()}{row['text'][1:]}." for row in rows if row["text"]]
    return Section("reading", "What was done to the data", [counts, *remarks])
