"""The simulator's draws against the laws they are said to follow, quantile by quantile."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from gateway.figures.selection import first, floats
from gateway.figures.style import BLUE, MUTED, PAGE, RULE, styled
from gateway.figures.style import figure as new_figure
from gateway.wording import count, counted

__all__ = ["CHECKS_SCHEMA", "NAME", "caption", "draw", "plotted"]

NAME: str = "qq"

CHECKS_SCHEMA = pa.schema(
    [
        ("panel", pa.int32()),
        ("law", pa.string()),
        ("axis", pa.string()),
        ("test", pa.string()),
        ("n", pa.int64()),
        ("p_value", pa.float64()),
        ("is_log", pa.bool_()),
        ("theory", pa.float64()),
        ("sample", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
    ]
)
_COLUMNS = 4
_ROW = 2.35
"""Height of a row of panels, inches."""


def plotted(tables: Mapping[str, pa.Table]) -> pa.Table | None:
    """Return the points of every law in the order of the panels, None without any."""
    checks = tables.get("checks")
    if checks is None or checks.num_rows == 0:
        return None
    order = [("panel", "ascending"), ("theory", "ascending"), ("sample", "ascending")]
    return checks.select(CHECKS_SCHEMA.names).sort_by(order)


@styled
def draw(data: pa.Table) -> Figure:
    """Draw a panel for each law, and under it how far off it is in units of the band."""
    panels = pc.unique(data["panel"]).to_pylist()
    rows = -(-len(panels) // _COLUMNS)
    figure = new_figure(PAGE, _ROW * rows)
    grid = figure.add_gridspec(2 * rows, _COLUMNS, height_ratios=[3.0, 1.0] * rows)
    for place, panel in enumerate(panels):
        row, column = divmod(place, _COLUMNS)
        upper = figure.add_subplot(grid[2 * row, column])
        lower = figure.add_subplot(grid[2 * row + 1, column], sharex=upper)
        law = data.filter(pc.equal(data["panel"], panel))
        _draw_points(upper, law)
        _draw_deviations(lower, law)
        if column == 0:
            upper.set_ylabel("simulated")
            lower.set_ylabel("off / band")
    figure.align_ylabels()
    return figure


def _draw_points(axes: Axes, law: pa.Table) -> None:
    x, y, low, high = (floats(law, name) for name in ("theory", "sample", "low", "high"))
    if first(law, "is_log"):
        axes.set(xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(numticks=4))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_locator(MaxNLocator(3))
    ends = [x.min(), x.max()]
    axes.plot(ends, ends, color=MUTED, lw=0.8, zorder=1.5)
    axes.vlines(x, low, high, color=BLUE, lw=0.7, alpha=0.5)
    axes.plot(x, y, ls="none", marker="o", ms=1.8, mew=0.0, color=BLUE)
    axes.tick_params(labelbottom=False)
    axes.grid(color=RULE)
    axes.set_title(f"{first(law, 'law')}\n{_verdict(law)}", linespacing=1.3)


def _verdict(law: pa.Table) -> str:
    p = first(law, "p_value")
    said = "p < .001" if p < 0.001 else f"p = {p:.2f}".replace("0.", ".")
    return f"n = {count(first(law, 'n'))}, {said}"


def _draw_deviations(axes: Axes, law: pa.Table) -> None:
    deviation = _deviations(law)
    axes.axhline(0.0, color=MUTED, lw=0.8, zorder=1.5)
    for edge in (-1.0, 1.0):
        axes.axhline(edge, color=MUTED, ls="--", lw=0.7, zorder=1.5)
    axes.plot(floats(law, "theory"), deviation, ls="none", marker="o", ms=1.8, mew=0.0, color=BLUE)
    widest = max(1.6, 1.1 * float(np.abs(deviation).max()))
    axes.set_ylim(-widest, widest)
    axes.yaxis.set_major_locator(MaxNLocator(2, integer=True, symmetric=True))
    axes.set_xlabel(first(law, "axis"))


def _deviations(law: pa.Table) -> npt.NDArray[np.float64]:
    """How far each point lies from the law, in halves of its band on that side."""
    x, y, low, high = (floats(law, name) for name in ("theory", "sample", "low", "high"))
    side = np.where(y >= x, high - x, x - low)
    return np.asarray(np.divide(y - x, side, out=np.zeros_like(x), where=side > 0))


def caption(data: pa.Table) -> str:
    """Say what is compared with what, and what the band and the p-values are."""
    panels = data.group_by("panel").aggregate([("p_value", "max")])
    small = int(pc.sum(pc.less(panels["p_value_max"], 0.05)).as_py())
    return (
        f"{counted(panels.num_rows, 'law')} of the simulator: quantiles or shares of what it drew "
        f"against those of the equation. Line: equality. Bars, and dashed lines below: where a "
        f"point lies in 95 % of samples of the law; neighbouring points move together. p: "
        f"Kolmogorov-Smirnov for continuous values, chi-square for counts; "
        f"{counted(small, 'law')} below .05."
    )
