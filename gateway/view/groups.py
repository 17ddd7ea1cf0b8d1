"""Pages about groups and users: all of them, and all that is known of one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gateway.detect import measure_of
from gateway.detect.measure import words_of
from gateway.report.content import (
    Body,
    Cell,
    Column,
    Role,
    Row,
    Section,
    Stored,
    Table,
    numbers,
    role,
    rows_of,
    words,
)
from gateway.report.sections.explanations import explanations, facts_of
from gateway.report.sections.top_groups import ranked_columns
from gateway.report.summary import CAVEAT, Result
from gateway.view.viewed import Choice, Content, Query, Viewed, chosen, drawn_figures, link, whole
from gateway.wording import MISSING, count, counted, interval_of, name, percent, written

_PER_PAGE = 50


def all_groups(viewed: Viewed, query: Query) -> Content:
    """All groups with what each detector says, by what a form asks for, a page at a time."""
    detectors = viewed.detectors
    orders = [(d, f"rank by {words_of(d)}") for d in detectors]
    orders += [("joiners", "number of joiners"), ("name", "name")]
    flags = [("", "all groups"), ("any", "flagged by any detector")]
    if len(detectors) > 1:
        flags += [("all", "flagged by every detector")]
        flags += [(d, f"flagged by {words_of(d)} alone") for d in detectors]
    found = sorted({row["role"] for row in viewed.groups if row["role"]})
    roles = [("", "all roles"), *((key, role(key).label) for key in found)]
    by = chosen(query, "by", orders)
    flag, kept = chosen(query, "flag", flags), chosen(query, "role", roles)
    text = query.get("text", "")
    rows = sorted(
        (row for row in viewed.groups if _matches(row, text, flag, kept)), key=partial(_place, by)
    )
    pages = max(1, -(-len(rows) // _PER_PAGE))
    number = min(whole(query, "page", 1), pages)
    shown = rows[(number - 1) * _PER_PAGE : number * _PER_PAGE]
    asked = {"text": text, "flag": flag, "role": kept, "by": by}
    turn = [(word, to) for word, to in (("Previous page", number - 1), ("Next page", number + 1))
            if 1 <= to <= pages]  # fmt: skip
    choices = [
        Choice("text", "Text in the name", text, kind="search"),
        Choice("flag", "Show", flag, flags),
        *([Choice("role", "Planted role", kept, roles)] if found else []),
        Choice("by", "In the order of", by, orders),
    ]
    columns = _group_columns(viewed)
    said = "Each detector's rank, estimate with 95 % interval, and flag."
    table = Table("groups", said, columns, [Body(rows_of(columns, shown))])
    return Content(
        "Groups",
        [CAVEAT],
        choices,
        f"{counted(len(rows), 'group')}, page {number} of {pages}.",
        [Section("groups", "All groups", [table])] if shown else [],
        links=[(word, link("groups", **asked, page=str(to))) for word, to in turn],
    )


def _matches(row: Stored, text: str, flag: str, kept: str) -> bool:
    flagged = [detector for detector, mine in row["by"].items() if mine["flagged"]]
    fits = {"": True, "any": bool(flagged), "all": len(flagged) == len(row["by"])}
    parts = text.casefold().split()
    return (
        fits.get(flag, flagged == [flag])
        and kept in ("", row["role"])
        and all(part in row["group"].casefold() for part in parts)
    )


def _place(by: str, row: Stored) -> tuple[Any, ...]:
    """Where a group stands: by a detector's rank, the unranked last; else by joiners or name."""
    if by == "joiners":
        return -row["n_joiners"], row["group"]
    rank = row["by"].get(by, {}).get("rank")
    return (by != "name" and rank is None, rank if by != "name" and rank else 0, row["group"])


def _group_columns(viewed: Viewed) -> list[Column]:
    columns = [
        Column("group", is_number=False, cell=lambda row: _group_cell(row["group"])),
        numbers("joiners", "n_joiners", count),
        *(
            Column(words_of(detector), measure_of(detector).estimate.meaning, is_number=False,
                   cell=partial(_said_by, detector))
            for detector in viewed.detectors
        ),
    ]  # fmt: skip
    if viewed.result.has_truth():
        columns.insert(1, Column("planted role", is_number=False, cell=_role_cell))
    return columns


def _group_cell(group: str) -> Cell:
    return Cell(name(group), name(group), "name", href=link("group", name=group))


def _role_cell(row: Stored) -> Cell:
    drawn: Role = role(row["role"] or "unknown")
    return Cell(drawn.label, drawn.label, "text", drawn)


def _said_by(detector: str, row: Stored) -> Cell:
    mine = row["by"].get(detector)
    if mine is None or mine["rank"] is None:
        return Cell("not ranked", None, "text")
    quantity = measure_of(detector).estimate
    value = written(quantity, mine["estimate"])
    bounds = interval_of(quantity, mine["ci_low"], mine["ci_high"])
    parts = [f"{count(mine['rank'])}.", value, *([] if bounds == MISSING else [bounds])]
    return Cell(" ".join([*parts, *(["flagged"] if mine["flagged"] else [])]), mine["rank"], "text")


def one_group(viewed: Viewed, query: Query) -> Content | None:
    """All that is known of one group."""
    wanted = query.get("name", "")
    row = next((row for row in viewed.groups if row["group"] == wanted), None)
    if row is None:
        return None
    sections = []
    for detector, mine in row["by"].items():
        columns = {key: c for key, c in ranked_columns(measure_of(detector)).items()
                   if key not in ("group", "role") and c.cell is not None}  # fmt: skip
        cells = [
            Row([Cell(c.label, c.label, "label"), c.cell(mine), Cell(c.title, c.title, "text")])
            for c in columns.values()
            if c.cell is not None
        ]
        sections.append(_facts(detector, words_of(detector), cells, ("what", "value", "meaning")))
    known = {one["group"]: one for one in viewed.result.rows("groups")}.get(wanted)
    truth = {one["group"]: one for one in viewed.result.rows("truth")}.get(wanted)
    facts = [Row([Cell(what, what, "label"), Cell(value, value, "text")])
             for what, value in facts_of(known, truth)]  # fmt: skip
    if facts:
        sections.append(_facts("truth", "What is true, on this simulated platform", facts,
                               ("what", "value")))  # fmt: skip
    why = explanations(Result({**viewed.tables, "explanations": _of(viewed, wanted)}))
    sections += [] if why is None else [why]
    joined = [user for user, joins in viewed.users.items() if wanted in joins["group"].to_pylist()]
    links = [(f"User {name(user)} joined it", link("user", name=user)) for user in joined]
    return Content(name(wanted), [CAVEAT], sections=sections,
                   links=[*links, ("All groups", "groups")])  # fmt: skip


def _of(viewed: Viewed, group: str) -> pa.Table:
    table = viewed.tables.get("explanations", pa.table({"group": pa.array([], pa.string())}))
    return table.filter(pc.equal(table["group"], group))


def _facts(key: str, title: str, rows: Sequence[Row], heads: Sequence[str]) -> Section:
    columns = [Column(head, is_number=False) for head in heads]
    table = Table(f"facts-{key}", f"The group: {title}.", columns, [Body(rows)])
    return Section(key, title, [table])


# Users -----------------------------------------------------------------------------------


def all_users(viewed: Viewed, query: Query) -> Content:  # noqa: ARG001  (a page)
    """The users whose curve is stored."""
    columns = [
        Column("user", is_number=False, cell=lambda row: _user_cell(row["user"])),
        numbers("joins", "n", count),
        numbers("highest probability", "most", percent),
        numbers("spikes", "spikes", count),
        words("joined a target", lambda row: "yes" if row["target"] else "no"),
    ]
    rows = [
        {"user": user, "n": joins.num_rows, "most": pc.max(joins["after"]).as_py(),
         "spikes": pc.sum(joins["spike"]).as_py(), "target": pc.any(joins["is_target"]).as_py()}
        for user, joins in viewed.users.items()
    ]  # fmt: skip
    table = Table("users", "Users whose curve the result stores.", columns,
                  [Body(rows_of(columns, rows))])  # fmt: skip
    said = "A run stores as many curves as figures.curves asks for; set it higher for more users."
    return Content("Users", [said], sections=[Section("users", "Stored curves", [table])])


def _user_cell(user: str) -> Cell:
    return Cell(name(user), name(user), "name", href=link("user", name=user))


def one_user(viewed: Viewed, query: Query) -> Content | None:
    """A user's probabilities, join by join, as a figure and in numbers."""
    joins = viewed.users.get(query.get("name", ""))
    if joins is None:
        return None
    columns = [
        numbers("join", "position", str),
        Column("group", is_number=False, cell=lambda row: _group_cell(row["group"])),
        numbers("time", "time", str, "ticks of the log"),
        numbers("before", "before", percent, "predicted probability just before the join"),
        numbers("after", "after", percent, "just after it"),
        words(
            "what it was",
            lambda row: "target" if row["is_target"] else "spike" if row["spike"] else "",
        ),
    ]
    if viewed.result.has_truth():
        columns.insert(2, Column("planted role", is_number=False, cell=_role_cell))
    table = Table("joins", "Joins in their order.", columns,
                  [Body(rows_of(columns, joins.to_pylist()))])  # fmt: skip
    one = joins.set_column(
        joins.schema.get_field_index("panel"), "panel", pa.array([0] * joins.num_rows, pa.int32())
    )
    drawn = drawn_figures({**viewed.tables, "curves": one}, only="probability_curves")
    return Content(name(query["name"]), figures=drawn,
                   sections=[Section("joins", "The same in numbers", [table])],
                   links=[("All users", "users")])  # fmt: skip
