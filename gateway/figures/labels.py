"""Names as labels: fit to be drawn, and placed where they belong to one mark alone."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import cos, pi, sin

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from gateway.arrays import Float64
from gateway.figures.style import MUTED
from gateway.wording import printable, shorten

Points = Float64

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_NOTHING = "(no name)"

_GAP = 4.0
"""Points between a mark's centre and a label beside it."""
_ALONE, _CLEAR = 9.0, 4.0
"""Pixels that a label keeps from the centres of other marks: one without a line reads as the
label of whatever mark is near it, so it needs more room than one at the end of its line."""
_AFAR = (13.0, 20.0, 28.0, 38.0)
"""Points between a mark and a label that a line ties to it, in the order of preference."""
_DIRECTIONS = 16

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


@dataclass(frozen=True)
class _Spot:
    """Where a label may go: offset from its mark in points, alignment, and whether by a line."""

    dx: float
    dy: float
    ha: str
    va: str
    has_line: bool


def label(name: str, *, limit: int = 24) -> str:
    """Return a name as one line of drawable characters, shortened in the middle.

    Mathematics is switched off in the style file, so a name needs no escapes; what is left
    is what cannot be drawn: what ``gateway.wording.printable`` takes away, and letters that
    the figure's font lacks, which become the replacement character.

    Parameters
    ----------
    limit
        Most characters of the result, at least 3.
    """
    composed = unicodedata.normalize("NFC", name)
    visible = printable("".join(c for c in composed if not _is_selector(c)))
    drawable = "".join(c if _has_glyph(c) else _REPLACEMENT for c in visible)
    return shorten(drawable.strip(), limit=limit) or _NOTHING


def _is_selector(character: str) -> bool:
    """Whether the character chooses how the one before it looks."""
    return 0xFE00 <= ord(character) <= 0xFE0F


@cache
def _has_glyph(character: str) -> bool:
    font = get_font(findfont(FontProperties(family="DejaVu Sans")))
    return bool(font.get_char_index(ord(character)))


def place(axes: Axes, names: Sequence[str], points: Points, *, avoid: Points) -> None:
    """Label points one by one, each at the first free spot; a point without one stays bare.

    A label stands beside its mark where no other mark is near. Elsewhere it stands farther
    off, with a line to its mark that passes over no other mark and no label.

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
    lines: list[Points] = []
    for name, point in zip(names, points, strict=True):
        others = avoid[np.any(avoid != point, axis=1)]
        for spot in _spots():
            text = _annotate(axes, name, point, spot)
            box, line = _letters(text), _line(text, point, spot)
            if _is_free(box, line, axes.bbox, others, taken, lines):
                taken.append(box)
                lines += [line] if line is not None else []
                break
            text.remove()


def _spots() -> Iterator[_Spot]:
    for dx, dy, ha, va in _SIDES:
        yield _Spot(_GAP * dx, _GAP * dy, ha, va, has_line=False)
    for distance in _AFAR:
        for i in range(_DIRECTIONS):
            # Up first, then alternately to either side: most room is above the highest.
            angle = pi / 2 + 2 * pi / _DIRECTIONS * ((i + 1) // 2) * (-1) ** i
            x, y = cos(angle), sin(angle)
            ha = "left" if x > 0.3 else "right" if x < -0.3 else "center"
            va = "bottom" if y > 0.3 else "top" if y < -0.3 else "center"
            yield _Spot(distance * x, distance * y, ha, va, has_line=True)


def _annotate(axes: Axes, name: str, point: Points, spot: _Spot) -> Annotation:
    x, y = axes.transData.inverted().transform(point)
    line = {"arrowstyle": "-", "lw": 0.5, "color": MUTED, "shrinkA": 0.5, "shrinkB": 2.5,
            "relpos": _corner(spot)}  # fmt: skip
    return axes.annotate(
        name,
        xy=(x, y),
        xytext=(spot.dx, spot.dy),
        textcoords="offset points",
        ha=spot.ha,
        va=spot.va,
        fontsize=6,
        parse_math=False,
        arrowprops=line if spot.has_line else None,
    )


def _corner(spot: _Spot) -> tuple[float, float]:
    """The point of the label's box, as fractions, that its line starts at."""
    x = {"left": 0.0, "center": 0.5, "right": 1.0}[spot.ha]
    return x, {"bottom": 0.0, "center": 0.5, "top": 1.0}[spot.va]


def _letters(text: Annotation) -> Bbox:
    """Extent of the letters: that of the whole annotation takes in its line."""
    text.update_positions(text.get_figure(root=True).canvas.get_renderer())  # type: ignore[union-attr]
    return Text.get_window_extent(text)


def _line(text: Annotation, point: Points, spot: _Spot) -> Points | None:
    """Both ends of the line, display coordinates; None for a label without one."""
    if not spot.has_line:
        return None
    scale = text.get_figure(root=True).dpi / 72.0  # type: ignore[union-attr]
    return np.array([point, point + scale * np.array([spot.dx, spot.dy])])


def _is_free(
    box: Bbox,
    line: Points | None,
    inside: Bbox,
    others: Points,
    taken: Sequence[Bbox],
    lines: Sequence[Points],
) -> bool:
    fits = box.x0 >= inside.x0 and box.x1 <= inside.x1 and box.y0 >= inside.y0
    if not fits or box.y1 > inside.y1 or any(box.overlaps(other) for other in taken):
        return False
    if _is_near(box, others, margin=_ALONE if line is None else _CLEAR):
        return False
    if any(_crosses(other, box) for other in lines):
        return False
    return line is None or not (
        _passes_over(line, others) or any(_crosses(line, other) for other in taken)
    )


def _is_near(box: Bbox, marks: Points, *, margin: float) -> bool:
    """Whether a mark's centre lies within the margin of the box."""
    dx = np.maximum(np.maximum(box.x0 - marks[:, 0], marks[:, 0] - box.x1), 0.0)
    dy = np.maximum(np.maximum(box.y0 - marks[:, 1], marks[:, 1] - box.y1), 0.0)
    return bool((np.hypot(dx, dy) < margin).any())


def _passes_over(line: Points, marks: Points) -> bool:
    """Whether a line comes within a mark's radius of its centre."""
    start, way = line[0], line[1] - line[0]
    t = np.clip((marks - start) @ way / (way @ way), 0.0, 1.0)
    distance = np.hypot(*(marks - (start + t[:, None] * way)).T)
    # A mark right beside the line's own is passed anyway, whichever way the line goes.
    apart = np.hypot(*(marks - start).T) > _CLEAR
    return bool((apart & (distance < _CLEAR)).any())


def _crosses(line: Points, box: Bbox) -> bool:
    """Whether a line enters a box, by some points along it."""
    along = line[0] + np.linspace(0.0, 1.0, 24)[:, None] * (line[1] - line[0])
    return bool(box.count_contains(along))
