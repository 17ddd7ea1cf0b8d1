"""Detectors over many simulated worlds of one kind, metrics side by side.

Read from the evaluations that a sweep over seeds has compacted, from those of one run with
several detectors, or from a ready table ``benchmark`` (detector, truth, metric, value, ci_low,
ci_high, n_worlds).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from gateway.evaluate.replicates import compare_detectors
from gateway.figures import style
from gateway.figures.selection import DETECTOR, Tables, detector_words, floats, values, where
from gateway.wording import count, counted, listed

_METRICS = {
    "average_precision": "average precision",
    "precision_at_50": "precision at 50",
    "recall_at_100": "recall at 100",
    "share_homophily_at_100": "look-alikes: homophily\n(share of the top 100)",
    "share_fellow_traveller_at_100": "look-alikes: fellow travellers\n(share of the top 100)",
}
"""What is drawn, in the order of the panels; at most four that the table holds."""
_PANELS = 4
_TRUTHS = {"planted": ("o", style.BLUE), "direct": ("s", "#D55E00")}


def plotted_benchmark(tables: Tables) -> pa.Table | None:
    """Return the metrics that are drawn, detectors in their order from top to bottom.

    By falling average precision against the first truth, the note's own method where it
    falls; None where there is nothing to compare.
    """
    table = tables.get("benchmark")
    if table is None and "evaluation" in tables:
        table = compare_detectors(tables["evaluation"])
    if table is None:
        return None
    shown = [key for key in _METRICS if key in set(table["metric"].to_pylist())][:_PANELS]
    # Total effects are measured of a few chosen groups, often gateways alone: how they stand
    # among each other is told by a correlation, not by who is above whom of all groups.
    among_all = pc.not_equal(table["truth"], "total")
    table = table.filter(
        pc.and_(among_all, pc.is_in(table["metric"], pa.array(shown, pa.string())))
    )
    rows = table.to_pylist()
    if not rows:
        return None
    truths = _truths(rows)
    place = {name: i for i, name in enumerate(_order(rows, truths[0]))}
    rows.sort(key=lambda r: (shown.index(r["metric"]), place[r["detector"]],
                             truths.index(r["truth"])))  # fmt: skip
    return pa.Table.from_pylist(rows, schema=table.schema)


@style.styled
def draw_benchmark(data: pa.Table, *, ax: Axes | None = None) -> style.AnyFigure:
    """Draw a row of marks for each detector, one panel per metric."""
    metrics, detectors = values(data, "metric"), values(data, "detector")
    truths = _truths(data.to_pylist())
    figure = style.figure(style.PAGE, 0.95 + 0.24 * len(detectors), ax)
    grid = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, metric in zip(grid, metrics, strict=True):
        _draw_metric(axes, where(data, metric=metric), detectors, truths)
        axes.set_title(_METRICS.get(metric, metric.replace("_", " ")))
    labels = [detector_words(name) for name in detectors]
    grid[0].set_yticks(range(len(detectors)), labels)
    grid[0].set_ylim(len(detectors) - 0.4, -0.6)
    keys = [_truth_key(truth) for truth in truths]
    if len(keys) > 1:
        figure.legend(handles=keys, loc="outside lower center", ncols=len(keys))
    return figure


def caption_benchmark(data: pa.Table) -> str:
    """Say which truths, how many worlds, what the bar is, and who ranks best."""
    truths, worlds = _truths(data.to_pylist()), int(pc.max(data["n_worlds"]).as_py())
    bar = (
        f"mean over {count(worlds)} simulated worlds and its 95 % interval"
        if worlds > 1
        else "value in one simulated world and its 95 % bootstrap interval over groups"
    )
    n = len(values(data, "detector"))
    return (
        f"Ranking by {counted(n, 'detector')} against the truth ({listed(truths)}). Mark and bar: "
        f"{bar}. Detectors stand by falling average precision against the "
        f"{truths[0]} truth; spike is the leaked note's own method. Look-alikes send nobody: "
        "the fewer of them in the top 100, the better."
    )


def _truths(rows: Sequence[Mapping[str, str]]) -> list[str]:
    found = {row["truth"] for row in rows}
    return [*(t for t in _TRUTHS if t in found), *sorted(found - set(_TRUTHS))]


def _order(rows: Sequence[Mapping[str, str]], truth: str) -> list[str]:
    """Detectors by falling average precision, then by name."""
    best = {r["detector"]: float(r["value"] or 0.0) for r in rows
            if (r["metric"], r["truth"]) == ("average_precision", truth)}  # fmt: skip
    names = {row["detector"] for row in rows}
    return sorted(names, key=lambda name: (-best.get(name, 0.0), name))


def _draw_metric(
    axes: Axes, rows: pa.Table, detectors: Sequence[str], truths: Sequence[str]
) -> None:
    for i, truth in enumerate(truths):
        mine = where(rows, truth=truth)
        y = np.array([detectors.index(name) for name in mine["detector"].to_pylist()])
        y = y + 0.22 * (i - (len(truths) - 1) / 2)
        value, low, high = (floats(mine, key) for key in ("value", "ci_low", "ci_high"))
        marker, color = _TRUTHS.get(truth, ("D", style.INK))
        axes.hlines(y, low, high, color=color, lw=1.0)
        axes.plot(value, y, ls="none", marker=marker, ms=3.6, mfc=color, mec=style.PAPER, mew=0.4)
    axes.set_xlim(-0.03, 1.03)
    axes.set_xticks([0.0, 0.5, 1.0])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=style.RULE)
    if DETECTOR in detectors:
        axes.axhline(detectors.index(DETECTOR), color=style.MUTED, lw=0.5, ls=":", zorder=0.5)


def _truth_key(truth: str) -> Line2D:
    marker, color = _TRUTHS.get(truth, ("D", style.INK))
    text = f"{truth} truth"
    return Line2D([], [], ls="none", marker=marker, mfc=color, mec=style.PAPER, label=text)
