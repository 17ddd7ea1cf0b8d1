"""R3: the note's contrast of users with and without GYSJ, corrected, and the truth."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from matplotlib.figure import Figure

from gateway.figures.compared import FITTED, compared_rows
from gateway.figures.style import BLUE, COLUMN, INK, MUTED, RULE, styled
from gateway.figures.style import figure as new_figure

__all__ = ["NAME", "caption", "draw", "plotted"]

NAME: str = "exposure_contrast"

_ORDER = ("observational", "corrected", "randomised")
_SAID = {
    "observational": "as the note counts",
    "corrected": "time zero aligned",
    "randomised": "randomised holdout",
}


def plotted(tables: Mapping[str, pa.Table]) -> pa.Table | None:
    """Return the risk differences, the note's first; None without R3."""
    rows = compared_rows(tables, ["R3"])
    if rows is None:
        return None
    found = [row for row in rows.to_pylist() if ": risk difference" in row["quantity"]]
    found = [row for row in found if None not in (row["simulated"], row["ci_low"])]
    found = [{"how": row["quantity"].partition(":")[0], **row} for row in found]
    found = sorted(
        (row for row in found if row["how"] in _ORDER), key=lambda row: _ORDER.index(row["how"])
    )
    if not found:
        return None
    names = ("published", "simulated", "ci_low", "ci_high")
    schema = pa.schema([("how", pa.string()), *((name, pa.float64()) for name in names)])
    return pa.Table.from_pylist(found, schema=schema)


@styled
def draw(data: pa.Table) -> Figure:
    """Draw a dot and an interval for each way to answer, and the note's number."""
    figure = new_figure(COLUMN, 0.75 + 0.36 * data.num_rows)
    axes = figure.subplots()
    for place, row in enumerate(data.to_pylist()):
        low, high = 100 * row["ci_low"], 100 * row["ci_high"]
        axes.hlines(-place, low, high, color=BLUE, lw=1.4)
        axes.plot([100 * row["simulated"]], [-place], ls="none", marker="o", color=BLUE)
        if row["published"] is not None:
            axes.plot([100 * row["published"]], [-place], ls="none", marker="|", ms=11, mew=1.4,
                      color=INK)  # fmt: skip
            # Said beside the mark: a key of the same shape would read as one more estimate.
            axes.annotate("published", (100 * row["published"], -place), xytext=(0, -9),
                          textcoords="offset points", ha="center", va="top",
                          color=INK)  # fmt: skip
    axes.axvline(0.0, color=MUTED, lw=0.8, zorder=0.5)
    said = [_SAID[how] for how in data["how"].to_pylist()]
    axes.set_yticks([-place for place in range(data.num_rows)], said)
    axes.set_ylim(0.6 - data.num_rows, 0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("risk with GYSJ minus without (points)")
    axes.grid(axis="x", color=RULE)
    return figure


def caption(data: pa.Table) -> str:
    """Say what the three answers are."""
    del data
    return (
        "Three answers to one question: how many more users join a non-rec group with GYSJ than "
        "without? As the note counts: users who joined a top gateway group, ever exposed "
        "against never. Time zero aligned: followed from the first gateway join, exposed from "
        "the first exposure on. Randomised holdout: all users by the arm drawn, the simulated "
        f"truth. Dot and line: estimate with 95 % interval. {FITTED}"
    )
