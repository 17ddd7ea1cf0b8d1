from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import norm

from gateway.detect.self_controlled import SelfControlledOptions, detect_self_controlled
from gateway.detect.self_controlled.baseline import estimate_baseline
from gateway.detect.self_controlled.cases import build_cases, list_events, pairs_of
from gateway.detect.self_controlled.multivariate import (
    ConditionalLoss,
    adjusted_pairs,
    choose_by_bayes,
    choose_by_validation,
    fit_groups,
)
from gateway.detect.self_controlled.null import Null, null_of_bulk, null_of_inert
from gateway.detect.self_controlled.ratios import estimate_ratios, likelihood_interval
from gateway.detect.self_controlled.shrinkage import false_sign_rates
from gateway.detect.self_controlled.surrogates import affinity_to_targets, choose_surrogates
from gateway.errors import GatewayError, LogError
from gateway.log.join_log import JoinLog
from gateway.targets import TargetSet
from tests import naive
from tests.worlds import first_groups, random_log

PLAIN = SelfControlledOptions(surrogates="none", min_joiners=1)


def two_users():
    """Observed for ticks 0 to 9; "g" at 3 and 5, targets at 1, 5, 7 and at 6, 8."""
    return JoinLog.from_arrays(
        ["u", "u", "u", "u", "v", "v", "v"],
        ["g", "t1", "t2", "t3", "g", "t1", "t2"],
        [3, 1, 5, 7, 5, 6, 8],
        observed_from=0,
        observed_until=9,
    )


def case_series(seed, beta, *, users=3_000, joins=5, days=200, rate=1.0, targets=30):
    """A log of the very model: rate alpha_u exp(sum of beta of groups joined before)."""
    rng = np.random.default_rng(seed)
    n = len(beta)
    rows = []
    for u in range(users):
        groups = rng.choice(n, size=joins, replace=False)
        day = rng.integers(0, days, size=joins)
        log_rate = np.zeros(days)
        for g, t in zip(groups, day, strict=True):
            log_rate[t + 1 :] += beta[g]
            rows.append((u, targets + g, t))
        mean = rng.gamma(1.0) * rate / days * np.exp(log_rate)
        when = np.repeat(np.arange(days), rng.poisson(mean))
        rows += [(u, k % targets, t) for k, t in enumerate(when)]
    user, group, time = np.array(rows).T
    return JoinLog.from_arrays(
        user, group, time, observed_from=0, observed_until=days - 1,
        groups=[f"g{i:03}" for i in range(targets + n)],
    ), first_targets(targets + n, targets)  # fmt: skip


def first_targets(n_groups, count):
    return TargetSet(np.arange(n_groups) < count, f"the first {count} groups")


@pytest.fixture(scope="module")
def small():
    """A random log with many ties, its events and cases."""
    joins = random_log(3, users=40, groups=9)
    joins = replace(joins, observed_from=np.full(40, joins.time.min(), np.int32))
    targets = first_groups(joins, 2)
    events = list_events(joins, targets.mask)
    return joins, targets, events


def mass_of(events):
    return lambda tick: float(events.baseline.between(tick, tick))


def random_beta(joins, targets, seed=0, scale=0.7):
    return np.where(targets.mask, 0.0, np.random.default_rng(seed).normal(0, scale, joins.n_groups))


# Univariate ------------------------------------------------------------------------------


def test_univariate__two_users_by_hand():
    r"""u: 3 events, 2 in the 6 ticks after 3, 1 in the 3 before; v: 2 events, 2 in 4 of 9.

    A = 4, E = 3 (6/9) + 2 (4/9) = 26/9, V = 3 (2/9) + 2 (20/81) = 94/81, and the rate
    ratio solves 6 r / (1 + 2 r) + 8 r / (5 + 4 r) = 4, that is 8 r^2 - 18 r - 20 = 0.
    """
    joins = two_users()
    targets = TargetSet(np.array([False, True, True, True]), "t")
    events = list_events(joins, targets.mask)
    pairs, _ = pairs_of(joins, events, ~targets.mask)
    got = estimate_ratios(pairs, n_groups=4)
    assert got.observed[0] == 4
    # Sums of a few fractions.
    np.testing.assert_allclose(got.expected[0], 26 / 9, rtol=1e-12)
    np.testing.assert_allclose(got.variance[0], 94 / 81, rtol=1e-12)
    np.testing.assert_allclose(got.clustered[0], 0 + (2 - 8 / 9) ** 2, rtol=1e-12)
    # Newton stops at 1e-10.
    np.testing.assert_allclose(np.exp(got.log_ratio[0]), (18 + np.sqrt(964)) / 16, rtol=1e-8)
    assert np.isnan(got.log_ratio[1:]).all()


@pytest.mark.parametrize(("risk", "pre"), [(0, 0), (7, 0), (0, 4), (6, 5)])
def test_pairs__equal_the_twin(small, risk, pre):
    joins, targets, events = small
    got, _ = pairs_of(joins, events, ~targets.mask, risk_window=risk, pre_window=pre)
    expected = naive.own_pairs(
        joins, targets.mask, ~targets.mask, mass_of(events), risk_window=risk, pre_window=pre
    )
    rows = np.stack([got.group, got.after, got.events, got.share], axis=1)
    # Both stand by user, then time; within a tick by group. Masses are sums of 40 ticks.
    np.testing.assert_allclose(rows, np.array(expected), rtol=1e-9, atol=1e-12)


def test_pre_window__compares_with_the_time_before_it():
    joins = JoinLog.from_arrays(
        ["u"] * 5, ["g", "t1", "t2", "t3", "t4"], [6, 0, 5, 4, 8], observed_from=0, observed_until=9
    )
    events = list_events(joins, np.array([False, True, True, True, True]))
    _, pre = pairs_of(joins, events, np.arange(5) == 0, pre_window=2)
    assert (pre.after[0], pre.events[0]) == (2, 3)
    np.testing.assert_allclose(pre.share[0], 2 / 6, rtol=1e-12)


def random_pairs(seed, groups=30):
    rng = np.random.default_rng(seed)
    group = np.sort(rng.integers(0, groups, 200))
    n = rng.integers(1, 4, 200).astype(float)
    share = rng.uniform(0.05, 0.95, 200)
    after = rng.binomial(n.astype(int), share).astype(float)
    from gateway.detect.self_controlled.cases import Pairs

    return Pairs(group, np.arange(200), after, n, share)


def of_group(pairs, g):
    at = pairs.group == g
    return list(zip(pairs.after[at], pairs.events[at], pairs.share[at], strict=True))


def test_ratios__maximise_the_likelihood():
    pairs = random_pairs(1)
    got = estimate_ratios(pairs, n_groups=30)
    for g in range(30):
        mine = of_group(pairs, g)
        found = minimize_scalar(
            lambda x, mine=mine: -naive.ratio_likelihood(x, mine), bounds=(-9, 9), method="bounded",
            options={"xatol": 1e-9},
        )  # fmt: skip
        if np.isfinite(got.log_ratio[g]):
            # Brent's method sees the square root of the rounding error of the likelihood.
            np.testing.assert_allclose(got.log_ratio[g], found.x, atol=1e-6)
            np.testing.assert_allclose(got.gain[g], -found.fun, atol=1e-9)


def test_likelihood_interval__ends_where_the_likelihood_has_fallen():
    pairs = random_pairs(2)
    ratios = estimate_ratios(pairs, n_groups=30)
    low, high = likelihood_interval(pairs, ratios)
    for g in range(30):
        drop = lambda x, g=g: (  # noqa: E731
            ratios.gain[g] - naive.ratio_likelihood(x, of_group(pairs, g)) - 0.5 * 1.959964**2
        )
        for end, side in ((low[g], -30.0), (high[g], 30.0)):
            if np.isfinite(end) and np.isfinite(ratios.log_ratio[g]):
                # The bisection stops at 1e-6.
                np.testing.assert_allclose(end, brentq(drop, ratios.log_ratio[g], side), atol=2e-6)
    assert (low < high).all()


def test_root__is_the_exact_tail():
    """Against the exact distribution of a sum of binomials, with few events too."""
    pairs = random_pairs(3)
    ratios = estimate_ratios(pairs, n_groups=30)
    for g in range(30):
        mine = of_group(pairs, g)
        each = np.array([f for _, n, f in mine for _ in range(int(n))])
        exact = naive.poisson_binomial_tail(each, int(ratios.observed[g]))
        if 1e-6 < exact < 0.4:
            # Third order: within a few percent for sums of ten terms.
            np.testing.assert_allclose(norm.sf(ratios.root[g]), exact, rtol=0.06)


def test_root__all_events_after_is_exact():
    from gateway.detect.self_controlled.cases import Pairs

    pairs = Pairs(*(np.array(c, float) for c in ([0, 0], [0, 1], [2, 1], [2, 1], [0.3, 0.2])))
    pairs = dataclasses.replace(pairs, group=np.zeros(2, np.int64), case=np.arange(2))
    got = norm.sf(estimate_ratios(pairs, n_groups=1).root)
    np.testing.assert_allclose(got, 0.3**2 * 0.2, rtol=1e-9)


# Baseline --------------------------------------------------------------------------------


def test_baseline__of_one_window_is_the_histogram():
    rng = np.random.default_rng(0)
    time = np.sort(rng.integers(0, 100, 500))
    first, last = np.zeros(50, np.int64), np.full(50, 99)
    got = estimate_baseline(time, np.full(50, 10), first, last)
    expected = np.histogram(time, got.edges)[0] / 500
    # The fixed point stops at 1e-9.
    np.testing.assert_allclose(np.diff(got.mass), expected, rtol=1e-7)
    np.testing.assert_allclose(got.between(got.edges[0], got.edges[-1] - 1), 1.0, rtol=1e-12)


def test_baseline__late_arrivals_who_are_more_active_do_not_bend_it():
    """Half arrive at day 50 and have 3 times the events: the rate of each is flat."""
    rng = np.random.default_rng(1)
    n = 4_000
    first, last = np.repeat([0, 50], n // 2), np.full(n, 99)
    count = rng.poisson(np.repeat([3.0, 9.0], n // 2))
    time = np.concatenate([rng.integers(f, 100, c) for f, c in zip(first, count, strict=True)])
    got = estimate_baseline(time, count, first, last)
    rate = np.diff(got.mass) / np.diff(got.edges)
    # 40 pieces of 600 events: each within 4 standard errors of 4 %.
    np.testing.assert_allclose(rate, 0.01, rtol=0.2)
    assert abs(rate[got.edges[:-1] < 50].mean() / rate[got.edges[:-1] >= 50].mean() - 1) < 0.05


# Multivariate ----------------------------------------------------------------------------


@pytest.mark.parametrize("risk", [0, 6])
def test_conditional_loss__equals_the_twin_tick_by_tick(small, risk):
    joins, targets, events = small
    cases = build_cases(joins, events, ~targets.mask, risk_window=risk)
    ticks = naive.case_ticks(joins, targets.mask, ~targets.mask, mass_of(events), risk_window=risk)
    beta = random_beta(joins, targets)
    got, gradient = ConditionalLoss(cases, penalty=0.0)(beta)
    # A constant apart: none, as masses are the same. Sums of 40 ticks for 40 users.
    np.testing.assert_allclose(got, naive.conditional_loss(ticks, beta), rtol=1e-10)
    for g in np.flatnonzero(~targets.mask):
        step = np.zeros_like(beta)
        step[g] = 1e-5
        up, down = (naive.conditional_loss(ticks, beta + s * step) for s in (1, -1))
        # Central differences of step 1e-5: error 1e-10 relative, rounding 1e-11 / 1e-5.
        np.testing.assert_allclose(gradient[g], (up - down) / 2e-5, atol=1e-5)


@pytest.mark.parametrize("risk", [0, 6])
def test_adjusted_pairs__equal_the_twin(small, risk):
    joins, targets, events = small
    cases = build_cases(joins, events, ~targets.mask, risk_window=risk)
    beta = random_beta(joins, targets)
    got = adjusted_pairs(cases, beta)
    ticks = naive.case_ticks(joins, targets.mask, ~targets.mask, mass_of(events), risk_window=risk)
    for i in range(len(got.group)):
        after, n, share = naive.exposed_share(ticks[got.case[i]], got.group[i], beta)
        if n > 0:
            assert (got.after[i], got.events[i]) == (after, n)
            np.testing.assert_allclose(got.share[i], share, rtol=1e-9, atol=1e-12)


def test_fit__equals_statsmodels_conditional_poisson(small):
    """statsmodels leaves out strata whose counts do not vary: each first interval is cut in two."""
    from scipy.optimize import minimize
    from statsmodels.discrete.conditional_models import ConditionalPoisson

    joins, targets, events = small
    ticks = naive.case_ticks(joins, targets.mask, ~targets.mask, mass_of(events))
    free = np.flatnonzero(~targets.mask)
    y, x, offset, stratum = [], [], [], []
    for c, mine in enumerate(ticks):
        if sum(n for _, _, n in mine) == 0:
            continue
        for mass, exposed, n in mine:
            # The second half has no event: counts vary, the likelihood is the same.
            for count in (n, 0):
                y.append(count)
                x.append([float(g in exposed) for g in free])
                offset.append(np.log(mass / 2))
                stratum.append(c)
    model = ConditionalPoisson(
        np.array(y), np.array(x), groups=np.array(stratum), offset=np.array(offset)
    )
    penalty = 2.0
    expected = minimize(
        lambda b: -model.loglike(b) + penalty / 2 * b @ b,
        np.zeros(len(free)),
        jac=lambda b: -model.score(b) + penalty * b,
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-9},
    )
    cases = build_cases(joins, events, ~targets.mask)
    got = fit_groups(cases, penalty=penalty, tolerance=1e-15)
    # The issue asks for 1e-6; both stop at gradients of 1e-6 with curvatures above 2.
    np.testing.assert_allclose(got.beta[free], expected.x, atol=1e-6)
    assert (got.beta[targets.mask] == 0).all()


def test_univariate_is_the_multivariate_of_one_group():
    """One candidate, no penalty: the same estimate and the same curvature."""
    joins = random_log(5, users=60, groups=6)
    outcome = np.arange(6) < 5
    events = list_events(joins, outcome)
    pairs, _ = pairs_of(joins, events, ~outcome)
    alone = estimate_ratios(pairs, n_groups=6)
    fit = fit_groups(build_cases(joins, events, ~outcome), penalty=0.0, tolerance=1e-15)
    np.testing.assert_allclose(fit.beta[5], alone.log_ratio[5], atol=1e-6)


@pytest.mark.compiled
def test_fit__finds_the_planted_effects_and_their_intervals_cover():
    rng = np.random.default_rng(4)
    beta = np.where(rng.random(40) < 0.3, rng.normal(0.6, 0.3, 40), 0.0)
    joins, targets = case_series(11, beta)
    found = detect_self_controlled(joins, targets, options=PLAIN)
    estimate = np.log(found.estimate[30:])
    assert np.corrcoef(estimate, beta)[0, 1] > 0.9
    inside = (np.log(found.ci_low[30:]) <= beta) & (beta <= np.log(found.ci_high[30:]))
    # 95 % of 40, less three standard deviations.
    assert inside.mean() > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 40)
    assert set(np.argsort(-found.score[30:])[:5]) <= set(np.flatnonzero(beta > 0))


@pytest.mark.compiled
def test_multivariate__does_not_credit_a_group_joined_after_a_gateway():
    """Group 1 is joined after group 0, which acts: alone it looks raised, adjusted it does not."""
    rng = np.random.default_rng(2)
    rows = []
    for u in range(4_000):
        s = rng.integers(10, 180)
        rows += [(u, 42, rng.integers(0, 200))]
        rate = np.full(200, 0.004)
        # Some join nothing: were all moved at about the same time, the calendar would tell.
        if u % 2:
            rows += [(u, 40, s), (u, 41, s + rng.integers(1, 20))]
            rate[s + 1 :] *= 3.0
        when = np.flatnonzero(rng.random(200) < rate)
        rows += [(u, k % 40, t) for k, t in enumerate(when)]
    user, group, time = np.array(rows).T
    joins = JoinLog.from_arrays(
        user, group, time, observed_from=0, observed_until=199,
        groups=[f"g{i:02}" for i in range(43)],
    )  # fmt: skip
    targets = first_targets(43, 40)
    together = detect_self_controlled(joins, targets, options=PLAIN)
    one = PLAIN.model_copy(update={"model": "univariate"})
    alone = detect_self_controlled(joins, targets, options=one)
    assert alone.estimate[41] > 1.5
    assert abs(np.log(together.estimate[41])) < 0.25
    # Planted 3, shrunken by nothing in the estimate; four standard errors of 0.05.
    np.testing.assert_allclose(together.estimate[40], 3.0, rtol=0.25)


@pytest.mark.compiled
@pytest.mark.parametrize("choose", ["bayes", "validation"])
def test_penalty__is_larger_where_effects_are_smaller(choose):
    found = []
    for sd in (0.1, 0.8):
        beta = np.random.default_rng(3).normal(0, sd, 40)
        joins, targets = case_series(12, beta, users=800 if choose == "bayes" else 400)
        cases = build_cases(joins, list_events(joins, targets.mask), ~targets.mask)
        chance = np.random.default_rng(0).random(len(cases.user))
        found.append(
            choose_by_bayes(cases) if choose == "bayes" else choose_by_validation(cases, chance)
        )
    assert found[0].penalty > 5 * found[1].penalty
    if choose == "bayes":
        # 40 effects of standard deviation 0.8: the precision 1.6 within a factor of two.
        assert 0.5 < found[1].penalty * 0.8**2 < 2.0


@pytest.mark.compiled
def test_p_values__keep_their_level_where_nothing_is_true():
    p = []
    for seed in (31, 32, 33):
        joins, targets = case_series(seed, np.zeros(40), users=600)
        p += detect_self_controlled(joins, targets, options=PLAIN).p_value[30:].tolist()
    # 5 % of 120, and three standard deviations.
    assert np.mean(np.array(p) < 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 120)


def test_benchmark_world__is_the_one_that_the_issue_asks_for():
    from gateway.results import load_config

    config = load_config("configs/benchmark_world.toml")
    world = config.world
    assert world is not None
    assert (world.users, world.groups) == (200_000, 5_000)
    assert (world.roles.influence, world.roles.homophily) == (50, 50)
    assert world.roles.influence_strength == 1.4


# Null and shrinkage ----------------------------------------------------------------------


def test_null_of_bulk__is_never_laxer_than_the_theoretical():
    z = np.random.default_rng(0).normal(-0.5, 0.5, 1_000)
    assert null_of_bulk(z, np.full(1_000, 9.0)) == Null()
    wide = null_of_bulk(3 * np.random.default_rng(1).normal(0.4, 1, 4_000), np.full(4_000, 9.0))
    # Quartiles of 4,000 draws have a standard error of 2 %.
    np.testing.assert_allclose([wide.centre, wide.scale], [1.2, 3.0], rtol=0.1)


def test_null_of_inert__finds_bias_and_spread():
    rng = np.random.default_rng(0)
    variance = rng.uniform(5, 200, 2_000)
    ratio = rng.normal(0.2, np.sqrt(0.15**2 + 1 / variance))
    got = null_of_inert(ratio * np.sqrt(variance), variance)
    # Standard error of the spread about 4 %.
    np.testing.assert_allclose([got.bias, got.spread], [0.2, 0.15], rtol=0.15)
    z = got.standardise(ratio * np.sqrt(variance), variance)
    np.testing.assert_allclose([z.mean() + 1, z.std()], [1, 1], atol=0.1)


def test_false_sign_rates__are_honest():
    """Among groups of a given rate, as many have no positive effect as the rate says."""
    rng = np.random.default_rng(0)
    effect = np.where(rng.random(20_000) < 0.1, rng.normal(0.5, 0.5, 20_000), 0.0)
    error = rng.uniform(0.1, 0.4, 20_000)
    rate = false_sign_rates(rng.normal(effect, error), error)
    sure = rate < 0.2
    assert sure.sum() > 200
    # The prior is symmetric and the effects are not: rates err on the safe side.
    assert (effect[sure] <= 0).mean() < rate[sure].mean() + 0.05


# Surrogates ------------------------------------------------------------------------------


def linked_groups(seed, *, users=6_000):
    """Targets 0-9, their likes 10-19, a gateway 20 that raises both, others 21-59."""
    rng = np.random.default_rng(seed)
    rows = []
    for u in range(users):
        liking = rng.random() < 0.15
        day = rng.integers(0, 200, 8)
        rows += [(u, 20 + g, t) for g, t in zip(rng.choice(40, 8, replace=False), day, strict=True)]
        joined = [t for _, g, t in rows[-8:] if g == 20]
        rate = np.full(200, 0.02 if liking else 0.0005)
        if joined:
            rate[joined[0] + 1 :] *= 2.5
        when = np.flatnonzero(rng.random(200) < rate)
        rows += [(u, rng.integers(0, 20), t) for t in when]
    user, group, time = np.array(rows).T
    joins = JoinLog.from_arrays(
        user, group, time, observed_from=0, observed_until=199,
        groups=[f"g{i:02}" for i in range(60)],
    )  # fmt: skip
    return joins, first_targets(60, 10)


@pytest.mark.compiled
def test_surrogates__are_the_likes_of_the_targets_and_not_the_gateway():
    joins, targets = linked_groups(1)
    affinity = affinity_to_targets(joins, targets)
    assert set(np.argsort(-np.where(targets.mask, -9, affinity))[:10]) == set(range(10, 20))
    assert affinity[20] < 0.1
    chosen = choose_surrogates(joins, targets, seed=1)
    assert not chosen[20:].any()
    found = detect_self_controlled(joins, targets)
    assert (found.extra["surrogate"] == chosen).all()
    assert found.rank[20] == 1
    # They are still ranked, by a fit of their own.
    assert (found.rank[10:20] > 0).all()


@pytest.mark.compiled
def test_surrogates__none_where_nothing_is_like_the_targets():
    joins, targets = case_series(5, np.zeros(40), users=800)
    assert not choose_surrogates(joins, targets, seed=1).any()


# Laws ------------------------------------------------------------------------------------


def log_with_ties(seed=7):
    return random_log(seed, users=200, groups=14, days=30)


def by_name(detection):
    table = detection.to_arrow().to_pandas().set_index("group").sort_index()
    return table.drop(columns="detector")


@pytest.mark.parametrize("model", ["univariate", "multivariate"])
def test_detection__does_not_depend_on_ids_or_rows(model):
    import pandas as pd

    joins = log_with_ties()
    rng = np.random.default_rng(0)
    row = rng.permutation(joins.n_joins)
    users = np.array([f"u{k:03}" for k in rng.permutation(200)])
    groups = np.array([f"n{k:02}" for k in rng.permutation(14)])
    span = {"observed_from": 0, "observed_until": 29}
    columns = users[joins.user()], groups[joins.group], joins.time
    one = JoinLog.from_arrays(*columns, **span)
    # The same names under other ids, and in another order of rows.
    users_of, groups_of = rng.permutation(200), rng.permutation(14)
    other = JoinLog.from_arrays(
        np.argsort(users_of)[joins.user()][row], np.argsort(groups_of)[joins.group][row],
        joins.time[row], users=users[users_of].tolist(), groups=groups[groups_of].tolist(), **span,
    )  # fmt: skip
    options = PLAIN.model_copy(update={"model": model})
    found = []
    for log in (one, other):
        mask = np.isin(log.groups.to_pylist(), ["n00", "n01"])
        found.append(by_name(detect_self_controlled(log, TargetSet(mask, "two"), options=options)))
    pd.testing.assert_frame_equal(*found, rtol=1e-9)


def test_detection__one_tick_is_neither_before_nor_after():
    """A target joined in the tick of g is no event for g, whichever stands first."""
    base = (["u", "u", "u", "v", "v"], [5, 2, 8, 1, 4])
    for names in (["m", "a", "z", "a", "m"], ["m", "z", "a", "z", "m"]):
        joins = JoinLog.from_arrays(
            [*base[0], "u", "u"],
            [*names, "b", "y"],
            [*base[1], 5, 5],
            observed_from=0,
            observed_until=9,
        )
        mask = np.isin(joins.groups.to_pylist(), ["a", "z", "b", "y"])
        found = detect_self_controlled(joins, TargetSet(mask, "t"), options=PLAIN)
        m = joins.groups.to_pylist().index("m")
        assert (found.extra["crude_observed"][m], found.n_events[m]) == (1, 1)


@pytest.mark.compiled
def test_detection__does_not_depend_on_threads():
    from gateway._numba import set_threads, threads

    joins, targets = case_series(6, np.linspace(-0.5, 0.8, 40), users=600)
    before = threads()
    tables = []
    for count in (1, 2):
        set_threads(count)
        tables.append(detect_self_controlled(joins, targets, options=PLAIN).to_arrow())
    set_threads(before)
    assert tables[0].equals(tables[1])


def test_first_only__counts_one_event_of_each_user(small):
    joins, targets, _ = small
    events = list_events(joins, targets.mask, first_only=True)
    assert len(events.time) == len(events.user)
    user = joins.user()
    for u, t in zip(events.user, events.time, strict=True):
        assert t == joins.time[(user == u) & targets.mask[joins.group]].min()


def test_options__name_every_fault():
    with pytest.raises(GatewayError) as caught:
        SelfControlledOptions(model="both", alpha=2.0, penalty=-1.0, risk_window=-3)  # type: ignore[arg-type]
    for name in ("model", "alpha", "penalty", "risk_window"):
        assert f"self_controlled.{name}" in str(caught.value)


def test_detect__without_a_target_join_is_an_error():
    joins = JoinLog.from_arrays([0], [0], [1], groups=["a", "t"])
    with pytest.raises(LogError, match="some user must join a target"):
        detect_self_controlled(joins, TargetSet(np.array([False, True]), "t"))


@pytest.mark.parametrize(
    ("inert", "message"), [(("g0000099",), "unknown: 'g0000099'"), (("g0000005",), "at least 10")]
)
def test_inert__must_be_known_and_enough(inert, message):
    joins = log_with_ties()
    options = PLAIN.model_copy(update={"inert": inert})
    with pytest.raises(GatewayError, match=message):
        detect_self_controlled(joins, first_groups(joins, 2), options=options)


@pytest.mark.compiled
def test_inert__calibrate_the_p_values():
    joins, targets = case_series(8, np.where(np.arange(40) < 4, 0.8, 0.0), users=1_500)
    names = tuple(joins.groups.to_pylist()[40:])
    options = PLAIN.model_copy(update={"inert": names})
    found = detect_self_controlled(joins, targets, options=options)
    assert found.flagged[30:34].all()
    assert found.flagged[34:].sum() <= 1


def test_one_candidate_and_one_event__give_an_answer():
    joins = JoinLog.from_arrays(["u", "u"], ["g", "t"], [2, 5], observed_from=0, observed_until=9)
    found = detect_self_controlled(joins, TargetSet(np.array([False, True]), "t"), options=PLAIN)
    # One event, in 7 of the 9 ticks that are not the join's.
    np.testing.assert_allclose(found.p_value[0], 7 / 9, rtol=1e-9)
    assert found.estimate[0] == np.inf
    assert found.ci_high[0] == np.inf
