"""Seconds and memory against size: of the simulator, of every stage, of runs on mapped logs.

They read the tables that ``bench_simulation.py``, ``scaling.py``, ``memory_curve.py`` and
``large_run.py`` measure.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from scipy import stats

from gateway.figures.selection import floats
from gateway.figures.style import BLUE, MUTED, PAGE, styled
from gateway.figures.style import figure as new_figure

__all__ = [
    "LEAST",
    "draw_large_run",
    "draw_memory",
    "draw_memory_curve",
    "draw_simulation",
    "draw_time",
    "exponent",
    "exponent_interval",
]


Floats = npt.NDArray[np.float64]


def exponent(size: Floats, cost: Floats) -> float:
    """Return the slope of log cost on log size by least squares; NaN for a single size."""
    if len(size) < 2:
        return float("nan")
    return float(np.polyfit(np.log(size), np.log(cost), 1)[0])


def exponent_interval(size: Floats, cost: Floats) -> tuple[float, float, float]:
    """Return the slope of log cost on log size and its 95 % interval, Student's t.

    The interval speaks of the scatter around a straight line. NaN where there are too few
    sizes: two for the slope, three for the interval.
    """
    slope = exponent(size, cost)
    if len(size) < 3:
        return slope, float("nan"), float("nan")
    fit = stats.linregress(np.log(size), np.log(cost))
    half = float(stats.t.ppf(0.975, len(size) - 2) * fit.stderr)
    return slope, slope - half, slope + half


@styled
def draw_simulation(data: pa.Table) -> Figure:
    """Draw time and memory against the number of users.

    Parameters
    ----------
    data
        A row for each size: ``users``, ``joins``, ``seconds``, ``cpu_seconds``,
        ``base_mib``, ``peak_mib``.
    """
    figure = new_figure(PAGE, 2.8)
    left, right = figure.subplots(1, 2)
    data = data.sort_by("users")
    users, joins = floats(data, "users"), floats(data, "joins")
    _line(left, users, floats(data, "seconds"), "on the clock", BLUE)
    _line(left, users, floats(data, "cpu_seconds"), "processor", MUTED)
    left.set_ylabel("seconds")
    added = floats(data, "peak_mib") - floats(data, "base_mib")
    _line(right, users, added, "peak, above that of Python", BLUE)
    allowed = (300 * users + 24 * joins) / 2**20
    _line(right, users, allowed, "300 B a user, 24 B a join", MUTED)
    right.set_ylabel("MiB")
    return figure


def _line(axes: Axes, size: Floats, cost: Floats, label: str, color: str) -> None:
    slope = exponent(size, cost)
    words = label if np.isnan(slope) else f"{label} (exponent {slope:.2f})"
    axes.loglog(size, cost, marker="o", ms=3.5, color=color, label=words)
    _plain_decades(axes)
    axes.set_xlabel("users")
    axes.legend(loc="upper left")


def _plain_decades(axes: Axes) -> None:
    """Label decades as numbers: our style takes no dollar sign for mathematics."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(numticks=6))
        axis.set_major_formatter(FuncFormatter(_short))
        axis.set_minor_formatter(NullFormatter())


def _short(value: float, _place: object = None) -> str:
    """Return 0.01, 100, 10k, 1M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


COLUMNS_OF_PANELS = 4
# Below it a cost is the clock's grain, or a few pages, and no line is drawn.
LEAST = {"seconds": 1e-6, "added_mib": 1.0}
# What varies in a series, and how it is drawn.
_SERIES = {"joins": BLUE, "users": BLUE, "groups": MUTED}


@styled
def draw_time(data: pa.Table) -> Figure:
    """Draw the seconds of every stage, a panel each.

    Parameters
    ----------
    data
        A row for each point: ``stage``, ``series`` (what varies: joins, groups or users),
        ``joins``, ``groups``, ``users``, ``seconds``, ``added_mib``.
    """
    return _panels(data, "seconds", "seconds")


@styled
def draw_memory(data: pa.Table) -> Figure:
    """Draw what every stage adds to the memory at its peak; the table is ``draw_time``'s."""
    return _panels(data, "added_mib", "MiB")


def _panels(data: pa.Table, cost: str, unit: str) -> Figure:
    stages = list(dict.fromkeys(data["stage"].to_pylist()))
    rows = -(-len(stages) // COLUMNS_OF_PANELS)
    figure = new_figure(PAGE, 1.75 * max(rows, 1))
    for place, stage in enumerate(stages):
        axes = figure.add_subplot(rows, COLUMNS_OF_PANELS, place + 1)
        axes.set_title(stage)
        if place % COLUMNS_OF_PANELS == 0:
            axes.set_ylabel(unit)
        for series, color in _SERIES.items():
            _stage_line(axes, data.filter((pc.field("stage") == stage) & _varies(series)),
                        series, cost, color)  # fmt: skip
        if not axes.lines:
            axes.text(0.5, 0.5, f"below {LEAST[cost]:g} {unit}", ha="center",
                      transform=axes.transAxes)  # fmt: skip
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            continue
        axes.legend(loc="upper left", fontsize="x-small")
        _plain_decades(axes)
        # Room for the legend above the lines.
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * (high / low) ** 0.35)
    return figure


def _varies(series: str) -> pc.Expression:
    return pc.field("series") == series


def _stage_line(axes: Axes, data: pa.Table, series: str, cost: str, color: str) -> None:
    """One series of a stage, without points that cost too little to be measured."""
    data = data.filter(pc.field(cost) >= LEAST[cost]).sort_by(series)
    if data.num_rows == 0:
        return
    size, paid = floats(data, series), floats(data, cost)
    slope = exponent(size, paid)
    label = series if np.isnan(slope) else f"{series} ({slope:.2f})"
    axes.loglog(size, paid, marker="o", ms=2.5, color=color, label=label)


COLORS = {"convert": "#009E73", "counts": "#D55E00", "spike": BLUE, "in memory": MUTED}
WORDS = {
    "convert": "convert", "counts": "frequentist, order", "spike": "spike",
    "in memory": "all three in memory",
}  # fmt: skip


@styled
def draw_memory_curve(data: pa.Table, trace: pa.Table) -> Figure:
    """Draw peaks against the size of the log, and the course of ``spike`` on the largest.

    Parameters
    ----------
    data
        A row for each piece of work and size: ``work``, ``rows``, ``log_mib``,
        ``allowed_mib``, ``peak_mib``, ``anonymous_mib``.
    trace
        A row for each sample: ``work``, ``rows``, ``second``, ``resident_mib``,
        ``anonymous_mib``.
    """
    figure = new_figure(PAGE, 2.8)
    left, right = figure.subplots(1, 2)
    _draw_peaks(left, data.sort_by("rows"))
    largest = trace.filter(pc.equal(trace["rows"], pc.max(trace["rows"])))
    _draw_course(right, largest.filter(pc.equal(largest["work"], "spike")))
    _draw_allowed(right, data)
    return figure


def _draw_peaks(axes: Axes, data: pa.Table) -> None:
    for work, color in COLORS.items():
        mine = data.filter(pc.equal(data["work"], work))
        size = floats(mine, "log_mib")
        axes.plot(size, floats(mine, "peak_mib"), "o-", ms=3, color=color, label=WORDS[work])
    _draw_allowed(axes, data)
    axes.set_xlabel("the log as a table in memory, MiB")
    axes.set_ylabel("peak resident memory, MiB")
    axes.legend(loc="upper left")


def _draw_course(axes: Axes, trace: pa.Table) -> None:
    second = floats(trace, "second")
    axes.plot(second, floats(trace, "resident_mib"), color=MUTED, label="with pages of files")
    axes.plot(second, floats(trace, "anonymous_mib"), color=BLUE, label="without")
    axes.set_xlabel("seconds, spike on the largest log")
    axes.set_ylabel("resident memory, MiB")
    axes.legend(loc="upper left")


def _draw_allowed(axes: Axes, data: pa.Table) -> None:
    allowed = float(np.max(floats(data, "allowed_mib")))
    axes.axhline(allowed, color=MUTED, lw=0.8, ls="--")
    axes.annotate("allowed", (1.0, allowed), xycoords=("axes fraction", "data"),
                  ha="right", va="bottom", color=MUTED)  # fmt: skip


@styled
def draw_large_run(trace: pa.Table, *, allowed_gib: float) -> Figure:
    """Draw the memory of each stage of a large log over its time, without pages of files.

    Parameters
    ----------
    trace
        A row for each sample of one log: ``stage``, ``second``, ``anonymous_mib``.
    allowed_gib
        What each stage was allowed.
    """
    figure = new_figure(PAGE, 2.8)
    axes = figure.subplots()
    stages = trace["stage"].unique().to_pylist()
    for stage in stages:
        mine = trace.filter(pc.equal(trace["stage"], stage))
        minutes = floats(mine, "second") / 60.0
        axes.plot(minutes, floats(mine, "anonymous_mib") / 1_024.0, label=stage)
    axes.axhline(allowed_gib, color=MUTED, lw=0.8, ls="--")
    axes.annotate("allowed", (1.0, allowed_gib), xycoords=("axes fraction", "data"),
                  ha="right", va="bottom", color=MUTED)  # fmt: skip
    axes.set_xlabel("minutes of the stage")
    axes.set_ylabel("memory, GiB")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
