"""R3, R6, R7: exposure to GYSJ, PYMI and PYMK, and joining harmful groups.

R3 has three answers to one question:

*Observational.* The note's: of the users who joined a top gateway group, the share who
eventually joined a non-rec group, with exposure against without. Exposure is known only
afterwards: who stays longer and joins more has more chances to be exposed *and* to join,
and must have stayed (be "immortal") until the exposure (Suissa 2008, Am. J. Epidemiol.
167, 492).

*Corrected.* Time zero is the first gateway join; a user counts as unexposed until the
first exposure and as exposed from the next day on; the risk by a day after time zero is
one minus the Kaplan-Meier curve of whoever is at risk in that state (Simon, Makuch 1984,
Stat. Med. 3, 35). It removes the immortal time, and not confounding: active users are
exposed earlier.

*Randomised.* The simulator's holdout, drawn at random, among all users: by the end of
the observation, without any condition on what came after the draw. The same among the
users of the note's contrast is beside it; there the arms differ in who came to a gateway.

R6, R7: PYMI and PYMK each have two sides, who is shown somebody and who is *featured*, that
is shown to others, and each side has an arm of its own. The note asks about the featured of
PYMI, and about both of PYMK.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import norm

from gateway.analyses.proportions import (
    Share,
    difference,
    e_value,
    equivalence_p,
    minimal_detectable,
    power,
    risk_ratio,
    trend,
    two_sided_p,
    users_needed,
    wilson,
)
from gateway.analyses.published import EXPOSED_RISK, UNEXPOSED_RISK, Row, compare
from gateway.analyses.record import Record
from gateway.arrays import Float64, Int32, Int64, Mask
from gateway.world.model import NEVER

TOLERANCE = 0.01
_Z = float(norm.ppf(0.975))


class Follow(NamedTuple):
    """Users followed from their first gateway join on; each array has shape (n_followed,)."""

    user: Int64  # dense ids
    # Days from time zero to the outcome or to the end of the observation, at least 0.
    until: Int64
    event: Mask  # whether it ended with the outcome: a join of a non-rec group on a later day
    # Days from time zero to the first exposure, 0 for an earlier one; ``NEVER`` for none.
    exposed_at: Int64


class Curve(NamedTuple):
    """Risk by day since time zero: arrays of shape (n_days + 1,), the first entry is day 0."""

    risk: Float64
    se: Float64
    at_risk: Int64


def follow_up(record: Record) -> Follow:
    """Follow every user who joined a top gateway group, from the first such join on.

    A non-rec group counts by the label that it has at the end of the observation (as the
    note, which looks back, must have done); a top gateway group that has the label counts
    like any other, if it is joined after the first one. The label may be younger than the
    join.
    """
    zero = record.first_join(record.is_top)
    user = np.flatnonzero(zero < NEVER)
    outcome = record.first_join(record.is_non_rec, after=zero)[user]
    end = np.where(outcome < NEVER, outcome, record.joins.observed_until[user])
    exposed = record.exposed[user].astype(np.int64)
    at = np.where(exposed < NEVER, np.maximum(exposed - zero[user], 0), NEVER)
    return Follow(user, np.maximum(end - zero[user], 0), outcome < NEVER, at)


def risk_curve(follow: Follow, *, exposed: bool, days: int) -> Curve:
    """Return the risk of the outcome by day, among those exposed so far, or not so far.

    On day t after time zero somebody is at risk whose follow-up lasts until t at least;
    in the exposed state if the first exposure came before day t. Days count from 1: an
    outcome on day zero itself has no order. Variance by Greenwood's formula.
    """
    at, until = follow.exposed_at, follow.until
    enter = np.where(exposed, at, 0)
    leave = until if exposed else np.minimum(until, at)
    there = leave > enter
    event = follow.event & there & (leave == until)
    starts = np.bincount(np.minimum(enter[there], days), minlength=days + 1)
    stops = np.bincount(np.minimum(leave[there], days), minlength=days + 1)
    died = np.bincount(leave[event & (leave <= days)], minlength=days + 1)[: days + 1]
    at_risk = np.zeros(days + 1, np.int64)
    at_risk[1:] = np.cumsum(starts)[:-1] - np.cumsum(stops)[:-1]
    hazard = np.divide(died, at_risk, out=np.zeros(days + 1), where=at_risk > 0)
    survival = np.cumprod(1 - hazard)
    rest = at_risk * (at_risk - died)
    terms = np.divide(died, rest, out=np.zeros(days + 1), where=rest > 0)
    return Curve(1 - survival, survival * np.sqrt(np.cumsum(terms)), at_risk)


def exposure_contrast(record: Record, *, horizon: int) -> pa.Table:
    """Return R3: the note's contrast, the corrected one, and the randomised truth.

    Parameters
    ----------
    horizon
        Days after time zero at which the corrected risks are compared.
    """
    follow = follow_up(record)
    return compare(
        [*_observational(follow), *_corrected(follow, horizon), *_randomised(record, follow)]
    )


def _observational(follow: Follow) -> Iterator[Row]:
    ever = follow.exposed_at < NEVER
    one, other = Share.of(follow.event, ever), Share.of(follow.event, ~ever)
    yield from _risks("observational", one, other, EXPOSED_RISK, UNEXPOSED_RISK)
    ratio, interval = risk_ratio(one, other)
    point, limit = e_value(ratio, interval)
    yield Row("R3", "observational: E-value of the ratio", point)
    yield Row("R3", "observational: E-value of the interval's nearer end", limit)


def _randomised(record: Record, follow: Follow) -> Iterator[Row]:
    """The truth by lot, beside the note's contrast, and the plan that would have shown it."""
    outcome, held = record.first_join(record.is_non_rec) < NEVER, record.arms.gysj
    one, other = Share.of(outcome, ~held), Share.of(outcome, held)
    yield from _risks("randomised", one, other)
    member = held[follow.user]
    yield from _risks(
        "randomised, gateway members",
        Share.of(follow.event, ~member), Share.of(follow.event, member),
    )  # fmt: skip
    ever = follow.exposed_at < NEVER
    shown = Share.of(follow.event, ever).value - Share.of(follow.event, ~ever).value
    truth, said = one.value - other.value, EXPOSED_RISK - UNEXPOSED_RISK
    yield Row("R3", "observational minus randomised: risk difference", shown - truth)
    pooled = Share(one.k + other.k, one.n + other.n).value
    yield Row(
        "R3", "design: users per arm to find the note's difference with power 80 %",
        users_needed(pooled, said),
    )  # fmt: skip
    low, high = sorted(abs(end) for end in difference(one, other))
    excludes = truth * difference(one, other)[truth > 0] > 0
    yield Row(
        "R3", "design: users per arm to find the difference by lot with power 80 %",
        users_needed(pooled, truth),
        (users_needed(pooled, high), users_needed(pooled, low) if excludes else math.nan),
    )  # fmt: skip
    yield Row(
        "R3", "design: power of the holdout to find the note's difference",
        power(pooled, said, one.n, other.n),
    )  # fmt: skip


def _risks(
    how: str,
    exposed: Share,
    unexposed: Share,
    risk: float | None = None,
    risk_without: float | None = None,
) -> Iterator[Row]:
    """Both risks, their difference and their ratio."""
    judged = TOLERANCE if risk is not None else None
    yield Row("R3", f"{how}: risk with GYSJ", exposed.value, wilson(exposed), risk, judged)
    yield Row(
        "R3", f"{how}: risk without", unexposed.value, wilson(unexposed), risk_without, judged
    )
    published = None if risk is None or risk_without is None else risk - risk_without
    gap = exposed.value - unexposed.value
    yield Row("R3", f"{how}: risk difference", gap, difference(exposed, unexposed), published)
    ratio, interval = risk_ratio(exposed, unexposed)
    published = None if risk is None or risk_without is None else risk / risk_without
    yield Row("R3", f"{how}: risk ratio", ratio, interval, published)


def _corrected(follow: Follow, horizon: int) -> Iterator[Row]:
    ends = [_at(risk_curve(follow, exposed=x, days=horizon), horizon) for x in (True, False)]
    (risk, se), (risk_without, se_without) = ends
    when = f"by day {horizon}"
    yield Row("R3", f"corrected: risk with GYSJ {when}", risk, _normal(risk, se))
    yield Row("R3", f"corrected: risk without {when}", risk_without,
              _normal(risk_without, se_without))  # fmt: skip
    gap, gap_se = risk - risk_without, math.hypot(se, se_without)
    yield Row("R3", f"corrected: risk difference {when}", gap, _normal(gap, gap_se))
    ratio = risk / risk_without if risk_without > 0 else math.nan
    yield Row("R3", f"corrected: risk ratio {when}", ratio,
              _log_normal(ratio, se / risk if risk > 0 else math.nan,
                          se_without / risk_without if risk_without > 0 else math.nan))  # fmt: skip


def _at(curve: Curve, day: int) -> tuple[float, float]:
    """Risk and standard error on a day; NaN where nobody was left to tell."""
    if curve.at_risk[day] == 0:
        return math.nan, math.nan
    return float(curve.risk[day]), float(curve.se[day])


def _normal(value: float, se: float) -> tuple[float, float]:
    return value - _Z * se, value + _Z * se


def _log_normal(ratio: float, *relative: float) -> tuple[float, float]:
    """Interval of a ratio from the relative errors of its parts (delta method)."""
    half = _Z * math.hypot(*relative)
    return ratio * math.exp(-half), ratio * math.exp(half)


ALPHA = 0.05


def pymi_holdout(record: Record, *, margin: float) -> pa.Table:
    """Return R6: users who joined a non-rec group, with PYMI held out (control) and without.

    *Featured*, the note's experiment: users whom PYMI shows to others as somebody to invite,
    against those whom it does not; how many invitations came is beside it. *Shown*: users to
    whom PYMI shows whom to invite, a contrast for comparison: what one sends is not what one
    joins. Everybody who was ever on the platform counts, by the arm drawn at random.

    ``margin`` is how far the ratio of the arms may be from one to count as equal, set before
    looking. The note says "roughly equal"; the row ``equivalent`` has 1 for that, judged at
    5 %.

    Arms interfere: who is invited more has friends who see its groups, in both arms. The
    contrast is then not quite the effect of giving PYMI to everybody or to nobody.
    """
    outcome, arms = record.first_join(record.is_non_rec) < NEVER, record.arms
    got = np.bincount(record.invitations.receiver, minlength=len(outcome))
    return compare(
        [
            *_by_lot("R6", "PYMI featured", outcome, arms.pymi_featured, margin, judged=True),
            _first_stage("R6", "PYMI featured: invitations received", got, arms.pymi_featured),
            *_by_lot("R6", "PYMI shown", outcome, arms.pymi, margin),
        ]
    )


def pymk_arms(record: Record, *, margin: float) -> pa.Table:
    """Return R7: users who joined a target group, by what PYMK did.

    *Shown*: users who are shown friend recommendations against those of the holdout.
    *Featured*: users who are shown to others as candidates against those who are not. Both at
    random, with the friends that each arm found beside them.

    Then by dose, as the note has it: the more often shown (among those outside the holdout),
    the more often featured (likewise). A dose is a number of friendships that came of it: the
    simulator's users befriend whomever they are shown, if it is no friend already. Nobody
    drew a dose at random, and users with many friends are found more often: associations.
    """
    outcome, arms = record.first_join(record.is_target) < NEVER, record.arms
    found = record.shown + record.featured
    sides = (("shown", record.shown, arms.pymk), ("featured", record.featured, arms.pymk_featured))
    rows: list[Row] = []
    for side, dose, held in sides:
        rows += _by_lot("R7", f"PYMK {side}", outcome, held, margin)
        rows.append(_first_stage("R7", f"PYMK {side}: friends found", found, held))
        rows += _dose(f"PYMK {side}", dose[~held], outcome[~held])
    return compare(rows)


def _dose(what: str, dose: Int32, outcome: Mask) -> Iterator[Row]:
    """Mean dose, and the trend of the outcome in it."""
    slope, interval, p_value = trend(dose, outcome)
    mean = float(dose.mean()) if len(dose) else float("nan")
    yield Row("R7", f"{what} by dose: friends found, mean", mean)
    yield Row("R7", f"{what} by dose: difference for one more", slope, interval)
    yield Row("R7", f"{what} by dose: p-value of no trend", p_value)


def _first_stage(claim: str, what: str, dose: npt.NDArray[np.integer], held: Mask) -> Row:
    """What the product did at all: the mean of the test arm over that of the control."""
    means = [float(dose[arm].mean()) if arm.any() else math.nan for arm in (~held, held)]
    ratio = means[0] / means[1] if means[1] > 0 else math.nan
    return Row(claim, f"{what}, test over control", ratio)


def _by_lot(
    claim: str, what: str, outcome: Mask, held: Mask, margin: float, *, judged: bool = False
) -> Iterator[Row]:
    """Both shares, difference, ratio, test, power for the margin, and equivalence."""
    test, control = Share.of(outcome, ~held), Share.of(outcome, held)
    pooled = Share(test.k + control.k, test.n + control.n).value
    equivalent = equivalence_p(test, control, margin=margin)
    said = "nan" if np.isnan(equivalent) else equivalent < ALPHA
    yield Row(claim, f"{what}: test share", test.value, wilson(test))
    yield Row(claim, f"{what}: control share", control.value, wilson(control))
    gap = test.value - control.value
    yield Row(claim, f"{what}: difference", gap, difference(test, control))
    yield Row(claim, f"{what}: ratio", *risk_ratio(test, control))
    yield Row(claim, f"{what}: p-value of no difference", two_sided_p(test, control))
    yield Row(
        claim, f"{what}: power to find a ratio of {1 + margin:g}",
        power(pooled, margin * pooled, test.n, control.n),
    )  # fmt: skip
    least = minimal_detectable(pooled, test.n, control.n)
    yield Row(claim, f"{what}: difference found with power 80 %", least)
    yield Row(claim, f"{what}: p-value of a ratio beyond {1 + margin:g}", equivalent)
    yield Row(
        claim, f"{what}: equivalent within a ratio of {1 + margin:g} (1 = yes)", float(said),
        published=1.0 if judged else None, tolerance=0.0 if judged else None,
    )  # fmt: skip
