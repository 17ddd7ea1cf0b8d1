"""What the pages show: a result with what several of them ask of it, and what a page holds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.compute as pc

from gateway.figures import FIGURES, render
from gateway.report.content import Section
from gateway.report.page import ShownFigure, shown_figure
from gateway.report.summary import Result

Query = Mapping[str, str]


@dataclass(frozen=True)
class Viewed:
    """A result to look at, with what several pages ask of it."""

    tables: Mapping[str, pa.Table]  # its stored tables by name
    title: str  # heading of the pages

    @cached_property
    def result(self) -> Result:
        """The result as the report reads it."""
        return Result(self.tables)

    @cached_property
    def detectors(self) -> list[str]:
        """Detectors that ran, the note's own first."""
        return self.result.detectors()

    @cached_property
    def groups(self) -> list[dict[str, Any]]:
        """One row for each group that a detector has a row for: role, size, row by detector."""
        roles = self.result.roles() if self.result.has_truth() else {}
        found: dict[str, dict[str, Any]] = {}
        for row in self.result.rows("gateways"):
            group = row["group"]
            mine = found.setdefault(
                group,
                {"group": group, "role": roles.get(group), "n_joiners": row["n_joiners"], "by": {}},
            )
            mine["by"][row["detector"]] = row
        return list(found.values())

    @cached_property
    def users(self) -> dict[str, pa.Table]:
        """The joins of each user whose curve is stored."""
        curves = self.tables.get("curves")
        if curves is None:
            return {}
        users = dict.fromkeys(curves["user"].to_pylist())
        return {user: curves.filter(pc.equal(curves["user"], user)) for user in users}

    @cached_property
    def figures(self) -> list[ShownFigure]:
        """All figures that the tables allow, drawn when somebody first looks."""
        return drawn_figures(self.tables)


@dataclass(frozen=True)
class Choice:
    """A field of a form: a list to choose from, a number, or a text to look for."""

    key: str
    label: str
    value: str
    options: Sequence[tuple[str, str]] = ()
    kind: str = "select"


@dataclass(frozen=True)
class Content:
    """What a page holds between its heading and its end."""

    heading: str
    paragraphs: Sequence[str] = ()
    choices: Sequence[Choice] = ()
    said: str = ""
    sections: Sequence[Section] = ()
    figures: Sequence[ShownFigure] = ()
    links: Sequence[tuple[str, str]] = ()
    has_tiles: bool = False


def link(path: str, **query: str) -> str:
    """Return the address of a page with what is asked of it."""
    return f"{path}?{urlencode(query)}" if query else path


def drawn_figures(tables: Mapping[str, pa.Table], *, only: str | None = None) -> list[ShownFigure]:
    """Draw the figures that the tables allow, or the one of a name."""
    wanted = [figure for figure in FIGURES if only in (None, figure.NAME)]
    found = [(figure, data) for figure in wanted if (data := figure.plotted(tables)) is not None]
    return [
        shown_figure(
            figure.NAME,
            render(figure.draw(data), kinds=["svg"])["svg"].decode(),
            figure.caption(data),
        )
        for figure, data in found
    ]


def chosen(query: Query, key: str, options: Sequence[tuple[str, str]]) -> str:
    """Return what was chosen, the first option where it is none of them."""
    value = query.get(key, "")
    return value if value in dict(options) else options[0][0]


def whole(query: Query, key: str, default: int) -> int:
    """Return a whole number from 1 to 999,999 that was asked for, else the default."""
    text = query.get(key, "")
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,5}", text) else default
