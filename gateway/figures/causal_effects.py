"""What joins and interventions bring about, by replay and by paired runs.

The dose-response reads the table ``dose_response``, one row per intervention, chooser, dose
and quantity:

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
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from gateway.arrays import Float64
from gateway.detect.measure import LEADING
from gateway.figures import style
from gateway.figures.labels import label
from gateway.figures.selection import Tables, floats, ordered, values, where
from gateway.wording import count, counted, listed, percent

_FEWEST_JOINS = 20
"""A mean over fewer replays is mostly noise; such groups count in the role's mean alone."""
_ROLES = (
    "influence",
    "recommender",
    "inviter",
    "homophily",
    "hub",
    "fellow_traveller",
    "target",
    "ordinary",
)
_GOLDEN = 0.6180339887


def plotted_direct_effects(tables: Tables) -> pa.Table | None:
    """Return groups with role and direct effect, each with its role's mean; None without truth.

    The role's mean is over joins; its standard error adds up those of the groups.
    """
    if "truth" not in tables or "groups" not in tables:
        return None
    truth, groups = tables["truth"], tables["groups"].select(["group", "role"])
    rows = truth.filter(pc.is_valid(truth["direct_effect"])).join(groups, "group")
    rows = rows.filter(pc.is_in(rows["role"], pa.array(_ROLES)))
    rows = ordered(rows, "role", "group")
    if rows.num_rows == 0:
        return None
    means = {name: _role_mean(rows, name) for name in set(rows["role"].to_pylist())}
    pairs = np.array([means[name] for name in rows["role"].to_pylist()])
    shown = rows.append_column("role_mean", pa.array(pairs[:, 0]))
    shown = shown.append_column("role_se", pa.array(pairs[:, 1]))
    names = ["group", "role", "direct_effect", "direct_se", "n_joins", "role_mean", "role_se"]
    return shown.select(names)


def _role_mean(rows: pa.Table, name: str) -> tuple[float, float]:
    mine = where(rows, role=name)
    n, effect = floats(mine, "n_joins"), floats(mine, "direct_effect")
    error = np.nan_to_num(floats(mine, "direct_se"))
    return float((n * effect).sum() / n.sum()), float(np.sqrt(((n * error) ** 2).sum()) / n.sum())


@style.styled
def draw_direct_effects(data: pa.Table, *, ax: Axes | None = None) -> style.AnyFigure:
    """Draw a row of dots for each role, its mean and interval on top."""
    present = set(data["role"].to_pylist())
    roles = [name for name in _ROLES if name in present]
    figure = style.figure(style.COLUMN, 0.75 + 0.36 * len(roles), ax)
    axes = figure.subplots()
    for place, name in enumerate(roles):
        _draw_role(axes, where(data, role=name), name, -place)
    axes.axvline(0.0, color=style.MUTED, lw=0.8, zorder=0.5)
    style.name_rows(axes, [style.role(name).label for name in roles])
    axes.set_xlabel("target joins caused per 100 joins")
    return figure


def _draw_role(axes: Axes, rows: pa.Table, name: str, place: int) -> None:
    seen = rows.filter(pc.greater_equal(rows["n_joins"], _FEWEST_JOINS))
    x, look = 100.0 * floats(seen, "direct_effect"), style.role(name)
    axes.plot(
        x, place + _spread(len(x)), ls="none", marker=look.marker, ms=2.6, mew=0.0,
        color=look.color, alpha=0.55, rasterized=len(x) > 500,
    )  # fmt: skip
    mean, error = (100.0 * rows[key][0].as_py() for key in ("role_mean", "role_se"))
    axes.hlines(place, mean - 1.96 * error, mean + 1.96 * error, color=style.INK, lw=1.6, zorder=3)
    axes.plot([mean], [place], marker="|", ms=9.0, mew=1.6, color=style.INK, zorder=3)


def _spread(n: int) -> Float64:
    """Vertical places that keep dots apart, the same every time."""
    return np.asarray(((np.arange(n) * _GOLDEN) % 1.0 - 0.5) * 0.6, np.float64)


def caption_direct_effects(data: pa.Table) -> str:
    """Say what was replayed, how often, and what dots and bars are."""
    joins = float(pc.sum(data["n_joins"]).as_py())
    return (
        f"Direct effect of {count(data.num_rows)} groups by planted role, from replays of "
        f"{count(joins)} joins: each joiner's future is lived again without that group, everybody "
        "else and all random numbers held as they were, and the target joins lost are counted. "
        f"Dot: mean of one group (of {_FEWEST_JOINS} joins or more). Bar: mean over all joins of "
        "the role with its 95 % interval, joins taken as independent."
    )


_MOST = 24
"""Arms of the most effect that are drawn; the stored table has all."""
# Fill and hatching of each mechanism: told apart in grey as well.
_MECHANISMS: Mapping[str, tuple[str, str]] = {
    "recommendation": (style.BLUE, ""),
    "friends": ("#E69F00", "////"),
    "invitation": ("#009E73", "...."),
    "intent": (style.FAINT, ""),
}
_MEASURES = ("averted", "benign_lost")


def plotted_interventions(tables: Tables) -> pa.Table | None:
    """Return a row for each arm, most target joins averted first; None without arms.

    ``change_<mechanism>`` is the change of target joins by the mechanism that brought them:
    minus what was averted, plus what moved there.
    """
    # A sweep has the arms of all its worlds, and no sources of theirs.
    if not {"interventions", "intervention_sources"} <= tables.keys():
        return None
    if tables["interventions"].num_rows == 0:
        return None
    order = [("averted", "descending"), ("arm", "ascending")]
    arms = tables["interventions"].sort_by(order).slice(0, _MOST)
    ends = [f"{name}{end}" for name in _MEASURES for end in ("", "_low", "_high")]
    data = arms.select(["arm", "n_groups", "target_joins", "share_averted", *ends])
    for mechanism in _MECHANISMS:
        change = _change(tables["intervention_sources"], mechanism, arms["arm"].to_pylist())
        data = data.append_column(f"change_{mechanism}", pa.array(change, pa.int64()))
    return data


def _change(sources: pa.Table, mechanism: str, arms: Sequence[str]) -> list[int]:
    rows = sources.filter(
        pc.and_(pc.equal(sources["kind"], "target"), pc.equal(sources["mechanism"], mechanism))
    )
    total = dict.fromkeys(arms, 0)
    for row in rows.to_pylist():
        if row["arm"] in total:
            total[row["arm"]] += row["otherwise"] - row["factual"]
    return [total[arm] for arm in arms]


@style.styled
def draw_interventions(data: pa.Table, *, ax: Axes | None = None) -> style.AnyFigure:
    """Draw three panels with a row for each arm."""
    n = data.num_rows
    figure = style.figure(style.PAGE, 1.15 + 0.26 * n, ax)
    axes = figure.subplots(1, 3, sharey=True)
    place = -np.arange(n, dtype=np.float64)
    _draw_estimates(axes[0], data, "averted", place, "target joins averted")
    _draw_estimates(axes[1], data, "benign_lost", place, "benign joins lost")
    _draw_changes(axes[2], data, place)
    names = [label(arm, limit=30) for arm in data["arm"].to_pylist()]
    for panel in axes:
        style.name_rows(panel, names)
        panel.axvline(0.0, color=style.MUTED, lw=0.8, zorder=0.5)
        panel.locator_params(axis="x", nbins=5)
    figure.legend(handles=_mechanism_keys(), loc="outside lower center", ncols=4)
    return figure


def _draw_estimates(axes: Axes, data: pa.Table, name: str, place: Float64, title: str) -> None:
    low, high = floats(data, f"{name}_low"), floats(data, f"{name}_high")
    axes.hlines(place, low, high, color=style.INK, lw=1.4, zorder=2)
    axes.plot(floats(data, name), place, ls="none", marker="o", ms=4.0, color=style.BLUE, zorder=3)
    axes.set_xlabel(title)


def _draw_changes(axes: Axes, data: pa.Table, place: Float64) -> None:
    """Stack what each mechanism lost to the left of zero and what it gained to the right."""
    ends = np.zeros((2, len(place)))
    for mechanism, (color, hatch) in _MECHANISMS.items():
        change = floats(data, f"change_{mechanism}")
        side = (change > 0).astype(np.int64)
        start = ends[side, np.arange(len(place))]
        axes.barh(
            place, change, left=start, height=0.62, color=color, hatch=hatch,
            edgecolor="white", lw=0.4, zorder=2,
        )  # fmt: skip
        ends[side, np.arange(len(place))] += change
    axes.set_xlabel("change of target joins by mechanism")


def _mechanism_keys() -> list[Patch]:
    return [
        Patch(facecolor=color, hatch=hatch, edgecolor="white", lw=0.4, label=mechanism)
        for mechanism, (color, hatch) in _MECHANISMS.items()
    ]


def caption_interventions(data: pa.Table) -> str:
    """Say what was compared, what the intervals are, and what the bars mean."""
    best = data["share_averted"][0].as_py()
    most = "" if best is None else f" The first arm averts {percent(best)} of them."
    return (
        f"What {counted(data.num_rows, 'arm')} of interventions would change, each a simulation "
        "of the same platform that shares every other random draw with the factual one, which has "
        f"{count(data['target_joins'][0].as_py())} target joins.{most} Left and middle: target "
        "joins averted and joins of benign groups lost in all; bars are 95 % intervals from the "
        "users' paired differences, users taken as independent. Right: the change of target "
        "joins by the mechanism that brought them; what stands to the right of zero moved there."
    )


_QUANTITY = "averted"
_DOSES = ("intervention", "chosen_by", "n_groups", "quantity", "value", "ci_low", "ci_high")
_ORACLE = "oracle"
_NUMBER = re.compile(r"\W*(top )?\d+( groups)?\W*$")


def plotted_dose_response(tables: Tables) -> pa.Table | None:
    """Return the target joins averted by dose; None where no intervention was tried."""
    table = tables["dose_response"] if "dose_response" in tables else _from_arms(tables)
    if table is None:
        return None
    rows = where(table, quantity=_QUANTITY).select(_DOSES)
    order = ("intervention", "chosen_by", "n_groups")
    return ordered(rows, *order).combine_chunks() if rows.num_rows else None


def _from_arms(tables: Tables) -> pa.Table | None:
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
    named = [dict(zip(_DOSES, values, strict=True)) for values in found]
    return pa.Table.from_pylist(named) if named else None


@style.styled
def draw_dose_response(data: pa.Table, *, ax: Axes | None = None) -> style.AnyFigure:
    """Draw one panel per intervention, one line per chooser; all panels share both axes."""
    names = values(data, "intervention")
    choosers = _choosers(data)
    is_narrow = len(names) == 1
    height = 0.75 + 1.85 * -(-len(names) // 3)
    figure = style.figure(style.COLUMN if is_narrow else style.PAGE, height, ax)
    grid = style.panels(
        figure, len(names), most_columns=3,
        x="groups acted on", y="target joins averted",
    )  # fmt: skip
    for axes, name in zip(grid, names, strict=True):
        _draw_doses(axes, where(data, intervention=name), choosers)
        axes.set_title(label(name.replace("_", " "), limit=40), parse_math=False)
    figure.legend(
        handles=[_chooser_key(name, i) for i, name in enumerate(choosers)],
        loc="outside lower center",
        ncols=min(len(choosers), 2 if is_narrow else 4),
    )
    return figure


def caption_dose_response(data: pa.Table) -> str:
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
        key=lambda name: (not name.startswith(_ORACLE), name != LEADING, name),
    )


def _draw_doses(axes: Axes, rows: pa.Table, choosers: list[str]) -> None:
    axes.axhline(0.0, color=style.MUTED, lw=0.6, zorder=0.5)
    for i, name in enumerate(choosers):
        mine = where(rows, chosen_by=name)
        color, marker, line = _chooser_look(name, i)
        x, y, low, high = (floats(mine, k) for k in ("n_groups", "value", "ci_low", "ci_high"))
        axes.fill_between(x, low, high, color=color, alpha=0.15, lw=0.0)
        axes.plot(x, y, color=color, ls=line, marker=marker, ms=3.4, mec=style.PAPER, mew=0.3)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    style.count_axis(axes.yaxis)
    axes.grid(axis="y", color=style.RULE)


def _chooser_look(name: str, place: int) -> tuple[str, str, str]:
    return (style.INK, "o", "-") if name.startswith(_ORACLE) else style.curve_look(place)


def _chooser_key(name: str, place: int) -> Line2D:
    return style.curve_key(label(name.replace("_", " "), limit=40), *_chooser_look(name, place))
