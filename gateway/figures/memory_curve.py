"""Memory of runs on a log that stays on disk: against its size, and against time.

Not a figure of a result: it reads the tables that ``experiments/memory_curve.py`` measures.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gateway.figures.stored import floats
from gateway.figures.style import BLUE, MUTED, PAGE, styled
from gateway.figures.style import figure as new_figure

__all__ = ["NAME", "draw"]

NAME: str = "memory_curve"

COLORS = {"convert": "#009E73", "counts": "#D55E00", "spike": BLUE, "in memory": MUTED}
WORDS = {
    "convert": "convert", "counts": "frequentist, order", "spike": "spike",
    "in memory": "all three in memory",
}  # fmt: skip


@styled
def draw(data: pa.Table, trace: pa.Table) -> Figure:
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
