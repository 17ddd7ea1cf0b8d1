"""Dose-response: what acting on more groups averts, and what it costs.

It reads the table ``dose_response``, one row per intervention, chooser, dose and quantity:

- ``intervention``: what was done to the groups (one panel each);
- ``chosen_by``: who chose the groups: a detector, or an oracle that knows the truth;
- ``n_groups``: the dose, how many groups were acted on;
- ``quantity``: what is counted, ``averted`` (target joins averted) and others;
- ``value``, ``ci_low``, ``ci_high``: its value and 95 % interval from paired runs.

Without it, it reads the arms of ``interventions``, where several are of one name but for a
number at its end: ``demotion: spike, 10``, ``demotion: spike, 20``. What stands before the
colon is the intervention, what stands after it who chose the groups.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from gateway.figures.labels import label
from gateway.figures.stored import DETECTOR, floats
from gateway.figures.style import BLUE, COLUMN, INK, MUTED, PAGE, PAPER, RULE, styled
from gateway.figures.style import figure as new_figure
from gateway.wording import count, listed

__all__ = ["NAME", "caption", "draw", "plotted"]

NAME: str = "dose_response"

_QUANTITY = "averted"
_COLUMNS = ("intervention", "chosen_by", "n_groups", "quantity", "value", "ci_low", "ci_high")
_ORACLE = "oracle"
_NUMBER = re.compile(r"\W*(top )?\d+( groups)?\W*$")
_LOOKS = ((BLUE, "o", "-"), ("#D55E00", "^", "--"), ("#009E73", "s", "-."), ("#CC79A7", "v", ":"),
          ("#E69F00", "P", "-"), (MUTED, "D", "--"))  # fmt: skip
"""Colour, mark and line of each chooser: told apart in grey by the last two."""


def plotted(tables: Mapping[str, pa.Table]) -> pa.Table | None:
    """Return the target joins averted by dose; None where no intervention was tried."""
    table = tables["dose_response"] if "dose_response" in tables else _from_arms(tables)
    if table is None:
        return None
    rows = table.filter(pc.equal(table["quantity"], _QUANTITY)).select(_COLUMNS)
    order = [(key, "ascending") for key in ("intervention", "chosen_by", "n_groups")]
    return rows.sort_by(order).combine_chunks() if rows.num_rows else None


def _from_arms(tables: Mapping[str, pa.Table]) -> pa.Table | None:
    """Arms of one name but for the number of groups; None where no two are."""
    rows = [] if "interventions" not in tables else tables["interventions"].to_pylist()
    stems = [_NUMBER.sub("", row["arm"]) for row in rows]
    doses = {stem: {r["n_groups"] for r, s in zip(rows, stems, strict=True) if s == stem}
             for stem in set(stems)}  # fmt: skip
    found = []
    for row, stem in zip(rows, stems, strict=True):
        if len(doses[stem]) > 1:
            intervention, _, chooser = stem.rpartition(": ")
            numbers = (row[f"averted{end}"] for end in ("", "_low", "_high"))
            found.append((intervention or stem, chooser, row["n_groups"], _QUANTITY, *numbers))
    named = [dict(zip(_COLUMNS, values, strict=True)) for values in found]
    return pa.Table.from_pylist(named) if named else None


@styled
def draw(data: pa.Table) -> Figure:
    """Draw one panel per intervention, one line per chooser; all panels share both axes."""
    panels = list(dict.fromkeys(data["intervention"].to_pylist()))
    choosers = _choosers(data)
    n_columns = min(len(panels), 3)
    n_rows = -(-len(panels) // n_columns)
    figure = new_figure(COLUMN if n_columns == 1 else PAGE, 0.75 + 1.85 * n_rows)
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for i, axes in enumerate(grid.flat):
        if i >= len(panels):
            axes.set_visible(False)
            continue
        _draw_panel(axes, data.filter(pc.equal(data["intervention"], panels[i])), choosers)
        axes.set_title(label(panels[i].replace("_", " "), limit=40), parse_math=False)
        if i + n_columns >= len(panels):
            axes.set_xlabel("groups acted on")
        if i % n_columns == 0:
            axes.set_ylabel("target joins averted")
    figure.legend(
        handles=[_key(name, i) for i, name in enumerate(choosers)],
        loc="outside lower center",
        ncols=min(len(choosers), 2 if n_columns == 1 else 4),
    )
    return figure


def caption(data: pa.Table) -> str:
    """Say what was done, by whose choice, and what line and band are."""
    names = listed([name.replace("_", " ") for name in _choosers(data)])
    most = int(pc.max(data["n_groups"]).as_py())
    return (
        "Dose-response of interventions: target joins averted over the whole platform against the "
        f"number of groups acted on (up to {count(most)}), groups chosen by {names}. Each point is "
        "a paired run of the same world, all other random numbers shared. Band: 95 % interval. "
        "The gap between a detector and the oracle is what is lost by acting on look-alikes."
    )


def _choosers(data: pa.Table) -> list[str]:
    """The oracle first, then the note's method, then by name."""
    return sorted(
        set(data["chosen_by"].to_pylist()),
        key=lambda name: (not name.startswith(_ORACLE), name != DETECTOR, name),
    )


def _draw_panel(axes: Axes, rows: pa.Table, choosers: list[str]) -> None:
    axes.axhline(0.0, color=MUTED, lw=0.6, zorder=0.5)
    for i, name in enumerate(choosers):
        mine = rows.filter(pc.equal(rows["chosen_by"], name))
        color, marker, line = _look(name, i)
        x, y, low, high = (floats(mine, k) for k in ("n_groups", "value", "ci_low", "ci_high"))
        axes.fill_between(x, low, high, color=color, alpha=0.15, lw=0.0)
        axes.plot(x, y, color=color, ls=line, marker=marker, ms=3.4, mec=PAPER, mew=0.3)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    axes.grid(axis="y", color=RULE)


def _look(name: str, place: int) -> tuple[str, str, str]:
    return (INK, "o", "-") if name.startswith(_ORACLE) else _LOOKS[place % len(_LOOKS)]


def _key(name: str, place: int) -> Line2D:
    color, marker, line = _look(name, place)
    text = label(name.replace("_", " "), limit=40)
    return Line2D([], [], color=color, ls=line, marker=marker, mec=PAPER, ms=4, label=text)
