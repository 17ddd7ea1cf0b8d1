"""The note's numbers beside simulated ones: R1, R3, R8 and R9."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from gateway.figures.selection import FITTED, compared_rows, floats
from gateway.figures.style import (
    BLUE,
    COLUMN,
    FAINT,
    INK,
    MUTED,
    PAGE,
    PAPER,
    RULE,
    AnyFigure,
    styled,
)
from gateway.figures.style import figure as new_figure
from gateway.wording import count

_SHARE = ": share of requests"


def plotted_join_sources(tables: Mapping[str, pa.Table]) -> pa.Table | None:
    """Return one row for each source, the largest published share first; None without R1."""
    rows = compared_rows(tables, ["R1"])
    if rows is None:
        return None
    total = rows.filter(pc.equal(rows["quantity"], "requests"))
    rows = rows.filter(pc.ends_with(rows["quantity"], _SHARE))
    rows = rows.filter(pc.is_valid(rows["simulated"]))
    if rows.num_rows == 0 or total.num_rows == 0:
        return None
    source = pc.replace_substring(rows["quantity"], _SHARE, "")
    requests = pa.array([total["simulated"][0].as_py()] * rows.num_rows, pa.float64())
    shown = rows.append_column("source", source).append_column("requests", requests)
    names = ["source", "published", "simulated", "ci_low", "ci_high", "requests"]
    return shown.select(names).sort_by([("published", "descending"), ("source", "ascending")])


@styled
def draw_join_sources(data: pa.Table, *, ax: Axes | None = None) -> AnyFigure:
    """Draw two bars for each source, one above the other."""
    figure = new_figure(COLUMN, 0.7 + 0.27 * data.num_rows, ax)
    axes = figure.subplots()
    place = -np.arange(data.num_rows, dtype=np.float64)
    published, simulated = (100 * floats(data, name) for name in ("published", "simulated"))
    axes.barh(place + 0.19, published, 0.34, color=FAINT, label="published")
    axes.barh(place - 0.19, simulated, 0.34, color=BLUE, label="simulated")
    low, high = (100 * floats(data, name) for name in ("ci_low", "ci_high"))
    axes.hlines(place - 0.19, low, high, color=INK, lw=0.8)
    axes.set_yticks(place, data["source"].to_pylist())
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("share of join requests (%)")
    axes.grid(axis="x", color=RULE)
    axes.legend(loc="lower right")
    return figure


def caption_join_sources(data: pa.Table) -> str:
    """Say what is counted and what the bars and lines are."""
    return (
        f"Sources of {count(data['requests'][0].as_py())} requests to join target groups by "
        "users who had joined a top gateway group before, beside table 1 of the note. Line: "
        "95 % interval, clustered by user. Sources that the note's table does not name are "
        f"taken together. {FITTED}"
    )


_ANSWERS = ("observational", "corrected", "randomised, gateway members", "randomised")
_SAID = {
    "observational": "as the note counts",
    "corrected": "time zero aligned",
    "randomised, gateway members": "by lot, same users",
    "randomised": "by lot, all users",
}


def plotted_exposure_contrast(tables: Mapping[str, pa.Table]) -> pa.Table | None:
    """Return the risk differences, the note's first; None without R3."""
    rows = compared_rows(tables, ["R3"])
    if rows is None:
        return None
    found = [row for row in rows.to_pylist() if ": risk difference" in row["quantity"]]
    found = [row for row in found if None not in (row["simulated"], row["ci_low"])]
    found = [{"how": row["quantity"].partition(":")[0], **row} for row in found]
    found = sorted(
        (row for row in found if row["how"] in _ANSWERS), key=lambda row: _ANSWERS.index(row["how"])
    )
    if not found:
        return None
    names = ("published", "simulated", "ci_low", "ci_high")
    schema = pa.schema([("how", pa.string()), *((name, pa.float64()) for name in names)])
    return pa.Table.from_pylist(found, schema=schema)


@styled
def draw_exposure_contrast(data: pa.Table, *, ax: Axes | None = None) -> AnyFigure:
    """Draw a dot and an interval for each way to answer, and the note's number."""
    figure = new_figure(COLUMN, 0.75 + 0.36 * data.num_rows, ax)
    axes = figure.subplots()
    for place, row in enumerate(data.to_pylist()):
        low, high = 100 * row["ci_low"], 100 * row["ci_high"]
        axes.hlines(-place, low, high, color=BLUE, lw=1.4)
        axes.plot([100 * row["simulated"]], [-place], ls="none", marker="o", color=BLUE)
        if row["published"] is not None:
            axes.plot([100 * row["published"]], [-place], ls="none", marker="|", ms=11, mew=1.4,
                      color=INK)  # fmt: skip
            # Said beside the mark: a key of the same shape would read as one more estimate.
            axes.annotate("published", (100 * row["published"], -place), xytext=(0, -9),
                          textcoords="offset points", ha="center", va="top",
                          color=INK)  # fmt: skip
    axes.axvline(0.0, color=MUTED, lw=0.8, zorder=0.5)
    said = [_SAID[how] for how in data["how"].to_pylist()]
    axes.set_yticks([-place for place in range(data.num_rows)], said)
    axes.set_ylim(0.6 - data.num_rows, 0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("risk with GYSJ minus without (points)")
    axes.grid(axis="x", color=RULE)
    return figure


def caption_exposure_contrast(data: pa.Table) -> str:
    """Say what the answers are."""
    del data
    return (
        "Answers to one question: how many more users join a non-rec group with GYSJ than "
        "without? As the note counts: users who joined a top gateway group, ever exposed "
        "against never. Time zero aligned: followed from the first gateway join, exposed from "
        "the first exposure on. By lot: the holdout's arms, among the users whom the note "
        "counts (there the arms are alike but for what GYSJ did before) and among all users, the "
        f"simulated truth. Dot and line: estimate with 95 % interval. {FITTED}"
    )


_CURVES = {
    "top": ("top gateway groups", "#D55E00", "-"),
    "controls": ("matched controls", BLUE, "--"),
    "others": ("all other ranked groups", MUTED, ":"),
}


def plotted_label_times(tables: Mapping[str, pa.Table]) -> pa.Table | None:
    """Return share labelled by kind of group and day; None where the result has none."""
    if "analyses/label_times" not in tables:
        return None
    rows = tables["analyses/label_times"]
    rows = rows.filter(pc.greater(rows["n"], 0))
    if rows.num_rows == 0:
        return None
    share = pc.divide(pc.cast(rows["labelled"], pa.float64()), pc.cast(rows["n"], pa.float64()))
    rows = rows.append_column("share", share)
    return rows.sort_by([("groups", "ascending"), ("day", "ascending")])


@styled
def draw_label_times(data: pa.Table, *, ax: Axes | None = None) -> AnyFigure:
    """Draw a step line for each kind of group."""
    figure = new_figure(COLUMN, 2.3, ax)
    axes = figure.subplots()
    for name, (label, color, line) in _CURVES.items():
        mine = data.filter(pc.equal(data["groups"], name))
        if mine.num_rows:
            axes.step(floats(mine, "day"), 100 * floats(mine, "share"), where="post", label=label,
                      color=color, ls=line)  # fmt: skip
    (ran,) = pc.unique(data["workflow_day"]).to_pylist()
    axes.axvline(ran, color=MUTED, lw=0.8, zorder=0.5)
    axes.annotate("workflow ran", (ran, 0.5), xycoords=("data", "axes fraction"),
                  xytext=(-3, 0), textcoords="offset points", ha="right", color=MUTED)  # fmt: skip
    axes.set_xlabel("day")
    axes.set_ylabel("labelled non-rec so far (%)")
    axes.set_ylim(bottom=0.0)
    axes.grid(axis="y", color=RULE)
    axes.legend(loc="upper left")
    return figure


def caption_label_times(data: pa.Table) -> str:
    """Say which groups and how many."""
    first = dict(zip(data["groups"].to_pylist(), data["n"].to_pylist(), strict=True))
    return (
        f"Share labelled non-rec by each day, of the {first.get('top', 0):,} top gateway groups, "
        "of other ranked groups of their main topic that are nearest in members when the workflow "
        "ran, and of all other ranked groups. Upright line: the day on which the workflow ran. "
        f"{FITTED}"
    )


_PEARSON = ": pearson"
_SIGNALS = (
    "gateway_score",
    "ci_ri_strikes",
    "num_nr_members",
    "ci_ri_severe_strikes",
    "group_demote",
    "non_amp",
    "non_rec",
)


def plotted_signal_correlations(tables: Mapping[str, pa.Table]) -> pa.Table | None:
    """Return a row for each pair of signals, Pearson's coefficients; None without R9."""
    rows = compared_rows(tables, ["R9"])
    if rows is None:
        return None
    found = []
    for row in rows.to_pylist():
        pair = row["quantity"].removesuffix(_PEARSON).split(" and ")
        if row["quantity"].endswith(_PEARSON) and set(pair) <= set(_SIGNALS):
            found.append({"first": pair[0], "second": pair[1], **row})
    if not found:
        return None
    schema = pa.schema(
        [("first", pa.string()), ("second", pa.string()),
         ("published", pa.float64()), ("simulated", pa.float64())]
    )  # fmt: skip
    found = sorted(found, key=lambda r: (_SIGNALS.index(r["first"]), _SIGNALS.index(r["second"])))
    return pa.Table.from_pylist(found, schema=schema)


@styled
def draw_signal_correlations(data: pa.Table, *, ax: Axes | None = None) -> AnyFigure:
    """Draw two triangles of squares, the published one on the left."""
    figure = new_figure(PAGE, 3.0, ax)
    panels = figure.subplots(1, 2)
    low = _least(data)
    for axes, name in zip(panels, ("published", "simulated"), strict=True):
        image = _draw_triangle(axes, data, name, low)
    figure.colorbar(image, ax=list(panels), shrink=0.8, label="correlation")
    return figure


def _least(data: pa.Table) -> float:
    """Where the shades begin: tenths at or below all values, so that small ones differ."""
    values = np.concatenate([floats(data, name) for name in ("published", "simulated")])
    return min(0.0, math.floor(10 * float(np.nanmin(values))) / 10)


def _draw_triangle(axes: Axes, data: pa.Table, name: str, low: float) -> AxesImage:
    cells = np.full((len(_SIGNALS), len(_SIGNALS)), np.nan)
    for row in data.to_pylist():
        value = row[name]
        cells[_SIGNALS.index(row["second"]), _SIGNALS.index(row["first"])] = (
            np.nan if value is None else value
        )
    image = axes.imshow(np.ma.masked_invalid(cells[1:, :-1]), vmin=low, vmax=1.0, cmap="cividis")
    for (y, x), value in np.ndenumerate(cells[1:, :-1]):
        if x <= y:
            known = not np.isnan(value)
            # The lighter part of cividis, from five eighths on, wants dark letters.
            light = (value - low) / (1 - low) > 0.625
            color = (INK if light else PAPER) if known else INK
            said = f"{value:.2f}".replace("-", "−") if known else "?"
            axes.text(x, y, said, ha="center", va="center", fontsize=6, color=color)
    axes.set_xticks(range(len(_SIGNALS) - 1), _SIGNALS[:-1], rotation=40, ha="right")
    axes.set_yticks(range(len(_SIGNALS) - 1), _SIGNALS[1:] if name == "published" else [])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(name)
    return image


def caption_signal_correlations(data: pa.Table) -> str:
    """Say which coefficient, of what, and what is missing."""
    del data
    return (
        "Correlations of seven signals about a group: published on the left (coefficient not "
        "stated; a question mark where the picture does not show the cell), simulated on the "
        f"right (Pearson's, over all ranked groups, at the end of the observation). {FITTED}"
    )
