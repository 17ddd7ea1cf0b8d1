"""The event study: the mean curve of P before and after the join of a flagged group."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from gateway.figures.stored import floats
from gateway.figures.style import COLUMN, MUTED, PAPER, RULE, UNTOLD, role, styled
from gateway.figures.style import figure as new_figure
from gateway.wording import count, counted

__all__ = ["NAME", "caption", "draw", "plotted"]

NAME: str = "event_study"

_FEWEST_USERS = 10
"""A mean over fewer joiners is mostly noise; such offsets are not drawn."""


def plotted(tables: Mapping[str, pa.Table]) -> pa.Table | None:
    """Return the curves of the flagged groups by role, and one of the ordinary others.

    None where no group was flagged. Offsets that fewer than ten joiners reach are left out.
    """
    table = tables.get("event_study")
    if table is None:
        return None
    is_reference = pc.and_(
        pc.invert(table["flagged"]), pc.is_in(table["role"], pa.array(["ordinary", UNTOLD]))
    )
    enough = pc.greater_equal(table["n_users"], _FEWEST_USERS)
    data = table.filter(pc.and_(pc.or_(table["flagged"], is_reference), enough))
    if not pc.any(data["flagged"]).as_py():
        return None
    order = [("flagged", "descending"), ("role", "ascending"), ("offset", "ascending")]
    return data.sort_by(order).combine_chunks()


@styled
def draw(data: pa.Table) -> Figure:
    """Draw one curve for each role of the flagged groups, with its band, over the reference."""
    figure = new_figure(COLUMN, 3.3)
    axes = figure.subplots()
    axes.axvline(-0.5, color=MUTED, lw=0.8, ls=":", zorder=0.5)
    axes.axhline(0.0, color=MUTED, lw=0.6, zorder=0.5)
    curves = [(key, _curve(data, key)) for key in reversed(_curves(data))]
    keys = [_draw_curve(axes, flagged, name, rows) for (flagged, name), rows in curves]
    axes.xaxis.set_major_locator(MaxNLocator(nbins=11, integer=True))
    axes.set_xlabel("occasions since the join")
    axes.set_ylabel("change of P(join a target),\npercentage points")
    axes.grid(axis="y", color=RULE)
    figure.legend(handles=keys[::-1], loc="outside lower center", ncols=1)
    return figure


def caption(data: pa.Table) -> str:
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
    return data.filter(pc.and_(pc.equal(data["flagged"], key[0]), pc.equal(data["role"], key[1])))


def _draw_curve(axes: Axes, flagged: bool, name: str, rows: pa.Table) -> Line2D:
    x = floats(rows, "offset")
    y, low, high = (100.0 * floats(rows, key) for key in ("change", "ci_low", "ci_high"))
    look, color = role(name), role(name).color if flagged else MUTED
    n = counted(rows["n_groups"][0].as_py(), "group")
    if not flagged:
        axes.fill_between(x, low, high, color=MUTED, alpha=0.25, lw=0.0)
        (line,) = axes.plot(x, y, color=MUTED, lw=0.9, ls="--", label=f"not flagged ({n})")
        return line
    label = "flagged" if name == UNTOLD else look.label
    axes.fill_between(x, low, high, color=color, alpha=0.18, lw=0.0)
    (line,) = axes.plot(
        x, y, color=color, marker=look.marker, ms=3.0, mec=PAPER, mew=0.3, label=f"{label} ({n})"
    )
    return line
