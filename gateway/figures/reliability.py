"""Reliability of the scorer: of those given 20 %, do 20 % join a target?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from gateway.figures.stored import floats
from gateway.figures.style import BLUE, COLUMN, MUTED, PAPER, RULE, styled
from gateway.figures.style import figure as new_figure
from gateway.wording import count, counted

__all__ = ["NAME", "caption", "draw", "plotted"]

NAME: str = "reliability"

_COLUMNS = ("bin", "n", "predicted", "observed", "ci_low", "ci_high")


def plotted(tables: Mapping[str, pa.Table]) -> pa.Table | None:
    """Return the bins that hold predictions, or None without any."""
    bins = tables.get("reliability")
    if bins is None:
        return None
    filled = bins.filter(pc.greater(bins["n"], 0)).select(_COLUMNS)
    return filled.sort_by([("bin", "ascending")]) if filled.num_rows else None


@styled
def draw(data: pa.Table) -> Figure:
    """Draw observed against predicted, and under it how many predictions each bin holds."""
    figure = new_figure(COLUMN, 3.5)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4.0, 1.0))
    _draw_bins(upper, data)
    _draw_counts(lower, data)
    lower.set_xlabel("predicted probability (%)")
    return figure


def caption(data: pa.Table) -> str:
    """Say what a point is, over how many predictions, and what the bar is."""
    total = int(pc.sum(data["n"]).as_py())
    return (
        f"Reliability of the scorer: share of users who went on to join a target against the mean "
        f"predicted probability, in {counted(data.num_rows, 'bin')} of {count(total)} predictions, "
        f"each made for a user whom the scorer was not trained on. Bar: 95 % Wilson interval, "
        f"which takes a user's predictions as independent. Dashed: perfect calibration. Below: "
        f"number of predictions in each bin{' (logarithmic)' if _is_skewed(data) else ''}."
        f"{' Axes of the upper panel are logarithmic.' if _is_crowded(data) else ''}"
    )


def _is_skewed(data: pa.Table) -> bool:
    """Whether the counts differ so much that small ones need a logarithmic axis."""
    n = floats(data, "n")
    return bool(n.max() > 20.0 * n.min())


def _is_crowded(data: pa.Table) -> bool:
    """Whether half of the bins lie in the lowest quarter, where a straight axis hides them."""
    predicted = floats(data, "predicted")
    is_positive = min(floats(data, name).min() for name in ("predicted", "ci_low")) > 0.0
    return bool(is_positive and np.median(predicted) < 0.25 * predicted.max())


def _draw_bins(axes: Axes, data: pa.Table) -> None:
    x, y, low, high = (
        100.0 * floats(data, name) for name in ("predicted", "observed", "ci_low", "ci_high")
    )
    bottom, top = 0.0, min(100.0, 1.06 * float(np.nanmax([x, y, high])) or 1.0)
    if _is_crowded(data):
        bottom, top = 0.6 * float(np.nanmin([x, low])), 1.5 * top
        axes.set(xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(
                LogLocator(subs=(1.0, 2.0, 5.0) if top < 60 * bottom else (1.0, 3.0))
            )
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_locator(NullLocator())
    axes.plot([bottom, top], [bottom, top], color=MUTED, ls="--", lw=0.8, zorder=1.5)
    axes.vlines(x, low, high, color=BLUE, lw=1.0)
    axes.plot(x, y, ls="none", marker="o", color=BLUE, ms=3.6)
    axes.set(xlim=(bottom, top), ylim=(bottom, top))
    axes.set_ylabel("observed share (%)")
    axes.grid(color=RULE)
    _name_diagonal(axes)


def _name_diagonal(axes: Axes) -> None:
    axes.text(
        0.03,
        0.97,
        "dashed: perfect calibration",
        transform=axes.transAxes,
        va="top",
        color=MUTED,
        bbox={"boxstyle": "square,pad=0.15", "fc": PAPER, "ec": "none"},
    )


def _draw_counts(axes: Axes, data: pa.Table) -> None:
    x, n = floats(data, "predicted") * 100.0, floats(data, "n")
    is_skewed = _is_skewed(data)
    if is_skewed:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=4))
        axes.yaxis.set_minor_locator(NullLocator())
    floor = 0.5 * n.min() if is_skewed else 0.0
    axes.vlines(x, floor, n, color=MUTED, lw=2.4)
    axes.set_ylim(floor, n.max() * (2.0 if is_skewed else 1.1))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    axes.set_ylabel("predictions")
    axes.grid(axis="y", color=RULE)
