"""What a section of the report is made of: paragraphs and tables, free of HTML.

A section says what it shows; the template alone knows how HTML says it, and escapes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.wording import interval, name


@dataclass(frozen=True)
class Role:
    """What a planted role is called, and the mark that the figures use for it."""

    key: str
    label: str
    mark: str


_ROLES = (
    Role("influence", "gateway", "\N{BLACK CIRCLE}"),
    Role("recommender", "gateway: recommender", "\N{BLACK CIRCLE}"),
    Role("inviter", "gateway: inviter", "\N{BLACK CIRCLE}"),
    Role("fellow_traveller", "fellow traveller", "\N{HEAVY GREEK CROSS}"),
    Role("homophily", "homophily", "\N{BLACK UP-POINTING TRIANGLE}"),
    Role("hub", "hub", "\N{BLACK SQUARE}"),
    Role("target", "harmful", "\N{BLACK DOWN-POINTING TRIANGLE}"),
    Role("ordinary", "ordinary", "\N{BLACK DIAMOND}"),
)


def role(key: str) -> Role:
    """Return how a planted role is called and marked."""
    known = {drawn.key: drawn for drawn in _ROLES}
    return known.get(key, Role("other", key, "\N{BLACK DIAMOND}"))


Stored = Mapping[str, Any]
"""A row of a stored table."""


@dataclass(frozen=True)
class Cell:
    """A cell's text, and the value that it is sorted by (None sorts last).

    ``kind`` is ``number``, ``text``, ``name`` (heads its row; a stranger wrote it) or
    ``label`` (heads its row; we wrote it). ``href``: where a name leads, on a page that has more
    of it.
    """

    text: str
    value: float | str | None = None
    kind: str = "number"
    role: Role | None = None
    href: str | None = None


@dataclass(frozen=True)
class Column:
    """A column's heading, its explanation, whether it holds numbers, and its cell of a row.

    Rows are those of a stored table. A table whose rows are made by hand needs no ``cell``.
    """

    label: str
    title: str = ""
    is_number: bool = True
    cell: Callable[[Stored], Cell] | None = None


@dataclass(frozen=True)
class Row:
    """Cells, and what the table's filters know the row by: value by filter key."""

    cells: Sequence[Cell]
    marks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Body:
    """Rows that belong together, under a heading of their own where they have one."""

    rows: Sequence[Row]
    heading: str | None = None


@dataclass(frozen=True)
class Filter:
    """A choice over a table: rows whose mark ``key`` is the chosen value stay.

    ``options`` are (value, text) in order; ``initial`` is chosen first, "" for all.
    """

    key: str
    label: str
    options: Sequence[tuple[str, str]]
    initial: str = ""


@dataclass(frozen=True)
class Table:
    """A table: sortable by every column, and filterable, where the page may run its script.

    ``is_sorted``: its rows come in ascending order of the first column. ``is_folded``: its
    caption stands alone until a reader unfolds it.
    """

    key: str
    caption: str
    columns: Sequence[Column]
    bodies: Sequence[Body]
    filters: Sequence[Filter] = ()
    is_sortable: bool = False
    is_sorted: bool = False
    has_search: bool = False
    is_folded: bool = False

    @property
    def n_rows(self) -> int:
        """Number of rows over all bodies."""
        return sum(len(body.rows) for body in self.bodies)

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Columns that need an explanation, with it."""
        return [(column.label, column.title) for column in self.columns if column.title]


@dataclass(frozen=True)
class Section:
    """A part of the page under its own heading: paragraphs (text) and tables in order."""

    key: str
    title: str
    blocks: Sequence[str | Table]


def label(text: str) -> Cell:
    """Return a cell that heads its row, in our own words."""
    return Cell(text, text, "label")


def numbers(text: str, key: str, form: Callable[[Any], str], title: str = "") -> Column:
    """Return a column of the numbers under a key."""
    return Column(text, title, cell=lambda row: Cell(form(row.get(key)), row.get(key)))


def bounds(text: str, keys: tuple[str, str], form: Callable[[Any], str], title: str = "") -> Column:
    """Return a column of intervals, sorted by their lower ends."""
    low, high = keys
    return Column(
        text, title, cell=lambda row: Cell(interval(form(row[low]), form(row[high])), row[low])
    )


def words(text: str, write: Callable[[Stored], str], title: str = "") -> Column:
    """Return a column of what is said of each row."""
    return Column(text, title, is_number=False, cell=lambda row: _written(write(row), "text"))


def names(text: str, write: Callable[[Stored], str], title: str = "") -> Column:
    """Return a column of names, each of which heads its row."""
    return Column(text, title, is_number=False, cell=lambda row: _written(name(write(row)), "name"))


def _written(text: str, kind: str) -> Cell:
    return Cell(text, text, kind)


def rows_of(columns: Sequence[Column], rows: Iterable[Stored], *marks: str) -> list[Row]:
    """Return rows of a stored table as cells, marked by the values under some keys."""
    cells = [column.cell for column in columns if column.cell is not None]
    return [Row([cell(row) for cell in cells], {key: row[key] for key in marks}) for row in rows]
