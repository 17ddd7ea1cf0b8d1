"""The note's numbers beside simulated ones: R1, R3, R8 and R9."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from gateway.analyses.published import SIGNALS
from gateway.figures import style
from gateway.figures.selection import FITTED, Tables, compared_rows, floats, ordered, where
from gateway.wording import count

_SHARE = ": share of requests"


def plotted_join_sources(tables: Tables) -> pa.Table | None:
    """Return one row for each source, the largest published share first; None without R1."""
    rows = compared_rows(tables, ["R1"])
    if rows is None:
        return None
    total = where(rows, quantity="requests")
    rows = rows.filter(pc.ends_with(rows["quantity"], _SHARE))
    rows = rows.filter(pc.is_valid(rows["simulated"]))
    if rows.num_rows == 0 or total.num_rows == 0:
        return None
    source = pc.replace_substring(rows["quantity"], _SHARE, "")
    requests = pa.array([total["simulated"][0].as_py()] * rows.num_rows, pa.float64())
    shown = rows.append_column("source", source).append_column("requests", requests)
    names = ["source", "published", "simulated", "ci_low", "ci_high", "requests"]
    return shown.select(names).sort_by([("published", "descending"), ("source", "ascending")])


@style.styled
def draw_join_sources(data: pa.Table, *, ax: Axes | None = None) -> style.AnyFigure:
    """Draw two bars for each source, one above the other."""
    figure = style.figure(style.COLUMN, 0.7 + 0.27 * data.num_rows, ax)
    axes = figure.subplots()
    place = -np.arange(data.num_rows, dtype=np.float64)
    published, simulated = (100 * floats(data, name) for name in ("published", "simulated"))
    axes.barh(place + 0.19, published, 0.34, color=style.FAINT, label="published")
    axes.barh(place - 0.19, simulated, 0.34, color=style.BLUE, label="simulated")
    low, high = (100 * floats(data, name) for name in ("ci_low", "ci_high"))
    axes.hlines(place - 0.19, low, high, color=style.INK, lw=0.8)
    axes.set_yticks(place, data["source"].to_pylist())
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=style.RULE)
    axes.set_xlabel("share of join requests (%)")
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


def plotted_exposure_contrast(tables: Tables) -> pa.Table | None:
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


@style.styled
def draw_exposure_contrast(data: pa.Table, *, ax: Axes | None = None) -> style.AnyFigure:
    """Draw a dot and an interval for each way to answer, and the note's number."""
    figure = style.figure(style.COLUMN, 0.75 + 0.36 * data.num_rows, ax)
    axes = figure.subplots()
    for place, row in enumerate(data.to_pylist()):
        low, high = 100 * row["ci_low"], 100 * row["ci_high"]
        axes.hlines(-place, low, high, color=style.BLUE, lw=1.4)
        axes.plot([100 * row["simulated"]], [-place], ls="none", marker="o", color=style.BLUE)
        if row["published"] is not None:
            axes.plot([100 * row["published"]], [-place], ls="none", marker="|", ms=11, mew=1.4,
                      color=style.INK)  # fmt: skip
            # Said beside the mark: a key of the same shape would read as one more estimate.
            axes.annotate("published", (100 * row["published"], -place), xytext=(0, -9),
                          textcoords="offset points", ha="center", va="top",
                          color=style.INK)  # fmt: skip
    axes.axvline(0.0, color=style.MUTED, lw=0.8, zorder=0.5)
    said = [_SAID[how] for how in data["how"].to_pylist()]
    style.name_rows(axes, said, low=0.6, high=0.5)
    axes.set_xlabel("risk with GYSJ minus without (points)")
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
    "controls": ("matched controls", style.BLUE, "--"),
    "others": ("all other ranked groups", style.MUTED, ":"),
}


def plotted_label_times(tables: Tables) -> pa.Table | None:
    """Return share labelled by kind of group and day; None where the result has none."""
    if "analyses/label_times" not in tables:
        return None
    rows = tables["analyses/label_times"]
    rows = rows.filter(pc.greater(rows["n"], 0))
    if rows.num_rows == 0:
        return None
    share = pc.divide(pc.cast(rows["labelled"], pa.float64()), pc.cast(rows["n"], pa.float64()))
    rows = rows.append_column("share", share)
    return ordered(rows, "groups", "day")


@style.styled
def draw_label_times(data: pa.Table, *, ax: Axes | None = None) -> style.AnyFigure:
    """Draw a step line for each kind of group."""
    figure = style.figure(style.COLUMN, 2.3, ax)
    axes = figure.subplots()
    for name, (label, color, line) in _CURVES.items():
        mine = where(data, groups=name)
        if mine.num_rows:
            axes.step(floats(mine, "day"), 100 * floats(mine, "share"), where="post", label=label,
                      color=color, ls=line)  # fmt: skip
    (ran,) = pc.unique(data["workflow_day"]).to_pylist()
    axes.axvline(ran, color=style.MUTED, lw=0.8, zorder=0.5)
    axes.annotate("workflow ran", (ran, 0.5), xycoords=("data", "axes fraction"),
                  xytext=(-3, 0), textcoords="offset points", ha="right",
                  color=style.MUTED)  # fmt: skip
    axes.set_xlabel("day")
    axes.set_ylabel("labelled non-rec so far (%)")
    axes.set_ylim(bottom=0.0)
    axes.grid(axis="y", color=style.RULE)
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


def plotted_signal_correlations(tables: Tables) -> pa.Table | None:
    """Return a row for each pair of signals, Pearson's coefficients; None without R9."""
    rows = compared_rows(tables, ["R9"])
    if rows is None:
        return None
    found = []
    for row in rows.to_pylist():
        pair = row["quantity"].removesuffix(_PEARSON).split(" and ")
        if row["quantity"].endswith(_PEARSON) and set(pair) <= set(SIGNALS):
            found.append({"first": pair[0], "second": pair[1], **row})
    if not found:
        return None
    schema = pa.schema(
        [("first", pa.string()), ("second", pa.string()),
         ("published", pa.float64()), ("simulated", pa.float64())]
    )  # fmt: skip
    found = sorted(found, key=lambda r: (SIGNALS.index(r["first"]), SIGNALS.index(r["second"])))
    return pa.Table.from_pylist(found, schema=schema)


@style.styled
def draw_signal_correlations(data: pa.Table, *, ax: Axes | None = None) -> style.AnyFigure:
    """Draw two triangles of squares, the published one on the left."""
    figure = style.figure(style.PAGE, 3.0, ax)
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
    cells = np.full((len(SIGNALS), len(SIGNALS)), np.nan)
    for row in data.to_pylist():
        value = row[name]
        cells[SIGNALS.index(row["second"]), SIGNALS.index(row["first"])] = (
            np.nan if value is None else value
        )
    image = axes.imshow(np.ma.masked_invalid(cells[1:, :-1]), vmin=low, vmax=1.0, cmap="cividis")
    for (y, x), value in np.ndenumerate(cells[1:, :-1]):
        if x <= y:
            known = not np.isnan(value)
            # The lighter part of cividis, from five eighths on, wants dark letters.
            light = (value - low) / (1 - low) > 0.625
            color = (style.INK if light else style.PAPER) if known else style.INK
            said = f"{value:.2f}".replace("-", "−") if known else "?"
            axes.text(x, y, said, ha="center", va="center", fontsize=6, color=color)
    axes.set_xticks(range(len(SIGNALS) - 1), SIGNALS[:-1], rotation=40, ha="right")
    axes.set_yticks(range(len(SIGNALS) - 1), SIGNALS[1:] if name == "published" else [])
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
