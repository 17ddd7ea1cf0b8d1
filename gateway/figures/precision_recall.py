"""Precision and recall of the ranking against the planted gateways."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve

from gateway.figures.stored import constant, first, floats, metric, spike_groups
from gateway.figures.style import COLUMN, INK, MUTED, PAPER, RULE, role, styled
from gateway.figures.style import figure as new_figure
from gateway.figures.words import count, percent

__all__ = ["NAME", "caption", "draw", "plotted"]

NAME: str = "precision_recall"

_MARKED = (50, 100)
"""Lengths of the list that are marked on the curve."""


_PLANTED = {"influence", "recommender", "inviter"}
"""Roles that are gateways, each named after its mechanism."""


def plotted(tables: Mapping[str, pa.Table]) -> pa.Table | None:
    """Return precision and recall down the ranking, or None without planted gateways.

    ``last_rank`` is the rank at which the list ends, null where it takes in the unranked
    groups, which come last and all at once. Average precision, its interval and the share
    of homophily look-alikes among the top 50 are those of the evaluation table.
    """
    groups = spike_groups(tables)
    if groups is None or not _PLANTED & set(groups["role"].to_pylist()):
        return None
    planted = np.isin(groups["role"].to_pylist(), sorted(_PLANTED))
    last = float(pc.max(groups["rank"]).as_py() or 0) + 1.0
    rank = np.nan_to_num(floats(groups, "rank"), nan=last)
    precision, recall, threshold = precision_recall_curve(planted, -rank)
    ends = np.append(-threshold, 0.0)
    data = pa.table(
        {
            "recall": recall,
            "precision": precision,
            "last_rank": pa.array(ends.astype(np.int64), pa.int32(), mask=ends >= last),
        }
    )
    return _with_numbers(data, tables, planted)


def _with_numbers(
    data: pa.Table, tables: Mapping[str, pa.Table], planted: npt.NDArray[np.bool_]
) -> pa.Table:
    value, low, high = metric(tables, "average_precision")
    homophily, _, _ = metric(tables, "share_homophily_at_50")
    numbers = {
        "n_groups": float(planted.size),
        "n_planted": float(planted.sum()),
        "base_rate": float(planted.mean()),
        "average_precision": value,
        "ci_low": low,
        "ci_high": high,
        "share_homophily_at_50": homophily,
    }
    for name, number in numbers.items():
        data = constant(data, name, number)
    return data


@styled
def draw(data: pa.Table) -> Figure:
    """Draw the step curve, the line of a blind ranking, and the numbers beside them."""
    figure = new_figure(COLUMN, 2.7)
    axes = figure.subplots()
    recall, precision = floats(data, "recall"), floats(data, "precision")
    found = recall > 0.0  # before the first hit there is no precision worth a line
    recall = np.append(recall[found], 0.0)
    precision = np.append(precision[found], precision[found][-1])
    axes.plot(recall, precision, color=role("influence").color, drawstyle="steps-post")
    axes.set(xlim=(0.0, 1.02), ylim=(0.0, 1.04))
    axes.set_xlabel("recall (share of planted gateways found)")
    axes.set_ylabel("precision (share of list that is planted)")
    axes.grid(color=RULE)
    _mark_lengths(axes, data)
    axes.axhline(first(data, "base_rate"), color=MUTED, ls=":", lw=0.9, zorder=1.5)
    _write_numbers(axes, data)
    return figure


def caption(data: pa.Table) -> str:
    """Say what counts as found, what a blind ranking would reach, and who is mistaken for it."""
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
        axes.plot(x, y, marker="s", ms=3.4, color=INK, mec=PAPER, mew=0.6, zorder=3)
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
