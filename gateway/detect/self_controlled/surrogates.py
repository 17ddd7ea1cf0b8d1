"""Groups whose joins can stand in for joins of targets.

A gateway makes its joiners go to targets and to whatever is like targets. Events of the
second kind are many more than those of the first, and most of the power is in them. The
question is which groups are like targets, and the answer must not come from the gateways.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import gamma

from gateway.arrays import Float64, Int32, Int64, Mask
from gateway.detect.findings import add_up
from gateway.detect.self_controlled.fit import JointFit, fit_joint
from gateway.detect.self_controlled.likelihood import Likelihood
from gateway.detect.self_controlled.slots import (
    Clock,
    Slots,
    build_slots,
    cases_of,
    event_ticks,
    select_cases,
)
from gateway.detect.self_controlled.surrogates_kernels import add_joins_before
from gateway.log.join_log import JoinLog
from gateway.log.work import over_parts
from gateway.randomness import name_uniforms
from gateway.targets import TargetSet

__all__ = ["LADDER", "affinity_to_targets", "choose_surrogates"]


# Affinities at which the set may be cut; 1 is that of the targets among themselves.
LADDER = (0.7, 0.5, 0.3, 0.2, 0.1)
# The bound that an affinity must pass is one that chance passes once in twenty.
_DOUBT = 0.05
# While the set is chosen: a penalty in the middle of what the data ask for.
_PENALTY = 60.0
# Below this information a half of the users says nothing about a group.
_LEAST_INFORMATION = 1.0
# Of more cases a sample by name is enough to choose one set of five by.
MOST_CASES = 1 << 19
# Ranges of users that threads share.
_RANGES = 32


def affinity_to_targets(joins: JoinLog, targets: TargetSet) -> Float64:
    """Return how much more often than chance a group is joined *after* a target.

    O_g counts target joins of g's joiners in ticks before they joined g; X_g expects them
    as if all users had them alike. The lift O / X is put on a scale where the median
    candidate is at 0 and the targets together at 1, at the lower end of its 90 % Poisson
    interval. Only joins of g *after* a target count: that a gateway sends people to the
    targets leaves its own affinity as it was, while co-membership in either order, or
    targets joined after g, would put the best gateways at the head of the list.

    Returns
    -------
    numpy.ndarray
        Shape (n_groups,).
    """
    found, seen = _add_joins_before(joins, targets)
    chance = seen / joins.n_users
    lift = gamma.ppf(_DOUBT, found + 0.5) / np.maximum(chance, 1e-9)
    lift[chance <= 0] = 0.0
    usual = float(np.median(lift[~targets.mask]))
    own = float(found[targets.mask].sum() / max(chance[targets.mask].sum(), 1e-9))
    return np.asarray((lift - usual) / max(own - usual, 1e-9))


def _add_joins_before(joins: JoinLog, targets: TargetSet) -> tuple[Float64, Float64]:
    """Of each group: target joins of its joiners, and of all users, before they joined it."""
    ticks, count = event_ticks(joins, targets.mask)
    upto = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    parts = over_parts(joins, _joins_before, targets, ticks.astype(np.int32), upto)
    found, seen = add_up(parts)
    return found, seen


def _joins_before(
    joins: JoinLog, targets: TargetSet, ticks: Int32, upto: Int64
) -> tuple[Float64, Float64]:
    """Return the same for the users of a part.

    Sums of whole numbers, so that they do not depend on the order of the users.
    """
    found, seen = np.zeros((2, _RANGES, joins.n_groups), np.int64)
    add_joins_before(
        np.linspace(0, joins.n_users, _RANGES + 1).astype(np.int64), joins.offsets, joins.group,
        joins.time, targets.mask, ticks, upto, found, seen,
    )  # fmt: skip
    return found.sum(axis=0).astype(np.float64), seen.sum(axis=0).astype(np.float64)


def choose_surrogates(
    joins: JoinLog, targets: TargetSet, *, clock: Clock = "joins", seed: int
) -> Mask:
    """Choose the groups whose joins count as events beside those of the targets.

    For each set of the ladder: fit all groups on one half of the users with the set's
    joins as events, on the other half with target joins alone, and correlate the two
    statistics over the groups; both ways round. A set that stands for the targets brings
    news about them, and the correlation rises; one that does not drowns them, and it
    falls. The best set is taken if its correlation is above that of target joins alone, and
    above zero, by one standard error: a set that does not help does harm. No truth enters.
    Of more than ``MOST_CASES`` cases a sample is fitted, drawn by the users' names.

    Parameters
    ----------
    joins, targets
        The log and its targets.
    seed
        Of the halves, drawn by the users' names.

    Returns
    -------
    numpy.ndarray
        bool, shape (n_groups,).
    """
    affinity = affinity_to_targets(joins, targets)
    sets = [(affinity > cut) & ~targets.mask for cut in LADDER]
    sets = [chosen for chosen in sets if chosen.any()]
    none = np.zeros(joins.n_groups, bool)
    if not sets:
        return none
    candidate = ~targets.mask & ~sets[-1]
    half = name_uniforms(joins.users, seed=seed) < 0.5

    def statistics(outcome: Mask, candidate: Mask) -> Float64:
        return _statistics(joins, outcome, candidate, half, clock, seed)

    plain = statistics(targets.mask, candidate)
    usual = _agreement(plain, plain)
    by_chance = 1.0 / math.sqrt(max(int(candidate.sum()), 1))
    best, most = none, max(usual + _margin(usual, plain), by_chance)
    for chosen in sets:
        found = statistics(targets.mask | chosen, ~targets.mask & ~chosen)
        agreement = _agreement(found, plain)
        if agreement > most:
            best, most = chosen, agreement
    return best


def _margin(agreement: float, plain: Float64) -> float:
    """Standard error of a correlation over the groups known in both halves."""
    known = int(np.count_nonzero(np.isfinite(plain).all(axis=0)))
    return (1.0 - agreement**2) / math.sqrt(max(known, 1))


def _statistics(
    joins: JoinLog, outcome: Mask, candidate: Mask, half: Mask, clock: Clock, seed: int
) -> Float64:
    """Standardised effect of every group in each half of the users; NaN where unknown."""
    sample = seed, min(1.0, MOST_CASES / _count_cases(joins, outcome))
    slots = build_slots(joins, outcome, candidate, clock=clock, sample=sample)
    part = half[slots.user]
    return np.array([_one_half(slots, part), _one_half(slots, ~part)])


def _count_cases(joins: JoinLog, outcome: Mask) -> int:
    return sum(over_parts(joins, _count_cases_in, outcome))


def _count_cases_in(part: JoinLog, outcome: Mask) -> int:
    return int(np.count_nonzero(cases_of(part, outcome)))


def _one_half(slots: Slots, part: Mask) -> Float64:
    fit = fit_joint(Likelihood(select_cases(slots, part)), penalty=_PENALTY, rough=True)
    return np.where(fit.information > _LEAST_INFORMATION, _score(fit), np.nan)


def _score(fit: JointFit) -> Float64:
    """At the optimum the data pull with penalty x beta: one Newton step from there."""
    step = fit.point.beta * (1 + fit.penalty / np.maximum(fit.information, 1e-9))
    return np.asarray(step * np.sqrt(fit.information))


def _agreement(found: Float64, plain: Float64) -> float:
    """Mean correlation of one half's statistics with the other half's plain ones."""
    values = []
    for here, there in ((found[0], plain[1]), (found[1], plain[0])):
        both = np.isfinite(here) & np.isfinite(there)
        if np.count_nonzero(both) < 3 or np.ptp(here[both]) == 0 or np.ptp(there[both]) == 0:
            return 0.0
        values.append(float(np.corrcoef(here[both], there[both])[0, 1]))
    return sum(values) / len(values)
