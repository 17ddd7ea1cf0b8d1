from __future__ import annotations

import math
import warnings
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

import gateway
from gateway.check import permute_within_users
from gateway.detect.self_controlled import SelfControlledOptions, detect_self_controlled
from gateway.detect.self_controlled import effects as effects_module
from gateway.detect.self_controlled import fit as fit_module
from gateway.detect.self_controlled import rows as rows_module
from gateway.detect.self_controlled.depletion import Depletion, depletion_of
from gateway.detect.self_controlled.effects import own_effects
from gateway.detect.self_controlled.fit import Sizes, fit_joint
from gateway.detect.self_controlled.likelihood import Likelihood, Point
from gateway.detect.self_controlled.preparation import Preparation
from gateway.detect.self_controlled.rows import RiskWindow, opening_of
from gateway.detect.self_controlled.slots import build_slots, select_cases
from gateway.detect.self_controlled.surrogates import affinity_to_targets, choose_surrogates
from gateway.detect.self_controlled.windows import choose_window, targets_run_out
from gateway.errors import GatewayError, LogError
from gateway.log.join_log import STAYS, JoinLog
from gateway.targets import TargetSet
from tests import naive
from tests.worlds import first_groups, random_log

PLAIN = SelfControlledOptions(surrogates="none", depletion="none", risk_window=0, min_joiners=1)
CASES = Path(__file__).parents[2] / "shared" / "cases"
shared_cases = pytest.mark.skipif(
    not CASES.is_dir(), reason="the collected cases (../shared/cases) are not in this checkout"
)


def first_targets(n_groups, count):
    return TargetSet(np.arange(n_groups) < count, f"the first {count} groups")


def shared_log(name, **columns):
    return JoinLog.from_csv(CASES / name, **columns)


def targets_named(joins, wanted):
    return TargetSet(np.array([wanted(name) for name in joins.groups.to_pylist()]), "targets")


def clocked_log(seed, beta, *, users=1_500, joins=12, targets=20, share=0.15, ties=1):
    """A log of the very model: whether a join is of a target has the odds alpha_u exp(sum beta)."""
    rng = np.random.default_rng(seed)
    n = len(beta)
    rows = []
    for u in range(users):
        m = 1 + rng.poisson(joins - 1)
        groups, new = list(rng.permutation(n)), list(rng.permutation(targets))
        odds, tick, raised, pending = share * rng.gamma(1.0), 0, 0.0, 0.0
        for s in range(m):
            if s % ties == 0:
                tick, raised, pending = tick + 1 + rng.integers(5), raised + pending, 0.0
            if rng.random() * (1 + odds * math.exp(raised)) < odds * math.exp(raised) and new:
                rows.append((u, new.pop(), tick))
            elif groups:
                g = groups.pop()
                pending += beta[g]
                rows.append((u, targets + g, tick))
    user, group, time = np.array(rows).T
    names = [f"g{i:03}" for i in range(targets + n)]
    return JoinLog.from_arrays(user, group, time, groups=names), first_targets(targets + n, targets)


# Likelihood ------------------------------------------------------------------------------


def small_log(leaving=False):
    joins = random_log(3, users=25, groups=9, days=14)
    rng = np.random.default_rng(4)
    stay = np.where(rng.random(joins.n_joins) < 0.5, 1 + rng.integers(6, size=joins.n_joins), STAYS)
    left = np.minimum(joins.time.astype(np.int64) + stay, STAYS).astype(np.int32)
    known = np.full(25, joins.time.min(), np.int32)
    return replace(joins, observed_from=known, left=left if leaving else None)


def small_case(clock, window=RiskWindow(), leaving=False):  # noqa: B008  (frozen)
    """A random log with many ties, its slots, the twin's, and a random point."""
    joins = small_log(leaving)
    outcome = np.arange(9) < 2
    slots = build_slots(joins, outcome, ~outcome, clock=clock, window=window)
    twin = naive.self_controlled_slots(
        joins, outcome, ~outcome, clock=clock, ticks=window.ticks, n_joins=window.joins
    )
    rng = np.random.default_rng(1)
    beta = np.where(outcome, 0.0, rng.normal(0, 0.7, 9))
    point = Point(beta, rng.normal(0, 0.5, slots.n_positions), rng.normal(0, 0.5, slots.n_pieces))
    return slots, twin, point


def calendar_of(slots, point, joins, outcome):
    """The effect of a tick, found through a row of its tick in the slots."""
    tick, count = rows_module.event_ticks(joins, outcome)
    clock = "joins" if slots.exact else "calendar"
    calendar = rows_module.cut_time(tick, count, clock)
    return lambda t: float(point.calendar[calendar.piece(np.array([t]))[0]])


@pytest.fixture
def fine_calendar(monkeypatch):
    """Pieces of few events, so that a small log has several."""
    monkeypatch.setattr(rows_module, "_EVENTS_PER_PIECE", {"joins": 12, "calendar": 12})


WINDOWS = [
    ("joins", RiskWindow(), False), ("joins", RiskWindow(ticks=4), False),
    ("joins", RiskWindow(joins=2), False), ("joins", RiskWindow(), True),
    ("joins", RiskWindow(joins=3), True), ("calendar", RiskWindow(), False),
    ("calendar", RiskWindow(ticks=4), False), ("calendar", RiskWindow(ticks=4), True),
]  # fmt: skip


@pytest.mark.usefixtures("fine_calendar")
@pytest.mark.parametrize(("clock", "window", "leaving"), WINDOWS)
def test_loss__equals_the_twin_and_its_gradient_the_differences(clock, window, leaving):
    slots, twin, point = small_case(clock, window, leaving)
    assert slots.n_cases == len(twin)
    assert slots.n_pieces > 1
    joins, outcome = small_log(), np.arange(9) < 2
    likelihood, x = Likelihood(slots), point.vector()
    calendar = calendar_of(slots, point, joins, outcome)
    got, gradient = likelihood.loss(point)
    expected = naive.self_controlled_loss(
        twin, point.beta, point.position, calendar, exact=clock == "joins"
    )
    # Sums over at most 200 slots.
    np.testing.assert_allclose(got, expected, rtol=1e-10)
    for i in range(len(x)):
        step = np.zeros_like(x)
        step[i] = 1e-5
        up, down = (likelihood.loss(Point.of(x + s * step, slots))[0] for s in (1, -1))
        if i >= slots.n_groups or not outcome[i]:
            # Central differences of step 1e-5: error 1e-10 relative, rounding 1e-11 / 1e-5.
            np.testing.assert_allclose(gradient[i], (up - down) / 2e-5, atol=1e-5)


@pytest.mark.usefixtures("fine_calendar")
@pytest.mark.parametrize(("clock", "window", "leaving"), WINDOWS)
def test_own__equals_the_count_of_all_ways(clock, window, leaving):
    slots, twin, point = small_case(clock, window, leaving)
    calendar = calendar_of(slots, point, small_log(), np.arange(9) < 2)
    theta = np.stack([np.zeros(9), point.beta, np.linspace(-3, 3, 9)])
    got = Likelihood(slots).own(point, theta)
    for t in range(3):
        for g in range(2, 9):
            expected = naive.own_cumulants(
                twin, g, point.beta, theta[t, g], point.position, calendar, clock == "joins"
            )
            mine = got.observed[g], got.mean[t, g], got.variance[t, g]
            np.testing.assert_allclose(mine, expected, rtol=1e-8, atol=1e-10)
    # K' is the derivative of K.
    middle, step = got.mean[1], 1e-4
    up, down = (Likelihood(slots).own(point, point.beta + s * step).cumulant[0] for s in (1, -1))
    np.testing.assert_allclose(middle, (up - down) / (2 * step), atol=1e-6)
    np.testing.assert_allclose(got.cumulant[0], 0.0, atol=1e-12)


def test_own__of_two_users_by_hand():
    r"""u joins a, t, g, b, T, t' (two of three targets after g), v joins t, g, T, c.

    Without effects: of u's five other joins three are events and three after g, so A is
    hypergeometric with the mean 9/5 and the variance 3 (3/5) (2/5) (2/4) = 9/25. Of v's
    three others two are events and two after g: mean 4/3, variance 2 (2/3) (1/3) (1/2) = 2/9.
    """
    joins = JoinLog.from_arrays(
        ["u"] * 6 + ["v"] * 4,
        ["a", "T1", "g", "b", "T2", "T3", "T1", "g", "T2", "c"],
        [*range(6), *range(1, 5)],
    )
    targets = targets_named(joins, lambda name: name.startswith("T"))
    # The first event of anybody is at tick 1: the slot of a, at tick 0, could hold none.
    slots = build_slots(joins, targets.mask, ~targets.mask)
    own = Likelihood(slots).own(Point.zero(slots), np.zeros(joins.n_groups))
    g = joins.groups.to_pylist().index("g")
    assert (own.observed[g], own.n_cases[g]) == (3, 2)
    # u has four slots beside g: three events on them, three after g: mean 9/4, variance 3/16.
    np.testing.assert_allclose(own.mean[0, g], 9 / 4 + 4 / 3, rtol=1e-12)
    np.testing.assert_allclose(own.variance[0, g], 3 / 16 + 2 / 9, rtol=1e-12)


def test_loss__equals_statsmodels_conditional_logit():
    from statsmodels.discrete.conditional_models import ConditionalLogit

    slots, twin, point = small_case("joins")
    position = np.zeros_like(point.position)
    y, x, stratum = [], [], []
    for c, mine in enumerate(twin):
        for _, _, exposed, _, event in mine:
            y.append(event)
            x.append([float(g in exposed) for g in range(2, 9)])
            stratum.append(c)
    model = ConditionalLogit(np.array(y), np.array(x), groups=np.array(stratum))
    flat = Point(point.beta, position, np.zeros_like(point.calendar))
    got, gradient = Likelihood(slots).loss(flat)
    np.testing.assert_allclose(got, -model.loglike(point.beta[2:]), rtol=1e-10)
    np.testing.assert_allclose(gradient[2:9], -model.score(point.beta[2:]), atol=1e-8)


def test_own_estimate__equals_statsmodels_conditional_logit():
    """One group, no ties: each joiner's own slot is left out of the oracle's data."""
    from statsmodels.discrete.conditional_models import ConditionalLogit
    from statsmodels.tools.sm_exceptions import ModelWarning

    joins = random_log(8, users=80, groups=9, days=4_000)
    outcome, candidate = np.arange(9) < 3, np.arange(9) == 5
    slots = build_slots(joins, outcome, candidate)
    y, x, stratum = [], [], []
    for c, mine in enumerate(naive.self_controlled_slots(joins, outcome, candidate)):
        for _, _, exposed, here, event in mine:
            if not here:
                y.append(event)
                x.append([float(bool(exposed))])
                stratum.append(c)
    with pytest.warns(ModelWarning, match="no within-group variance"):
        model = ConditionalLogit(np.array(y), np.array(x), groups=np.array(stratum))
    fitted = model.fit(disp=0)
    likelihood = Likelihood(slots)
    fit = fit_joint(likelihood, penalty=1e-6)
    own = likelihood.own(replace(fit.point, **_flat(slots)), np.array(fitted.params[0] * candidate))
    # At the oracle's maximum (it stops at 1e-4 of an information of 10) the score is zero.
    np.testing.assert_allclose(own.observed[5], own.mean[0, 5], atol=1e-2)
    np.testing.assert_allclose(own.variance[0, 5] ** -0.5, fitted.bse[0], rtol=1e-4)


def _flat(slots):
    return {"position": np.zeros(slots.n_positions), "calendar": np.zeros(slots.n_pieces)}


def test_joint_fit__equals_statsmodels_conditional_poisson_on_the_calendar():
    """One group and the calendar together: estimate and error are the joint ones."""
    from statsmodels.discrete.conditional_models import ConditionalPoisson

    rng = np.random.default_rng(5)
    rows, days = [], 60
    for u in range(400):
        day = rng.integers(5, 55)
        rate = 0.03 * (1 + np.arange(days) / 30) * np.where(np.arange(days) > day, 1.8, 1.0)
        rows += [(u, 9, day)]
        when = np.flatnonzero(rng.random(days) < rate)
        rows += [(u, k % 9, t) for k, t in enumerate(when[:9])]
    user, group, time = np.array(rows).T
    joins = JoinLog.from_arrays(
        user, group, time, observed_from=0, observed_until=days - 1,
        groups=[f"g{k}" for k in range(10)],
    )  # fmt: skip
    outcome = np.arange(10) < 9
    slots = build_slots(joins, outcome, ~outcome, clock="calendar")
    calendar = rows_module.cut_time(*rows_module.event_ticks(joins, outcome), "calendar")
    y, x, offset, stratum = [], [], [], []
    for c, mine in enumerate(naive.self_controlled_slots(joins, outcome, ~outcome,
                                                         clock="calendar")):  # fmt: skip
        for t, _, exposed, here, n in mine:
            if not here:
                piece = int(calendar.piece(np.array([t]))[0])
                y.append(n)
                x.append([float(bool(exposed)), *(piece == k for k in range(1, slots.n_pieces))])
                offset.append(0.0)
                stratum.append(c)
    with warnings.catch_warnings():
        # It leaves out cases without an event outside the own tick, and says so.
        warnings.simplefilter("ignore")
        model = ConditionalPoisson(
            np.array(y), np.array(x, float), groups=np.array(stratum), offset=np.array(offset)
        )
    expected = model.fit(disp=0, method="bfgs", maxiter=500)
    likelihood = Likelihood(slots)
    own = own_effects(likelihood, fit_joint(likelihood, penalty=1e-6))
    # The oracle leaves the own tick out of the calendar's equations too: one tick of sixty.
    np.testing.assert_allclose(own.log_ratio[9], expected.params[0], atol=0.02)
    np.testing.assert_allclose(own.error[9] / own.dispersion[9] ** 0.5, expected.bse[0], rtol=0.03)


@pytest.mark.parametrize("span", [40, 70_000, 2**30])
@pytest.mark.parametrize("n", [7, 8, 301, 3_000])
def test_opening__is_an_eighth_of_the_median_gap_between_joins_of_cases(span, n):
    """Found by counting gaps: beside NumPy's median of the gaps of each case, one by one."""
    rng = np.random.default_rng(n)
    user, group = rng.integers(0, max(2, n // 6), n), rng.integers(0, 20, n)
    log = JoinLog.from_arrays(user, group, rng.integers(0, span, n))
    outcome = first_targets(log.n_groups, 3).mask
    gaps = []
    for first, last in zip(log.offsets[:-1], log.offsets[1:], strict=True):
        if outcome[log.group[first:last]].any():
            gaps += np.diff(np.unique(log.time[first:last])).tolist()
    assert opening_of(log, outcome) == (np.median(gaps) / 8 if gaps else 0.0)


def test_long_case__cut_into_stretches_is_the_product_of_their_likelihoods(monkeypatch):
    """Given the events of each stretch; exposures with an end are carried into the next."""
    rng = np.random.default_rng(2)
    joins = JoinLog.from_arrays(
        np.zeros(40, int), rng.permutation(40), np.sort(rng.integers(0, 60, 40))
    )
    outcome = np.isin(np.arange(40), rng.permutation(40)[:8])
    beta = np.where(outcome, 0.0, rng.normal(0, 1, 40))
    for window, twin_window in ((RiskWindow(), {}), (RiskWindow(ticks=9), {"ticks": 9})):
        monkeypatch.setattr(rows_module, "_LONGEST", 90)
        slots = build_slots(joins, outcome, ~outcome, window=window)
        assert slots.n_cases > 1
        (mine,) = naive.self_controlled_slots(joins, outcome, ~outcome, **twin_window)
        real, ends = [], np.cumsum([
            np.count_nonzero(slots.length[a:b])
            for a, b in zip(slots.offsets[:-1], slots.offsets[1:], strict=True)
        ])  # fmt: skip
        real = [mine[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        flat = np.zeros(slots.n_positions)
        point = Point(beta, flat, np.zeros(slots.n_pieces))
        expected = naive.self_controlled_loss(real, beta, flat, lambda _: 0.0, exact=True)
        np.testing.assert_allclose(Likelihood(slots).loss(point)[0], expected, rtol=1e-9)


# Depletion -------------------------------------------------------------------------------


def test_depletion__of_one_target_is_the_chance_that_it_was_not_joined_before():
    """A target joined in slot s was not joined before: P(s) ~ (1 - q)^(s - 1), about e^(-q s).

    One user joins 19 groups and a target, eight others 20 groups. One event tells of no spread
    over users, so the prior holds everybody to 1 in 180, and q with it.
    """
    rows = [(u, f"g{k}", k) for u in range(9) for k in range(20)]
    rows[7] = (0, "T", 7)
    joins = JoinLog.from_arrays(*zip(*rows, strict=True))
    targets = targets_named(joins, lambda name: name == "T")
    depletion = depletion_of(joins, targets.mask)
    rng, fresh = np.arange(21), np.ones(20, bool)
    got = depletion.factors(rng[[0, 20]], fresh, fresh, rng[:20] == 7)
    steps = -np.diff(np.log(got))
    a, b = depletion.prior
    q = (1 + a) / (20 + a + b)
    # Wishes for one target: n = 1 - e^-W of them are joined, W n / n = W = -log(1 - n).
    np.testing.assert_allclose(steps, -np.log1p(-20 * q) / 20, rtol=0.02)  # interpolated


def test_depletion__brings_the_weights_near_the_exact_distribution():
    """Twelve slots, ten targets of equal size, odds of 1 to 4 at the first: all ways counted."""
    m, k, odds = 12, 10, 0.25
    exact = {}
    for n in range(2, 4):
        for ways in combinations(range(m), n):
            p, left = 1.0, k
            for s in range(m):
                o = odds * left / k
                p *= o / (1 + o) if s in ways else 1 / (1 + o)
                left -= s in ways
            exact[ways] = p
    for n in (2, 3):
        ways = [w for w in exact if len(w) == n]
        p = np.array([exact[w] for w in ways])
        q = odds / (1 + odds)
        # An event takes a k-th of the targets, so a chance of q / k in each later slot.
        depletion = Depletion(np.array([0.0, m]), np.full(2, m * q / k), (1.0, 1.0))
        slot = np.ones(m, bool)
        factor = depletion.factors(np.array([0, m]), slot, slot, np.arange(m) < m // 2)
        near = np.array([np.prod(factor[list(w)]) for w in ways])
        flat = np.full(len(ways), 1 / len(ways))
        off = [np.abs(x / x.sum() - p / p.sum()).sum() for x in (near, flat)]
        # First order in a chance of a fifth: what is left is of its square.
        assert off[0] < 0.25 * off[1]


@pytest.mark.compiled
def test_depletion__is_taken_where_targets_run_out_and_not_where_joins_are_permuted():
    """Eight targets of equal size, each wished for as often; then joins in any order."""
    rng = np.random.default_rng(2)
    rows = []
    for u in range(1_500):
        wish, near, others = rng.gamma(1.0, 0.2), list(rng.permutation(8)), list(range(8, 60))
        rng.shuffle(others)
        for s in range(20):
            odds = wish * len(near) / 8
            rows.append((u, near.pop() if rng.random() < odds / (1 + odds) else others.pop(), s))
    user, group, time = np.array(rows).T
    names = [f"g{i:02}" for i in range(60)]
    joins, targets = JoinLog.from_arrays(user, group, time, groups=names), first_targets(60, 8)
    prepared = Preparation()
    assert targets_run_out(joins, targets.mask, prepared=prepared, seed=1)[0]
    shuffled = permute_within_users(joins, seed=3).joins
    assert not targets_run_out(shuffled, targets.mask, prepared=prepared, seed=1)[0]


# The joint fit ---------------------------------------------------------------------------


@pytest.mark.compiled
def test_fit__solves_the_equations_that_leave_the_own_tick_out():
    joins, targets = clocked_log(1, np.linspace(-0.5, 1.0, 30), users=600)
    likelihood = Likelihood(build_slots(joins, targets.mask, ~targets.mask))
    centre = np.linspace(0.4, -0.2, joins.n_groups)
    fit = fit_joint(likelihood, penalty=8.0, centre=centre)
    own = likelihood.own(fit.point, fit.point.beta)
    residual = own.observed - own.mean[0] - 8.0 * (fit.point.beta - centre)
    assert fit.moved < 1e-4
    # A move of 1e-4 times an information of a hundred.
    np.testing.assert_allclose(residual, 0.0, atol=0.03)


def test_sizes__modes_under_their_penalties_are_posterior_means_of_the_mixture():
    sizes = Sizes(share=0.2, small=0.01, large=1.0)
    estimate, information = np.array([1.5, 0.3, -0.1]), np.array([4.0, 25.0, 400.0])
    penalty = sizes.penalty(estimate, information, np.zeros(3))
    got = estimate * information / (information + penalty)
    beta = np.linspace(-8, 8, 400_001)
    prior = 0.8 * norm.pdf(beta, scale=0.1) + 0.2 * norm.pdf(beta)
    for one, value, h in zip(got, estimate, information, strict=True):
        weight = prior * norm.pdf(value, beta, h**-0.5)
        np.testing.assert_allclose(one, weight @ beta / weight.sum(), rtol=1e-6)


def test_sizes__are_those_the_effects_were_drawn_from():
    rng = np.random.default_rng(5)
    large = rng.random(4_000) < 0.1
    information = rng.uniform(20, 200, 4_000)
    beta = np.where(large, rng.normal(0, 0.7, 4_000), rng.normal(0, 0.05, 4_000))
    estimate = rng.normal(beta, information**-0.5)
    found = Sizes.of(estimate, information, np.zeros(4_000))
    # Four standard errors of a share and of the log of a variance of 400 groups, part of which
    # cannot be told from the others.
    assert 0.07 < found.share < 0.13
    assert 0.6 < found.large / 0.7**2 < 1.6
    assert found.small < 0.02


@pytest.mark.compiled
def test_fit__does_not_credit_a_group_joined_after_a_gateway():
    """Group 41 is joined soon after group 40, which acts, by everybody who joins that."""
    rng = np.random.default_rng(2)
    rows = []
    for u in range(4_000):
        odds, place, gap = 0.1 * rng.gamma(1.0), rng.integers(4, 24), rng.integers(3, 12)
        others = list(rng.permutation(np.arange(42, 300)))
        for s in range(40):
            if u % 4 == 0 and s in (place, place + gap):
                rows.append((u, 40 + (s > place), s))
                continue
            now = odds * (3.0 if u % 4 == 0 and s > place else 1.0)
            is_target = rng.random() < now / (1 + now)
            rows.append((u, s if is_target else others.pop(), s))
    user, group, time = np.array(rows).T
    joins = JoinLog.from_arrays(user, group, time, groups=[f"g{i:03}" for i in range(300)])
    found = detect_self_controlled(joins, first_targets(300, 40), options=PLAIN)
    assert found.score[41] < 0.5 * found.score[40]
    # Planted 3; four standard errors of 0.1.
    np.testing.assert_allclose(found.estimate[40], 3.0, rtol=0.4)


@pytest.mark.compiled
def test_fit__of_groups_that_nothing_tells_apart_is_finite():
    """Group 41 is the next join of all who join 40: in between there is never an event."""
    rng = np.random.default_rng(2)
    rows = []
    for u in range(400):
        place = rng.integers(2, 10)
        others = list(rng.permutation(np.arange(42, 100)))
        for s in range(14):
            if s in (place, place + 1):
                rows.append((u, 40 + (s > place), s))
            else:
                target = rng.random() < (0.4 if s > place else 0.15)
                rows.append((u, s if target else others.pop(), s))
    user, group, time = np.array(rows).T
    joins = JoinLog.from_arrays(user, group, time, groups=[f"g{i:02}" for i in range(100)])
    found = detect_self_controlled(
        joins, first_targets(100, 40), options=PLAIN.model_copy(update={"prior": "none"})
    )
    assert (np.abs(found.score[40:]) <= 7).all()
    # The two together are what all who joined them share: four standard errors of 0.15.
    np.testing.assert_allclose(found.score[40] + found.score[41], np.log(3.8), atol=0.6)


@pytest.mark.compiled
def test_penalty__is_larger_where_effects_are_smaller():
    found = []
    for sd in (0.1, 0.8):
        beta = np.random.default_rng(3).normal(0, sd, 40)
        joins, targets = clocked_log(12, beta, users=2_000)
        slots = build_slots(joins, targets.mask, ~targets.mask)
        found.append(fit_joint(Likelihood(slots)).penalty[-1])
    assert found[0] > 5 * found[1]
    # 40 effects of standard deviation 0.8: the precision 1.6 within a factor of two.
    assert 0.5 < found[1] * 0.8**2 < 2.0


@pytest.mark.compiled
def test_detection__finds_the_planted_effects_and_their_intervals_cover():
    rng = np.random.default_rng(4)
    inside = []
    for seed in (11, 12):
        beta = np.where(rng.random(240) < 0.15, rng.normal(0.7, 0.3, 240), 0.0)
        joins, targets = clocked_log(seed, beta, users=6_000)
        found = detect_self_controlled(joins, targets, options=PLAIN)
        estimate = np.log(found.estimate[20:])
        assert np.corrcoef(estimate, beta)[0, 1] > 0.8
        assert set(np.argsort(-found.score[20:])[:5]) <= set(np.flatnonzero(beta > 0))
        inside += (
            (np.log(found.ci_low[20:]) <= beta) & (beta <= np.log(found.ci_high[20:]))
        ).tolist()
    # 95 % of 480, less three standard deviations.
    assert np.mean(inside) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 480)


@pytest.mark.compiled
@pytest.mark.parametrize("ties", [1, 3])
def test_p_values__are_uniform_where_nothing_is_true(ties):
    from scipy.stats import kstest

    p = []
    for seed in (31, 32, 33):
        joins, targets = clocked_log(seed, np.zeros(60), users=800, ties=ties)
        p += detect_self_controlled(joins, targets, options=PLAIN).p_value[20:].tolist()
    assert kstest(p, "uniform").pvalue > 0.01
    # 5 % of 180, and three standard deviations.
    assert np.mean(np.array(p) < 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 180)


@pytest.mark.compiled
def test_estimate_interval_and_p_value__tell_one_story():
    beta = np.random.default_rng(3).normal(0, 0.6, 40)
    joins, targets = clocked_log(5, beta, users=500)
    found = detect_self_controlled(joins, targets, options=PLAIN)
    two_sided = 2 * np.minimum(found.p_value, 1 - found.p_value)[20:]
    leaves_out = ((found.ci_low > 1) | (found.ci_high < 1))[20:]
    np.testing.assert_array_equal(leaves_out, two_sided < 0.05)
    assert leaves_out.any()
    assert (found.ci_low <= found.estimate)[20:].all()
    assert (found.estimate <= found.ci_high)[20:].all()


def test_own_effects__of_one_event_are_exact(monkeypatch):
    """One event on one of three slots after g, one before: P = 3/4, and half of it counts."""
    joins = JoinLog.from_arrays(
        ["u"] * 5 + ["v"] * 2, ["a", "g", "b", "t", "c", "t", "t2"], [1, 2, 3, 4, 5, 0, 9]
    )
    # One event tells nothing of a background of its own.
    monkeypatch.setattr(fit_module, "BACKGROUND", 1e9)
    monkeypatch.setattr(effects_module, "BACKGROUND", 1e9)
    # And nothing of what the other groups do.
    alone = PLAIN.model_copy(update={"penalty": 1e6})
    found = detect_self_controlled(
        joins, targets_named(joins, lambda name: name.startswith("t")), options=alone
    )
    g = joins.groups.to_pylist().index("g")
    np.testing.assert_allclose(found.p_value[g], 0.5 * 3 / 4, rtol=1e-4)
    assert found.estimate[g] == found.ci_high[g] == np.inf


# Cases that went wrong -------------------------------------------------------------------


@shared_cases
@pytest.mark.parametrize("name", ["onboarding.csv", "target_founded_late.csv", "alltied.csv"])
def test_case__without_information_is_not_tested(name):
    joins = shared_log(name)
    targets = targets_named(joins, lambda group: group == "T")
    for clock in ("joins", "calendar"):
        found = detect_self_controlled(joins, targets, options=_with(clock=clock, min_joiners=5))
        assert np.isnan(found.p_value[found.candidate]).all()
        assert not found.flagged.any()


def _with(**changed):
    plain = {"surrogates": "none", "risk_window": 0, "min_joiners": 1}
    return SelfControlledOptions(**(plain | changed))


@shared_cases
def test_case__a_stray_row_of_one_user_changes_nobody_else():
    found = []
    for name in ("no_outlier.csv", "epoch_outlier.csv"):
        joins = shared_log(name)
        targets = targets_named(joins, lambda group: group == "T")
        table = detect_self_controlled(joins, targets, options=PLAIN).to_arrow()
        found.append({row["group"]: row["p_value"] for row in table.to_pylist()})
    assert found[0]["g1"] == pytest.approx(found[1]["g1"], rel=1e-6)
    assert found[0]["g1"] > 0.05


@shared_cases
def test_case__cases_alone_are_enough():
    joins = shared_log("case_only.csv")
    found = detect_self_controlled(
        joins, targets_named(joins, lambda group: group == "e"), options=PLAIN
    )
    # Two joins each, one of them x: beside its own tick there is one slot, and no contrast.
    assert np.isnan(found.p_value[found.candidate]).all()
    assert not found.flagged.any()


SERIES = [
    # Group, its ratio by an independent fit, by what factor it may differ as the pieces of
    # age do, and whether it is flagged.
    ("itp", 42, "mmr", 3.226, 1.1, True),
    ("aut", 0, "mmr", 1.327, 1.4, False),
    ("opv", 42, "opvd3", 1.446, 1.1, False),
    ("con", 14, "mmr", 1.765, 1.02, True),
    ("con", 14, "hib", 1.019, 1.02, False),
]


@shared_cases
@pytest.mark.parametrize(("name", "days", "group", "ratio", "factor", "flagged"), SERIES)
def test_series__gives_the_published_ratio(name, days, group, ratio, factor, flagged):
    joins = shared_log(
        f"sccs_{name}.csv", observed_from="observed_from", observed_until="observed_until"
    )
    found = detect_self_controlled(
        joins, targets_named(joins, lambda group: group.startswith("event")),
        options=_with(clock="calendar", risk_window=days),
    )  # fmt: skip
    g = joins.groups.to_pylist().index(group)
    assert ratio / factor < found.estimate[g] < ratio * factor
    assert found.flagged[g] == flagged
    assert found.ci_low[g] < ratio < found.ci_high[g]


# Windows ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def effect_that_ends():
    """The odds are 4-fold in the four joins after group 20, a tick each, and as before later.

    The log, its targets, and what is found where an effect is held to last.
    """
    rng = np.random.default_rng(0)
    rows = []
    for u in range(3_000):
        odds, place = 0.15 * rng.gamma(1.0), rng.integers(2, 20) + 99 * (u % 4 > 0)
        others = list(rng.permutation(np.arange(21, 300)))
        for s in range(30):
            now = odds * (4.0 if place < s <= place + 4 else 1.0)
            target = rng.random() < now / (1 + now) and s < 20
            rows.append((u, 20 if s == place else s if target else others.pop(), s))
    user, group, time = np.array(rows).T
    joins = JoinLog.from_arrays(user, group, time, groups=[f"g{i:03}" for i in range(300)])
    targets = first_targets(300, 20)
    return joins, targets, detect_self_controlled(joins, targets, options=PLAIN)


@pytest.mark.compiled
@pytest.mark.parametrize("window", ["4 joins", 4])
def test_risk_window__finds_an_effect_that_ends(window, effect_that_ends):
    joins, targets, always = effect_that_ends
    found = detect_self_controlled(joins, targets, options=_with(risk_window=window))
    assert found.rank[20] == 1
    # Four standard errors of 0.07.
    np.testing.assert_allclose(found.estimate[20], 4.0, rtol=0.3)
    assert always.estimate[20] < 3.3


@pytest.mark.compiled
def test_risk_window__of_the_data_is_the_planted_one_or_none():
    """Odds 5-fold in the four joins after a third of the groups; and a log without effects."""
    rng = np.random.default_rng(1)
    for factor, expected in ((5.0, RiskWindow(joins=4)), (1.0, RiskWindow())):
        rows = []
        for u in range(1_500):
            odds, raised = 0.15 * rng.gamma(1.0), -9
            near, others = list(rng.permutation(20)), list(20 + rng.permutation(90))
            for s in range(24):
                now = odds * (factor if s <= raised + 4 else 1.0)
                g = near.pop() if near and rng.random() < now / (1 + now) else others.pop()
                raised = s if 20 <= g < 50 else raised
                rows.append((u, g, s * 7 + rng.integers(7)))
        user, group, time = np.array(rows).T
        joins = JoinLog.from_arrays(user, group, time, groups=[f"g{i:03}" for i in range(110)])
        got = choose_window(joins, np.arange(110) < 20, prepared=Preparation(), seed=1)
        assert got == expected


# Surrogates ------------------------------------------------------------------------------


def linked_groups(seed, *, users=4_000):
    """Targets 0-9, their likes 10-19, a gateway 20 that raises both, others 21-59."""
    rng = np.random.default_rng(seed)
    rows = []
    for u in range(users):
        odds, raised = (0.9 if rng.random() < 0.15 else 0.02), 1.0
        near, others = list(rng.permutation(20)), list(20 + rng.permutation(40))
        for s in range(4 + rng.poisson(8)):
            now = odds * raised
            g = near.pop() if near and rng.random() < now / (1 + now) else others.pop()
            raised = 3.0 if g == 20 else raised
            rows.append((u, g, s))
    user, group, time = np.array(rows).T
    names = [f"g{i:02}" for i in range(60)]
    return JoinLog.from_arrays(user, group, time, groups=names), first_targets(60, 10)


@pytest.mark.compiled
def test_surrogates__are_the_likes_of_the_targets_and_not_the_gateway():
    joins, targets = linked_groups(1)
    affinity = affinity_to_targets(joins, targets)
    assert set(np.argsort(-np.where(targets.mask, -9, affinity))[:10]) == set(range(10, 20))
    assert affinity[20] < 0.1
    chosen = choose_surrogates(joins, targets, prepared=Preparation(), seed=1)
    assert not chosen[20:].any()
    found = detect_self_controlled(joins, targets)
    assert (found.extra["surrogate"] == chosen).all()
    assert found.rank[20] == 1
    # Those that are chosen are still ranked, by a fit of their own.
    assert (found.rank[10:20] > 0).all()


@pytest.mark.compiled
def test_surrogates__none_where_nothing_is_like_the_targets():
    joins, targets = clocked_log(5, np.zeros(40), users=600)
    assert not choose_surrogates(joins, targets, prepared=Preparation(), seed=1).any()


# Laws ------------------------------------------------------------------------------------


def log_with_ties(seed=7):
    return random_log(seed, users=200, groups=14, days=30)


def by_name(detection):
    table = detection.to_arrow().to_pandas().set_index("group").sort_index()
    return table.drop(columns="detector")


@pytest.mark.parametrize("clock", ["joins", "calendar"])
def test_detection__does_not_depend_on_ids_or_rows(clock):
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
    found = []
    for log in (one, other):
        targets = targets_named(log, lambda name: name in ("n00", "n01"))
        found.append(by_name(detect_self_controlled(log, targets, options=_with(clock=clock))))
    pd.testing.assert_frame_equal(*found, rtol=1e-9)


@pytest.mark.parametrize("clock", ["joins", "calendar"])
def test_detection__one_tick_is_neither_before_nor_after(clock):
    """A target joined in the tick of m is no event for m, whichever stands first."""
    for names in (["m", "a", "z", "a", "m"], ["m", "z", "a", "z", "m"]):
        joins = JoinLog.from_arrays(
            ["u", "u", "u", "v", "v", "u", "u", "u"],
            [*names, "b", "y", "k"],
            [5, 2, 8, 1, 4, 5, 5, 3],
            observed_from=0,
            observed_until=9,
        )
        targets = targets_named(joins, lambda name: name in "azby")
        found = detect_self_controlled(joins, targets, options=_with(clock=clock))
        m = joins.groups.to_pylist().index("m")
        assert (found.extra["observed"][m], found.n_events[m]) == (1, 1)


@pytest.mark.compiled
@pytest.mark.parametrize("clock", ["joins", "calendar"])
def test_detection__does_not_depend_on_threads(clock):
    from gateway._numba import set_threads, threads

    joins, targets = clocked_log(6, np.linspace(-0.5, 0.8, 40), users=600)
    before = threads()
    tables = []
    for count in (1, 2):
        set_threads(count)
        tables.append(detect_self_controlled(joins, targets, options=_with(clock=clock)).to_arrow())
    set_threads(before)
    assert tables[0].equals(tables[1])


def test_select_cases__keeps_their_rows():
    slots, _, point = small_case("joins", RiskWindow(ticks=4))
    half = np.arange(slots.n_cases) % 2 == 0
    whole = Likelihood(slots).loss(point)[0]
    parts = [Likelihood(select_cases(slots, part)).loss(point)[0] for part in (half, ~half)]
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-12)


def test_options__name_every_fault():
    with pytest.raises(GatewayError) as caught:
        SelfControlledOptions(clock="both", alpha=2.0, penalty=-1.0, risk_window=-3)  # type: ignore[arg-type]
    for name in ("clock", "alpha", "penalty", "risk_window"):
        assert f"self_controlled.{name}" in str(caught.value)


def test_risk_window__in_joins_is_none_of_the_calendar():
    joins = log_with_ties()
    with pytest.raises(GatewayError, match="must be a time"):
        detect_self_controlled(
            joins, first_groups(joins, 2), options=_with(clock="calendar", risk_window="3 joins")
        )


def test_detect__without_a_target_join_is_an_error():
    joins = JoinLog.from_arrays([0], [0], [1], groups=["a", "t"])
    with pytest.raises(LogError, match="some user must join a target"):
        detect_self_controlled(joins, TargetSet(np.array([False, True]), "t"))


def test_benchmark_world__is_the_one_that_the_issue_asks_for():
    config = gateway.load_config("configs/benchmark_world.toml")
    world = config.world
    assert world is not None
    assert (world.users, world.groups) == (200_000, 5_000)
    assert (world.roles.influence, world.roles.homophily) == (50, 50)
    assert world.roles.influence_strength == 1.4
