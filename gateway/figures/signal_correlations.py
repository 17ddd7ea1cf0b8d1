"""R9: correlations of the signals about a group, published beside simulated."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from gateway.figures.compared import FITTED, compared_rows
from gateway.figures.stored import floats
from gateway.figures.style import INK, PAGE, PAPER, styled
from gateway.figures.style import figure as new_figure

__all__ = ["NAME", "caption", "draw", "plotted"]

NAME: str = "signal_correlations"

_SUFFIX = ": pearson"
_ORDER = (
    "gateway_score",
    "ci_ri_strikes",
    "num_nr_members",
    "ci_ri_severe_strikes",
    "group_demote",
    "non_amp",
    "non_rec",
)


def plotted(tables: Mapping[str, pa.Table]) -> pa.Table | None:
    """Return a row for each pair of signals, Pearson's coefficients; None without R9."""
    rows = compared_rows(tables, ["R9"])
    if rows is None:
        return None
    found = []
    for row in rows.to_pylist():
        pair = row["quantity"].removesuffix(_SUFFIX).split(" and ")
        if row["quantity"].endswith(_SUFFIX) and set(pair) <= set(_ORDER):
            found.append({"first": pair[0], "second": pair[1], **row})
    if not found:
        return None
    schema = pa.schema(
        [("first", pa.string()), ("second", pa.string()),
         ("published", pa.float64()), ("simulated", pa.float64())]
    )  # fmt: skip
    found = sorted(found, key=lambda r: (_ORDER.index(r["first"]), _ORDER.index(r["second"])))
    return pa.Table.from_pylist(found, schema=schema)


@styled
def draw(data: pa.Table) -> Figure:
    """Draw two triangles of squares, the published one on the left."""
    figure = new_figure(PAGE, 3.0)
    panels = figure.subplots(1, 2)
    low = _least(data)
    for axes, name in zip(panels, ("published", "simulated"), strict=True):
        image = _draw_triangle(axes, data, name, low)
    figure.colorbar(image, ax=list(panels), shrink=0.8, label="correlation")
    return figure


def _least(data: pa.Table) -> float:
    """Where the shades begin: tenths at or below all values, so that small ones differ."""
    values = np.concatenate([floats(data, name) for name in ("published", "simulated")])
    return min(0.0, math.floor(10 * float(np.nanmin(values))) / 10)


def _draw_triangle(axes: Axes, data: pa.Table, name: str, low: float) -> AxesImage:
    cells = np.full((len(_ORDER), len(_ORDER)), np.nan)
    for row in data.to_pylist():
        value = row[name]
        cells[_ORDER.index(row["second"]), _ORDER.index(row["first"])] = (
            np.nan if value is None else value
        )
    image = axes.imshow(np.ma.masked_invalid(cells[1:, :-1]), vmin=low, vmax=1.0, cmap="cividis")
    for (y, x), value in np.ndenumerate(cells[1:, :-1]):
        if x <= y:
            known = not np.isnan(value)
            # The lighter part of cividis, from five eighths on, wants dark letters.
            light = (value - low) / (1 - low) > 0.625
            color = (INK if light else PAPER) if known else INK
            said = f"{value:.2f}".replace("-", "−") if known else "?"
            axes.text(x, y, said, ha="center", va="center", fontsize=6, color=color)
    axes.set_xticks(range(len(_ORDER) - 1), _ORDER[:-1], rotation=40, ha="right")
    axes.set_yticks(range(len(_ORDER) - 1), _ORDER[1:] if name == "published" else [])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(name)
    return image


def caption(data: pa.Table) -> str:
    """Say which coefficient, of what, and what is missing."""
    del data
    return (
        "Correlations of seven signals about a group: published on the left (coefficient not "
        "stated; a question mark where the picture does not show the cell), simulated on the "
        f"right (Pearson's, over all ranked groups, at the end of the observation). {FITTED}"
    )
