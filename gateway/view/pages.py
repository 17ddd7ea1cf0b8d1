"""The pages by their paths: overview, detectors, acting, figures; groups and users beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import combinations
from typing import Any, Final

from scipy.stats import spearmanr

from gateway.detect.measure import words_of
from gateway.report.content import (
    Body,
    Cell,
    Column,
    Section,
    Stored,
    Table,
    numbers,
    rows_of,
    words,
)
from gateway.report.page import environment
from gateway.report.sections.check import check
from gateway.report.sections.evaluation import benchmark, evaluation, interventions, scorer
from gateway.report.sections.top_groups import reading, target_set, verdict
from gateway.report.summary import confusion, lede, tiles
from gateway.view.groups import all_groups, all_users, one_group, one_user
from gateway.view.viewed import Choice, Content, Query, Viewed, whole
from gateway.wording import NO_CHARACTER, count, decimal, name


def page(viewed: Viewed, path: str, query: Query) -> str | None:
    """Return a page as HTML, None where there is none.

    Parameters
    ----------
    path
        Of the page, below the result's address.
    query
        What a form of the page asked for; what makes no sense counts as not asked for.
    """
    make = _PAGES.get(path)
    content = None if make is None else make(viewed, query)
    if content is None:
        return None
    text = environment("gateway.view", "gateway.report").get_template("view.html.j2").render(
        title=name(viewed.title, limit=200),
        content=content,
        path=path,
        pages=[(key, label) for key, (label, there) in _CONTENTS.items() if there(viewed)],
        tiles=tiles(viewed.result) if content.has_tiles else [],
    )  # fmt: skip
    return NO_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", text)


@cache
def style() -> str:
    """Return the pages' style: the report's, and what forms and bars need beside it."""
    found = environment("gateway.view", "gateway.report")
    return "".join(found.get_template(file).render() for file in ("report.css", "view.css"))


def _overview(viewed: Viewed, query: Query) -> Content:  # noqa: ARG001
    result = viewed.result
    made = [make(result) for make in (check, verdict, target_set, reading)]
    sections = [section for section in made if section is not None]
    return Content(viewed.title, [lede(result), confusion(result)], sections=sections,
                   has_tiles=True)  # fmt: skip


def _detectors(viewed: Viewed, query: Query) -> Content:
    top = whole(query, "top", 50)
    ranks = {
        detector: {row["group"]: row["by"][detector]["rank"] for row in viewed.groups
                   if row["by"].get(detector, {}).get("rank") is not None}
        for detector in viewed.detectors
    }  # fmt: skip
    rows = []
    for one, other in combinations(viewed.detectors, 2):
        shared = sorted(ranks[one].keys() & ranks[other].keys())
        first = [{g for g, rank in ranks[d].items() if rank <= top} for d in (one, other)]
        flagged = [{row["group"] for row in viewed.groups if row["by"].get(d, {}).get("flagged")}
                   for d in (one, other)]  # fmt: skip
        alike = _alike(*([ranks[d][group] for group in shared] for d in (one, other)))
        rows.append({
            "one": words_of(one), "other": words_of(other), "alike": alike,
            "top": len(first[0] & first[1]), "flagged": len(flagged[0] & flagged[1]),
            "first": len(flagged[0] - flagged[1]), "second": len(flagged[1] - flagged[0]),
        })  # fmt: skip
    columns = [
        words("detector", lambda row: str(row["one"])),
        words("and", lambda row: str(row["other"])),
        numbers("rank correlation", "alike", decimal, "Spearman, over groups that both rank"),
        numbers(f"in both top {top}", "top", count),
        numbers("flagged by both", "flagged", count),
        numbers("by the first alone", "first", count),
        numbers("by the second alone", "second", count),
    ]
    table = Table("pairs", "Each pair of detectors.", columns, [Body(rows_of(columns, rows))])
    made = [make(viewed.result) for make in (evaluation, benchmark, scorer)]
    sections = [Section("pairs", "Where they agree", [table])] if rows else []
    return Content("Detectors", choices=[Choice("top", "Size of the top", str(top), kind="number")],
                   sections=[*sections, *(s for s in made if s is not None)])  # fmt: skip


def _alike(one: list[int], other: list[int]) -> float | None:
    """Spearman's correlation of two rankings of the same groups; None where either is all ties."""
    if min(len(set(one)), len(set(other))) < 2:
        return None
    return float(spearmanr(one, other).statistic)


_ACTING: Final = (
    "What if nobody had joined the first groups of a ranking, all else alike? Each join was "
    "replayed without the group (the direct effect); the sum over the joins of the first groups "
    "is what these joins caused. It is no forecast of an intervention: users whose join is "
    "prevented do something else."
)
_ARMS: Final = (
    "What users do instead has to be simulated, each intervention as another platform. That was "
    "done when the result was made, for the interventions that its config names; these pages "
    "simulate nothing. For another one, add a table [[interventions]] to the config, and run it."
)


def _acting(viewed: Viewed, query: Query) -> Content:
    top = whole(query, "top", 20)
    truth = {row["group"]: row for row in viewed.result.rows("truth")
             if row["direct_effect"] is not None}  # fmt: skip
    columns = [
        words("first groups of", lambda row: str(row["of"])),
        numbers("groups", "n", count, "more than asked for where ranks are equal"),
        numbers("gateways among them", "planted", count),
        numbers("joins lost", "joins", count, "joins of these groups"),
        Column("target joins that they caused", "with its 95 % interval", cell=_caused),
    ]
    rows = list(_caused_by(viewed, truth, top)) if truth else []
    table = Table("caused", f"The first {top} groups of each ranking.", columns,
                  [Body(rows_of(columns, rows))])  # fmt: skip
    sections = (
        [Section("caused", "Joins that would not have been", [_ACTING, table])] if rows else []
    )
    arms = interventions(viewed.result)
    if rows or arms:
        held = ["This result holds none."] if arms is None else arms.blocks
        sections.append(Section("interventions", "Interventions", [_ARMS, *held]))
    nothing = (
        "The result holds neither direct effects nor interventions: they need a simulated world."
    )
    return Content("Acting", [] if sections else [nothing],
                   [Choice("top", "First groups", str(top), kind="number")] if rows else [],
                   sections=sections)  # fmt: skip


def _caused_by(
    viewed: Viewed, truth: Mapping[str, Stored], top: int
) -> Iterator[Mapping[str, Any]]:
    """What the joins of the first groups caused, by each detector and by who knows the truth."""
    known = sorted(truth, key=lambda g: -truth[g]["direct_effect"] * truth[g]["n_joins"])
    orders = {words_of(d): [row["group"] for row in viewed.groups
                          if (row["by"].get(d, {}).get("rank") or top + 1) <= top]
              for d in viewed.detectors} | {"who knows the truth": known[:top]}  # fmt: skip
    for of, groups in orders.items():
        mine = [truth[group] for group in groups if group in truth]
        variance = sum((row["n_joins"] * (row["direct_se"] or 0.0)) ** 2 for row in mine)
        yield {
            "of": of,
            "n": len(mine),
            "planted": sum(row["planted"] for row in mine),
            "joins": sum(row["n_joins"] for row in mine),
            "caused": sum(row["n_joins"] * row["direct_effect"] for row in mine),
            "half": 1.96 * variance**0.5,
        }


def _caused(row: Stored) -> Cell:
    value, half = row["caused"], row["half"]
    ends = f"{decimal(value - half, digits=0)} to {decimal(value + half, digits=0)}"
    return Cell(f"{decimal(value, digits=0)} ({ends})", value)


def _figures(viewed: Viewed, query: Query) -> Content:  # noqa: ARG001
    return Content("Figures", figures=viewed.figures)


_PAGES: Mapping[str, Callable[[Viewed, Query], Content | None]] = {
    "": _overview, "groups": all_groups, "group": one_group, "users": all_users, "user": one_user,
    "detectors": _detectors, "acting": _acting, "figures": _figures,
}  # fmt: skip
_CONTENTS: Mapping[str, tuple[str, Callable[[Viewed], bool]]] = {
    "": ("Overview", lambda _: True),
    "groups": ("Groups", lambda viewed: bool(viewed.groups)),
    "users": ("Users", lambda viewed: bool(viewed.users)),
    "detectors": ("Detectors", lambda viewed: bool(viewed.groups)),
    "acting": ("Acting", lambda viewed: bool(viewed.groups)),
    "figures": ("Figures", lambda _: True),
}
