"""How a bad log is described: the place, the rule and the value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.arrays import Mask
from gateway.errors import LogError, Problem, shown

_LONGEST_LIST = 20


def complaint(
    where: object, what: str, rule: str, *, got: str | None = None, hint: str | None = None
) -> LogError:
    """Return the error that says: at ``where``, ``what`` broke ``rule``."""
    problem = str(Problem(what=what, rule=rule, got=got, where=str(where), hint=hint))
    # Paths, and what a library says of a damaged file, may hold anything.
    return LogError("".join(c if c.isprintable() else repr(c)[1:-1] for c in problem))


def percent(value: float) -> str:
    r"""Return a share in per cent with two or three significant digits.

    Examples
    --------
    >>> percent(0.38), percent(0.03121), percent(0.0004)
    ('38\xa0%', '3.1\xa0%', '0.040\xa0%')
    """
    size = abs(100.0 * value)
    digits = (
        0 if size == 0.0 or size >= 9.95 else 1 if size >= 0.995 else 2 if size >= 0.0995 else 3
    )
    return f"{100.0 * value:.{digits}f}\N{NO-BREAK SPACE}%".replace("-", "\N{MINUS SIGN}")


def listed(values: Sequence[str]) -> str:
    """Return values as literals with commas between, the first twenty of them."""
    head = ", ".join(shown(value) for value in values[:_LONGEST_LIST])
    more = len(values) - _LONGEST_LIST
    return f"{head} and {more} more" if more > 0 else head


@dataclass(frozen=True)
class Place:
    """A column of a file, or of a block of its rows, in messages."""

    where: object
    what: str
    first_row: int = 0
    # Whether rows beyond these are not known: then nothing is said of how many are alike.
    is_block: bool = False
    hint: str | None = None  # a way out of anything that is wrong with the column

    def error(self, rule: str, *, got: str | None = None, hint: str | None = None) -> LogError:
        """Return the error that says: the column broke the rule."""
        return complaint(self.where, self.what, rule, got=got, hint=hint or self.hint)

    def row(self, value: str, bad: Mask) -> str:
        """Return ``value in data row 7, and 3 more rows`` for the rows that are bad."""
        count, row = int(np.count_nonzero(bad)), self.first_row + int(np.argmax(bad)) + 1
        more = f", and {count - 1} more row{'s' if count != 2 else ''}"
        return f"{value} in data row {row}{more if count > 1 and not self.is_block else ''}"
