r"""The report's tables for a paper: one ``tabular`` in the style of ``booktabs`` each.

They need ``\usepackage{booktabs}`` and no other package. Names are strangers' data: nothing
in them is a command, and what the classic fonts lack becomes a question mark.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

import pyarrow as pa

from gateway.report.content import Body, Filter, Row, Table
from gateway.report.sections import BEFORE_FIGURES, ON_SCREEN, SECTIONS
from gateway.report.sections.note_claims import CLAIMS_KEY
from gateway.report.summary import Result

_ESCAPES: Mapping[str, str] = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "<": "$<$",
    ">": "$>$",
    # After the end of a row these two would be read as its options.
    "[": "{[}",
    "*": "{*}",
    "\N{NO-BREAK SPACE}": "~",
    "\N{EN DASH}": "--",
    "\N{MINUS SIGN}": "$-$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{INFINITY}": r"$\infty$",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
}
_WHITE = re.compile(r"[^\S\N{NO-BREAK SPACE}]+")
_BETWEEN = "\N{ZERO WIDTH SPACE}"
_HEADING = 18
"""Letters of a column's heading on one line: numbers below it are shorter than its words."""
_LAST_LETTER = 0x17F
"""End of Latin Extended-A: what LaTeX knows without further packages."""


def tex_tables(tables: Mapping[str, pa.Table], *, top: int = 30) -> dict[str, str]:
    """Return the report's tables as LaTeX, by the stem of the file.

    A table over several detectors, of which the report shows one at a time, gives one file
    for each. The note's claims come all in one, and one by one: ``claims-R1``, ``claims-R2``.
    """
    result = Result(tables, top=top)
    wanted = [make for make in (*BEFORE_FIGURES, *SECTIONS) if make not in ON_SCREEN]
    sections = [make(result) for make in wanted]
    blocks = (block for section in sections if section is not None for block in section.blocks)
    parts = (part for block in blocks if isinstance(block, Table) for part in _split(block))
    return {_stem(key): render_tabular(table) for key, table in parts if table.n_rows}


def _split(table: Table) -> Iterator[tuple[str, Table]]:
    """One table per choice of the filter that the page always applies, where it has one."""
    by = next((one for one in table.filters if one.initial), None)
    if by is None:
        yield table.key, table
        yield from _claims(table)
        return
    for value, _ in by.options:
        yield f"{table.key}-{value}", _chosen(table, by, value)


def _claims(table: Table) -> Iterator[tuple[str, Table]]:
    """Each claim of the note by itself, too: all of them fill more than a page."""
    if table.key != CLAIMS_KEY or len(table.bodies) < 2:
        return
    for body in table.bodies:
        claim = (body.heading or "").partition(".")[0]
        caption = f"{table.caption} {body.heading}."
        yield f"claims-{claim}", replace(table, bodies=[Body(body.rows)], caption=caption)


def _chosen(table: Table, by: Filter, value: str) -> Table:
    bodies = [
        Body([row for row in body.rows if row.marks.get(by.key) == value], body.heading)
        for body in table.bodies
    ]
    return replace(table, bodies=bodies, caption=f"{table.caption} {by.label}: {value}.")


def _stem(key: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", key)


def render_tabular(table: Table) -> str:
    r"""Return a table as a ``tabular`` with its caption in a comment above it.

    Examples
    --------
    >>> from gateway.report.content import Cell, Column, label
    >>> rows = [Row([label("a_b"), Cell("−3 %")])]
    >>> print(render_tabular(Table("t", "One.", [Column("x", "", False), Column("y")],
    ...                            [Body(rows)])), end="")
    % One.
    \begin{tabular}{lr}
    \toprule
    x & y \\
    \midrule
    a\_b & $-$3 \% \\
    \bottomrule
    \end{tabular}
    """
    kinds = "".join("r" if column.is_number else "l" for column in table.columns)
    lines = [
        f"% {_one_line(table.caption)}",
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        *_heading([column.label for column in table.columns]),
        r"\midrule",
        *_bodies(table),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _heading(labels: Sequence[str]) -> list[str]:
    """The labels of the columns, long ones on several lines that end at the rule below."""
    lines = [textwrap.wrap(label, _HEADING, break_long_words=False) for label in labels]
    rising = zip_longest(*(reversed(line) for line in lines), fillvalue="")
    return [_row(row) for row in reversed(list(rising))]


def _bodies(table: Table) -> Iterator[str]:
    for i, body in enumerate(body for body in table.bodies if body.rows):
        if i:
            yield r"\addlinespace"
        if body.heading:
            yield rf"\multicolumn{{{len(table.columns)}}}{{l}}{{{escape(body.heading)}}} \\"
        yield from (_tabular_row(row) for row in body.rows)


def _tabular_row(row: Row) -> str:
    return _row([cell.text for cell in row.cells])


def _row(texts: Sequence[str]) -> str:
    return rf"{' & '.join(escape(text) for text in texts)} \\"


def _one_line(text: str) -> str:
    """What a comment may hold: a line break would end it."""
    return " ".join(text.split())


def escape(text: str) -> str:
    r"""Return text that LaTeX prints as it is, on one line.

    Examples
    --------
    >>> escape(r"50 % \input{x} a_b"), escape("日本 é")
    ('50 \\% \\textbackslash{}input\\{x\\} a\\_b', '?? é')
    """
    plain = _WHITE.sub(" ", unicodedata.normalize("NFC", text)).strip(" ")
    # Two hyphens would join to a dash: a name with two keeps them.
    return "".join(_letter(c) for c in plain.replace("--", f"-{_BETWEEN}-"))


def _letter(character: str) -> str:
    if character == _BETWEEN:
        return "{}"
    if character in _ESCAPES:
        return _ESCAPES[character]
    if unicodedata.category(character).startswith(("C", "Z")) and character != " ":
        return ""
    return character if ord(character) <= _LAST_LETTER else "?"
