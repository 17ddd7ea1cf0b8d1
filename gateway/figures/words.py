"""Numbers as a caption says them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["count", "counted", "listed", "percent"]


def percent(share: float) -> str:
    """Return a share as a percentage with two or three significant digits.

    Examples
    --------
    >>> percent(0.0312), percent(0.3), percent(0.0004)
    ('3.1 %', '30 %', '0.040 %')
    """
    value = 100.0 * share
    if value == 0.0 or abs(value) >= 9.95:
        return f"{value:.0f} %"
    digits = 1 if abs(value) >= 0.995 else 2 if abs(value) >= 0.0995 else 3
    return f"{value:.{digits}f} %"


def count(number: float) -> str:
    """Return a count with thousands set off.

    Examples
    --------
    >>> count(50000)
    '50,000'
    """
    return f"{number:,.0f}"


def counted(number: int, noun: str) -> str:
    """Return a count with its noun, in the plural where needed.

    Examples
    --------
    >>> counted(1, "user"), counted(4, "user")
    ('1 user', '4 users')
    """
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def listed(parts: Sequence[str]) -> str:
    """Return parts joined as a sentence joins them.

    Examples
    --------
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
