"""Association and change side by side: on which groups two kinds of evidence agree."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from gateway.detect import DETECTORS, Claim, measure_of

__all__ = ["MEANING", "Verdict", "verdict_of"]

MEANING = (
    "association: joiners go on to targets more often than others; comparison with themselves: "
    "the rate of target joins rises after joining, compared with the same users before; neither "
    "is proof"
)
"""What the words of a verdict mean."""


@dataclass(frozen=True)
class Verdict:
    """Which groups a detector of association and one of change flag.

    Parameters
    ----------
    association_by, change_by
        The two detectors.
    association
        Groups flagged by the first: their joiners go on to targets more often than others.
    change
        Groups flagged by the second: the rate of target joins rises after joining, compared
        with the same users before.
    untested
        Those of ``association`` for which no change could be tested.
    """

    association_by: str
    change_by: str
    association: tuple[str, ...]
    change: tuple[str, ...]
    untested: tuple[str, ...]

    @property
    def both(self) -> tuple[str, ...]:
        """Groups of both, in the order of ``association``."""
        change = set(self.change)
        return tuple(group for group in self.association if group in change)

    @property
    def agreement(self) -> str:
        """What the two detectors agree and disagree on, in one line."""
        n, m, both = len(self.association), len(self.change), len(self.both)
        return (
            f"{self.association_by} flags {n:,}, {self.change_by} flags {m:,}: {both:,} by both, "
            f"{n - both:,} by {self.association_by} alone, "
            f"{m - both:,} by {self.change_by} alone"
        )

    @property
    def text(self) -> str:
        """The verdict in plain words."""
        n, both = len(self.association), len(self.both)
        said = f"association: {_groups(n)}"
        if n and len(self.untested) == n:
            said += "; none of these could be compared with themselves"
        elif n:
            survive = "none survives" if not both else f"{both:,} survive{'s' if both == 1 else ''}"
            said += f"; of these {survive} comparison with themselves"
            if self.untested:
                said += f" ({len(self.untested):,} could not be compared)"
        if alone := len(self.change) - both:
            said += f"; a change without association: {_groups(alone)}"
        return said


def _groups(count: int) -> str:
    return f"{count:,} group{'' if count == 1 else 's'}" if count else "no group"


def verdict_of(gateways: pa.Table) -> Verdict | None:
    """Return the verdict over stored findings; None unless both kinds of evidence are there.

    Of several detectors that claim the same, the first of the registry that holds its level
    speaks; one that tests nothing never does.

    Parameters
    ----------
    gateways
        As ``Detection.to_arrow`` of each detector, one below the other.
    """
    ran = set(gateways["detector"].unique().to_pylist())
    association_by, change_by = (_speaker(ran, claim) for claim in ("association", "change"))
    if association_by is None or change_by is None:
        return None
    association, change = (
        gateways.filter(pc.equal(gateways["detector"], name))
        for name in (association_by, change_by)
    )
    flagged, changed = (
        tuple(table.filter(table["flagged"])["group"].to_pylist())
        for table in (association, change)
    )
    tested = set(change.filter(pc.is_valid(change["p_value"]))["group"].to_pylist())
    untested = tuple(group for group in flagged if group not in tested)
    return Verdict(association_by, change_by, flagged, changed, untested)


def _speaker(ran: set[str], claims: Claim) -> str | None:
    measures = [measure_of(name) for name in DETECTORS if name in ran]
    able = [measure for measure in measures if measure.test and measure.claims == claims]
    able.sort(key=lambda measure: not measure.holds_level)
    return able[0].detector if able else None
