"""P(target later | joined g): how many of a group's joiners go on to a target."""

from __future__ import annotations

import numpy as np

from gateway.arrays import Float64, Int64
from gateway.config.detectors import FrequentistOptions
from gateway.detect.detection import Detection, Findings, add_up, count_by_group
from gateway.detect.measure import Measure, Quantity
from gateway.detect.significance import ratio
from gateway.log import Duration, ticks_in
from gateway.log.join_log import JoinLog
from gateway.log.work import over_parts
from gateway.score import build_prefixes
from gateway.targets import TargetSet

FREQUENTIST = Measure(
    detector="frequentist",
    estimate=Quantity(
        "share who go on",
        "share of the group's joiners who join a target later",
        unit="share",
        no_effect="expected_share",
    ),
    score=Quantity(
        "shrunken share", "the same share, shrunken towards that of all groups", unit="share"
    ),
    joiners="joiners at risk whose outcome is known",
    events="joiners who join a target later",
    test="whether more joiners go on than of people as active who join groups at random",
)
_MOST_STEPS = 200


def detect_frequentist(
    joins: JoinLog,
    targets: TargetSet,
    *,
    options: FrequentistOptions | None = None,
    horizon: Duration | None = None,
) -> Detection:
    r"""Rank groups by the shrunken share of joiners who join a target later.

    n_g counts the users who joined g strictly before their first target join and were
    observed for the whole horizon after it, k_g those of them who joined a target within
    the horizon. A tie, g and the first target in one tick, is neither before nor after and
    is left out, as is everybody who joined g after a target. The estimate is k_g / n_g with
    its Clopper-Pearson interval, the score (k_g + a) / (n_g + a + b) with an
    empirical-Bayes beta prior.

    The p-value counts people: each is a joiner of g once or not at all, however much else
    they join. Where the labels of the joins say nothing, user u with m_u joins at risk is
    among the joiners of g with probability 1 - (1 - s)^m_u, with s such that these sum to
    n_g, and goes on with probability f_u, the share of u's joins at risk after which a
    target follows within the horizon. The expected share is the mean of f_u over such
    joiners; it is K / N, that of all people, where all are as active. k_g is held against
    it by ``binomial_bound``. Lift is k_g over what is expected.

    *When it misleads.* Joins differ in more than their group: an early joiner has longer
    to go on without a horizon, and whoever is inclined to the targets joins other things
    first. All of it counts as the group's doing, so the p-value does not hold its level
    where joiners differ in more than how much they join. It is the simple definition whose
    AUC of .64 to .83 the published descendant reports.

    Cost: O(joins).

    Parameters
    ----------
    horizon
        Ticks within which a target join counts; None for any later one, whatever the
        follow-up.

    Returns
    -------
    Detection
        ``estimate`` is k_g / n_g, ``n_events`` is k_g; extra columns ``lift`` and
        ``expected_share``.

    References
    ----------
    Clopper, Pearson (1934), Biometrika 26(4). Kleinman (1973), see ``beta_prior``.
    Benjamini, Hochberg (1995), J. R. Stat. Soc. B 57(1).
    """
    options = options or FrequentistOptions()
    ticks = None if horizon is None else ticks_in(horizon, joins.tick, what="horizon")
    n, k, people, going_on = add_up(over_parts(joins, _counts, targets, ticks))
    ranked = ~targets.mask & (n >= options.min_joiners)
    expected = _expected(n, people, going_on)
    found = Findings.of_shares(
        k, n, expected, among=ranked, lift=ratio(k, expected), expected_share=ratio(expected, n)
    )
    return found.rank(
        FREQUENTIST, joins, targets, min_joiners=options.min_joiners, alpha=options.alpha
    )


def _counts(
    joins: JoinLog, targets: TargetSet, horizon: int | None
) -> tuple[Int64, Int64, Int64, Int64]:
    """Return n_g, k_g, and by number m of joins at risk the people and their joins that go on.

    They add up over users. Nobody has more joins than there are groups.
    """
    rows = build_prefixes(joins, targets, horizon=horizon, seed=None)
    user = rows.user()
    m = np.bincount(user[rows.resolved], minlength=rows.n_users)
    going_on = np.bincount(m[user[rows.label == 1]], minlength=joins.n_groups + 1)
    return (
        count_by_group(rows.group[rows.resolved], joins.n_groups),
        count_by_group(rows.group[rows.label == 1], joins.n_groups),
        np.bincount(m, minlength=joins.n_groups + 1).astype(np.int64),
        going_on.astype(np.int64),
    )


def _expected(n: Int64, people: Int64, going_on: Int64) -> Float64:
    """Return how many of n_g joiners go on where labels say nothing, shape (n_groups,).

    With s = 1 - e^-t, the number of joiners is concave in t, so that Newton's steps from
    below the root never pass it.

    Parameters
    ----------
    n
        n_g, shape (n_groups,).
    people, going_on
        People with m joins at risk, and how many of those joins go on, by m.
    """
    m = np.flatnonzero(people[1:]) + 1
    count, share = people[m].astype(np.float64), going_on[m] / m
    wanted, of = np.unique(n, return_inverse=True)
    some = (wanted > 0) & (wanted < count.sum())
    aim, t = wanted[some], wanted[some] / max(float(count @ m), 1.0)
    for _ in range(_MOST_STEPS):
        out = np.exp(-t[:, None] * m)
        step = (aim - (1.0 - out) @ count) / (out @ (count * m))
        t = t + np.maximum(step, 0.0)
        if not len(t) or step.max() <= 1e-12 * t.max():
            break
    expected = np.where(wanted > 0, share.sum(), 0.0)
    expected[some] = -np.expm1(-t[:, None] * m) @ share
    return np.asarray(expected[of])
