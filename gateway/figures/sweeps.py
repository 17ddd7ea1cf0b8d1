"""Detectors over many worlds: lines over one swept key, maps over two, side by side over seeds.

Read from the evaluations that a sweep has compacted, or from ready tables ``sweep_lines`` and
``phase_diagram`` (x_key, x, y_key, y, detector, metric, value, ci_low, ci_high, n_worlds; a line
has no y). Intervals are Student's over the worlds of a point. Detectors side by side: of a sweep
over seeds, of one run with several detectors, or from a ready table ``benchmark`` (detector,
truth, metric, value, ci_low, ci_high, n_worlds).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D

from gateway.arrays import Float64
from gateway.detect.measure import LEADING
from gateway.errors import GatewayError, Problem
from gateway.evaluate import summarise_replicates
from gateway.evaluate.replicates import compare_detectors, is_sweep, swept_keys
from gateway.figures import style
from gateway.figures.selection import (
    Tables,
    constant,
    detector_words,
    first,
    floats,
    ordered,
    values,
    where,
)
from gateway.wording import count, counted, listed

_METRIC = "average_precision"
_TRUTHS = ("planted", "direct", "total", "outcome")
"""Against which a metric is drawn: the first that it is measured against."""
_COLUMNS = ("x_key", "x", "y_key", "y", "detector", "metric", "value", "ci_low", "ci_high",
            "n_worlds")  # fmt: skip
_MOST_PANELS = 8
_MOST_WRITTEN = 49
"""Cells of a panel up to which each has its number in it."""
_LINES = (
    ("o", style.BLUE, "-"), ("s", "#D55E00", "--"), ("^", "#009E73", "-."), ("D", "#CC79A7", ":"),
    ("v", "#E69F00", "-"), ("P", style.INK, "--"), ("X", style.MUTED, "-."), ("h", "#56B4E9", ":"),
)  # fmt: skip


def plotted_sweep_lines(tables: Tables, *, metric: str = _METRIC) -> pa.Table | None:
    """Return one row per detector and value of the one swept numeric key, over replicates.

    None where no numeric key was swept, or several were: they span a map.
    """
    return _plotted(tables, "sweep_lines", n_keys=1, metric=metric)


def plotted_phase_diagram(tables: Tables, *, metric: str = _METRIC) -> pa.Table | None:
    """Return one row per detector and cell, means over replicates.

    None where no two numeric keys were swept. Of more than two, the first two span the
    map; the others are averaged over, and the number of worlds tells.
    """
    return _plotted(tables, "phase_diagram", n_keys=2, metric=metric)


def _plotted(tables: Tables, name: str, *, n_keys: int, metric: str) -> pa.Table | None:
    table = tables[name] if name in tables else _from_sweep(tables, n_keys, metric)
    if table is None or table.num_rows == 0:
        return None
    for missing in (key for key in _COLUMNS if key not in table.column_names):
        empty = pa.nulls(table.num_rows, pa.string() if missing == "y_key" else pa.float64())
        table = table.append_column(missing, empty)
    return ordered(table.select(_COLUMNS), "detector", "y", "x").combine_chunks()


def _from_sweep(tables: Tables, n_keys: int, metric: str) -> pa.Table | None:
    evaluation = tables.get("evaluation")
    if evaluation is None or not is_sweep(evaluation):
        return None
    keys = [key for key in swept_keys(evaluation) if _is_number(evaluation[key].type)]
    if len(keys) < n_keys or (n_keys == 1 and len(keys) > 1):
        return None
    rows = where(evaluation, metric=metric)
    if rows.num_rows == 0:
        known = listed(sorted(set(evaluation["metric"].to_pylist())))
        raise GatewayError(str(Problem("metric", f"must be one of {known}", repr(metric))))
    measured = set(rows["truth"].to_pylist())
    truth = next((one for one in _TRUTHS if one in measured), min(measured))
    rows = where(rows, truth=truth)
    axes = dict(zip(("x", "y"), keys, strict=False))
    means = summarise_replicates(rows, by=(*axes.values(), "detector", "metric"))
    table = means.select(["detector", "metric", "value", "ci_low", "ci_high", "n_worlds"])
    for axis, key in axes.items():
        table = table.append_column(axis, means[key].cast(pa.float64()))
        table = constant(table, f"{axis}_key", key)
    return table


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


# Lines -----------------------------------------------------------------------------------


@style.styled
def draw_sweep_lines(data: pa.Table, *, ax: Axes | None = None) -> style.AnyFigure:
    """Draw a line for each detector, with its intervals over worlds."""
    figure = style.figure(style.COLUMN, 2.6, ax)
    axes = figure.subplots()
    names = _detectors(data)
    places = sorted(set(data["x"].to_pylist()))
    is_wide = places[0] > 0 and places[-1] / places[0] >= 20
    for i, name in enumerate(names):
        mine = where(data, detector=name)
        x, value, low, high = (floats(mine, key) for key in ("x", "value", "ci_low", "ci_high"))
        marker, color, line = _LINES[i % len(_LINES)]
        known = ~np.isnan(low)
        # Intervals of neighbours stand side by side, not on one another.
        step = (i - (len(names) - 1) / 2) * 0.006
        at = (
            x * (places[-1] / places[0]) ** step if is_wide else x + step * (places[-1] - places[0])
        )
        axes.vlines(at[known], low[known], high[known], color=color, lw=0.8)
        axes.plot(at, value, ls=line, color=color, marker=marker, ms=3.6, mec=style.PAPER, mew=0.4,
                  label=detector_words(name))  # fmt: skip
    if is_wide:
        axes.set_xscale("log")
    axes.set_xticks(places, [f"{x:g}" for x in places])
    axes.minorticks_off()
    axes.set_xlabel(_axis(first(data, "x_key")))
    axes.set_ylabel(_axis(first(data, "metric")))
    if _is_share(data):
        axes.set_ylim(-0.03, 1.03)
    axes.grid(axis="y", color=style.RULE)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def caption_sweep_lines(data: pa.Table) -> str:
    """Say what is drawn over what, what a bar is and over how many worlds."""
    return (
        f"{_axis(first(data, 'metric')).capitalize()} of each detector by {first(data, 'x_key')}. "
        f"Mark and bar: mean over {_worlds(data)} and its 95 % interval (Student's t over worlds)."
        f"{_cut(data)}"
    )


# Maps ------------------------------------------------------------------------------------


@style.styled
def draw_phase_diagram(data: pa.Table, *, ax: Axes | None = None) -> style.AnyFigure:
    """Draw one panel per detector on one scale, the note's own first."""
    names = _detectors(data)
    figure = style.figure(style.PAGE, 0.55 + 1.75 * -(-len(names) // 4), ax)
    grid = style.panels(
        figure, len(names), most_columns=4,
        x=_axis(first(data, "x_key")), y=_axis(first(data, "y_key")),
    )  # fmt: skip
    scale = _scale(data)
    for axes, name in zip(grid, names, strict=True):
        _draw_map(axes, where(data, detector=name), scale, _usual(data))
        axes.set_title(detector_words(name))
    bar = figure.colorbar(grid[0].collections[0], ax=grid, shrink=0.8, pad=0.02)
    bar.set_label(_axis(first(data, "metric")))
    bar.outline.set_visible(False)
    return figure


def caption_phase_diagram(data: pa.Table) -> str:
    """Say what a cell is, over how many worlds, and which keys span the map."""
    scale = _scale(data)
    other = "; a cell over another number of worlds says so (n)" if _is_uneven(data) else ""
    return (
        f"Phase diagram: {_axis(first(data, 'metric'))} of each detector, by "
        f"{first(data, 'x_key')} and {first(data, 'y_key')}. Each cell: mean over {_worlds(data)}, "
        f"± half of its 95 % interval (Student's t over worlds){other}; all panels share one "
        f"scale from {scale.vmin:g} to {scale.vmax:g}.{_cut(data)}"
    )


def _draw_map(axes: Axes, rows: pa.Table, scale: Normalize, usual: int) -> None:
    xs, ys = (sorted(set(rows[key].to_pylist())) for key in ("x", "y"))
    cells = _grid(rows, xs, ys, floats(rows, "value"))
    axes.pcolormesh(
        np.arange(len(xs) + 1) - 0.5,
        np.arange(len(ys) + 1) - 0.5,
        np.ma.masked_invalid(cells),
        cmap="cividis", norm=scale, edgecolors="face", linewidth=0.2,
    )  # fmt: skip
    if cells.size <= _MOST_WRITTEN:
        halves = _grid(rows, xs, ys, (floats(rows, "ci_high") - floats(rows, "ci_low")) / 2)
        worlds = _grid(rows, xs, ys, floats(rows, "n_worlds"))
        for (y, x), value in np.ndenumerate(cells):
            if not np.isnan(value):
                below = [] if np.isnan(halves[y, x]) else [f"±{halves[y, x]:.2f}"]
                below += [] if worlds[y, x] == usual else [f"n={worlds[y, x]:.0f}"]
                written = "\n".join([f"{value:.2f}", *below])
                text = axes.text(x, y, written, ha="center", va="center", fontsize=4.5)
                text.set_color(style.letters_on(float(scale(value))))
    axes.set_xticks(range(len(xs)), [f"{x:g}" for x in xs])
    axes.set_yticks(range(len(ys)), [f"{y:g}" for y in ys])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _grid(rows: pa.Table, xs: Sequence[float], ys: Sequence[float], values: Float64) -> Float64:
    """Values by row (y) and column (x), NaN where no point was run."""
    cells = np.full((len(ys), len(xs)), np.nan)
    for x, y, value in zip(rows["x"].to_pylist(), rows["y"].to_pylist(), values, strict=True):
        cells[ys.index(y), xs.index(x)] = value
    return cells


# What both say ---------------------------------------------------------------------------


def _is_share(data: pa.Table) -> bool:
    values = floats(data, "value")
    return bool(np.nanmin(values) >= 0.0 and np.nanmax(values) <= 1.0)


def _scale(data: pa.Table) -> Normalize:
    """One scale for all panels: from 0 to 1 where that holds all, else that of the values."""
    values = floats(data, "value")
    return Normalize(0, 1) if _is_share(data) else Normalize(np.nanmin(values), np.nanmax(values))


def _usual(data: pa.Table) -> int:
    """From how many worlds most points come."""
    worlds: list[int] = data["n_worlds"].to_pylist()
    return max(set(worlds), key=lambda n: (worlds.count(n), n))


def _is_uneven(data: pa.Table) -> bool:
    return len(set(data["n_worlds"].to_pylist())) > 1


def _worlds(data: pa.Table) -> str:
    return counted(_usual(data), "simulated world")


def _detectors(data: pa.Table) -> list[str]:
    names = sorted(set(data["detector"].to_pylist()), key=lambda name: (name != LEADING, name))
    return names[:_MOST_PANELS]


def _cut(data: pa.Table) -> str:
    shown, n = len(_detectors(data)), len(set(data["detector"].to_pylist()))
    return f" The first {shown} of {counted(n, 'detector')}." if shown < n else ""


def _axis(key: str) -> str:
    return key.rpartition(".")[2].replace("_", " ")


_COMPARED = {
    "average_precision": "average precision",
    "precision_at_50": "precision at 50",
    "recall_at_100": "recall at 100",
    "share_homophily_at_100": "look-alikes: homophily\n(share of the top 100)",
    "share_fellow_traveller_at_100": "look-alikes: fellow travellers\n(share of the top 100)",
}
"""What is drawn, in the order of the panels; at most four that the table holds."""
_MOST_COMPARED = 4
_MARKS = {"planted": ("o", style.BLUE), "direct": ("s", "#D55E00")}


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
    shown = [key for key in _COMPARED if key in set(table["metric"].to_pylist())][:_MOST_COMPARED]
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
        axes.set_title(_COMPARED.get(metric, metric.replace("_", " ")))
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
    return [*(t for t in _MARKS if t in found), *sorted(found - set(_MARKS))]


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
        marker, color = _MARKS.get(truth, ("D", style.INK))
        axes.hlines(y, low, high, color=color, lw=1.0)
        axes.plot(value, y, ls="none", marker=marker, ms=3.6, mfc=color, mec=style.PAPER, mew=0.4)
    axes.set_xlim(-0.03, 1.03)
    axes.set_xticks([0.0, 0.5, 1.0])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=style.RULE)
    if LEADING in detectors:
        axes.axhline(detectors.index(LEADING), color=style.MUTED, lw=0.5, ls=":", zorder=0.5)


def _truth_key(truth: str) -> Line2D:
    marker, color = _MARKS.get(truth, ("D", style.INK))
    text = f"{truth} truth"
    return Line2D([], [], ls="none", marker=marker, mfc=color, mec=style.PAPER, label=text)
