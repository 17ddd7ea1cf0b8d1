"""Numbers and names as report, figures and terminal print them; a missing one is an en dash."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence

from gateway.detect import Quantity
from gateway.log import messages

MISSING = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
_PERCENT = "\N{NO-BREAK SPACE}%"
_NOTHING = "(no name)"
_UNSEEN = frozenset({"Cc", "Cf", "Cs"})
NO_CHARACTER = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(
        f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
    )
    + "]"
)
"""What may stand in no page: controls, halves of characters, and numbers that are none."""
_JOINER = "\N{ZERO WIDTH JOINER}"
"""Holds composed emoji and several scripts together."""
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def is_missing(value: float | None) -> bool:
    """Whether a number is null or NaN."""
    return value is None or math.isnan(value)


def decimal(value: float | None, *, digits: int = 3) -> str:
    """Return a number with so many digits after the point.

    Examples
    --------
    >>> decimal(0.84312), decimal(-0.0001), decimal(None)
    ('0.843', '0.000', '–')
    """
    if value is None or is_missing(value):
        return MISSING
    return f"{value:z.{digits}f}".replace("-", _MINUS)


def percent(value: float | None) -> str:
    r"""Return a share in per cent with two or three significant digits.

    Examples
    --------
    >>> percent(0.38), percent(0.03121), percent(0.0004)
    ('38\xa0%', '3.1\xa0%', '0.040\xa0%')
    """
    if value is None or is_missing(value):
        return MISSING
    return messages.percent(value)


def share(value: float | None) -> str:
    r"""Return a share in per cent with one digit after the point, as a ranking needs it.

    Examples
    --------
    >>> share(0.9979), share(0.0004)
    ('99.8\xa0%', '0.0\xa0%')
    """
    return MISSING if value is None or is_missing(value) else f"{100.0 * value:.1f}{_PERCENT}"


def points(value: float | None) -> str:
    """Return a difference of probabilities in percentage points.

    Examples
    --------
    >>> points(0.0331), points(-0.002)
    ('+3.31', '−0.20')
    """
    if value is None or is_missing(value):
        return MISSING
    return f"{100.0 * value:+z.2f}".replace("-", _MINUS)


def count(value: float | None) -> str:
    """Return a whole number with thousands set off.

    Examples
    --------
    >>> count(612345), count(None)
    ('612,345', '–')
    """
    if value is None or is_missing(value):
        return MISSING
    return f"{value:,.0f}".replace("-", _MINUS)


def counted(number: float | None, noun: str) -> str:
    """Return a count with its noun, in the plural where needed.

    Examples
    --------
    >>> counted(1, "group"), counted(1200, "group"), counted(None, "group")
    ('1 group', '1,200 groups', '– groups')
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


def significant(value: float | None, *, digits: int = 3) -> str:
    """Return a number of unknown unit: whole, or with so many significant digits.

    Examples
    --------
    >>> significant(1326540.0), significant(-0.0312), significant(2.5), significant(0.00001234)
    ('1,326,540', '−0.0312', '2.5', '1.23e−05')
    """
    if value is None or is_missing(value):
        return MISSING
    is_whole = float(value).is_integer() or abs(value) >= 1_000
    return (f"{value:,.0f}" if is_whole else f"{value:.{digits}g}").replace("-", _MINUS)


def interval(low: str, high: str) -> str:
    r"""Return the two ends of an interval in brackets, or an en dash without them.

    Examples
    --------
    >>> interval("0.11", "0.26"), interval("–", "–"), interval(percent(0.1), percent(0.2))
    ('[0.11, 0.26]', '–', '[10, 20]\xa0%')
    """
    if MISSING in (low, high):
        return MISSING
    unit = _PERCENT if low.endswith(_PERCENT) and high.endswith(_PERCENT) else ""
    return f"[{low.removesuffix(unit)}, {high.removesuffix(unit)}]{unit}"


def p_value(value: float | None) -> str:
    """Return a probability of error with three digits; very small ones as a bound.

    Examples
    --------
    >>> p_value(0.0414), p_value(3e-9)
    ('0.041', '< 0.001')
    """
    if value is None or is_missing(value):
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def name(text: str | None, *, limit: int = 60) -> str:
    r"""Return a stranger's name as one printable line: no controls, no text direction tricks.

    HTML's own characters are left to the template, which escapes them. What is longer than
    ``limit`` characters loses its middle: the whole stands in the stored tables.

    Examples
    --------
    >>> name("two\nlines\x1b[31m")
    'two lines[31m'
    """
    return shorten(printable(text or "", kept=_JOINER), limit=limit).strip() or _NOTHING


def printable(text: str, *, kept: str = "") -> str:
    """Return text on one line without what cannot be seen, ``kept`` apart.

    White space of any kind becomes one space; control and formatting characters
    (bidirectional overrides among them) go, what XML does not know, and marks that have no
    letter to stand on.
    """
    spaced = " ".join(NO_CHARACTER.sub("", text).split())
    visible = "".join(c for c in spaced if c in kept or unicodedata.category(c) not in _UNSEEN)
    return visible.lstrip("".join(c for c in set(visible) if unicodedata.combining(c)))


def shorten(text: str, *, limit: int) -> str:
    """Cut the middle out of a long text: names often differ only at their ends.

    Examples
    --------
    >>> shorten("Moms against everything, Ohio", limit=15)
    'Moms ag…g, Ohio'
    """
    if len(text) <= limit:
        return text
    head = limit // 2
    tail = limit - 1 - head
    return f"{text[:head]}{_ELLIPSIS}{text[len(text) - tail :]}"


NOT_HELD = "(not held)"
"""Stands behind a p-value that does not hold its level."""
_FORMS = {"share": share, "points": points}
_LARGE = 100.0
_INFINITY = "\N{INFINITY}"


def written(quantity: Quantity, value: float | None) -> str:
    r"""Return a value in its unit.

    Examples
    --------
    >>> written(Quantity("a", "b", unit="share"), 0.25), written(Quantity("a", "b"), math.inf)
    ('25.0\xa0%', '∞')

    A ratio is not given more closely than it is known:

    >>> ratio = Quantity("a", "b", is_log=True)
    >>> written(ratio, 1.5864), written(ratio, 2138.95), written(ratio, 0.0)
    ('1.586', '2,139', '0')
    """
    if value is not None and math.isinf(value):
        return _INFINITY if value > 0 else f"\N{MINUS SIGN}{_INFINITY}"
    if quantity.is_log and value is not None and (value == 0.0 or value >= _LARGE):
        return count(value)
    return _FORMS.get(quantity.unit, decimal)(value)


def interval_of(quantity: Quantity, low: float | None, high: float | None) -> str:
    """Return the two ends of an interval in the unit of its quantity."""
    return interval(written(quantity, low), written(quantity, high))


def tested(value: float | None, *, level_held: bool | None) -> str:
    """Return a p-value or q-value, marked where it does not hold its level.

    Examples
    --------
    >>> tested(0.02, level_held=True), tested(0.02, level_held=False)
    ('0.020', '0.020 (not held)')
    """
    text = p_value(value)
    return f"{text} {NOT_HELD}" if level_held is False and value is not None else text


AUC_WORDS: Mapping[str, str] = {
    "auc": "AUC of the scorer",
    "auc_joins_so_far": "AUC of the number of joins so far alone",
    "auc_last_group": "AUC of the rate of the last group alone",
    "auc_without_groups": "AUC of the number of joins so far and the calendar",
    "auc_any_time": "AUC of the scorer against a target join at any later time",
    "auc_any_time_joins_so_far": "the same, of the number of joins so far alone",
    "auc_any_time_last_group": "the same, of the rate of the last group alone",
}
"""What each area under the curve is of: the scorer, and what anything learnt should beat."""


def scorer_shortfalls(measures: Mapping[str, float | None]) -> list[str]:
    """Return a sentence for each trivial predictor that tells outcomes apart better."""
    found = []
    for name in ("auc", "auc_any_time"):
        own = measures.get(name)
        for baseline, text in (
            ("joins_so_far", "the number of joins so far alone tells"),
            ("last_group", "the rate of the last group alone tells"),
        ):
            other = measures.get(f"{name}_{baseline}")
            if own is not None and other is not None and own < other:
                when = "later"
                if name == "auc_any_time":
                    when = "at any later time, which the scorer was not trained for"
                found.append(
                    f"The scorer is below a trivial predictor: {text} better who joins a target "
                    f"{when} (AUC {other:.3f} against {own:.3f})."
                )
    return found
