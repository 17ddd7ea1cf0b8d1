"""How strong a planted gateway must be to be found on a log: power and precision by ratio."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from gateway.check import PLACES
from gateway.detect.measure import words_of
from gateway.figures import style
from gateway.figures.selection import Tables, floats, ordered, values, where
from gateway.wording import counted, listed

_METRICS = {"power": "share of planted gateways called", "average_precision": "average precision"}
_COLUMNS = ("detector", "where", "ratio", "metric", "value", "ci_low", "ci_high", "n")
_WANTED = 0.8


def plotted_check_power(tables: Tables) -> pa.Table | None:
    """Return power and average precision by detector, place and ratio; None without a check."""
    if "check" not in tables:
        return None
    table = tables["check"]
    wanted = pc.and_(
        pc.equal(table["log"], "planted"),
        pc.is_in(table["metric"], value_set=pa.array(list(_METRICS))),
    )
    rows = table.filter(wanted).select(_COLUMNS)
    order = ("metric", "where", "detector", "ratio")
    return ordered(rows, *order).combine_chunks() if rows.num_rows else None


@style.styled
def draw_check_power(data: pa.Table, *, ax: Axes | None = None) -> style.AnyFigure:
    """Draw a column of panels for each place, power above average precision."""
    names = values(data, "detector")
    places = [place for place in PLACES if place in values(data, "where")]
    metrics = [name for name in _METRICS if name in values(data, "metric")]
    width = style.COLUMN if len(places) == 1 else style.PAGE
    figure = style.figure(width, 0.75 + 1.7 * len(metrics), ax)
    grid = figure.subplots(len(metrics), len(places), sharex=True, sharey=True, squeeze=False)
    for row, metric in zip(grid, metrics, strict=True):
        for axes, place in zip(row, places, strict=True):
            mine = where(data, metric=metric, where=place)
            _draw_panel(axes, mine, names, is_power=metric == "power")
            if metric == metrics[0]:
                axes.set_title(f"gateways {place}")
            if metric == metrics[-1]:
                axes.set_xlabel("planted rate ratio")
        row[0].set_ylabel(_METRICS[metric])
    keys = [style.curve_key(words_of(name), *style.curve_look(i)) for i, name in enumerate(names)]
    ncols = min(len(names), 2 if len(places) == 1 else 4)
    figure.legend(handles=keys, loc="outside lower center", ncols=ncols)
    return figure


def caption_check_power(data: pa.Table) -> str:
    """Say what is planted, and what line, bar and dashed line are."""
    names = listed([words_of(name) for name in values(data, "detector")])
    power = where(data, metric="power")
    n = counted(int(pc.min(power["n"]).as_py()), "planted group") if power.num_rows else ""
    over = f" Each share is of {n} or more." if n else ""
    return (
        f"Gateways planted into the joins of this log, found by {names}: each member's own rate "
        f"of target joins is multiplied by the ratio after the join.{over} Bars: 95 % intervals, "
        "exact for shares, over logs for the average precision. Dashed: power .8."
    )


def _draw_panel(axes: Axes, rows: pa.Table, names: list[str], *, is_power: bool) -> None:
    ratios = sorted(set(rows["ratio"].to_pylist()))
    for i, name in enumerate(names):
        mine = where(rows, detector=name)
        color, marker, line = style.curve_look(i)
        x, y, low, high = (floats(mine, key) for key in ("ratio", "value", "ci_low", "ci_high"))
        # Beside each other, so that no bar hides another.
        x = x * 1.03 ** (i - (len(names) - 1) / 2)
        axes.vlines(x, low, high, color=color, lw=0.8, alpha=0.6)
        axes.plot(x, y, color=color, ls=line, marker=marker, ms=3.4, mec=style.PAPER, mew=0.3)
    if is_power:
        axes.axhline(_WANTED, color=style.MUTED, lw=0.7, ls="--", zorder=0.5)
    axes.set_xscale("log")
    axes.set_ylim(-0.03, 1.03)
    axes.xaxis.set_major_locator(FixedLocator(ratios))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", color=style.RULE)
