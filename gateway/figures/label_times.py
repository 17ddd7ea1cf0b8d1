"""R8: how many of the top gateway groups were labelled non-rec by each day."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure

from gateway.figures.compared import FITTED
from gateway.figures.stored import floats
from gateway.figures.style import BLUE, COLUMN, MUTED, RULE, styled
from gateway.figures.style import figure as new_figure

__all__ = ["NAME", "caption", "draw", "plotted"]

NAME: str = "label_times"

_LOOK = {
    "top": ("top gateway groups", "#D55E00", "-"),
    "controls": ("controls of like size", BLUE, "--"),
    "others": ("all other ranked groups", MUTED, ":"),
}


def plotted(tables: Mapping[str, pa.Table]) -> pa.Table | None:
    """Return share labelled by kind of group and day; None where the result has none."""
    if "analyses/label_times" not in tables:
        return None
    rows = tables["analyses/label_times"]
    rows = rows.filter(pc.greater(rows["n"], 0))
    if rows.num_rows == 0:
        return None
    share = pc.divide(pc.cast(rows["labelled"], pa.float64()), pc.cast(rows["n"], pa.float64()))
    rows = rows.append_column("share", share)
    return rows.sort_by([("groups", "ascending"), ("day", "ascending")])


@styled
def draw(data: pa.Table) -> Figure:
    """Draw a step line for each kind of group."""
    figure = new_figure(COLUMN, 2.3)
    axes = figure.subplots()
    for name, (label, color, line) in _LOOK.items():
        mine = data.filter(pc.equal(data["groups"], name))
        if mine.num_rows:
            axes.step(floats(mine, "day"), 100 * floats(mine, "share"), where="post", label=label,
                      color=color, ls=line)  # fmt: skip
    (ran,) = pc.unique(data["workflow_day"]).to_pylist()
    axes.axvline(ran, color=MUTED, lw=0.8, zorder=0.5)
    axes.annotate("workflow ran", (ran, 0.5), xycoords=("data", "axes fraction"),
                  xytext=(-3, 0), textcoords="offset points", ha="right", color=MUTED)  # fmt: skip
    axes.set_xlabel("day")
    axes.set_ylabel("labelled non-rec so far (%)")
    axes.set_ylim(bottom=0.0)
    axes.grid(axis="y", color=RULE)
    axes.legend(loc="upper left")
    return figure


def caption(data: pa.Table) -> str:
    """Say which groups and how many."""
    first = dict(zip(data["groups"].to_pylist(), data["n"].to_pylist(), strict=True))
    return (
        f"Share labelled non-rec by each day, of the {first.get('top', 0):,} top gateway groups, "
        "of other ranked groups nearest to them in members when the workflow ran, and of all "
        f"other ranked groups. Upright line: the day on which the workflow ran. {FITTED}"
    )
