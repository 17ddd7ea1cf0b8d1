"""Gateway score against group size: is a high score more than a small group's luck?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from gateway.detect import measure_of
from gateway.figures.labels import label, place
from gateway.figures.stored import (
    DETECTOR,
    constant,
    first,
    floats,
    has_truth,
    pooled_share,
    ranked_groups,
)
from gateway.figures.style import (
    COLUMN,
    FAINT,
    MUTED,
    PAPER,
    RULE,
    UNTOLD,
    flag_keys,
    role,
    role_keys,
    styled,
)
from gateway.figures.style import figure as new_figure
from gateway.wording import count, counted, percent

__all__ = ["NAME", "caption", "draw", "plotted"]

NAME: str = "funnel"

_COLUMNS = ("rank", "group", "role", "score", "n_joiners", "n_events", "flagged")
_NAMED = 5
"""Number of groups, from the highest score down, that get their names."""
_MANY = 1_500
"""More points than this become one image inside the SVG and PDF, to keep the files small."""


def plotted(tables: Mapping[str, pa.Table]) -> pa.Table | None:
    """Return every ranked group, or None where there is none; ``pooled`` as in top_gateways."""
    ranked = ranked_groups(tables)
    if ranked is None:
        return None
    return constant(ranked.select(_COLUMNS), "pooled", pooled_share(ranked))


@styled
def draw(data: pa.Table) -> Figure:
    """Draw ordinary groups as a grey cloud, planted and flagged ones over it."""
    figure = new_figure(COLUMN, 2.9)
    axes = figure.subplots()
    x, y = floats(data, "n_joiners"), 100.0 * floats(data, "score")
    front = _in_front(data)
    _draw_cloud(axes, x[~front], y[~front])
    _draw_front(axes, data, x, y, front)
    _set_axes(axes, x, y)
    pooled = 100.0 * first(data, "pooled")
    axes.axhline(pooled, color=MUTED, ls=":", lw=0.9, zorder=1.5)
    figure.legend(handles=_keys(data, front), loc="outside lower center", ncols=2)
    _name_extremes(figure, axes, data, x, y, front)
    return figure


def caption(data: pa.Table) -> str:
    """Say what a point is, how many there are, and why small groups lie near the line."""
    named = min(_NAMED, data.num_rows)
    truth = has_truth(data)
    front = "Groups with a planted role, and flagged ones," if truth else "Flagged groups"
    return (
        f"Score of the detector {DETECTOR} ({measure_of(DETECTOR).score.meaning}) against the "
        f"number of joiners (logarithmic) of {counted(data.num_rows, 'ranked group')}. {front} "
        f"stand out over a grey cloud of the others; filled marks are flagged "
        f"({count(sum(data['flagged'].to_pylist()))}). Dotted: "
        f"share of joiners that spike over all these groups ({percent(first(data, 'pooled'))}), "
        f"towards which the scores of small groups are shrunken. "
        f"Names: the highest {'score' if named == 1 else f'{named} scores'}, where they fit."
    )


def _in_front(data: pa.Table) -> npt.NDArray[np.bool_]:
    """Whether each group is drawn by role, shape (n,): planted, flagged, or named."""
    rows = zip(data["role"].to_pylist(), data["flagged"].to_pylist(), strict=True)
    return np.array(
        [
            name not in ("ordinary", UNTOLD) or flag or i < _NAMED
            for i, (name, flag) in enumerate(rows)
        ]
    )


def _draw_cloud(axes: Axes, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> None:
    axes.plot(
        x,
        y,
        ls="none",
        marker="o",
        ms=1.8,
        mec="none",
        mfc=FAINT,
        alpha=0.7,
        zorder=1,
        rasterized=len(x) > _MANY,
    )


def _draw_front(
    axes: Axes,
    data: pa.Table,
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    front: npt.NDArray[np.bool_],
) -> None:
    """Draw from the lowest rank up, so that the highest scores lie on top."""
    names, flagged = data["role"].to_pylist(), data["flagged"].to_pylist()
    for i in np.flatnonzero(front)[::-1]:
        drawn = role(names[i])
        face = drawn.color if flagged[i] else PAPER
        axes.plot(
            x[i], y[i], marker=drawn.marker, ms=3.6, mec=drawn.color, mfc=face, mew=0.8, zorder=2
        )


def _set_axes(axes: Axes, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(x.min() / 1.3, x.max() * 1.4)
    top = float(y.max()) or 1.0
    axes.set_ylim(-0.03 * top, 1.14 * top)  # whole marks at zero, and names over the highest
    is_short = x.max() < 60.0 * x.min()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if is_short else (1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("number of joiners")
    axes.set_ylabel(measure_of(DETECTOR).score.axis)
    axes.grid(color=RULE)


def _keys(data: pa.Table, front: npt.NDArray[np.bool_]) -> list[Line2D]:
    pooled = Line2D([], [], color=MUTED, ls=":", lw=0.9, label="all joiners")
    cloud = Line2D([], [], ls="none", marker="o", ms=2, mec="none", mfc=FAINT, label="other groups")
    names = [name for name, shown in zip(data["role"].to_pylist(), front, strict=True) if shown]
    if has_truth(data):
        return [*role_keys(names), cloud, pooled, *flag_keys()]
    return [*flag_keys(), cloud, pooled]


def _name_extremes(
    figure: Figure,
    axes: Axes,
    data: pa.Table,
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    front: npt.NDArray[np.bool_],
) -> None:
    """Name the highest scores, each beside its mark or at the end of a line to it."""
    FigureCanvasAgg(figure)
    for _ in range(3):  # the layout of axes and legend settles in a few rounds
        figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the places below are those of this layout
    names = [label(group, limit=20) for group in data["group"].to_pylist()[:_NAMED]]
    points = axes.transData.transform(np.column_stack([x, y]))
    place(axes, names, points[: len(names)], avoid=points[front])
