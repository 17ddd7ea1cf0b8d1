"""What the terminal shows: tables and JSON on stdout, progress and complaints on stderr."""

from __future__ import annotations

import json
import math
import sys
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from gateway.talk import Advance


def clean(text: str) -> str:
    """Return text from strangers without anything that steers a terminal.

    Control and format characters (escape sequences, right-to-left overrides) become
    a visible replacement character.
    """
    return "".join("\N{REPLACEMENT CHARACTER}" if _steers(c) else c for c in text)


def _steers(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def complain(message: str) -> None:
    """Say on stderr what is wrong, line by line."""
    lines = [clean(line) for line in message.splitlines()]
    sys.stderr.write("\n".join(["error: " + lines[0], *lines[1:]]) + "\n")


# Letters of a cell up to which its column is as wide as it needs, whatever the terminal; and
# what stands beside the letters of a column.
_CELL, _FRAME = 24, 3
# Letters that a shortened name keeps on any terminal.
_LEAST = 12
# Columns of what is no terminal.
_WIDE = 120


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    may_go: Sequence[str] = (),
    shortens: bool = False,
) -> None:
    """Print a table on stdout; the first column is text, the others are numbers.

    Parameters
    ----------
    may_go
        Columns that are left out, the first ones first, where a terminal is too narrow.
    shortens
        Whether the first column holds names, which lose their middle rather than take several
        lines; unless two of them would look alike.
    """
    from gateway.wording import shorten  # noqa: PLC0415  (quick help)

    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console = Console(file=sys.stdout, highlight=False, width=_WIDE)
    cells = {column: [clean(row[i]) for row in rows] for i, column in enumerate(columns)}
    # Numbers and the words above them stay whole; names break between words where they must.
    widths = {
        column: max(map(cell_len, [*column.split(), *texts]), default=0)
        for column, texts in cells.items()
    }
    room = console.width - 1 - sum(min(width, _CELL) + _FRAME for width in widths.values())
    gone = []
    for column in may_go:
        if room < 0:
            room += min(widths[column], _CELL) + _FRAME
            gone.append(column)
    first = columns[0]
    most = max(min(widths[first], _CELL) + room, _LEAST)
    # A letter takes two columns in some scripts.
    short = [
        shorten(name, limit=len(name) * most // max(cell_len(name), most)) for name in cells[first]
    ]
    if shortens and short != cells[first] and len(set(short)) == len(set(cells[first])):
        cells[first], widths[first] = short, most
        gone.append("whole names")
    table = Table(title=Text(clean(title)), title_justify="left", header_style="bold")
    kept = [column for column in columns if column not in gone]
    for column in kept:
        is_first = column == first
        is_whole = shortens if is_first else widths[column] <= _CELL
        table.add_column(
            Text(clean(column)),
            justify="left" if is_first else "right",
            overflow="fold",
            width=widths[column] if is_whole else None,
        )
    for i in range(len(rows)):
        table.add_row(*(Text(cells[column][i]) for column in kept))
    console.print(table)
    if gone:
        console.print(Text(f"no room for: {', '.join(gone)} (the report has them)"))


def or_undefined(value: float | None, form: str = ".3f") -> str:
    """Return a measure as text; one that has no value is called so.

    Examples
    --------
    >>> or_undefined(0.25), or_undefined(None), or_undefined(float("nan"))
    ('0.250', 'undefined', 'undefined')
    """
    return "undefined" if value is None or math.isnan(value) else f"{value:{form}}"


def print_json(content: Any) -> None:
    """Print values on stdout as JSON: an undefined number is null, what it lacks is text."""
    text = json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False, default=str)
    sys.stdout.write(text + "\n")


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


class TerminalTalk:
    """Progress bars on a terminal, a plain line for each stage elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """Show a stage while it lasts, and how long it took."""
        begun = time.monotonic()
        if self._console.is_terminal:
            with self._bar() as bar:
                task = bar.add_task(clean(name), total=total)
                yield lambda done: bar.update(task, completed=done)
        else:
            yield lambda _: None
        self.say(f"{name} ({time.monotonic() - begun:.1f} s)")

    def say(self, text: str) -> None:
        """Say one line on stderr."""
        self._console.print(Text(clean(text)), soft_wrap=True)

    def _bar(self) -> Progress:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
        )
        return Progress(*columns, console=self._console, transient=True)
