"""The highest ranked groups, with the interval of their score.

By the note's method where it ran: the share of joiners that spike. Else by the first
detector that did, in that detector's own unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gateway.figures.names import label
from gateway.figures.stored import (
    DETECTOR,
    constant,
    detectors,
    first,
    floats,
    has_truth,
    pooled_share,
    ranked_groups,
)
from gateway.figures.style import (
    COLUMN,
    MUTED,
    PAPER,
    RULE,
    flag_keys,
    role,
    role_keys,
    styled,
)
from gateway.figures.style import figure as new_figure
from gateway.figures.words import count, counted, percent

__all__ = ["NAME", "caption", "draw", "plotted"]

NAME: str = "top_gateways"

_COLUMNS = (
    "detector",
    "rank",
    "group",
    "role",
    "score",
    "ci_low",
    "ci_high",
    "estimate",
    "n_joiners",
    "n_events",
    "flagged",
)


def plotted(tables: Mapping[str, pa.Table], *, top: int = 30) -> pa.Table | None:
    """Return the first ``top`` ranked groups, or None where no group is ranked.

    The constant column ``pooled`` is the share of joiners that spike over the joiners of
    every ranked group; ``n_ranked`` says how many groups those are.
    """
    names = detectors(tables)
    ranked = ranked_groups(tables, names[0]) if names else None
    if ranked is None:
        return None
    data = constant(ranked.slice(0, top).select(_COLUMNS), "pooled", pooled_share(ranked))
    return constant(data, "n_ranked", float(ranked.num_rows))


@styled
def draw(data: pa.Table) -> Figure:
    """Draw one row per group, best on top."""
    figure = new_figure(COLUMN, 0.148 * data.num_rows + 1.15)
    axes = figure.subplots()
    _draw_rows(axes, data)
    _label_rows(axes, data)
    if _is_spike(data):
        _draw_pooled(axes, data)
        axes.set_xlabel("share of joiners that spike (%)")
    else:
        axes.set_xlabel(f"score of detector {first(data, 'detector')}")
    keys = (role_keys(data["role"].to_pylist()) if has_truth(data) else []) + flag_keys()
    figure.legend(handles=keys, loc="outside lower center", ncols=2)
    return figure


def _is_spike(data: pa.Table) -> bool:
    return bool(first(data, "detector") == DETECTOR)


def _draw_pooled(axes: Axes, data: pa.Table) -> None:
    axes.axvline(100.0 * first(data, "pooled"), color=MUTED, ls=":", lw=0.9, zorder=1.5)
    axes.annotate(
        "all joiners",
        xy=(100.0 * first(data, "pooled"), 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        color=MUTED,
        fontsize=6,
    )


def caption(data: pa.Table) -> str:
    """Say what is ranked by what, out of how many, and what the interval is."""
    n_flagged = sum(data["flagged"].to_pylist())
    colour = " Colour and shape give the planted role." if has_truth(data) else ""
    if not _is_spike(data):
        return (
            f"The {counted(data.num_rows, 'group')} with the highest score of "
            f"{count(first(data, 'n_ranked'))} ranked by the detector {first(data, 'detector')}. "
            f"Dot: the score. Bar: its 95 % interval, where the detector gives one. Right: number "
            f"of joiners. Filled: flagged as a gateway group ({count(n_flagged)} of those "
            f"shown).{colour}"
        )
    return (
        f"The {counted(data.num_rows, 'group')} with the highest gateway score of "
        f"{count(first(data, 'n_ranked'))} ranked. Dot: the score, the share of a group's joiners "
        f"whose probability of joining a target spikes at that join, shrunken towards the share "
        f"among all joiners (dotted line, {percent(first(data, 'pooled'))}). Bar: 95 % posterior "
        f"interval of that share. Right: number of joiners. Filled: flagged as a gateway group "
        f"({count(n_flagged)} of those shown).{colour}"
    )


def _draw_rows(axes: Axes, data: pa.Table) -> None:
    scale = 100.0 if _is_spike(data) else 1.0
    score, low, high = (scale * floats(data, name) for name in ("score", "ci_low", "ci_high"))
    known = np.concatenate([score, low, high])
    limits = _limits(known[np.isfinite(known) | np.isnan(known)])
    # An interval may be without end: its bar goes to the edge.
    low, high = np.clip(low, *limits), np.clip(high, *limits)
    rows = zip(data["role"].to_pylist(), data["flagged"].to_pylist(), strict=True)
    for y, (name, is_flagged) in enumerate(rows):
        drawn = role(name)
        axes.plot([low[y], high[y]], [y, y], color=drawn.color, lw=0.9, solid_capstyle="butt")
        face = drawn.color if is_flagged else PAPER
        axes.plot(score[y], y, marker=drawn.marker, mec=drawn.color, mfc=face, zorder=3)
    axes.set_xlim(*limits)
    axes.set_ylim(data.num_rows - 0.4, -0.6)
    axes.grid(axis="x", color=RULE)


def _limits(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """From zero, or from below it where a score is negative, with room on the right."""
    least, most = min(float(np.nanmin(values)), 0.0), float(np.nanmax(values))
    return 1.04 * least, 1.04 * most if most > 0.0 else (0.0 if least < 0.0 else 1.0)


def _label_rows(axes: Axes, data: pa.Table) -> None:
    """Write rank and name on the left, the number of joiners on the right."""
    names = [label(group, limit=22) for group in data["group"].to_pylist()]
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.tick_params(axis="y", length=0, pad=14)
    axes.spines["left"].set_visible(False)
    style: Any = {
        "transform": axes.get_yaxis_transform(),
        "ha": "right",
        "va": "center_baseline",
        "fontsize": 6,
        "color": MUTED,
    }
    for y, rank, n in zip(range(len(names)), *_integers(data, "rank", "n_joiners"), strict=True):
        axes.text(-0.02, y, str(rank), **style)
        axes.text(1.14, y, count(n), **style)
    axes.text(1.14, -1.0, "joiners", **style)


def _integers(data: pa.Table, *names: str) -> Iterator[list[int]]:
    return (data[name].to_pylist() for name in names)
