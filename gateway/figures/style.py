"""One look for every figure: sizes, shades, and how each planted role is drawn.

A role has the same colour and the same shape everywhere. Colours are from Okabe and Ito
(2008), "Color Universal Design"; shapes carry the same distinction on a grey printer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, wraps
from importlib.resources import as_file, files
from io import BytesIO
from typing import Any, Final, ParamSpec, TypeVar

import matplotlib as mpl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from gateway.errors import GatewayError
from gateway.wording import count

COLUMN = 3.5
"""Width of a journal's column, inches."""
PAGE = 7.16
"""Width of a journal's page, inches."""

INK = "#1f2328"
MUTED = "#59636e"
FAINT = "#a3acb5"
RULE = "#e1e5e9"
PAPER = "#ffffff"
BLUE = "#0072B2"
UNTOLD = "unknown"
"""Role of every group of a real log: nobody knows the truth."""

_WINDOWS = ("backend", "interactive", "keymap", "toolbar", "webagg")

AnyFigure = Figure | SubFigure
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Role:
    """How a planted role is drawn and called."""

    name: str
    label: str
    color: str
    marker: str


_ROLES = (
    Role("influence", "planted gateway", "#D55E00", "o"),
    Role("recommender", "planted gateway: recommender", "#D55E00", "p"),
    Role("inviter", "planted gateway: inviter", "#D55E00", "h"),
    Role("fellow_traveller", "look-alike: fellow traveller", "#E69F00", "P"),
    Role("homophily", "look-alike: homophily", BLUE, "^"),
    Role("hub", "look-alike: hub", "#009E73", "s"),
    Role("target", "harmful, not in target set", "#CC79A7", "v"),
    Role("ordinary", "ordinary group", MUTED, "D"),
    Role(UNTOLD, "group", BLUE, "o"),
)
_BY_NAME = {drawn.name: drawn for drawn in _ROLES}


def role(name: str) -> Role:
    """Return how a role is drawn; a role of a later version has a look of its own."""
    return _BY_NAME.get(name, Role(name, name, "#E69F00", "P"))


_LOOKS = (
    (BLUE, "o", "-"), ("#D55E00", "^", "--"), ("#009E73", "s", "-."), ("#CC79A7", "v", ":"),
    ("#E69F00", "P", "-"), (MUTED, "D", "--"),
)  # fmt: skip


@cache
def _settings() -> Any:
    """Our style on top of matplotlib's shipped defaults; the window system is left alone."""
    with as_file(files("gateway.figures") / "gateway.mplstyle") as path:
        settings = mpl.rc_params_from_file(path, use_default_template=True)
    return {key: settings[key] for key in settings if not key.startswith(_WINDOWS)}


@contextmanager
def look() -> Iterator[None]:
    """Draw or save in our style, whatever the surrounding program has set."""
    with mpl.rc_context(_settings()):
        yield


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Make a drawing function draw in our style."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        with look():
            return draw(*args, **kwargs)

    return drawn


def figure(width: float, height: float, ax: Axes | None = None) -> AnyFigure:
    """Return an empty figure, inches; it belongs to no window and no global state.

    With ``ax``, a part of its figure in its place, whatever the size.
    """
    if ax is None:
        return Figure(figsize=(width, height))
    parent, place = ax.get_figure(), ax.get_subplotspec()
    if parent is None or place is None:
        raise GatewayError("ax must be one of a figure's subplots; it has no place in a grid")
    whole = whole_of(parent)
    if whole.get_layout_engine() is None:
        whole.set_layout_engine("constrained")  # legends stand outside of axes
    ax.remove()
    return parent.add_subfigure(place)


@styled
def new_axes(width: float, height: float) -> Axes:
    """Return axes of a new figure of pyplot, inches, which a notebook shows by itself."""
    import matplotlib.pyplot as plt  # noqa: PLC0415  (it chooses a window system)

    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax


def panels(
    figure: AnyFigure, n: int, *, most_columns: int, x: str, y: str, sharex: bool = True
) -> list[Axes]:
    """Return ``n`` axes in rows of at most so many, named at the outer edges alone.

    Parameters
    ----------
    n
        At least 1; the last row may stay open.
    sharex
        Whether all have one x axis; they always have one y axis.
    """
    n_columns = min(n, most_columns)
    grid = figure.subplots(-(-n // n_columns), n_columns, sharex=sharex, sharey=True, squeeze=False)
    for i, axes in enumerate(grid.flat):
        axes.set_visible(i < n)
        if i < n <= i + n_columns:
            axes.set_xlabel(x)
        if i < n and i % n_columns == 0:
            axes.set_ylabel(y)
    return list(grid.flat[:n])


def count_axis(axis: Axis) -> None:
    """Write the ticks of an axis as counts, with thousands set off."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))


def log_axis(axis: Axis, subs: Sequence[float] = (1.0,)) -> None:
    """Label a logarithmic axis at decades times ``subs``, as plain numbers."""
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def whole_of(figure: AnyFigure) -> Figure:
    """Return the figure that a part belongs to, or the figure itself."""
    whole = figure.get_figure(root=True)
    assert whole is not None  # noqa: S101  (every part has been added to a figure)
    return whole


def letters_on(level: float) -> str:
    """Return the colour of letters in a heat map's cell, by the cell's place in cividis.

    Neither is a shade of the page, which turns with the dark; the cells do not. Between
    them every cell has a contrast of 4.5 to 1 (WCAG 2.2, 1.4.3).
    """
    return "#000000" if level >= 0.475 else "#fefefe"


def curve_look(place: int) -> tuple[str, str, str]:
    """Return colour, mark and line of one of several curves: told apart in grey by the last two."""
    return _LOOKS[place % len(_LOOKS)]


def curve_key(text: str, color: str, marker: str, line: str) -> Line2D:
    """Return a legend entry for a curve with marks."""
    return Line2D([], [], color=color, ls=line, marker=marker, mec=PAPER, ms=4, label=text)


def name_rows(axes: Axes, names: Sequence[str], *, low: float = 0.45, high: float = 0.55) -> None:
    """Write names beside rows at 0, -1, ..., with so much room below the last and above."""
    axes.set_yticks([-place for place in range(len(names))], names)
    axes.set_ylim(low - len(names), high)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=RULE)


def role_keys(names: Iterable[str]) -> list[Line2D]:
    """Return legend entries for the roles that occur, in the fixed order of roles."""
    order = list(_BY_NAME)
    present = sorted(set(names), key=lambda n: (order.index(n) if n in _BY_NAME else 99, n))
    return [_key(role(name).label, role(name).marker, role(name).color) for name in present]


def flag_keys() -> list[Line2D]:
    """Return legend entries for filled (flagged) and open (not flagged)."""
    return [_key("filled: flagged", "o", MUTED), _key("open: not flagged", "o", MUTED, face=PAPER)]


def _key(label: str, marker: str, color: str, *, face: str | None = None) -> Line2D:
    return Line2D([], [], ls="none", marker=marker, mec=color, mfc=face or color, ms=4, label=label)


DPI: Final = 300
"""Resolution of the PNG, and of the parts of an SVG or PDF that hold too many points."""

# What a file would say about when and with which version it was made. Provenance says it
# once, beside the figures; here it would only change the bytes.
_METADATA: Final[dict[str, dict[str, None]]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "png": {"Software": None},
}

KINDS: Final = tuple(_METADATA)


def render(figure: AnyFigure, *, kinds: Iterable[str] = KINDS) -> dict[str, bytes]:
    """Return a figure as files of some kinds (PNG: 300 dots per inch)."""
    whole = whole_of(figure)
    FigureCanvasAgg(whole)
    return {kind: _render(whole, kind) for kind in kinds}


def _render(figure: Figure, kind: str) -> bytes:
    buffer = BytesIO()
    with look():
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=_METADATA[kind])
    return buffer.getvalue()


def csv_bytes(table: pa.Table) -> bytes:
    """Return a table as CSV: UTF-8, a header, shortest exact floats, nothing for null.

    A text that a spreadsheet would take for a formula gets an apostrophe, as there.
    """
    for i, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            plain = pc.replace_substring_regex(table.column(i), r"^([=+\-@\t\r])", r"'\1")
            table = table.set_column(i, field.name, plain)
    buffer = BytesIO()
    pyarrow.csv.write_csv(table, buffer)
    return buffer.getvalue()
