"""Association and change side by side: on which groups two kinds of evidence agree."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["ASSOCIATION", "CHANGE", "MEANING", "Verdict", "verdict_of"]

MEANING = (
    "association: joiners go on to targets more often than others; comparison with themselves: "
    "the rate of target joins rises after joining, compared with the same users before; neither "
    "is proof"
)
"""What the words of a verdict mean."""

ASSOCIATION, CHANGE = "spike", "self_controlled"


@dataclass(frozen=True)
class Verdict:
    """Which groups a detector of association and one of change flag.

    Parameters
    ----------
    association
        Groups flagged by ``spike``: their joiners go on to targets more often than others.
    change
        Groups flagged by ``self_controlled``: the rate of target joins rises after joining,
        compared with the same users before.
    untested
        Those of ``association`` for which no change could be tested.
    """

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
            f"{ASSOCIATION} flags {n:,}, {CHANGE} flags {m:,}: {both:,} by both, "
            f"{n - both:,} by {ASSOCIATION} alone, {m - both:,} by {CHANGE} alone"
        )

    @property
    def text(self) -> str:
        """The verdict in plain words."""
        n, both = len(self.association), len(self.both)
        said = f"association: {_groups(n)}"
        if n:
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
    """Return the verdict over stored findings; None unless both detectors ran.

    Parameters
    ----------
    gateways
        As ``Detection.to_arrow`` of each detector, one below the other.
    """
    names = gateways["detector"]
    found = {
        name: gateways.filter(pc.equal(names, name)).select(["group", "flagged", "p_value"])
        for name in (ASSOCIATION, CHANGE)
    }
    if not all(table.num_rows for table in found.values()):
        return None
    flagged = {
        name: tuple(table.filter(table["flagged"])["group"].to_pylist())
        for name, table in found.items()
    }
    change = found[CHANGE]
    tested = set(change.filter(pc.is_valid(change["p_value"]))["group"].to_pylist())
    untested = tuple(group for group in flagged[ASSOCIATION] if group not in tested)
    return Verdict(flagged[ASSOCIATION], flagged[CHANGE], untested)
