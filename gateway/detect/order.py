"""Before or after: of those who joined both, how many joined the group first?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gateway.arrays import Float64, Int32, Int64, Mask
from gateway.config.detectors import OrderOptions
from gateway.detect.detection import Detection, Findings, add_up, count_by_group, sum_by_group
from gateway.detect.measure import Measure, Quantity
from gateway.detect.significance import ratio
from gateway.log.join_log import JoinLog
from gateway.log.work import over_parts
from gateway.targets import TargetSet

ORDER = Measure(
    detector="order",
    estimate=Quantity(
        "share who joined the group first",
        "of the users who joined the group and a target, those who joined the group before "
        "their first target",
        unit="share",
        no_effect="expected_before",
    ),
    score=Quantity(
        "shrunken share", "the same share, shrunken towards that of all groups", unit="share"
    ),
    joiners="joiners who also join a target, in another tick",
    events="joiners who joined the group before their first target",
    test="whether the group stands before the first target more often than these users' "
    "other groups do",
    holds_level=False,
    claims="change",
)

_NEVER = np.iinfo(np.int64).max


class _Ordered(NamedTuple):
    """Joins of non-target groups by users with a target, tied ones left out."""

    group: Int32
    before: Mask
    expected: Float64


def detect_order(
    joins: JoinLog, targets: TargetSet, *, options: OrderOptions | None = None
) -> Detection:
    """Rank groups by the share of users who joined them before, not after, their first target.

    b_g users joined g strictly before their first target join, a_g strictly after; users
    without a target join, and ties, say nothing about the order. The estimate is
    b_g / (a_g + b_g) with its Clopper-Pearson interval, the score its posterior mean under
    an empirical-Bayes beta prior.

    The p-value asks whether g stands earlier than these users' other groups do: if user u
    has B_u joins before and A_u after, a group thrown in among them at random would stand
    before with probability B_u / (A_u + B_u). Their sum is held against b_g by
    ``binomial_bound``.

    *When it misleads.* A group that is everybody's first step (old, large, shown on
    arrival) stands before everything: the p-value does not hold its level in simulated
    worlds where nothing is true (``experiments/error_rates.py``), and nothing is flagged.
    Users whose observation ends soon after the target have had no time to join anything
    later, so shares near 1 are common and the score alone says little. It sees only users
    who did join a target: a group that keeps people away from targets looks like any other.

    Cost: O(joins).

    Returns
    -------
    Detection
        ``estimate`` is the share, ``n_joiners`` counts a_g + b_g, ``n_events`` b_g; extra
        column ``expected_before``.

    References
    ----------
    The order of exposure and outcome in users who have both is prescription sequence
    symmetry analysis: Hallas (1996), Epidemiology 7(5).
    """
    options = options or OrderOptions()
    n, k, expected = add_up(over_parts(joins, _counts, targets))
    ranked = ~targets.mask & (n >= options.min_joiners)
    found = Findings.of_shares(k, n, expected, among=ranked, expected_before=ratio(expected, n))
    return found.rank(ORDER, joins, targets, min_joiners=options.min_joiners, alpha=options.alpha)


def _counts(joins: JoinLog, targets: TargetSet) -> tuple[Int64, Int64, Float64]:
    """Return a_g + b_g, b_g and the expected b_g; they add up over users."""
    rows = _ordered(joins, targets)
    return (
        count_by_group(rows.group, joins.n_groups),
        count_by_group(rows.group[rows.before], joins.n_groups),
        sum_by_group(rows.group, rows.expected, joins.n_groups),
    )


def _ordered(joins: JoinLog, targets: TargetSet) -> _Ordered:
    user, is_target = joins.user(), targets.mask[joins.group]
    first = np.full(joins.n_users, _NEVER)
    np.minimum.at(first, user[is_target], joins.time[is_target].astype(np.int64))
    turn = first[user]
    kept = ~is_target & (turn < _NEVER) & (joins.time != turn)
    user, before = user[kept], (joins.time < turn)[kept]
    both = np.bincount(user, minlength=joins.n_users)
    earlier = np.bincount(user[before], minlength=joins.n_users)
    return _Ordered(joins.group[kept], before, ratio(earlier, both)[user])
