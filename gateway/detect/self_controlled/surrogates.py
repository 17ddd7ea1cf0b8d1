"""Groups whose joins can stand in for joins of targets.

A gateway makes its joiners go to targets and to whatever is like targets. Events of the
second kind are many more than those of the first, and most of the power is in them. The
question is which groups are like targets, and the answer must not come from the gateways.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import gamma

from gateway.arrays import Float64, Int32, Int64, Mask
from gateway.detect.detection import add_up
from gateway.detect.self_controlled.fit import JointFit, fit_joint
from gateway.detect.self_controlled.likelihood import Likelihood
from gateway.detect.self_controlled.preparation import Preparation
from gateway.detect.self_controlled.prior import gain_of
from gateway.detect.self_controlled.rows import cases_of, event_ticks
from gateway.detect.self_controlled.surrogates_kernels import add_joins_before
from gateway.log.join_log import JoinLog
from gateway.log.work import over_parts
from gateway.targets import TargetSet

# Affinities at which the set may be cut; 1 is that of the targets among themselves.
LADDER = (0.7, 0.5, 0.3, 0.2, 0.1)
# The bound that an affinity must pass is one that chance passes once in twenty.
_DOUBT = 0.05
# What a set must gain in log likelihood: twenty to one.
_MARGIN = 3.0
# Differences of log likelihood below this are those of chance.
_ALIKE = 2.0
# Of more cases a sample by name is enough to choose one set of five by.
MOST_CASES = 1 << 16
# Ranges of users that threads share, as far as their joins are more than the sums to be made.
_RANGES, _JOINS_PER_SUM = 32, 8


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
    ranges = int(np.clip(joins.n_joins // (_JOINS_PER_SUM * joins.n_groups), 1, _RANGES))
    found, seen = np.zeros((2, ranges, joins.n_groups), np.int64)
    add_joins_before(
        np.linspace(0, joins.n_users, ranges + 1).astype(np.int64), joins.offsets, joins.group,
        joins.time, targets.mask, ticks, upto, found, seen,
    )  # fmt: skip
    return found.sum(axis=0).astype(np.float64), seen.sum(axis=0).astype(np.float64)


def choose_surrogates(
    joins: JoinLog, targets: TargetSet, *, prepared: Preparation, seed: int
) -> Mask:
    """Choose the groups whose joins count as events beside those of the targets.

    All groups are fitted with target joins as events, and with the joins of each set of the
    ladder instead. The two share no event, so what the second says of the groups predicts
    the first only where the groups raise both. A set is fit to be taken if it makes the
    estimates twenty times as likely as their mean does: one that does not help does harm. Of
    those that predict about as well as the best, within a log likelihood of 2, the largest is
    taken: it has most events. No truth enters. Of more than ``MOST_CASES`` cases a sample is
    fitted, drawn by the users' names.

    Parameters
    ----------
    joins, targets
        The log and its targets.
    prepared
        How slots are made.
    seed
        Of the sample, drawn by the users' names.

    Returns
    -------
    numpy.ndarray
        bool, shape (n_groups,).
    """
    affinity = affinity_to_targets(joins, targets)
    sets = [(affinity > cut) & ~targets.mask for cut in LADDER]
    sets = [chosen for chosen in sets if chosen.any()]
    if not sets:
        return np.zeros(joins.n_groups, bool)
    candidate = ~targets.mask & ~sets[-1]

    def fitted(outcome: Mask) -> JointFit:
        slots, _ = prepared.slots(
            joins, outcome, ~targets.mask & ~outcome, sample=sample_of(joins, outcome, seed=seed)
        )
        return fit_joint(Likelihood(slots), rough=True)

    plain = fitted(targets.mask)
    estimate, error = plain.by_itself()
    known = candidate & np.isfinite(error)
    found = [fitted(chosen).point.beta[known] for chosen in sets]
    gain = np.array([gain_of(estimate[known], error[known], beta) for beta in found])
    good = np.flatnonzero(gain > max(_MARGIN, gain.max() - _ALIKE))
    return sets[good[-1]] if len(good) else np.zeros(joins.n_groups, bool)


def sample_of(joins: JoinLog, outcome: Mask, *, seed: int) -> tuple[int, float]:
    """Return the seed and the share of users of a sample of at most ``MOST_CASES`` cases."""
    return seed, min(1.0, MOST_CASES / sum(over_parts(joins, _count_cases_in, outcome)))


def _count_cases_in(part: JoinLog, outcome: Mask) -> int:
    return int(np.count_nonzero(cases_of(part, outcome)))
