"""From gateway groups through sources to target groups: the requests behind R1 as ribbons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from gateway.figures import style
from gateway.figures.selection import FITTED, Tables
from gateway.wording import count, percent

_COLUMNS = ("role", "source", "requests", "confirmed")
_LEFT, _MIDDLE, _RIGHT = 0.215, 0.55, 0.85
_WIDTH = 0.014
_GAP = 0.052
"""Space below each node, of the height: a line of letters, so that labels never meet."""
_BECAME = "target group joined"
_FAILED = "not confirmed"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class _Node:
    """A bar of the diagram: its name, its requests, and its upper end."""

    name: str
    requests: int
    top: float


def plotted_pathways(tables: Tables) -> pa.Table | None:
    """Return requests and confirmed ones by the gateway group's role and by source.

    Roles and sources with the most requests come first; None where there is no request.
    """
    rows = tables.get("analyses/pathways")
    if rows is None or rows.num_rows == 0:
        return None
    role_of = _roles(tables)
    names = [role_of.get(group, style.UNTOLD) for group in rows["gateway"].to_pylist()]
    data = rows.append_column("role", pa.array(names, pa.string())).group_by(["role", "source"])
    data = data.aggregate([("requests", "sum"), ("confirmed", "sum")])
    data = data.rename_columns({"requests_sum": "requests", "confirmed_sum": "confirmed"})
    order = [_by_size(data, key) for key in ("role", "source")]
    found = sorted(
        data.select(_COLUMNS).to_pylist(),
        key=lambda row: (order[0].index(row["role"]), order[1].index(row["source"])),
    )
    return pa.Table.from_pylist(found, schema=data.select(_COLUMNS).schema)


def _roles(tables: Tables) -> dict[str, str]:
    if "groups" not in tables:
        return {}
    groups = tables["groups"]
    return dict(zip(groups["group"].to_pylist(), groups["role"].to_pylist(), strict=True))


def _by_size(data: pa.Table, key: str) -> list[str]:
    """Names in a column, those of the most requests first, equals by name."""
    sums = data.group_by(key).aggregate([("requests", "sum")])
    order = [("requests_sum", "descending"), (key, "ascending")]
    names: list[str] = sums.sort_by(order)[key].to_pylist()
    return names


@style.styled
def draw_pathways(data: pa.Table, *, ax: Axes | None = None) -> style.AnyFigure:
    """Draw three columns of bars, and ribbons as high as their requests between them."""
    figure = style.figure(style.PAGE, 3.6, ax)
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(0.0, 1.09)
    rows = data.to_pylist()
    total, done = (sum(row[key] for row in rows) for key in ("requests", "confirmed"))
    most = max(len(set(data["source"].to_pylist())), len(set(data["role"].to_pylist())))
    scale = (1.0 - _GAP * most) / max(total, 1)
    groups = _stack({name: _sum(rows, "role", name) for name in _by_size(data, "role")}, scale)
    sources = _stack({name: _sum(rows, "source", name) for name in _by_size(data, "source")}, scale)
    ends = _stack({_BECAME: done, _FAILED: total - done}, scale)
    _join_groups_to_sources(axes, rows, groups, sources, scale)
    _join_sources_to_ends(axes, rows, sources, ends, scale)
    _draw_nodes(axes, groups, sources, ends, scale=scale, total=total)
    return figure


def _sum(rows: Sequence[Row], key: str, name: str) -> int:
    return sum(row["requests"] for row in rows if row[key] == name)


def _stack(sizes: Mapping[str, int], scale: float) -> dict[str, _Node]:
    """Place nodes under each other, all of them in the middle of the height."""
    left = 1.0 - scale * sum(sizes.values()) - _GAP * (len(sizes) - 1)
    top, nodes = 1.0 - left / 2, {}
    for name, size in sizes.items():
        nodes[name] = _Node(name, size, top)
        top -= scale * size + _GAP
    return nodes


def _join_groups_to_sources(
    axes: Axes,
    rows: Sequence[Row],
    groups: Mapping[str, _Node],
    sources: Mapping[str, _Node],
    scale: float,
) -> None:
    """Rows come by role, then by source: that is the order within a bar on both sides."""
    left = {name: node.top for name, node in groups.items()}
    right = {name: node.top for name, node in sources.items()}
    for row in rows:
        name, source, height = row["role"], row["source"], scale * row["requests"]
        ribbon = _ribbon(_LEFT + _WIDTH, left[name], _MIDDLE, right[source], height)
        axes.add_patch(PathPatch(ribbon, facecolor=style.role(name).color, alpha=0.55, lw=0.0))
        left[name] -= height
        right[source] -= height


def _join_sources_to_ends(
    axes: Axes,
    rows: Sequence[Row],
    sources: Mapping[str, _Node],
    ends: Mapping[str, _Node],
    scale: float,
) -> None:
    """Grey: what becomes of a request does not depend on the group that came before."""
    at = {name: node.top for name, node in ends.items()}
    for source, node in sources.items():
        done = sum(row["confirmed"] for row in rows if row["source"] == source)
        start = node.top
        for name, requests in ((_BECAME, done), (_FAILED, node.requests - done)):
            height = scale * requests
            ribbon = _ribbon(_MIDDLE + _WIDTH, start, _RIGHT, at[name], height)
            hatch = "" if name == _BECAME else "/////"
            looks = {"facecolor": style.FAINT, "edgecolor": style.MUTED, "hatch": hatch}
            axes.add_patch(PathPatch(ribbon, alpha=0.5, lw=0.0, **looks))
            start -= height
            at[name] -= height


def _ribbon(x0: float, y0: float, x1: float, y1: float, height: float) -> Path:
    """Return a band from one upper end to the other, level at both."""
    middle = (x0 + x1) / 2
    corners = [
        (x0, y0), (middle, y0), (middle, y1), (x1, y1),
        (x1, y1 - height), (middle, y1 - height), (middle, y0 - height), (x0, y0 - height),
        (x0, y0),
    ]  # fmt: skip
    curve = [Path.CURVE4] * 3
    return Path(corners, [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY])


def _draw_nodes(
    axes: Axes,
    groups: Mapping[str, _Node],
    sources: Mapping[str, _Node],
    ends: Mapping[str, _Node],
    *,
    scale: float,
    total: int,
) -> None:
    columns = (
        (_LEFT, "gateway group joined last before", groups, "right"),
        (_MIDDLE, "source of the request", sources, "left"),
        (_RIGHT, "what became of it", ends, "left"),
    )
    for x, title, nodes, side in columns:
        axes.text(x + _WIDTH / 2, 1.06, title, ha="center", va="center", color=style.MUTED)
        for name, node in nodes.items():
            color = style.role(name).color if nodes is groups else style.INK
            height = scale * node.requests
            axes.add_patch(Rectangle((x, node.top - height), _WIDTH, height, color=color, lw=0.3))
            called = style.role(name).label if nodes is groups else name
            said = f"{called}  {percent(node.requests / total)}"
            place = x - 0.008 if side == "right" else x + _WIDTH + 0.008
            middle = node.top - height / 2
            box = {"facecolor": style.PAPER, "alpha": 0.8, "lw": 0.0, "pad": 0.6}
            axes.text(
                place, middle, said, ha=side, va="center", color=style.INK, fontsize=6.5, bbox=box
            )


def caption_pathways(data: pa.Table) -> str:
    """Say what a ribbon is, which group a request belongs to, and what that does not mean."""
    total, done = (pc.sum(data[key]).as_py() for key in ("requests", "confirmed"))
    return (
        f"From gateway groups to target groups: {count(total)} requests to join target groups by "
        "users who had joined a top gateway group on an earlier day (those of R1), by what the "
        "group joined last before was planted as, by source, and by what became of them "
        f"({percent(done / total)} confirmed). Heights are requests; hatched: not confirmed. A "
        "request after a group is not a request because of it: look-alikes attract users who "
        f"were on their way. {FITTED}"
    )
