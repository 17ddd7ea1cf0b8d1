"""The plain coefficient: a logistic regression on users' whole histories."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import expit

from gateway.arrays import Float64, Int64
from gateway.config.detectors import CoefficientOptions
from gateway.detect.detection import Detection, Findings, add_up, count_by_group, sum_by_group
from gateway.detect.measure import Measure, Quantity
from gateway.log.join_log import JoinLog
from gateway.log.work import room
from gateway.score import UNRESOLVED, LogisticModel, LogisticScorer, Prefixes, build_prefixes
from gateway.targets import TargetSet

_WEIGHT = Quantity(
    "log odds ratio",
    "penalised weight of the group in a logistic regression on whole histories",
    no_effect=0.0,
)
COEFFICIENT = Measure(
    detector="coefficient",
    estimate=_WEIGHT,
    score=_WEIGHT,
    joiners="joiners at risk",
    events="joiners who join a target later",
)


def detect_coefficient(
    joins: JoinLog, targets: TargetSet, *, options: CoefficientOptions | None = None, seed: int = 1
) -> Detection:
    """Rank groups by their weight in a logistic regression of "ever joins a target".

    One row per user: the groups joined before the first target join (all groups of a user
    who never joins one), and whether a target join followed. Score and estimate are the
    L2-penalised weight, a log odds ratio with all other groups held. The interval is
    weight +- 1.96 / sqrt(sum p (1 - p) + lambda), the sum over the group's joiners: Laplace's,
    *given the other weights*, so it is too narrow where groups share their members. Nothing
    is tested and nothing flagged.

    *When it misleads.* The two kinds of row differ by construction: histories that end in
    a target join are cut there, the others are not, so a long history counts against a
    target join, and so does what is usually joined late. Unlike the prefixes that ``spike``
    learns from, it is not asked at any moment that a user lived through. Look-alikes have
    weights like gateways: weights hold other *groups* fixed, not the inclination.

    Cost: O(joins) per evaluation of the loss, some ten to a hundred evaluations for each
    penalty tried.

    Parameters
    ----------
    seed
        Of the hash of names that holds users out to choose the penalty.

    Returns
    -------
    Detection
        ``n_events`` counts the joiners with a target join later; extra column ``penalty``.

    References
    ----------
    Hoerl, Kennard (1970), Technometrics 12(1); le Cessie, van Houwelingen (1992), "Ridge
    estimators in logistic regression", Appl. Stat. 41(1).
    """
    options = options or CoefficientOptions()
    rows = _whole_histories(joins, targets, seed)
    everyone = np.ones(rows.n_users, np.bool_)
    scorer = LogisticScorer(
        penalty=options.penalty, tolerance=options.tolerance, keep=None, covariates=False
    )
    model = scorer.fit(rows, everyone)
    half = 1.96 / np.sqrt(_information(rows, model) + model.penalty)
    joiners, followed = add_up(_counts(part) for _, _, part in rows.parts())
    found = Findings(
        score=model.weights,
        estimate=model.weights,
        ci_low=model.weights - half,
        ci_high=model.weights + half,
        n_joiners=joiners,
        n_events=followed,
        extra={"penalty": np.full(joins.n_groups, model.penalty)},
    )
    return found.rank(COEFFICIENT, joins, targets, min_joiners=options.min_joiners)


def _last_of_user(rows: Prefixes) -> Int64:
    """Return for each row the last row of its user."""
    return np.asarray((rows.offsets[1:] - 1)[rows.user()])


def _counts(rows: Prefixes) -> tuple[Int64, Int64]:
    """Return the joiners of each group, and those who join a target later."""
    later = rows.label[_last_of_user(rows)] == 1
    return (
        count_by_group(rows.group, rows.n_groups),
        count_by_group(rows.group[later], rows.n_groups),
    )


def _whole_histories(joins: JoinLog, targets: TargetSet, seed: int) -> Prefixes:
    """All prefixes with an outcome at each user's last row alone: the others do not train."""
    rows = build_prefixes(joins, targets, seed=seed, new_column=room)
    for _, _, part in rows.parts():
        last = part.offsets[1:][np.diff(part.offsets) > 0] - 1
        known = part.label[last]
        part.label[:] = UNRESOLVED
        part.label[last] = known
    return replace(rows, recipe=(_whole_histories, joins, (targets, seed)))


def _information(rows: Prefixes, model: LogisticModel) -> Float64:
    """Sum of p (1 - p) over each group's joiners: the diagonal of the loss's Hessian."""
    total = np.zeros(rows.n_groups)
    for _, _, part in rows.parts():
        logits = model.logits(part, np.ones(part.n_users, np.bool_)).at_end
        p = expit(logits[_last_of_user(part)])
        total += sum_by_group(part.group, p * (1.0 - p), part.n_groups)
    return total
