"""Detectors over many simulated worlds: metrics side by side, and maps over two swept keys.

They read the evaluations that a sweep has compacted, those of one run with several
detectors, or ready tables ``benchmark`` (detector, truth, metric, value, ci_low, ci_high,
n_worlds) and ``phase_diagram`` (x_key, x, y_key, y, detector, metric, value, n_worlds).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from gateway.evaluate import summarise_replicates
from gateway.evaluate.replicates import compare_detectors, is_sweep, swept_keys
from gateway.figures.selection import DETECTOR, first, floats
from gateway.figures.style import (
    BLUE,
    INK,
    MUTED,
    PAGE,
    PAPER,
    RULE,
    AnyFigure,
    letters_on,
    panels,
    styled,
)
from gateway.figures.style import figure as new_figure
from gateway.wording import count, counted, listed

__all__ = [
    "caption_benchmark",
    "caption_phase_diagram",
    "draw_benchmark",
    "draw_phase_diagram",
    "plotted_benchmark",
    "plotted_phase_diagram",
]

_METRICS = {
    "average_precision": "average precision",
    "precision_at_50": "precision at 50",
    "recall_at_100": "recall at 100",
    "share_homophily_at_100": "look-alikes: homophily\n(share of the top 100)",
    "share_fellow_traveller_at_100": "look-alikes: fellow travellers\n(share of the top 100)",
}
"""What is drawn, in the order of the panels; at most four that the table holds."""
_PANELS = 4
_TRUTHS = {"planted": ("o", BLUE), "direct": ("s", "#D55E00")}


def plotted_benchmark(tables: Mapping[str, pa.Table]) -> pa.Table | None:
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


@styled
def draw_benchmark(data: pa.Table, *, ax: Axes | None = None) -> AnyFigure:
    """Draw a row of marks for each detector, one panel per metric."""
    metrics = list(dict.fromkeys(data["metric"].to_pylist()))
    detectors = list(dict.fromkeys(data["detector"].to_pylist()))
    truths = _truths(data.to_pylist())
    figure = new_figure(PAGE, 0.95 + 0.24 * len(detectors), ax)
    grid = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, metric in zip(grid, metrics, strict=True):
        _draw_metric(axes, data.filter(pc.equal(data["metric"], metric)), detectors, truths)
        axes.set_title(_METRICS.get(metric, metric.replace("_", " ")))
    labels = [_words(name) for name in detectors]
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
    n = len(set(data["detector"].to_pylist()))
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
        mine = rows.filter(pc.equal(rows["truth"], truth))
        y = np.array([detectors.index(name) for name in mine["detector"].to_pylist()])
        y = y + 0.22 * (i - (len(truths) - 1) / 2)
        value, low, high = (floats(mine, key) for key in ("value", "ci_low", "ci_high"))
        marker, color = _TRUTHS.get(truth, ("D", INK))
        axes.hlines(y, low, high, color=color, lw=1.0)
        axes.plot(value, y, ls="none", marker=marker, ms=3.6, mfc=color, mec=PAPER, mew=0.4)
    axes.set_xlim(-0.03, 1.03)
    axes.set_xticks([0.0, 0.5, 1.0])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=RULE)
    if DETECTOR in detectors:
        axes.axhline(detectors.index(DETECTOR), color=MUTED, lw=0.5, ls=":", zorder=0.5)


def _truth_key(truth: str) -> Line2D:
    marker, color = _TRUTHS.get(truth, ("D", INK))
    return Line2D([], [], ls="none", marker=marker, mfc=color, mec=PAPER, label=f"{truth} truth")


def _words(name: str) -> str:
    return f"{name.replace('_', ' ')}{' (the note)' if name == DETECTOR else ''}"


_METRIC, _TRUTH = "average_precision", "planted"
_MAP_COLUMNS = ("x_key", "x", "y_key", "y", "detector", "metric", "value", "n_worlds")
_MOST_PANELS = 8
_MOST_WRITTEN = 49
"""Cells of a panel up to which each has its number in it."""


def plotted_phase_diagram(tables: Mapping[str, pa.Table]) -> pa.Table | None:
    """Return one row per detector and cell, means over replicates.

    None where no two numeric keys were swept. Of more than two, the first two span the
    map; the others are averaged over, and the caption's number of worlds tells.
    """
    table = tables["phase_diagram"] if "phase_diagram" in tables else _from_sweep(tables)
    if table is None or table.num_rows == 0:
        return None
    order = [(key, "ascending") for key in ("detector", "y", "x")]
    return table.select(_MAP_COLUMNS).sort_by(order).combine_chunks()


def _from_sweep(tables: Mapping[str, pa.Table]) -> pa.Table | None:
    evaluation = tables.get("evaluation")
    if evaluation is None or not is_sweep(evaluation):
        return None
    keys = [key for key in swept_keys(evaluation) if _is_number(evaluation[key].type)]
    if len(keys) < 2:
        return None
    x, y = keys[:2]
    wanted = pc.and_(pc.equal(evaluation["metric"], _METRIC), pc.equal(evaluation["truth"], _TRUTH))
    means = summarise_replicates(evaluation.filter(wanted), by=(x, y, "detector", "metric"))
    n = means.num_rows
    return pa.table(
        {
            "x_key": pa.array([x] * n, pa.string()),
            "x": means[x].cast(pa.float64()),
            "y_key": pa.array([y] * n, pa.string()),
            "y": means[y].cast(pa.float64()),
            **{key: means[key] for key in ("detector", "metric", "value", "n_worlds")},
        }
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


@styled
def draw_phase_diagram(data: pa.Table, *, ax: Axes | None = None) -> AnyFigure:
    """Draw one panel per detector on one scale, the note's own first."""
    names = _detectors(data)
    figure = new_figure(PAGE, 0.55 + 1.75 * -(-len(names) // 4), ax)
    grid = panels(
        figure, len(names), most_columns=4,
        x=_axis(first(data, "x_key")), y=_axis(first(data, "y_key")),
    )  # fmt: skip
    for axes, name in zip(grid, names, strict=True):
        _draw_map(axes, data.filter(pc.equal(data["detector"], name)), name)
    bar = figure.colorbar(grid[0].collections[0], ax=grid, shrink=0.8, pad=0.02)
    bar.set_label(first(data, "metric").replace("_", " "))
    bar.outline.set_visible(False)
    return figure


def caption_phase_diagram(data: pa.Table) -> str:
    """Say what a cell is, over how many worlds, and which keys span the map."""
    worlds = int(pc.min(data["n_worlds"]).as_py())
    shown, n = len(_detectors(data)), len(set(data["detector"].to_pylist()))
    cut = f"; the first {count(shown)} of {counted(n, 'detector')}" if shown < n else ""
    return (
        f"Phase diagram: {first(data, 'metric').replace('_', ' ')} of each detector against the "
        f"planted gateways, by {first(data, 'x_key')} and {first(data, 'y_key')}. Each cell: mean "
        f"over {counted(worlds, 'simulated world')}{' or more' if _is_uneven(data) else ''}; all "
        f"panels share one scale from 0 to 1{cut}."
    )


def _is_uneven(data: pa.Table) -> bool:
    return len(set(data["n_worlds"].to_pylist())) > 1


def _detectors(data: pa.Table) -> list[str]:
    names = sorted(set(data["detector"].to_pylist()), key=lambda name: (name != DETECTOR, name))
    return names[:_MOST_PANELS]


def _draw_map(axes: Axes, rows: pa.Table, name: str) -> None:
    xs, ys = (sorted(set(rows[key].to_pylist())) for key in ("x", "y"))
    cells = _grid(rows, xs, ys)
    axes.pcolormesh(
        np.arange(len(xs) + 1) - 0.5,
        np.arange(len(ys) + 1) - 0.5,
        np.ma.masked_invalid(cells),
        cmap="cividis", vmin=0.0, vmax=1.0, edgecolors="face", linewidth=0.2,
    )  # fmt: skip
    if cells.size <= _MOST_WRITTEN:
        _write_cells(axes, cells)
    axes.set_xticks(range(len(xs)), [f"{x:g}" for x in xs])
    axes.set_yticks(range(len(ys)), [f"{y:g}" for y in ys])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(_words(name))


def _grid(rows: pa.Table, xs: Sequence[float], ys: Sequence[float]) -> npt.NDArray[np.float64]:
    """Values by row (y) and column (x), NaN where no point was run."""
    cells = np.full((len(ys), len(xs)), np.nan)
    at = zip(rows["x"].to_pylist(), rows["y"].to_pylist(), floats(rows, "value"), strict=True)
    for x, y, value in at:
        cells[ys.index(y), xs.index(x)] = value
    return cells


def _write_cells(axes: Axes, cells: npt.NDArray[np.float64]) -> None:
    for (y, x), value in np.ndenumerate(cells):
        if not np.isnan(value):
            text = axes.text(x, y, f"{value:.2f}", ha="center", va="center", fontsize=5)
            text.set_color(letters_on(value))


def _axis(key: str) -> str:
    return key.rpartition(".")[2].replace("_", " ")
