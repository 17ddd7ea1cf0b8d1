"""Experiments on a seed filter, as the note planned them, against the simulator's truth.

What is drawn at random: users, groups that are filtered out of the seeds (entities), pairs of
seed and target (edges), or clusters of users who are in the same groups. The question is
always how many target joins a filter of all the groups for everybody would avert.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy import sparse
from scipy.stats import norm
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD

from gateway.arrays import Int64, Mask
from gateway.errors import GatewayError, Problem, shown
from gateway.log.join_log import JoinLog
from gateway.randomness import Purpose, generator, name_uniforms
from gateway.score.descent import one_blas_thread
from gateway.simulate import EdgeFilter, GysjSeedFilter, History, live_through

Design = Literal["user", "entity", "edge", "cluster"]
_FACTORS = 10


@dataclass(frozen=True)
class Trial:
    """What one experiment says; joins of targets from the start on, for all units treated."""

    # Difference between the means of control and treated units, times the number of units.
    estimate: float
    error: float  # its standard error, units taken as independent
    units: int

    @property
    def found(self) -> bool:
        """Whether it would be called an effect at 5 %, two-sided."""
        return abs(self.estimate) > float(norm.ppf(0.975)) * self.error

    @property
    def detectable(self) -> float:
        """The least effect that would be found with power .8."""
        return float(norm.ppf(0.975) + norm.ppf(0.8)) * self.error


def co_membership_clusters(joins: JoinLog, *, before: int, count: int, seed: int) -> Int64:
    """Return a cluster of each user by the groups that they joined before a day.

    k-means on the first singular vectors of the users' rows, scaled to length one (spectral
    co-clustering, Dhillon 2001, KDD); users without a join are spread over the clusters by name.
    """
    rows = joins.time < before
    user, group = joins.user()[rows], joins.group[rows]
    size = np.maximum(np.bincount(group, minlength=joins.n_groups), 1)
    length = np.maximum(np.bincount(user, minlength=joins.n_users), 1)
    weight = 1.0 / np.sqrt(size[group] * length[user])
    shape = (joins.n_users, joins.n_groups)
    matrix = sparse.csr_matrix((weight, (user, group)), shape=shape)
    found = (name_uniforms(joins.users, seed=seed) * count).astype(np.int64)
    active = np.bincount(user, minlength=joins.n_users) > 0
    with one_blas_thread():
        place = TruncatedSVD(_FACTORS, random_state=seed).fit_transform(matrix[active])
        place /= np.maximum(np.linalg.norm(place, axis=1, keepdims=True), 1e-12)
        found[active] = KMeans(count, n_init=1, random_state=seed).fit_predict(place)
    return found


def true_averted(history: History, is_target: Mask, groups: Mask, *, start: int) -> int:
    """Return how many target joins a filter for everybody averts: the platform lived twice."""
    other = live_through(history.world, interventions=(GysjSeedFilter(start, groups),))
    return int(_by_user(history, is_target, start).sum() - _by_user(other, is_target, start).sum())


def run_trial(
    history: History,
    is_target: Mask,
    groups: Mask,
    *,
    by: Design,
    start: int,
    seed: int,
    clusters: Int64 | None = None,
) -> Trial:
    """Live through one experiment: half of the units, drawn at random, are treated.

    Parameters
    ----------
    is_target, groups
        bool, shape (n_groups,): whose joins count, and which seeds are filtered.
    by
        ``user``: the filter holds for half of the users, outcome their target joins.
        ``cluster``: for half of the ``clusters``, outcome the target joins of each; between
        clusters of different sizes the means are per user. ``entity``: half of the groups
        are filtered, outcome the target joins recommended because of each. ``edge``: half of
        the pairs of group and target, outcome the joins of each pair.
    start
        Day from which the filter acts and joins count; edges are filtered from day 0 on.
    clusters
        As ``co_membership_clusters`` gives them, for ``cluster``.

    Notes
    -----
    Treated and control units are not independent. Users meet in the recommender, in
    invitations and among friends, so control users are treated a little, and the estimate is
    too small. What a filtered seed or pair would have shown is shown by another one, so that
    of entities and edges it counts what came that way, not what would not have been.

    Raises
    ------
    GatewayError
        If there is no such design, or the clusters are missing.
    """
    if by not in get_args(Design):
        raise GatewayError(
            str(Problem("by", f"must be one of {', '.join(get_args(Design))}", shown(by)))
        )
    rng = generator(seed, Purpose.TRIAL_ARMS)
    if by in ("user", "cluster"):
        if by == "cluster" and clusters is None:
            raise GatewayError("by 'cluster' needs clusters, one for each user")
        unit = np.arange(len(history.world.users)) if by == "user" else np.asarray(clusters)
        chosen = _half(int(unit.max()) + 1, rng)
        other = live_through(
            history.world, interventions=(GysjSeedFilter(start, groups),), spared=~chosen[unit]
        )
        return _per_user(_by_user(other, is_target, start), unit, chosen)
    seeds, n = np.flatnonzero(groups), len(groups)
    targets = np.flatnonzero(is_target)
    units = seeds if by == "entity" else (seeds[:, None] * n + targets).ravel()
    chosen = _half(len(units), rng)
    treated = units[chosen]
    acting = (
        GysjSeedFilter(start, np.isin(np.arange(n), treated))
        if by == "entity"
        else EdgeFilter(treated // n, treated % n)
    )
    joins = live_through(history.world, interventions=(acting,)).joins()
    through = _led(joins, is_target, start)
    key = joins.seed_group[through].astype(np.int64)  # type: ignore[index]
    if by == "edge":
        key = key * n + joins.group[through]
    count = np.bincount(np.searchsorted(units, key[np.isin(key, units)]), minlength=len(units))
    return _two_sample(count[~chosen], count[chosen])


def _half(n: int, rng: np.random.Generator) -> Mask:
    return np.asarray(rng.permutation(n) < n // 2)


def _by_user(history: History, is_target: Mask, start: int) -> Int64:
    joins = history.joins()
    counted = is_target[joins.group] & (joins.time >= start)
    return np.bincount(joins.user()[counted], minlength=joins.n_users)


def _led(joins: JoinLog, is_target: Mask, start: int) -> Mask:
    if joins.seed_group is None or joins.inviter is None:
        raise GatewayError("experiments on seeds need a log with seed_group and inviter")
    of_seed = (joins.seed_group >= 0) & (joins.inviter < 0)
    return np.asarray(of_seed & is_target[joins.group] & (joins.time >= start))


def _two_sample(control: Int64, treated: Int64) -> Trial:
    n = len(control) + len(treated)
    error = np.sqrt(control.var(ddof=1) / len(control) + treated.var(ddof=1) / len(treated))
    return Trial(float(n * (control.mean() - treated.mean())), float(n * error), n)


def _per_user(outcome: Int64, unit: Int64, chosen: Mask) -> Trial:
    """Compare means per user; errors by unit, linearised (Cochran 1977, section 6.4)."""
    total, size = (np.bincount(unit, weights, len(chosen)) for weights in (outcome, None))
    means, variance = [], 0.0
    for arm in (~chosen, chosen):
        mean = total[arm].sum() / size[arm].sum()
        rest = total[arm] - mean * size[arm]
        variance += rest.var(ddof=1) * arm.sum() / size[arm].sum() ** 2
        means.append(mean)
    n = len(outcome)
    return Trial(float(n * (means[0] - means[1])), float(n * np.sqrt(variance)), len(chosen))
