"""The truth by replay: what a join of each group did to its joiner, by planted role."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gateway.figures.stored import floats
from gateway.figures.style import COLUMN, INK, MUTED, RULE, role, styled
from gateway.figures.style import figure as new_figure
from gateway.wording import count

__all__ = ["NAME", "caption", "draw", "plotted"]

NAME: str = "direct_effects"

_FEWEST_JOINS = 20
"""A mean over fewer replays is mostly noise; such groups count in the role's mean alone."""
_ORDER = (
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


def plotted(tables: Mapping[str, pa.Table]) -> pa.Table | None:
    """Return groups with role and direct effect, each with its role's mean; None without truth.

    The role's mean is over joins; its standard error adds up those of the groups.
    """
    if "truth" not in tables or "groups" not in tables:
        return None
    truth, groups = tables["truth"], tables["groups"].select(["group", "role"])
    rows = truth.filter(pc.is_valid(truth["direct_effect"])).join(groups, "group")
    rows = rows.sort_by([("role", "ascending"), ("group", "ascending")])
    if rows.num_rows == 0:
        return None
    means = {name: _role_mean(rows, name) for name in set(rows["role"].to_pylist())}
    pairs = np.array([means[name] for name in rows["role"].to_pylist()])
    shown = rows.append_column("role_mean", pa.array(pairs[:, 0]))
    shown = shown.append_column("role_se", pa.array(pairs[:, 1]))
    names = ["group", "role", "direct_effect", "direct_se", "n_joins", "role_mean", "role_se"]
    return shown.select(names)


def _role_mean(rows: pa.Table, name: str) -> tuple[float, float]:
    mine = rows.filter(pc.equal(rows["role"], name))
    n, effect = floats(mine, "n_joins"), floats(mine, "direct_effect")
    error = np.nan_to_num(floats(mine, "direct_se"))
    return float((n * effect).sum() / n.sum()), float(np.sqrt(((n * error) ** 2).sum()) / n.sum())


@styled
def draw(data: pa.Table) -> Figure:
    """Draw a row of dots for each role, its mean and interval on top."""
    present = set(data["role"].to_pylist())
    roles = [name for name in _ORDER if name in present]
    figure = new_figure(COLUMN, 0.75 + 0.36 * len(roles))
    axes = figure.subplots()
    for place, name in enumerate(roles):
        _draw_role(axes, data.filter(pc.equal(data["role"], name)), name, -place)
    axes.axvline(0.0, color=MUTED, lw=0.8, zorder=0.5)
    axes.set_yticks([-place for place in range(len(roles))], [role(name).label for name in roles])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-len(roles) + 0.45, 0.55)
    axes.set_xlabel("target joins caused per 100 joins")
    axes.grid(axis="x", color=RULE)
    return figure


def _draw_role(axes: Axes, rows: pa.Table, name: str, place: int) -> None:
    seen = rows.filter(pc.greater_equal(rows["n_joins"], _FEWEST_JOINS))
    x, look = 100.0 * floats(seen, "direct_effect"), role(name)
    axes.plot(
        x, place + _spread(len(x)), ls="none", marker=look.marker, ms=2.6, mew=0.0,
        color=look.color, alpha=0.55, rasterized=len(x) > 500,
    )  # fmt: skip
    mean, error = (100.0 * rows[key][0].as_py() for key in ("role_mean", "role_se"))
    axes.hlines(place, mean - 1.96 * error, mean + 1.96 * error, color=INK, lw=1.6, zorder=3)
    axes.plot([mean], [place], marker="|", ms=9.0, mew=1.6, color=INK, zorder=3)


def _spread(n: int) -> npt.NDArray[np.float64]:
    """Vertical places that keep dots apart, the same every time."""
    return np.asarray(((np.arange(n) * _GOLDEN) % 1.0 - 0.5) * 0.6, np.float64)


def caption(data: pa.Table) -> str:
    """Say what was replayed, how often, and what dots and bars are."""
    joins = float(pc.sum(data["n_joins"]).as_py())
    return (
        f"Direct effect of {count(data.num_rows)} groups by planted role, from replays of "
        f"{count(joins)} joins: each joiner's future is lived again without that group, everybody "
        "else and all random numbers held as they were, and the target joins lost are counted. "
        f"Dot: mean of one group (of {_FEWEST_JOINS} joins or more). Bar: mean over all joins of "
        "the role with its 95 % interval, joins taken as independent."
    )
