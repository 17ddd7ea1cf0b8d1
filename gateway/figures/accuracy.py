"""How right ranking and scorer are: precision and recall, reliability, power on a log."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from gateway.arrays import Float64
from gateway.check import PLACES
from gateway.detect.measure import words_of
from gateway.figures import style
from gateway.figures.selection import (
    Tables,
    constant,
    detected_groups,
    detectors,
    first,
    floats,
    metric,
    ordered,
    values,
    where,
)
from gateway.wording import count, counted, listed, percent

_MARKED = (50, 100)
"""Lengths of the list that are marked on the curve."""


_PLANTED = {"influence", "recommender", "inviter"}
"""Roles that are gateways, each named after its mechanism."""


def plotted_precision_recall(tables: Tables) -> pa.Table | None:
    """Return precision and recall down every detector's ranking, or None without gateways.

    The detector that the report is about comes first. ``last_rank`` is the rank at which
    the list ends, null where it takes in the unranked groups, which come last and all at
    once. Average precision, its interval and the share of homophily look-alikes among the
    top 50 are those of the evaluation table.
    """
    curves = [_curve(tables, name) for name in detectors(tables)]
    found = [curve for curve in curves if curve is not None]
    return pa.concat_tables(found) if found else None


def _curve(tables: Tables, detector: str) -> pa.Table | None:
    groups = detected_groups(tables, detector)
    if groups is None or not _PLANTED & set(groups["role"].to_pylist()):
        return None
    planted = np.isin(groups["role"].to_pylist(), sorted(_PLANTED))
    last = float(pc.max(groups["rank"]).as_py() or 0) + 1.0
    rank = np.nan_to_num(floats(groups, "rank"), nan=last)
    # Late: half a second to load.
    from sklearn.metrics import precision_recall_curve  # noqa: PLC0415

    precision, recall, threshold = precision_recall_curve(planted, -rank)
    ends = np.append(-threshold, 0.0)
    data = pa.table({
        "recall": recall, "precision": precision,
        "last_rank": pa.array(ends.astype(np.int64), pa.int32(), mask=ends >= last),
    })  # fmt: skip
    value, low, high = metric(tables, "average_precision", detector=detector)
    homophily, _, _ = metric(tables, "share_homophily_at_50", detector=detector)
    numbers: dict[str, float | str] = {
        "n_groups": float(planted.size),
        "n_planted": float(planted.sum()),
        "base_rate": float(planted.mean()),
        "average_precision": value,
        "ci_low": low,
        "ci_high": high,
        "share_homophily_at_50": homophily,
        "detector": detector,
    }
    for name, number in numbers.items():
        data = constant(data, name, number)
    return data


@style.styled
def draw_precision_recall(data: pa.Table, *, ax: Axes | None = None) -> style.AnyFigure:
    """Draw each detector's steps, the line of a blind ranking, and the numbers beside them."""
    figure = style.figure(style.COLUMN, 2.7, ax)
    axes = figure.subplots()
    leader, *others = _by_detector(data)
    for place, other in enumerate(others):
        colour, line = _OTHERS[place % len(_OTHERS)]
        axes.plot(*_steps(other), color=colour, ls=line, lw=0.9, drawstyle="steps-post")
    axes.plot(*_steps(leader), color=style.role("influence").color, drawstyle="steps-post")
    axes.set(xlim=(0.0, 1.02), ylim=(0.0, 1.04))
    axes.set_xlabel("recall (share of planted gateways found)")
    axes.set_ylabel("precision (share of list that is planted)")
    axes.grid(color=style.RULE)
    axes.axhline(first(data, "base_rate"), color=style.MUTED, ls=":", lw=0.9, zorder=1.5)
    if others:
        _name_detectors(figure, axes, [leader, *others])
    else:
        _mark_lengths(axes, leader)
        _write_numbers(axes, leader)
    return figure


_SHADES = (style.BLUE, style.INK, style.MUTED, style.FAINT)
_OTHERS = [(colour, line) for line in ("-", "--", ":") for colour in _SHADES]
"""Looks of the curves beside the first."""


def _by_detector(data: pa.Table) -> list[pa.Table]:
    return [where(data, detector=name) for name in values(data, "detector")]


def _steps(data: pa.Table) -> tuple[Float64, Float64]:
    """Recall and precision of a curve; before the first hit there is none worth a line."""
    recall, precision = floats(data, "recall"), floats(data, "precision")
    found = recall > 0.0
    return np.append(recall[found], 0.0), np.append(precision[found], precision[found][-1])


def _name_detectors(figure: style.AnyFigure, axes: Axes, curves: Sequence[pa.Table]) -> None:
    """Name the curves below the axes, each with its average precision."""
    lines = axes.get_lines()
    drawn = [lines[len(curves) - 1], *lines[: len(curves) - 1]]
    for line, curve in zip(drawn, curves, strict=True):
        value = first(curve, "average_precision")
        ap = "" if np.isnan(value) else f", AP {value:.2f}"
        line.set_label(f"{first(curve, 'detector').replace('_', ' ')}{ap}")
    figure.legend(handles=drawn, loc="outside lower center", ncols=2)


def caption_precision_recall(data: pa.Table) -> str:
    """Say what counts as found, what a blind ranking would reach, and who is mistaken for it."""
    leader, *others = _by_detector(data)
    if others:
        return _caption_of_several(leader)
    homophily = first(data, "share_homophily_at_50")
    mistaken = (
        ""
        if np.isnan(homophily)
        else f" Of the first 50 groups, {percent(homophily)} are homophily look-alikes, which "
        "attract users already inclined and send nobody."
    )
    n_planted = first(data, "n_planted")
    gateways = "is a planted gateway" if n_planted == 1 else "are planted gateways"
    return (
        f"Precision against recall down the ranking of {count(first(data, 'n_groups'))} groups by "
        f"gateway score; {count(n_planted)} of them {gateways}. Groups without a "
        f"rank come last, all at once. Dotted: a blind ranking "
        f"({percent(first(data, 'base_rate'))}). AP: average precision"
        f"{_interval_note(data)}. Squares: the first {_MARKED[0]} and {_MARKED[1]} groups."
        f"{mistaken}"
    )


def _caption_of_several(leader: pa.Table) -> str:
    return (
        f"Precision against recall down each detector's ranking of "
        f"{count(first(leader, 'n_groups'))} groups; {count(first(leader, 'n_planted'))} of them "
        f"are planted gateways. Groups without a rank come last, all at once. Dotted level: a "
        f"blind ranking ({percent(first(leader, 'base_rate'))}). AP: average precision."
    )


def _interval_note(data: pa.Table) -> str:
    return "" if np.isnan(first(data, "ci_low")) else ", with its 95 % interval in brackets"


def _mark_lengths(axes: Axes, data: pa.Table) -> None:
    """Mark where the list of the first 50 and of the first 100 groups ends."""
    ends = floats(data, "last_rank")
    ends[-1] = np.nan  # the curve's conventional end at recall 0 is no list
    for length in _MARKED:
        within = np.where(ends <= length, ends, -1.0)
        if within.max() <= 0 or np.nanmax(ends) < length:
            continue
        at = int(np.argmax(within))
        x, y = first(data.slice(at), "recall"), first(data.slice(at), "precision")
        axes.plot(x, y, marker="s", ms=3.4, color=style.INK, mec=style.PAPER, mew=0.6, zorder=3)
        axes.annotate(f"top {length}", (x, y), (3, 5), textcoords="offset points", fontsize=6)


def _write_numbers(axes: Axes, data: pa.Table) -> None:
    """Write the numbers into the corner that the curve leaves free."""
    recall, precision = floats(data, "recall"), floats(data, "precision")
    lines = []
    value, low, high = (first(data, name) for name in ("average_precision", "ci_low", "ci_high"))
    if not np.isnan(value):
        interval = "" if np.isnan(low) else f"  [{low:.2f}, {high:.2f}]"
        lines.append(f"AP {value:.2f}{interval}")
    homophily = first(data, "share_homophily_at_50")
    if not np.isnan(homophily):
        lines.append(f"look-alikes (homophily): {percent(homophily)} of top 50")
    lines.append(f"dotted: blind ranking, {first(data, 'base_rate'):.3f}")
    is_high = bool((precision[recall > 0.35] > 0.78).any())
    x, y, ha, va = (0.03, 0.1, "left", "bottom") if is_high else (0.99, 0.98, "right", "top")
    axes.text(x, y, "\n".join(lines), transform=axes.transAxes, ha=ha, va=va, linespacing=1.4)


_BINS = ("bin", "n", "predicted", "observed", "ci_low", "ci_high")


def plotted_reliability(tables: Tables) -> pa.Table | None:
    """Return the bins that hold predictions, or None without any."""
    bins = tables.get("reliability")
    if bins is None:
        return None
    filled = bins.filter(pc.greater(bins["n"], 0)).select(_BINS)
    return ordered(filled, "bin") if filled.num_rows else None


@style.styled
def draw_reliability(data: pa.Table, *, ax: Axes | None = None) -> style.AnyFigure:
    """Draw observed against predicted, and under it how many predictions each bin holds."""
    figure = style.figure(style.COLUMN, 3.5, ax)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4.0, 1.0))
    _draw_bins(upper, data)
    _draw_counts(lower, data)
    lower.set_xlabel("predicted probability (%)")
    return figure


def caption_reliability(data: pa.Table) -> str:
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
            style.log_axis(axis, (1.0, 2.0, 5.0) if top < 60 * bottom else (1.0, 3.0))
    axes.plot([bottom, top], [bottom, top], color=style.MUTED, ls="--", lw=0.8, zorder=1.5)
    axes.vlines(x, low, high, color=style.BLUE, lw=1.0)
    axes.plot(x, y, ls="none", marker="o", color=style.BLUE, ms=3.6)
    axes.set(xlim=(bottom, top), ylim=(bottom, top))
    axes.set_ylabel("observed share (%)")
    axes.grid(color=style.RULE)
    axes.text(
        0.03, 0.97, "dashed: perfect calibration", transform=axes.transAxes, va="top",
        color=style.MUTED, bbox={"boxstyle": "square,pad=0.15", "fc": style.PAPER, "ec": "none"},
    )  # fmt: skip


def _draw_counts(axes: Axes, data: pa.Table) -> None:
    x, n = floats(data, "predicted") * 100.0, floats(data, "n")
    is_skewed = _is_skewed(data)
    if is_skewed:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=4))
        axes.yaxis.set_minor_locator(NullLocator())
    floor = 0.5 * n.min() if is_skewed else 0.0
    axes.vlines(x, floor, n, color=style.MUTED, lw=2.4)
    axes.set_ylim(floor, n.max() * (2.0 if is_skewed else 1.1))
    style.count_axis(axes.yaxis)
    axes.set_ylabel("predictions")
    axes.grid(axis="y", color=style.RULE)


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
    for row, measure in zip(grid, metrics, strict=True):
        for axes, place in zip(row, places, strict=True):
            mine = where(data, metric=measure, where=place)
            _draw_panel(axes, mine, names, is_power=measure == "power")
            if measure == metrics[0]:
                axes.set_title(f"gateways {place}")
            if measure == metrics[-1]:
                axes.set_xlabel("planted rate ratio")
        row[0].set_ylabel(_METRICS[measure])
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
