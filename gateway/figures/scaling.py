"""The simulator against size: seconds and memory, both axes logarithmic.

Not a figure of a result: it reads the table that ``experiments/bench_simulation.py``
measures.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gateway.figures.stored import floats
from gateway.figures.style import BLUE, MUTED, PAGE, styled
from gateway.figures.style import figure as new_figure

__all__ = ["NAME", "draw", "exponent"]

NAME: str = "scaling"

Floats = npt.NDArray[np.float64]


def exponent(size: Floats, cost: Floats) -> float:
    """Return the slope of log cost on log size by least squares; NaN for a single size."""
    if len(size) < 2:
        return float("nan")
    return float(np.polyfit(np.log(size), np.log(cost), 1)[0])


@styled
def draw(data: pa.Table) -> Figure:
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
    axes.set_xlabel("users")
    axes.legend(loc="upper left")
