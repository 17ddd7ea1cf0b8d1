"""The highest ranked groups with their estimates, and the score against the groups' size.

By the note's method where it ran, else by the first detector that did. What the estimate
is, its axis and its value of no effect are the detector's own (``gateway.detect.Measure``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from gateway.arrays import Float64, Mask
from gateway.detect import Measure, measure_of
from gateway.detect.measure import LEADING
from gateway.figures import style
from gateway.figures.labels import label, place
from gateway.figures.selection import (
    Tables,
    constant,
    detectors,
    first,
    floats,
    has_truth,
    no_effect,
    pooled_share,
    ranked_groups,
)
from gateway.wording import count, counted, percent

_COLUMNS = (
    "detector", "rank", "group", "role", "score", "ci_low", "ci_high", "estimate", "n_joiners",
    "n_events", "flagged",
)  # fmt: skip


def plotted_top_gateways(tables: Tables, *, top: int = 30) -> pa.Table | None:
    """Return the first ``top`` ranked groups, or None where no group is ranked.

    ``no_effect`` is the value of the estimate where a group has nothing to do with targets,
    null where there is none; ``n_ranked`` says how many groups are ranked.
    """
    names = detectors(tables)
    ranked = ranked_groups(tables, names[0]) if names else None
    if ranked is None:
        return None
    data = ranked.slice(0, top)
    none = pa.array(no_effect(data, measure_of(names[0])), from_pandas=True)
    data = data.select(_COLUMNS).append_column("no_effect", none)
    return constant(data, "n_ranked", float(ranked.num_rows))


@style.styled
def draw_top_gateways(data: pa.Table, *, ax: Axes | None = None) -> style.AnyFigure:
    """Draw one row per group, best on top."""
    measure = _measure(data)
    figure = style.figure(style.COLUMN, 0.148 * data.num_rows + 1.15, ax)
    draw_forest(figure.subplots(), data, measure)
    keys = style.role_keys(data["role"].to_pylist()) if has_truth(data) else []
    keys += style.flag_keys()
    figure.legend(handles=keys, loc="outside lower center", ncols=2)
    return figure


@style.styled
def draw_forest(axes: Axes, data: pa.Table, measure: Measure) -> Axes:
    """Draw the rows of ``plotted_top_gateways`` into axes, which are returned."""
    _draw_rows(axes, data, measure)
    _label_rows(axes, data, measure)
    axes.set_xlabel(measure.estimate.axis)
    return axes


def _measure(data: pa.Table) -> Measure:
    return measure_of(first(data, "detector"))


def caption_top_gateways(data: pa.Table) -> str:
    """Say what is ranked by what, out of how many, what is drawn, and where no effect is."""
    measure = _measure(data)
    n_flagged = sum(data["flagged"].to_pylist())
    colour = " Colour and shape give the planted role." if has_truth(data) else ""
    bars = np.isfinite(floats(data, "ci_low")).any()
    bar = " Bar: its 95 % interval; an arrow where it goes on beyond the axis." if bars else ""
    line = "" if np.isnan(floats(data, "no_effect")).all() else " Dotted: no effect."
    axis = ", on a logarithmic axis" if measure.estimate.is_log else ""
    level = "" if measure.holds_level else (
        " Nobody is flagged: the p-values of this detector do not hold their level."
    )  # fmt: skip
    flagged = f" Filled: flagged as a gateway group ({count(n_flagged)} of those shown)."
    return (
        f"The {counted(data.num_rows, 'group')} that the detector "
        f"{measure.detector.replace('_', ' ')} ranks highest of "
        f"{count(first(data, 'n_ranked'))}, by the {measure.score.axis}: {measure.score.meaning} "
        f"(first number on the right; second: joiners). Dot: the "
        f"{measure.estimate.axis}{axis}: {measure.estimate.meaning}.{bar}{line}"
        f"{level or flagged}{colour}"
    )


def _draw_rows(axes: Axes, data: pa.Table, measure: Measure) -> None:
    factor = measure.estimate.factor
    estimate, low, high, none = (
        factor * floats(data, name) for name in ("estimate", "ci_low", "ci_high", "no_effect")
    )
    least, most = _limits(np.concatenate([estimate, none]), low, high, measure)
    if measure.estimate.is_log:
        _set_log_axis(axes, most / least)
    axes.set_xlim(least, most)
    _draw_no_effect(axes, none)
    rows = zip(data["role"].to_pylist(), data["flagged"].to_pylist(), strict=True)
    for y, (name, is_flagged) in enumerate(rows):
        drawn = style.role(name)
        if low[y] <= high[y]:
            ends = np.clip([low[y], high[y]], least, most)
            axes.plot(ends, [y, y], color=drawn.color, lw=0.9, solid_capstyle="butt")
        for beyond, end, marker in (
            (low[y] < least, least, "<"),
            (high[y] > most, most, ">"),
            (estimate[y] < least, least, "<"),
            (estimate[y] > most, most, ">"),
        ):
            if beyond:
                axes.plot(end, y, marker=marker, ms=3.2, color=drawn.color, clip_on=False)
        face = drawn.color if is_flagged else style.PAPER
        if least <= estimate[y] <= most:
            axes.plot(estimate[y], y, marker=drawn.marker, mec=drawn.color, mfc=face, zorder=3)
    axes.set_ylim(data.num_rows - 0.4, -0.6)
    axes.grid(axis="x", color=style.RULE)


def _set_log_axis(axes: Axes, span: float) -> None:
    axes.set_xscale("log")
    near = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if span < 8.0 else (1.0, 2.0, 5.0)
    style.log_axis(axes.xaxis, near if span < 100.0 else (1.0,))


def _draw_no_effect(axes: Axes, none: Float64) -> None:
    """One line where it is the same for all, else a piece in each row."""
    known = none[np.isfinite(none)]
    if len(known) and np.ptp(known) == 0.0:
        axes.axvline(known[0], color=style.MUTED, ls=":", lw=0.9, zorder=1.5)
    elif len(known):
        y = np.arange(len(none))
        axes.vlines(none, y - 0.5, y + 0.5, color=style.MUTED, ls=":", lw=0.9, zorder=1.5)


def _limits(points: Float64, low: Float64, high: Float64, measure: Measure) -> tuple[float, float]:
    """Ends of the axis: every estimate and no effect, and intervals as far as they are near.

    A bar may be without end, or so long that the others would be dots beside it.
    """
    points = points[np.isfinite(points)]
    if measure.estimate.is_log:
        points = points[points > 0]
        least, most = (points.min(), points.max()) if len(points) else (0.5, 2.0)
        reach = max(most / least, 2.0)
        ends = np.concatenate([low, high])
        ends = ends[np.isfinite(ends) & (ends >= least / reach) & (ends <= most * reach)]
        least, most = min([least, *ends]), max([most, *ends])
        return float(least / 1.1), float(most * 1.1)
    ends = np.concatenate([points, low[np.isfinite(low)], high[np.isfinite(high)], [0.0]])
    least, most = float(ends.min()), float(ends.max())
    room = 0.04 * (most - least) or 1.0
    return least - (room if least < 0.0 else 0.0), most + room


def _label_rows(axes: Axes, data: pa.Table, measure: Measure) -> None:
    """Write rank and name on the left, score and number of joiners on the right."""
    names = [label(group, limit=22) for group in data["group"].to_pylist()]
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.tick_params(axis="y", length=0, pad=17)
    axes.spines["left"].set_visible(False)
    score, n = measure.score, data["n_joiners"].to_pylist()
    unit = {"share": "score (%)", "points": "score (pp)", "": "score"}[score.unit]
    scores = [
        f"{value:.{1 if score.unit else 2}f}" for value in score.factor * floats(data, "score")
    ]
    ranks = data["rank"].to_pylist()
    for y, rank in enumerate(ranks):
        _write(axes, 0.0, -5, y, str(rank))
    for y, (value, joiners) in enumerate(zip(scores, n, strict=True)):
        _write(axes, 1.0, 30, y, value.replace("-", "\N{MINUS SIGN}"))
        _write(axes, 1.0, 55, y, count(joiners))
    _write(axes, 1.0, 30, -1.0, unit)
    _write(axes, 1.0, 55, -1.0, "joiners")


def _write(axes: Axes, edge: float, points: float, y: float, text: str) -> None:
    """Write text that ends so many points to the right of an edge of the axes."""
    axes.annotate(
        text, xy=(edge, y), xycoords=axes.get_yaxis_transform(), xytext=(points, 0),
        textcoords="offset points", ha="right", va="center_baseline", fontsize=6, color=style.MUTED,
        annotation_clip=False,
    )  # fmt: skip


_FUNNEL_COLUMNS = ("rank", "group", "role", "score", "n_joiners", "n_events", "flagged")
_NAMED = 5
"""Number of groups, from the highest score down, that get their names."""
_MANY = 1_500
"""More points than this become one image inside the SVG and PDF, to keep the files small."""


def plotted_funnel(tables: Tables) -> pa.Table | None:
    """Return every ranked group, or None where there is none; ``pooled`` as in top_gateways."""
    ranked = ranked_groups(tables)
    if ranked is None:
        return None
    return constant(ranked.select(_FUNNEL_COLUMNS), "pooled", pooled_share(ranked))


@style.styled
def draw_funnel(data: pa.Table, *, ax: Axes | None = None) -> style.AnyFigure:
    """Draw ordinary groups as a grey cloud, planted and flagged ones over it."""
    figure = style.figure(style.COLUMN, 2.9, ax)
    axes = figure.subplots()
    x, y = floats(data, "n_joiners"), 100.0 * floats(data, "score")
    front = _in_front(data)
    _draw_cloud(axes, x[~front], y[~front])
    _draw_front(axes, data, x, y, front)
    _set_axes(axes, x, y)
    pooled = 100.0 * first(data, "pooled")
    axes.axhline(pooled, color=style.MUTED, ls=":", lw=0.9, zorder=1.5)
    figure.legend(handles=_funnel_keys(data, front), loc="outside lower center", ncols=2)
    _name_extremes(figure, axes, data, x, y, front)
    return figure


def caption_funnel(data: pa.Table) -> str:
    """Say what a point is, how many there are, and why small groups lie near the line."""
    named = min(_NAMED, data.num_rows)
    truth = has_truth(data)
    front = "Groups with a planted role, and flagged ones," if truth else "Flagged groups"
    return (
        f"Score of the detector {LEADING} ({measure_of(LEADING).score.meaning}) against the "
        f"number of joiners (logarithmic) of {counted(data.num_rows, 'ranked group')}. {front} "
        f"stand out over a grey cloud of the others; filled marks are flagged "
        f"({count(sum(data['flagged'].to_pylist()))}). Dotted: "
        f"share of joiners that spike over all these groups ({percent(first(data, 'pooled'))}), "
        f"towards which the scores of small groups are shrunken. "
        f"Names: the highest {'score' if named == 1 else f'{named} scores'}, where they fit."
    )


def _in_front(data: pa.Table) -> Mask:
    """Whether each group is drawn by role, shape (n,): planted, flagged, or named."""
    rows = zip(data["role"].to_pylist(), data["flagged"].to_pylist(), strict=True)
    return np.array(
        [
            name not in ("ordinary", style.UNTOLD) or flag or i < _NAMED
            for i, (name, flag) in enumerate(rows)
        ]
    )


def _draw_cloud(axes: Axes, x: Float64, y: Float64) -> None:
    axes.plot(
        x, y, ls="none", marker="o", ms=1.8, mec="none", mfc=style.FAINT, alpha=0.7, zorder=1,
        rasterized=len(x) > _MANY,
    )  # fmt: skip


def _draw_front(axes: Axes, data: pa.Table, x: Float64, y: Float64, front: Mask) -> None:
    """Draw from the lowest rank up, so that the highest scores lie on top."""
    names, flagged = data["role"].to_pylist(), data["flagged"].to_pylist()
    for i in np.flatnonzero(front)[::-1]:
        drawn = style.role(names[i])
        face = drawn.color if flagged[i] else style.PAPER
        axes.plot(
            x[i], y[i], marker=drawn.marker, ms=3.6, mec=drawn.color, mfc=face, mew=0.8, zorder=2
        )


def _set_axes(axes: Axes, x: Float64, y: Float64) -> None:
    axes.set_xscale("log")
    axes.set_xlim(x.min() / 1.3, x.max() * 1.4)
    top = float(y.max()) or 1.0
    axes.set_ylim(-0.03 * top, 1.14 * top)  # whole marks at zero, and names over the highest
    is_short = x.max() < 60.0 * x.min()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if is_short else (1.0,)))
    style.count_axis(axes.xaxis)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("number of joiners")
    axes.set_ylabel(measure_of(LEADING).score.axis)
    axes.grid(color=style.RULE)


def _funnel_keys(data: pa.Table, front: Mask) -> list[Line2D]:
    pooled = Line2D([], [], color=style.MUTED, ls=":", lw=0.9, label="all joiners")
    dots: dict[str, Any] = {"ls": "none", "marker": "o", "ms": 2, "mec": "none", "mfc": style.FAINT}
    cloud = Line2D([], [], label="other groups", **dots)
    names = [name for name, shown in zip(data["role"].to_pylist(), front, strict=True) if shown]
    if has_truth(data):
        return [*style.role_keys(names), cloud, pooled, *style.flag_keys()]
    return [*style.flag_keys(), cloud, pooled]


def _name_extremes(
    figure: style.AnyFigure, axes: Axes, data: pa.Table, x: Float64, y: Float64, front: Mask
) -> None:
    """Name the highest scores, each beside its mark or at the end of a line to it."""
    whole = style.whole_of(figure)
    FigureCanvasAgg(whole)
    for _ in range(3):  # the layout of axes and legend settles in a few rounds
        whole.draw_without_rendering()
    if figure is whole:
        whole.set_layout_engine("none")  # the places below are those of this layout
    names = [label(group, limit=20) for group in data["group"].to_pylist()[:_NAMED]]
    points = axes.transData.transform(np.column_stack([x, y]))
    place(axes, names, points[: len(names)], avoid=points[front])
