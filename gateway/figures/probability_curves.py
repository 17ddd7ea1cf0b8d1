"""P(join a target): of users join by join (the note's figure 1), and its mean around joins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from gateway.arrays import Float64
from gateway.figures import style
from gateway.figures.labels import label
from gateway.figures.selection import (
    Tables,
    constant,
    first,
    floats,
    has_truth,
    ordered,
    summary_value,
    values,
    where,
)
from gateway.wording import count, counted, percent

Levels = Float64

_COLUMNS = (
    "panel", "user", "position", "time", "group", "role", "before", "after", "spike", "is_target",
    "is_gateway",
)  # fmt: skip
_SELECTION = (
    "The users were picked by rule, not at random: going through the top groups in order, the "
    "joiner with the largest spike there, among users with 5 to 20 scored joins (5 to 200 where "
    "none of those spikes), by turns one who went on to join a target and one who did not."
)
"""How ``gateway.analyses.curves`` picks; a summary that tells of another rule goes first."""
_TIES = (
    " Joins of one user in the same tick have no order: each is evaluated on its own, on top of "
    "the joins before them."
)
_STAR: Any = {
    "marker": "*",
    "ms": 8,
    "mec": style.PAPER,
    "mfc": style.role("target").color,
    "mew": 0.5,
}
"""The end of a curve: the colour of a target, and a shape that no role has."""
_HEADROOM = 1.42
"""Top of the shared axis over the highest curve: room for the name over a jump."""


def plotted_probability_curves(tables: Tables) -> pa.Table | None:
    """Return the joins of the chosen users, by panel and position, or None without any.

    Two constant columns are added: ``horizon`` of the probability, and ``selection``, how
    the users were chosen (key ``curve_rule`` of the summary).
    """
    curves = tables.get("curves")
    if curves is None or curves.num_rows == 0:
        return None
    data = ordered(curves.select(_COLUMNS), "panel", "position", "group")
    data = constant(data, "horizon", summary_value(tables, "horizon"))
    return constant(data, "selection", summary_value(tables, "curve_rule") or _SELECTION)


@style.styled
def draw_probability_curves(data: pa.Table, *, ax: Axes | None = None) -> style.AnyFigure:
    """Draw one panel per user; all panels share the probability axis."""
    users = _panels(data)
    n_columns = 2 if len(users) <= 4 else 3
    figure = style.figure(style.PAGE, 1.75 * -(-len(users) // n_columns) + 0.5, ax)
    grid = style.panels(
        figure, len(users), most_columns=n_columns, sharex=False,
        x="number of groups joined", y="P(join a target) (%)",
    )  # fmt: skip
    top = _HEADROOM * max(float(np.max(_levels(user)[1:])) for user in users)
    for axes, user in zip(grid, users, strict=True):
        draw_curve(axes, user, top=top or 1.0)
    keys = _keys(data)
    n_key_rows = -(-len(keys) // 5)
    figure.legend(handles=keys, loc="outside lower center", ncols=-(-len(keys) // n_key_rows))
    return figure


def caption_probability_curves(data: pa.Table) -> str:
    """Say what a step, a mark and the end of a curve mean, and who the users are."""
    panels = _panels(data)
    bases = [_levels(panel)[1][0] / 100.0 for panel in panels]
    base = percent(min(bases))
    if percent(max(bases)) != base:
        base = f"{base} to {percent(max(bases))}, by cross-fitting fold"
    ties = _TIES if _has_ties(panels) else ""
    horizon = first(data, "horizon")
    n_spikes = pc.sum(data["spike"]).as_py()
    ends = "star ends a curve where the user joins the target group named above the panel"
    colour = "; colour and shape give the group's planted role" if has_truth(data) else ""
    return (
        f"Probability of joining a target group (horizon: {horizon or 'as configured'}), "
        f"evaluated again after every join, for {counted(len(panels), 'user')}. "
        f"Dotted: the probability before any join ({base}). Marked: {counted(n_spikes, 'spike')}, "
        f"filled where the group joined was flagged as a gateway group{colour}; the name is that "
        f"of the group at the highest such jump. A {ends}.{ties} Each curve is one user's score: "
        f"there is no interval. {first(data, 'selection')}"
    )


def _panels(data: pa.Table) -> list[pa.Table]:
    return [where(data, panel=number) for number in sorted(values(data, "panel"))]


def _has_ties(panels: list[pa.Table]) -> bool:
    """Whether any user joins two of the groups shown in one tick."""
    return any((np.diff(panel["time"].to_numpy()) == 0).any() for panel in panels)


@style.styled
def draw_curve(axes: Axes, panel: pa.Table, *, top: float) -> None:
    """Draw the joins of one user; ``top`` is the upper end of the axis, in per cent."""
    x, before, after = _levels(panel)
    axes.set_xlim(0.0, float(x[-1]) + 0.6)
    axes.set_ylim(0.0, top)
    # The room above for names is no probability.
    axes.set_yticks([tick for tick in axes.get_yticks() if tick <= min(top, 100.0)])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.grid(axis="y", color=style.RULE)
    axes.axhline(before[0], color=style.MUTED, ls=":", lw=0.9, zorder=1.5)
    # Up to each join the level before it, then the jump. Joins of one tick each start from
    # the level before all of them.
    path_x = np.column_stack([x - 1.0, x, x]).ravel()
    path_y = np.column_stack([before, before, after]).ravel()
    axes.plot(path_x, path_y, color=style.INK)
    _mark_spikes(axes, panel, x, after)
    _mark_target(axes, panel, x, after)
    _name_jump(axes, panel, x, after)


def _levels(panel: pa.Table) -> tuple[Levels, Levels, Levels]:
    """Return position, and probability before and after it in per cent.

    A target join has neither; the level of the join before it is held up to there.
    """
    x, before, after = (floats(panel, name) for name in ("position", "before", "after"))
    for i in range(len(x)):
        if np.isnan(before[i]):
            before[i] = after[i - 1] if i else 0.0
        if np.isnan(after[i]):
            after[i] = before[i]
    return x, 100.0 * before, 100.0 * after


def _mark_spikes(axes: Axes, panel: pa.Table, x: Levels, level: Levels) -> None:
    rows = zip(
        panel["spike"].to_pylist(),
        panel["role"].to_pylist(),
        panel["is_gateway"].to_pylist(),
        strict=True,
    )
    for i, (is_spike, name, is_gateway) in enumerate(rows):
        if is_spike:
            drawn = style.role(name)
            face = drawn.color if is_gateway else style.PAPER
            axes.plot(x[i], level[i], marker=drawn.marker, mec=drawn.color, mfc=face, zorder=3)


def _mark_target(axes: Axes, panel: pa.Table, x: Levels, level: Levels) -> None:
    """Put the star at the target join, and who ends where above the panel."""
    user = label(panel["user"][0].as_py(), limit=20)
    ends = np.flatnonzero(np.array(panel["is_target"].to_pylist(), dtype=bool))
    title = f"{user}: joins no target"
    if len(ends):
        target = label(panel["group"][int(ends[-1])].as_py(), limit=20)
        title = f"{user} \N{RIGHTWARDS ARROW} {target}"
        axes.plot(x[ends[-1]], level[ends[-1]], zorder=4, **_STAR)
    axes.set_title(title, parse_math=False)


def _name_jump(axes: Axes, panel: pa.Table, x: Levels, level: Levels) -> None:
    """Write the group's name above the whole curve, with a line down to its jump."""
    at = _named_join(panel)
    if at is None:
        return
    name = label(panel["group"][at].as_py(), limit=26)
    share = x[at] / (x[-1] + 0.6)
    side = "left" if share < 0.35 else "right" if share > 0.65 else "center"
    height = axes.get_ylim()[1]
    axes.annotate(
        name,
        xy=(x[at], level[at]),
        xytext=(x[at], max(level.max() + 0.09 * height, level[at] + 0.12 * height)),
        ha=side,
        va="bottom",
        parse_math=False,
        bbox={"boxstyle": "square,pad=0.15", "fc": style.PAPER, "ec": "none"},
        arrowprops={
            "arrowstyle": "-",
            "lw": 0.5,
            "color": style.MUTED,
            "relpos": ({"left": 0.0, "center": 0.5, "right": 1.0}[side], 0.0),
            "shrinkA": 0,
            "shrinkB": 3,
        },
    )


def _named_join(panel: pa.Table) -> int | None:
    """Return the row of the highest spike at a flagged group, else of the highest spike."""
    jump = floats(panel, "after") - floats(panel, "before")
    spike = np.array(panel["spike"].to_pylist(), dtype=bool) & ~np.isnan(jump)
    flagged = spike & np.array(panel["is_gateway"].to_pylist(), dtype=bool)
    among = flagged if flagged.any() else spike
    return int(np.argmax(np.where(among, jump, -np.inf))) if among.any() else None


def _keys(data: pa.Table) -> list[Line2D]:
    spikes = data.filter(data["spike"])
    keys = [Line2D([], [], color=style.MUTED, ls=":", lw=0.9, label="before any join")]
    if has_truth(data):
        keys += style.role_keys(spikes["role"].to_pylist())
    else:
        blue = {"mec": style.BLUE, "mfc": style.BLUE}
        keys.append(Line2D([], [], ls="none", marker="o", label="spike", **blue))
    if pc.any(data["is_target"]).as_py():
        keys.append(Line2D([], [], ls="none", label="joins a target", **_STAR))
    return keys + style.flag_keys()


_FEWEST_USERS = 10
"""A mean over fewer joiners is mostly noise; such offsets are not drawn."""


def plotted_event_study(tables: Tables) -> pa.Table | None:
    """Return the curves of the flagged groups by role, and one of the ordinary others.

    None where no group was flagged. Offsets that fewer than ten joiners reach are left out.
    """
    table = tables.get("event_study")
    if table is None:
        return None
    is_reference = pc.and_(
        pc.invert(table["flagged"]), pc.is_in(table["role"], pa.array(["ordinary", style.UNTOLD]))
    )
    enough = pc.greater_equal(table["n_users"], _FEWEST_USERS)
    data = table.filter(pc.and_(pc.or_(table["flagged"], is_reference), enough))
    if not pc.any(data["flagged"]).as_py():
        return None
    order = [("flagged", "descending"), ("role", "ascending"), ("offset", "ascending")]
    return data.sort_by(order).combine_chunks()


@style.styled
def draw_event_study(data: pa.Table, *, ax: Axes | None = None) -> style.AnyFigure:
    """Draw one curve for each role of the flagged groups, with its band, over the reference."""
    figure = style.figure(style.COLUMN, 3.3, ax)
    axes = figure.subplots()
    axes.axvline(-0.5, color=style.MUTED, lw=0.8, ls=":", zorder=0.5)
    axes.axhline(0.0, color=style.MUTED, lw=0.6, zorder=0.5)
    curves = [(key, _curve(data, key)) for key in reversed(_curves(data))]
    keys = [_draw_curve(axes, flagged, name, rows) for (flagged, name), rows in curves]
    axes.xaxis.set_major_locator(MaxNLocator(nbins=11, integer=True))
    axes.set_xlabel("occasions since the join")
    axes.set_ylabel("change of P(join a target),\npercentage points")
    axes.grid(axis="y", color=style.RULE)
    figure.legend(handles=keys[::-1], loc="outside lower center", ncols=1)
    return figure


def caption_event_study(data: pa.Table) -> str:
    """Say what is averaged over whom, what the band is, and who leaves the curve."""
    flagged = data.filter(data["flagged"])
    joiners = flagged.filter(pc.equal(flagged["offset"], 0))
    n_events = int(pc.sum(joiners["n_events"]).as_py())
    n_groups = sum({r["role"]: r["n_groups"] for r in flagged.to_pylist()}.values())
    reach = int(pc.max(pc.abs(data["offset"])).as_py())
    return (
        f"Event study around {counted(n_events, 'join')} of {counted(n_groups, 'flagged group')}: "
        f"mean change of the predicted probability from just before the join (dotted line), up to "
        f"{count(reach)} occasions on which the same user joined something before and after. "
        f"Band: 95 % interval, clustered by user. Offsets that fewer than {_FEWEST_USERS} users "
        f"reach are left out; a user leaves at the first target join. The curve is what the scorer "
        f"believes: a jump at the join alone does not tell who sends people from who attracts them."
    )


def _curves(data: pa.Table) -> list[tuple[bool, str]]:
    """Flagged and role of each curve, in the order of the table."""
    pairs = zip(data["flagged"].to_pylist(), data["role"].to_pylist(), strict=True)
    return list(dict.fromkeys(pairs))


def _curve(data: pa.Table, key: tuple[bool, str]) -> pa.Table:
    return where(data, flagged=key[0], role=key[1])


def _draw_curve(axes: Axes, flagged: bool, name: str, rows: pa.Table) -> Line2D:
    x = floats(rows, "offset")
    y, low, high = (100.0 * floats(rows, key) for key in ("change", "ci_low", "ci_high"))
    look, color = style.role(name), style.role(name).color if flagged else style.MUTED
    n = counted(rows["n_groups"][0].as_py(), "group")
    if not flagged:
        axes.fill_between(x, low, high, color=style.MUTED, alpha=0.25, lw=0.0)
        (line,) = axes.plot(x, y, color=style.MUTED, lw=0.9, ls="--", label=f"not flagged ({n})")
        return line
    label = "flagged" if name == style.UNTOLD else look.label
    axes.fill_between(x, low, high, color=color, alpha=0.18, lw=0.0)
    said = f"{label} ({n})"
    (line,) = axes.plot(
        x, y, color=color, marker=look.marker, ms=3.0, mec=style.PAPER, mew=0.3, label=said
    )
    return line
