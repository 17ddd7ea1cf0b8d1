"""Why groups are ranked where they are: reasons of the first, all that is known of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from operator import itemgetter
from typing import Any

from gateway.detect import measure_of
from gateway.detect.measure import words_of
from gateway.report.content import (
    Body,
    Cell,
    Column,
    Filter,
    Row,
    Section,
    Table,
    bounds,
    label,
    names,
    numbers,
    role,
    rows_of,
    words,
)
from gateway.report.summary import Result
from gateway.wording import (
    MISSING,
    count,
    counted,
    decimal,
    interval,
    interval_of,
    is_missing,
    name,
    percent,
    points,
    tested,
    written,
)

_AFTER = (
    "look-alike check: target joins after the join, by the joiners who made joins before and "
    "after it, some but not all of targets"
)
_ODDS = (
    "odds that a join is of a target, after the join over before it, in the same users; near 1 "
    "for a group that merely attracts"
)
_TEST = "leaves out 1 where the Mantel-Haenszel test rejects at 5 %"


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
    one_digit = partial(decimal, digits=1)
    columns = [
        numbers("rank", "rank", str, "equal scores share a rank"),
        names("group", itemgetter("group")),
        numbers("joiners", "n_joiners", count, "joiners at risk: before their first target join"),
        numbers("P before", "p_before", percent,
                "mean probability of a target join just before the join"),
        numbers("P after", "p_after", percent, "mean probability just after it"),
        numbers("later", "observed", count, "joiners who joined a target within the horizon"),
        numbers("expected", "expected", one_digit,
                "how many were expected from the joins before"),
        numbers("targets after", "targets_after", count, _AFTER),
        numbers("by chance", "targets_expected", one_digit,
                "how many of their target joins would stand there if nothing changed"),
        numbers("odds ratio", "odds_ratio", _odds, _ODDS),
        bounds("95 % interval", ("ci_low", "ci_high"), _odds, _TEST),
        words("next", lambda row: MISSING if row["next_group"] is None else name(row["next_group"]),
              "group most often joined next"),
    ]  # fmt: skip
    said = f"The first {counted(len(rows), 'group')}."
    body = Body(rows_of(columns, rows))
    table = Table("reasons", said, columns, [body], is_sortable=True, is_sorted=True)
    return Section("explanations", "Why these groups", [_SAID, table])


def _odds(value: float | None) -> str:
    return "\N{INFINITY}" if value == float("inf") else decimal(value, digits=2)


_MOST = 20
"""Groups that a reader can choose from: the first of the leading detector."""
_ONE_GROUP = (
    "One group at a time: how each detector ranks it and from which numbers, and, on a simulated "
    "platform, what the truth is."
)
_FACTS = (
    Column("group", is_number=False),
    Column("what", is_number=False),
    Column("value", is_number=False),
)
Said = tuple[str, str]


def explained(result: Result) -> Section | None:
    """Return the facts of the first ranked groups, one group shown at a time."""
    top = result.ranked(result.detector)[:_MOST] if result.detectors() else []
    if not top:
        return None
    known = {row["group"]: row for row in result.rows("groups")}
    truth = {row["group"]: row for row in result.rows("truth")}
    ranks = _ranks(result, {row["group"] for row in top})
    rows = [
        Row([_group(row["group"]), label(what), Cell(value, value, "text")], {"group": str(i)})
        for i, row in enumerate(top)
        for what, value in _facts(row, known.get(row["group"]), truth.get(row["group"]),
                                  ranks.get(row["group"], []))
    ]  # fmt: skip
    options = [(str(i), f"{row['rank']}. {name(row['group'])}") for i, row in enumerate(top)]
    choice = Filter("group", "Group", options, "0")
    table = Table("explained-groups", "What is known of the group.", _FACTS, [Body(rows)],
                  [choice])  # fmt: skip
    return Section("explained", "One group explained", [_ONE_GROUP, table])


def _group(group: str) -> Cell:
    return Cell(name(group), name(group), "name")


def _facts(
    row: Mapping[str, Any],
    known: Mapping[str, Any] | None,
    truth: Mapping[str, Any] | None,
    ranks: list[Mapping[str, Any]],
) -> Iterator[Said]:
    yield from _found(row)
    for other in ranks:
        flag = ", flagged" if other["flagged"] else ""
        rank = "not ranked" if other["rank"] is None else f"rank {count(other['rank'])}{flag}"
        yield f"by {words_of(other['detector'])}", rank
    yield from facts_of(known, truth)


def facts_of(known: Mapping[str, Any] | None, truth: Mapping[str, Any] | None) -> Iterator[Said]:
    """What is true of a group on a simulated platform, by its rows of groups and of the truth."""
    if known is not None and known["role"] != "unknown":
        yield from _planted(known)
    if truth is not None and truth["direct_effect"] is not None:
        yield "direct effect, by replay", _effect(truth)


def _found(row: Mapping[str, Any]) -> Iterator[Said]:
    """What the leading detector saw."""
    measure = measure_of(row["detector"])
    if row.get("n_events") is None:
        yield measure.joiners, count(row["n_joiners"])
    else:
        share = row["n_events"] / max(row["n_joiners"], 1)
        of = f"{count(row['n_events'])} of {count(row['n_joiners'])} {measure.joiners}"
        yield measure.events, f"{of} ({percent(share)})"
    if row.get("mean_jump") is not None:
        yield "mean jump of the probability at the join", f"{points(row['mean_jump'])} points"
    value, low, high = (row.get(key) for key in ("estimate", "ci_low", "ci_high"))
    if not is_missing(value):
        bounds = interval_of(measure.estimate, low, high)
        within = "" if bounds == MISSING else f", 95 % interval {bounds}"
        p = tested(row["p_value"], level_held=row.get("level_held")) if measure.test else MISSING
        chance = "" if p == MISSING else f", p {p}"
        yield measure.estimate.axis, f"{written(measure.estimate, value)}{within}{chance}"


def _planted(known: Mapping[str, Any]) -> Iterator[Said]:
    yield "planted role", role(known["role"]).label
    if known["strength"]:
        yield "planted strength (log rate)", decimal(known["strength"], digits=2)
    yield "members", count(known["size"])
    if known["strikes"] is not None:
        yield "strikes", count(known["strikes"])


def _effect(truth: Mapping[str, Any]) -> str:
    mean, error = 100.0 * truth["direct_effect"], truth["direct_se"]
    if error is None:
        return f"{decimal(mean, digits=1)} target joins per 100 joins"
    half = 1.96 * 100.0 * error
    bounds = interval(decimal(mean - half, digits=1), decimal(mean + half, digits=1))
    return f"{decimal(mean, digits=1)} {bounds} target joins per 100 joins"


def _ranks(result: Result, wanted: set[str]) -> dict[str, list[Mapping[str, Any]]]:
    """Rows of every detector, by group."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in result.rows("gateways"):
        if row["group"] in wanted:
            found.setdefault(row["group"], []).append(row)
    return found
