"""Direct labels of a few points, placed where they cover nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

__all__ = ["place"]

_GAP = 4.0
"""Points between a mark's centre and its label."""
_BESIDE, _OVER = 7.0, 3.5
"""Pixels that a label keeps from the centres of other marks: an end beside a mark reads as
that mark's own label, so it keeps farther off than an edge over or under one."""

# Side of the mark, in the order of preference: (direction x, direction y, ha, va).
_SIDES = (
    (1.0, 0.0, "left", "center"),
    (-1.0, 0.0, "right", "center"),
    (0.0, 1.0, "center", "bottom"),
    (0.7, 0.7, "left", "bottom"),
    (-0.7, 0.7, "right", "bottom"),
    (0.0, -1.0, "center", "top"),
    (0.7, -0.7, "left", "top"),
    (-0.7, -0.7, "right", "top"),
)


def place(
    axes: Axes,
    names: Sequence[str],
    points: npt.NDArray[np.float64],
    *,
    avoid: npt.NDArray[np.float64],
) -> None:
    """Label points one by one, each on the first free side; a point without one stays bare.

    Parameters
    ----------
    axes
        Axes of a figure whose layout is settled: places are measured.
    names
        Labels, in the order of their importance.
    points
        Where the labelled marks are, display coordinates, shape (len(names), 2).
    avoid
        Centres of all marks that a label must not cover, display coordinates, shape (n, 2).
    """
    taken: list[Bbox] = []
    for name, point in zip(names, points, strict=True):
        box = _place_one(axes, name, point, avoid=avoid, taken=taken)
        if box is not None:
            taken.append(box)


def _place_one(
    axes: Axes,
    name: str,
    point: npt.NDArray[np.float64],
    *,
    avoid: npt.NDArray[np.float64],
    taken: Sequence[Bbox],
) -> Bbox | None:
    data = axes.transData.inverted().transform(point)
    for dx, dy, ha, va in _SIDES:
        text = axes.annotate(
            name,
            xy=(data[0], data[1]),
            xytext=(_GAP * dx, _GAP * dy),
            textcoords="offset points",
            ha=ha,
            va=va,
            fontsize=6,
            parse_math=False,
        )
        box = text.get_window_extent()
        if _is_free(box, axes.bbox, own=point, avoid=avoid, taken=taken):
            return box
        text.remove()
    return None


def _is_free(
    box: Bbox,
    inside: Bbox,
    *,
    own: npt.NDArray[np.float64],
    avoid: npt.NDArray[np.float64],
    taken: Sequence[Bbox],
) -> bool:
    fits = box.x0 >= inside.x0 and box.x1 <= inside.x1 and box.y1 <= inside.y1
    if not fits or any(box.overlaps(other) for other in taken):
        return False
    covered = (
        (avoid[:, 0] > box.x0 - _BESIDE)
        & (avoid[:, 0] < box.x1 + _BESIDE)
        & (avoid[:, 1] > box.y0 - _OVER)
        & (avoid[:, 1] < box.y1 + _OVER)
        & np.any(avoid != own, axis=1)
    )
    return not bool(covered.any())
