"""The phase diagram: two swept keys, one heat map per detector.

It reads the ``evaluation`` of a sweep (see ``gateway.evaluate.replicates``), or a ready table
``phase_diagram``: x_key, x, y_key, y, detector, metric, value, n_worlds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gateway.evaluate import summarise_replicates
from gateway.evaluate.replicates import is_sweep, swept_keys
from gateway.figures.stored import DETECTOR, first, floats
from gateway.figures.style import PAGE, letters_on, styled
from gateway.figures.style import figure as new_figure
from gateway.wording import count, counted

__all__ = ["NAME", "caption", "draw", "plotted"]

NAME: str = "phase_diagram"

_METRIC, _TRUTH = "average_precision", "planted"
_COLUMNS = ("x_key", "x", "y_key", "y", "detector", "metric", "value", "n_worlds")
_MOST_PANELS = 8
_MOST_WRITTEN = 49
"""Cells of a panel up to which each has its number in it."""


def plotted(tables: Mapping[str, pa.Table]) -> pa.Table | None:
    """Return one row per detector and cell, means over replicates.

    None where no two numeric keys were swept. Of more than two, the first two span the
    map; the others are averaged over, and the caption's number of worlds tells.
    """
    table = tables["phase_diagram"] if "phase_diagram" in tables else _from_sweep(tables)
    if table is None or table.num_rows == 0:
        return None
    order = [(key, "ascending") for key in ("detector", "y", "x")]
    return table.select(_COLUMNS).sort_by(order).combine_chunks()


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
def draw(data: pa.Table) -> Figure:
    """Draw one panel per detector on one scale, the note's own first."""
    names = _detectors(data)
    n_columns = min(len(names), 4)
    n_rows = -(-len(names) // n_columns)
    figure = new_figure(PAGE, 0.55 + 1.75 * n_rows)
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for i, axes in enumerate(grid.flat):
        if i >= len(names):
            axes.set_visible(False)
            continue
        _draw_panel(axes, data.filter(pc.equal(data["detector"], names[i])), names[i])
        if i + n_columns >= len(names):
            axes.set_xlabel(_axis(first(data, "x_key")))
        if i % n_columns == 0:
            axes.set_ylabel(_axis(first(data, "y_key")))
    visible = [axes for axes in grid.flat if axes.get_visible()]
    bar = figure.colorbar(visible[0].collections[0], ax=visible, shrink=0.8, pad=0.02)
    bar.set_label(first(data, "metric").replace("_", " "))
    bar.outline.set_visible(False)
    return figure


def caption(data: pa.Table) -> str:
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


def _draw_panel(axes: Axes, rows: pa.Table, name: str) -> None:
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
    axes.set_title(f"{name.replace('_', ' ')}{' (the note)' if name == DETECTOR else ''}")


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
