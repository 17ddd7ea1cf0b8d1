"""What a section of the report is made of: paragraphs and tables, free of HTML.

A section says what it shows; the template alone knows how HTML says it, and escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Body", "Cell", "Column", "Filter", "Role", "Row", "Section", "Table", "label", "role"]


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


@dataclass(frozen=True)
class Column:
    """A column's heading, its explanation, and whether it holds numbers."""

    label: str
    title: str = ""
    is_number: bool = True


@dataclass(frozen=True)
class Cell:
    """A cell's text, and the value that it is sorted by (None sorts last).

    ``kind`` is ``number``, ``text``, ``name`` (heads its row; a stranger wrote it) or
    ``label`` (heads its row; we wrote it).
    """

    text: str
    value: float | str | None = None
    kind: str = "number"
    role: Role | None = None


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
