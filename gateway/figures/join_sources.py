"""R1: through which sources gateway members asked to join targets, published and simulated."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure

from gateway.figures.compared import FITTED, compared_rows
from gateway.figures.stored import floats
from gateway.figures.style import BLUE, COLUMN, FAINT, INK, RULE, styled
from gateway.figures.style import figure as new_figure
from gateway.wording import count

__all__ = ["NAME", "caption", "draw", "plotted"]

NAME: str = "join_sources"

_SUFFIX = ": share of requests"


def plotted(tables: Mapping[str, pa.Table]) -> pa.Table | None:
    """Return one row for each source, the largest published share first; None without R1."""
    rows = compared_rows(tables, ["R1"])
    if rows is None:
        return None
    total = rows.filter(pc.equal(rows["quantity"], "requests"))
    rows = rows.filter(pc.ends_with(rows["quantity"], _SUFFIX))
    rows = rows.filter(pc.is_valid(rows["simulated"]))
    if rows.num_rows == 0 or total.num_rows == 0:
        return None
    source = pc.replace_substring(rows["quantity"], _SUFFIX, "")
    requests = pa.array([total["simulated"][0].as_py()] * rows.num_rows, pa.float64())
    shown = rows.append_column("source", source).append_column("requests", requests)
    names = ["source", "published", "simulated", "ci_low", "ci_high", "requests"]
    return shown.select(names).sort_by([("published", "descending"), ("source", "ascending")])


@styled
def draw(data: pa.Table) -> Figure:
    """Draw two bars for each source, one above the other."""
    figure = new_figure(COLUMN, 0.7 + 0.27 * data.num_rows)
    axes = figure.subplots()
    place = -np.arange(data.num_rows, dtype=np.float64)
    published, simulated = (100 * floats(data, name) for name in ("published", "simulated"))
    axes.barh(place + 0.19, published, 0.34, color=FAINT, label="published")
    axes.barh(place - 0.19, simulated, 0.34, color=BLUE, label="simulated")
    low, high = (100 * floats(data, name) for name in ("ci_low", "ci_high"))
    axes.hlines(place - 0.19, low, high, color=INK, lw=0.8)
    axes.set_yticks(place, data["source"].to_pylist())
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("share of join requests (%)")
    axes.grid(axis="x", color=RULE)
    axes.legend(loc="lower right")
    return figure


def caption(data: pa.Table) -> str:
    """Say what is counted and what the bars and lines are."""
    return (
        f"Sources of {count(data['requests'][0].as_py())} requests to join target groups by "
        "users who had joined a top gateway group before, beside table 1 of the note. Line: "
        "95 % interval, clustered by user. Sources that the note's table does not name are "
        f"taken together. {FITTED}"
    )
