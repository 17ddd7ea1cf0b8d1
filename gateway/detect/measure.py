"""What the numbers of a detector mean: tables, figures and captions take their words from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Unit = Literal["", "share", "points"]
Claim = Literal["association", "change", "trace"]


@dataclass(frozen=True)
class Quantity:
    """A number that a detector gives about a group.

    Parameters
    ----------
    name
        What it is called, in lower case, fit for an axis.
    meaning
        What it is, as a clause that explains the name.
    unit
        How it is printed: a ``share`` in per cent, a difference of shares in percentage
        ``points``, or as it is.
    is_log
        Whether equal factors are equal distances: it is drawn on a logarithmic axis.
    no_effect
        Its value where the group has nothing to do with targets; the name of the column
        that holds it where it differs between groups or logs; None where there is none.
    """

    name: str
    meaning: str
    unit: Unit = ""
    is_log: bool = False
    no_effect: float | str | None = None

    @property
    def factor(self) -> float:
        """What it is multiplied by for display."""
        return 100.0 if self.unit else 1.0

    @property
    def axis(self) -> str:
        """Its name with its unit, for an axis."""
        units = {"": "", "share": " (%)", "points": " (percentage points)"}
        return self.name + units[self.unit]


@dataclass(frozen=True)
class Measure:
    """What a detector says, and how far it may be believed.

    Parameters
    ----------
    detector
        Name of the detector.
    estimate
        What ``estimate``, ``ci_low`` and ``ci_high`` speak of; its interval holds it.
    score
        What the groups are ranked by, in a unit of its own.
    joiners, events
        Whom ``n_joiners`` and ``n_events`` count.
    test
        What ``p_value`` tests, empty where nothing is tested.
    holds_level
        Whether p-values hold their level on logs where nothing is true
        (``experiments/permuted_labels.py``, ``experiments/error_rates.py``). Where they do
        not, nothing is flagged.
    claims
        ``association``: members go to targets more often than others. ``change``: the same
        users do so more often after the join. ``trace``: joins that the platform says came
        through the group are of targets more often than the same users' other joins.
    """

    detector: str
    estimate: Quantity
    score: Quantity
    joiners: str
    events: str
    test: str = ""
    holds_level: bool = True
    claims: Claim = "association"


LEADING = "spike"
"""The detector that report and figures are about, where it ran: the note's own."""


def leading_first(detectors: Iterable[str]) -> list[str]:
    """Return the names of detectors once each, the note's own first, the others as they come."""
    return sorted(dict.fromkeys(detectors), key=lambda name: name != LEADING)


def words_of(detector: str) -> str:
    """Return the name of a detector as it stands in a sentence."""
    return detector.replace("_", " ")


def own_measure(detector: str) -> Measure:
    """Return what little is known of the numbers of a detector that is not of this package."""
    return Measure(
        detector=detector,
        estimate=Quantity("estimate", "the detector's estimate"),
        score=Quantity("score", "what the detector ranks by"),
        joiners="joiners",
        events="joiners with an event",
    )
