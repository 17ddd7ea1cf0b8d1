"""R6, R7: do PYMI and PYMK lead into harmful groups? No evidence is not no effect."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.analyses.comparison import Row, compare
from gateway.analyses.proportions import (
    Share,
    difference,
    equivalence_p,
    minimal_detectable,
    power,
    trend,
    two_sided_p,
    wilson,
)
from gateway.analyses.record import NEVER, Record

__all__ = ["pymi_holdout", "pymk_arms"]

Mask = npt.NDArray[np.bool_]
ALPHA = 0.05


def pymi_holdout(record: Record, *, margin: float) -> pa.Table:
    """Return R6: users who joined a non-rec group, with PYMI held out (control) and without.

    Everybody who was ever on the platform counts, by the arm drawn at random. ``margin``
    is the difference below which the arms count as equal, set before looking. The note
    says "roughly equal"; the row ``equivalent`` has 1 for that, judged at 5 %.

    Arms interfere: who has PYMI invites people of both arms. The contrast is then smaller
    than the effect of giving PYMI to everybody or to nobody.
    """
    outcome = record.first_join(record.is_non_rec) < NEVER
    held = record.arms.pymi
    test, control = _share(outcome, ~held), _share(outcome, held)
    return compare(_contrast("R6", "PYMI", test, control, margin, published=1.0, tolerance=0.0))


def pymk_arms(record: Record, *, margin: float) -> pa.Table:
    """Return R7: users who joined a target group, by what PYMK did.

    *Shown*: users who are shown friend recommendations against those of the holdout, at
    random. *Featured*: within the holdout, users whom PYMK showed to somebody who
    befriended them against those whom it did not; nobody drew that at random, and users
    with many friends are found more often, so it is an association.

    Then by dose, as the note has it: the more often shown (among those outside the
    holdout), the more often featured (among all). A dose is a number of friendships that
    came of it: the simulator's users befriend whomever they are shown, if it is no friend
    already. Doses are associations too.
    """
    outcome = record.first_join(record.is_target) < NEVER
    held, found = record.arms.pymk, record.featured > 0
    shown = _share(outcome, ~held), _share(outcome, held)
    featured = _share(outcome, held & found), _share(outcome, held & ~found)
    return compare(
        [
            *_contrast("R7", "PYMK shown", *shown, margin),
            *_contrast("R7", "PYMK featured", *featured, margin),
            *_dose("PYMK shown", record.shown[~held], outcome[~held]),
            *_dose("PYMK featured", record.featured, outcome),
        ]
    )


def _dose(what: str, dose: npt.NDArray[np.int32], outcome: Mask) -> Iterator[Row]:
    """Mean dose, and the trend of the outcome in it."""
    slope, interval, p_value = trend(dose, outcome)
    mean = float(dose.mean()) if len(dose) else float("nan")
    yield Row("R7", f"{what} by dose: friends found, mean", mean)
    yield Row("R7", f"{what} by dose: difference for one more", slope, interval)
    yield Row("R7", f"{what} by dose: p-value of no trend", p_value)


def _share(outcome: Mask, among: Mask) -> Share:
    return Share(int(np.count_nonzero(outcome & among)), int(np.count_nonzero(among)))


def _contrast(
    claim: str,
    what: str,
    test: Share,
    control: Share,
    margin: float,
    *,
    published: float | None = None,
    tolerance: float | None = None,
) -> Iterator[Row]:
    """Both shares, difference, test, power for the margin, and equivalence."""
    pooled = Share(test.k + control.k, test.n + control.n).value
    equivalent = equivalence_p(test, control, margin=margin)
    said = "nan" if np.isnan(equivalent) else equivalent < ALPHA
    yield Row(claim, f"{what}: test share", test.value, wilson(test))
    yield Row(claim, f"{what}: control share", control.value, wilson(control))
    gap = test.value - control.value
    yield Row(claim, f"{what}: difference", gap, difference(test, control))
    yield Row(claim, f"{what}: p-value of no difference", two_sided_p(test, control))
    yield Row(
        claim, f"{what}: power to find a difference of {margin:.1%}",
        power(pooled, margin, test.n, control.n),
    )  # fmt: skip
    least = minimal_detectable(pooled, test.n, control.n)
    yield Row(claim, f"{what}: difference found with power 80 %", least)
    yield Row(claim, f"{what}: p-value of a difference of {margin:.1%} or more", equivalent)
    yield Row(
        claim, f"{what}: equivalent within {margin:.1%} (1 = yes)", float(said),
        published=published, tolerance=tolerance,
    )  # fmt: skip
