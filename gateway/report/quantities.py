"""A detector's numbers in the unit that it declares."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gateway.detect import Quantity
from gateway.report.numbers import count, decimal, interval, p_value, points, share

__all__ = ["AUC_WORDS", "NOT_HELD", "interval_of", "scorer_shortfalls", "tested", "written"]

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
    """Return a sentence for each trivial predictor that tells outcomes apart better.

    Parameters
    ----------
    measures
        Measures of the scorer by name.
    """
    found = []
    for name in ("auc", "auc_any_time"):
        own = measures.get(name)
        for baseline, text in (
            ("joins_so_far", "the number of joins so far alone tells"),
            ("last_group", "the rate of the last group alone tells"),
        ):
            other = measures.get(f"{name}_{baseline}")
            if own is not None and other is not None and own < other:
                when = "at any later time" if name == "auc_any_time" else "later"
                found.append(
                    f"The scorer knows too little here: {text} better who joins a target {when} "
                    f"(AUC {other:.3f} against {own:.3f})."
                )
    return found
