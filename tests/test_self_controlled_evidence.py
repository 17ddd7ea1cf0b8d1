"""What stands around the self-controlled fit: prior, second contrast, aliases, checks, bots."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import false_discovery_control, hypergeom, multivariate_normal, norm

import naive_evidence
from gateway.detect import Detection, SelfControlledOptions, detect_self_controlled
from gateway.detect.self_controlled import rows
from gateway.detect.self_controlled.alias import find_aliases, merge_aliases
from gateway.detect.self_controlled.before import grade_calls, near_effects
from gateway.detect.self_controlled.effects import bulk_scale
from gateway.detect.self_controlled.likelihood import Likelihood, Point
from gateway.detect.self_controlled.preparation import most_usual_joins
from gateway.detect.self_controlled.prior import Prior, fit_prior
from gateway.detect.self_controlled.rows import RiskWindow
from gateway.detect.self_controlled.sensitivity import (
    CHECKS,
    Check,
    _Rows,
    check_assumptions,
    e_values,
    say_checks,
)
from gateway.detect.self_controlled.slots import Slots, build_slots
from gateway.detect.self_controlled.strata import split_calendar, two_kinds
from gateway.log.join_log import JoinLog
from gateway.log.work import HERE, Work, working
from gateway.targets import TargetSet
from tests.workers import Posting, posted
from worlds import random_log


def slots_of(*cases: str, groups: str = "ab") -> Slots:
    """Cases in letters: a join of a group, ``x`` an event, ``.`` another join; spaces cut ticks."""
    rows = [(c, tick, letter) for c, case in enumerate(cases)
            for tick, letters in enumerate(case.split()) for letter in letters]  # fmt: skip
    case = np.array([r[0] for r in rows])
    fresh = np.array([i == 0 or rows[i][:2] != rows[i - 1][:2] for i in range(len(rows))])
    letters = [r[2] for r in rows]
    return Slots(
        offsets=np.searchsorted(case, np.arange(len(cases) + 1)),
        group=np.array(
            [groups.index(x) if x in groups else len(groups) for x in letters], np.int32
        ),
        fresh=fresh,
        stratum=np.zeros(len(rows), np.uint16),
        length=np.ones(len(rows)),
        events=np.array([x == "x" for x in letters], np.int32),
        until=np.empty(0, np.int32),
        user=np.arange(len(cases)),
        n_groups=len(groups),
        n_positions=1,
        n_pieces=1,
        exact=True,
    )


def random_slots(seed: int, window: int = 0) -> tuple[Slots, np.ndarray, np.ndarray]:
    """Slots of a random log with ties, and weights and effects for them."""
    joins = random_log(seed, users=25, groups=9, days=12)
    outcome = np.arange(9) < 2
    slots = build_slots(joins, outcome, ~outcome, window=RiskWindow(joins=window))
    rng = np.random.default_rng(seed)
    return slots, np.exp(rng.normal(0, 0.7, len(slots.group))), rng.normal(0, 0.5, 9)


# Prior -----------------------------------------------------------------------------------


def test_prior__agrees_with_dense_matrices():
    rng = np.random.default_rng(1)
    x, error = rng.normal(size=30), rng.uniform(0.1, 0.6, 30)
    y = 0.2 + 0.5 * x + rng.normal(0, np.sqrt(0.3**2 + error**2))
    prior = fit_prior(y, error, x)
    design, found, logs = np.column_stack([np.ones(30), x]), [], []
    for tau in prior.spread:
        # A flat prior of a and b as a normal one that is very wide: one Gaussian model.
        wide = design @ design.T * 1e2
        total = wide + np.diag(tau**2 + error**2)
        gain = (wide + tau**2 * np.eye(30)) @ np.linalg.inv(total)
        cov = wide + tau**2 * np.eye(30) - gain @ (wide + tau**2 * np.eye(30))
        found.append((gain @ y, (gain @ y) ** 2 + np.diag(cov)))
        logs.append(multivariate_normal(np.zeros(30), total).logpdf(y) + np.log(tau))
    weight = np.exp(logs - np.max(logs))
    weight /= weight.sum()
    mean, square = (np.einsum("k,kg->g", weight, [f[i] for f in found]) for i in (0, 1))
    got = prior.posterior(y, error, x)
    # The wide prior, of standard deviation 10, is not flat: it moves the fourth digit.
    np.testing.assert_allclose(prior.weight, weight, atol=5e-4)
    np.testing.assert_allclose(got[0], mean, atol=5e-4)
    np.testing.assert_allclose(got[1], np.sqrt(square - mean**2), atol=5e-4)


def test_prior__worked_by_hand():
    # Equal errors: the slope is that of least squares, (2 x 4 + 2 x 4) / (4 + 4) = 2.
    prior = fit_prior(np.array([-4.0, 0.0, 4.0]), np.ones(3), np.array([-2.0, 0.0, 2.0]))
    assert prior.slope.tolist() == pytest.approx([2.0] * len(prior.slope))
    assert prior.intercept.tolist() == pytest.approx([0.0] * len(prior.slope))
    # Precision 1 / 1 against prior precision 1 / 3: the posterior is a quarter of the way.
    known = Prior(*(np.array([v]) for v in (np.sqrt(3.0), 1.0, 1.0, 0.5)), np.zeros((1, 2, 2)))
    mean, sd = known.posterior(np.array([6.0, 6.0]), np.array([1.0, np.inf]), np.array([2.0, 2.0]))
    assert mean.tolist() == pytest.approx([5.0, 2.0])
    assert sd.tolist() == pytest.approx([np.sqrt(0.75), np.sqrt(3.0)])


def test_prior__association_that_goes_the_other_way_counts_for_nothing():
    rng = np.random.default_rng(2)
    x = rng.normal(size=200)
    got = fit_prior(-0.5 * x + rng.normal(0, 0.1, 200), np.full(200, 0.1), x)
    assert (got.slope == 0.0).all()


def test_prior__intervals_cover_the_effects_that_were_drawn():
    inside = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x, error = rng.normal(size=150), rng.uniform(0.1, 1.0, 150)
        beta = 0.1 + 0.3 * x + rng.normal(0, 0.25, 150)
        estimate = beta + rng.normal(0, error)
        mean, sd = fit_prior(estimate, error, x).posterior(estimate, error, x)
        inside.append(np.abs(beta - mean) < 1.96 * sd)
    # Over 300 such logs it is .941, a standard error of .007 for 40: at a spread of .25 the
    # flat prior is a little short. With the best spread alone it is .91.
    assert np.mean(inside) == pytest.approx(0.94, abs=0.015)


def test_prior__does_not_depend_on_the_order_or_the_scale():
    rng = np.random.default_rng(3)
    x, error = rng.normal(size=50), rng.uniform(0.1, 0.6, 50)
    estimate = 0.4 * x + rng.normal(0, error)
    got = fit_prior(estimate[::-1], error[::-1], 100 * x[::-1])
    expected = fit_prior(estimate, error, x)
    np.testing.assert_allclose(100 * got.slope, expected.slope, atol=1e-12)
    np.testing.assert_allclose(got.weight, expected.weight, atol=1e-12)


# Before the join -------------------------------------------------------------------------


def test_near__without_weights_is_hypergeometric():
    # Two slots before the tick of a, three after; 2 events, one on each side.
    got = near_effects(slots_of("x . a x . ."), np.ones(6), np.zeros(2), near=4, far=16)
    law = hypergeom(5, 3, 2)
    assert (got.observed[0], got.expected[0]) == (1.0, pytest.approx(law.mean()))
    assert got.variance[0] == pytest.approx(law.var())
    assert np.isnan(got.z[1])


@pytest.mark.parametrize(("near", "far", "window"), [(1, 2, 0), (2, 5, 0), (4, 16, 0), (2, 5, 2)])
def test_near__agrees_with_all_choices_of_slots(near, far, window):
    slots, weight, beta = random_slots(7, window)
    got = near_effects(slots, weight, beta, near=near, far=far)
    out, early = naive_evidence.near_sums(slots, weight, beta, near=near, far=far)
    np.testing.assert_allclose([got.observed, got.expected, got.variance], out, atol=1e-9)
    with np.errstate(invalid="ignore"):
        expected = (early[0] - early[1]) / np.sqrt(early[2])
    # The widening for joins that vary more than they should is one factor for all.
    factor = expected / got.z_before
    np.testing.assert_allclose(factor[np.isfinite(factor)], np.nanmax(factor), rtol=1e-6)
    assert np.nanmax(factor) >= 1 - 1e-9


def test_near__a_rate_that_rose_before_the_join_is_no_effect():
    # Users drift at a random join and join a after it: target joins are three times as
    # frequent from there on. The plain contrast sees a rise, the near one does not.
    rng = np.random.default_rng(4)
    user, group, time = [], [], []
    for u in range(3000):
        onset = rng.integers(5, 25)
        at = onset + 6 + rng.integers(0, 6)
        for t in range(40):
            event = rng.random() < (0.3 if t >= onset else 0.1)
            user.append(u)
            time.append(t)
            group.append(1 if t == at else 0 if event else 2 + rng.integers(0, 400))
    # A target joined several times counts once in a log: give each event a target of its own.
    group = np.array(group)
    events = group == 0
    group[events] = 500 + np.array(time)[events]
    joins = JoinLog.from_arrays(np.array(user), group, np.array(time))
    outcome = np.array([name >= "g0000500" for name in joins.groups.to_pylist()])
    slots = build_slots(joins, outcome, ~outcome)
    weight, beta = np.ones(len(slots.group)), np.zeros(joins.n_groups)
    near = near_effects(slots, weight, beta)
    wide = near_effects(slots, weight, beta, near=40, far=40)
    assert wide.z[0] > 5
    assert abs(near.z[0]) < 3


def test_near__needs_slots_that_are_joins():
    slots = replace(slots_of("x a ."), exact=False)
    with pytest.raises(ValueError, match="slots that are joins"):
        near_effects(slots, np.ones(3), np.zeros(2))


def test_grade__is_of_the_larger_p_value_and_says_what_contradicts():
    p, z = np.array([1e-6, 1e-6, 1e-6, 0.5, np.nan]), np.array([5.0, 0.5, -3.0, 4.0, 9.0])
    flagged = np.array([True, True, True, False, False])
    got = grade_calls(flagged, p, norm.sf(z), z, alpha=0.05)
    assert got.tolist() == ["robust", "called", "contradicted", None, None]
    q = false_discovery_control([norm.sf(5.0), norm.sf(0.5), norm.sf(-3.0), 0.5])
    assert (q < 0.05).tolist() == [True, False, False, False]


def test_grade__without_a_second_contrast_nothing_is_robust():
    nothing = np.full(2, np.nan)
    got = grade_calls(np.array([True, False]), np.array([1e-9, 0.9]), nothing, nothing, alpha=0.05)
    assert got.tolist() == ["called", None]


# The bulk --------------------------------------------------------------------------------


def test_bulk__is_the_spread_of_the_lower_half():
    rng = np.random.default_rng(8)
    z, variance = rng.normal(0, 1.6, 20_000), np.full(20_000, 9.0)
    # The root of a mean of 10,000 squares has a relative error of 1 / sqrt(20,000) = .007.
    assert bulk_scale(z, variance) == pytest.approx(1.6, rel=0.03)
    # Gateways in the upper half, one group in ten, move it by the shift of the median alone.
    z[:2000] = 8.0
    assert bulk_scale(z, variance) == pytest.approx(1.6, rel=0.08)


def test_bulk__never_narrows_and_needs_a_bulk():
    rng = np.random.default_rng(9)
    assert bulk_scale(rng.normal(0, 0.5, 500), np.full(500, 9.0)) == 1.0
    wide = rng.normal(0, 3.0, 500)
    assert bulk_scale(wide[:49], np.full(49, 9.0)) == 1.0
    assert bulk_scale(wide, np.full(500, 1.0)) == 1.0
    # By hand: median 0, below it 25 times -2, and 25 zeros: sqrt(2 x 25 x 4 / 75) = 1.633.
    by_hand = np.repeat([-2.0, 0.0, 5.0], 25)
    assert bulk_scale(by_hand, np.full(75, 2.0)) == pytest.approx(np.sqrt(200 / 75))


# Aliases ---------------------------------------------------------------------------------


def test_alias__groups_joined_in_one_tick_are_one_set():
    slots = slots_of(*["x . ab x ."] * 8, "x a . x", "b x . .")
    # Every tie tells 2 x 1/2 x 1/2, the join of a alone 2 x 2/3 x 1/3; that of b in the first
    # tick nothing: r = 4 / sqrt(4.444 x 4) = .949.
    assert naive_evidence.alias_correlation(slots)[0, 1] == pytest.approx(0.949, abs=5e-4)
    assert find_aliases(slots, bound=0.94).tolist() == [0, 0]
    assert find_aliases(slots, bound=0.96).tolist() == [0, 1]


def test_alias__agrees_with_all_pairs():
    slots, _, _ = random_slots(8)
    correlation = naive_evidence.alias_correlation(slots)
    bound = float(np.sort(correlation[np.triu_indices(9, 1)])[-3]) - 1e-9
    got = find_aliases(slots, bound=bound)
    linked = np.linalg.matrix_power((correlation >= bound) | np.eye(9, dtype=bool), 9) > 0
    np.testing.assert_array_equal(got[:, None] == got, linked)
    assert (got[got] == got).all()


def test_alias__a_set_is_joined_once():
    slots = slots_of("x ab . b x", "b x . a x", "x . c a x", groups="abc")
    got = merge_aliases(slots, np.array([0, 0, 2]))
    joined = [[int(g) for g in got.group[a:b] if g < 3]
              for a, b in zip(got.offsets[:-1], got.offsets[1:], strict=True)]  # fmt: skip
    assert joined == [[0], [0], [2, 0]]
    assert merge_aliases(slots, np.arange(3)) is slots


# Sensitivity -----------------------------------------------------------------------------


def test_e_value__is_that_of_the_published_example():
    # VanderWeele, Ding (2017): a risk ratio of 3.9 with the limit 1.8 has 7.2 and 3.0.
    got = e_values(np.array([3.9, 1.8, 1.0, 0.4, np.nan]), event_share=0.1)
    assert got[:2].round(1).tolist() == [7.3, 3.0]
    assert got[2:4].tolist() == [1.0, 1.0]
    assert np.isnan(got[4])
    # Of a common outcome the odds ratio 4 is a risk ratio of about 2: 2 + sqrt 2.
    assert e_values(np.array([4.0]), event_share=0.4)[0] == pytest.approx(2 + np.sqrt(2))


def test_checks__pairs_agree_with_all_pairs():
    slots, weight, _ = random_slots(9)
    got = _Rows.of(slots, weight).near_pairs()
    np.testing.assert_allclose(got, naive_evidence.near_pairs(slots, weight), atol=1e-9)


def simulated_checks(kind: str) -> dict[str, Check]:
    """Checks on 2,000 users of 20 joins: groups at random, events with the fault of a kind."""
    rng = np.random.default_rng([len(kind), ord(kind[0])])
    user, group, time = [], [], []
    for u in range(2000):
        slope, last = rng.normal(0, 0.12), False
        for t in range(20):
            odds = {"trend": slope * (t - 10), "chain": 1.5 * last}.get(kind, 0.0) - 1.4
            last = bool(rng.random() < 1 / (1 + np.exp(-odds)))
            follows = kind == "follow" and user and user[-1] == u and group[-1] >= 100
            other = 1 if follows and rng.random() < 0.5 else 2 + rng.integers(0, 90)
            user.append(u)
            group.append(100 + t if last else other)
            time.append(t)
            if kind == "leave" and last and rng.random() < 0.2:
                break
    joins = JoinLog.from_arrays(np.array(user), np.array(group), np.array(time))
    outcome = np.array([name >= "g0000100" for name in joins.groups.to_pylist()])
    slots = build_slots(joins, outcome, ~outcome)
    weight = np.ones(len(slots.group))
    near = near_effects(slots, weight, np.zeros(joins.n_groups))
    return {check.name: check for check in check_assumptions(slots, weight, near.z_before)}


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("none", None),
        ("leave", "events end the observation"),
        ("trend", "time trends"),
        ("chain", "dependence of events"),
        ("follow", "events change later joins"),
    ],
)
def test_checks__find_what_is_wrong(kind, name):
    found = simulated_checks(kind)
    assert set(found) == set(CHECKS)
    failed = {check for check, result in found.items() if result.failed}
    assert failed >= {name} if name else not failed
    if name:
        assert found[name].z * (found[name].ratio - 1) > 0


def test_checks__are_said_in_words():
    checks = (
        Check("time trends", 1.42, 8.0, failed=True),
        Check("events end the observation", 1.01, 0.3, failed=False),
        Check("dependence of events", np.nan, np.nan, failed=False),
    )
    assert say_checks(checks) == (
        f"time trends: observed over expected 1.42 (z 8.0); {CHECKS['time trends']}",
        "no sign of: events end the observation",
        "the log cannot tell about: dependence of events",
    )
    assert say_checks(()) == ()


# Unusual users ---------------------------------------------------------------------------


def test_unusual__the_bound_is_the_logs_own():
    rng = np.random.default_rng(5)
    short = np.maximum(rng.poisson(np.exp(rng.normal(2, 0.6, 20_000))), 1)
    long = np.maximum(rng.poisson(np.exp(rng.normal(4.5, 0.8, 20_000))), 1)
    bots = np.append(short, np.full(300, 500))
    assert (short > most_usual_joins(short)).sum() <= 2
    assert (long > most_usual_joins(long)).sum() <= 2
    assert ((bots > most_usual_joins(bots)) == (np.arange(20_300) >= 20_000)).mean() > 0.9999
    # 150 joins are far out in the one and usual in the other.
    assert most_usual_joins(short) < 200
    assert np.mean(long > 150) > 0.1


def test_unusual__worked_by_hand():
    # Median 4, ninth decile 16: s = log 4 / 1.2816; of 1,000 users z = Phi^-1(1 - 5e-5).
    sizes = np.repeat([2, 4, 16], [300, 500, 200])
    got = most_usual_joins(sizes)
    assert got == pytest.approx(4 * 4 ** (norm.isf(5e-5) / 1.281552), rel=1e-5)
    assert most_usual_joins(np.append(sizes, np.zeros(50, int))) == got


def test_unusual__without_a_distribution_nobody_is():
    assert most_usual_joins(np.array([1, 2, 3, 1000])) == np.inf
    assert most_usual_joins(np.append(np.full(950, 3), np.full(50, 900))) == np.inf


@functools.cache
def two_countries() -> tuple[JoinLog, TargetSet]:
    """Each with groups of its own; targets rise over time in one and fall in the other."""
    rng = np.random.default_rng(10)
    rows = []
    for u in range(1200):
        side, targets, others = u % 2, rng.permutation(40), rng.permutation(60)
        for t in range(14):
            hit = rng.random() < 1 / (1 + np.exp(1.0 - (2 * side - 1) * (t - 7) * 0.35))
            home = side if rng.random() < 0.9 else 1 - side
            rows.append((u, targets[t] if hit else 40 + 60 * home + others[t], t))
    user, group, time = np.array(rows).T
    joins = JoinLog.from_arrays(user, group, time, groups=[f"g{i:03}" for i in range(160)])
    return joins, TargetSet(np.arange(160) < 40, "targets")


def test_strata__agree_with_dense_matrices_and_find_the_countries():
    joins, targets = two_countries()
    slots = build_slots(joins, targets.mask, ~targets.mask)
    got = two_kinds(slots)
    case = np.repeat(np.arange(slots.n_cases), np.diff(slots.offsets))
    joined = np.zeros((slots.n_cases, 161))
    np.add.at(joined, (case, slots.group), 1)
    joined = joined[:, 40:160]
    scaled = joined / np.sqrt(np.outer(joined.sum(1), joined.sum(0)))
    _, size, vectors = np.linalg.svd(scaled, full_matrices=False)
    assert size[1] > 1.25 * size[2]
    side = joined @ (vectors[1] / np.sqrt(joined.sum(0)))
    np.testing.assert_array_equal(got, np.sign(side) != np.sign(side[0]))
    country = slots.user % 2
    assert np.mean(got == (country != country[0])) > 0.99


def test_strata__users_of_one_kind_are_not_split():
    rng = np.random.default_rng(11)
    joins = JoinLog.from_arrays(
        np.repeat(np.arange(900), 12), rng.integers(0, 120, 10_800), rng.integers(0, 90, 10_800)
    )
    outcome = np.arange(120) < 20
    assert two_kinds(build_slots(joins, outcome, ~outcome)) is None
    assert two_kinds(slots_of("x a . b x", "b x . a x")) is None


def test_strata__each_kind_has_its_own_pieces():
    slots = replace(slots_of("x a .", ". b x"), stratum=np.array([0, 1, 3, 2, 4, 5], np.uint16),
                    n_positions=2, n_pieces=3)  # fmt: skip
    got = split_calendar(slots, np.array([False, True]))
    # Position 0 or 1 times six pieces, three for each kind.
    assert got.n_pieces == 6
    assert got.stratum.tolist() == [0, 1, 6, 5, 10, 11]


# Cases that are kept by workers ----------------------------------------------------------


def changed_slots(clock: str) -> Slots:
    """Slots of users with long and short histories, of two kinds, with an alias."""
    joins, outcome = random_log(7, users=40, groups=9, days=12), np.arange(9) < 2
    slots = build_slots(
        joins, outcome, ~outcome, clock=clock, window=RiskWindow(ticks=5),
        depletion=clock == "joins", most_joins=9,
    )  # fmt: skip
    slots = merge_aliases(slots, np.array([0, 1, 2, 3, 4, 5, 4, 7, 8]))
    return split_calendar(slots, slots.user % 3 == 0)


@pytest.mark.parametrize("clock", ["joins", "calendar"])
def test_slots__are_cut_anew_where_they_are_sent(clock, monkeypatch):
    monkeypatch.setattr(rows, "_LONGEST", 20)
    slots = changed_slots(clock)
    some = slots.of_cases(5, 17)
    assert slots.n_cases > 20
    for sent in (slots, some, some.of_cases(1, 3), some.of_cases(4, 4)):
        got = posted(sent)
        assert got.recipe is None or sent.n_cases == 0
        for name in ("offsets", "group", "fresh", "stratum", "length", "events", "until"):
            np.testing.assert_array_equal(getattr(got, name), getattr(sent, name))
        assert (got.n_pieces, got.n_positions, got.exact) == (
            sent.n_pieces, sent.n_positions, sent.exact,
        )  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_likelihood__has_the_same_bits_whoever_adds_it_up(count):
    slots, rng = changed_slots("joins"), np.random.default_rng(3)
    sizes = (slots.n_groups, slots.n_positions, slots.n_pieces)
    point = Point(*(rng.normal(0, 0.5, n) for n in sizes))
    found, workers = [], Posting(count)
    for each in (HERE, workers):
        with working(Work(each)):
            likelihood = Likelihood(slots)
            loss, gradient = likelihood.loss(point)
            sums = likelihood.own(point, np.stack([point.beta, 2 * point.beta]))
            found.append([loss, gradient, *vars(sums).values(), *likelihood.background(point)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(workers.states) == min(count, 4)
    # What the page on join logs says of an evaluation: a number for each group and cell of the
    # background goes to every worker, and comes back for each of 16 chunks.
    numbers = slots.n_groups + 1 + slots.n_positions * slots.n_pieces
    n = len(workers.states)
    assert sum(workers.sent[:n]) == 8 * numbers * n
    assert sum(workers.received[:n]) == 8 * (numbers + 1) * 16


# The whole detector ----------------------------------------------------------------------


@functools.cache
def gateway_log(bots: int = 0) -> tuple[JoinLog, TargetSet]:
    """900 users of 16 joins. After g60, joined together with g61, targets g00 to g39 are four
    times as likely; bots join 300 groups at random."""
    rng = np.random.default_rng(6)
    user, group, time = [], [], []
    for u in range(900):
        others, targets = rng.permutation(np.arange(62, 400)), rng.permutation(40)
        place, t = rng.integers(3, 12), 0
        for s in range(16 + rng.integers(-4, 5)):
            t += rng.integers(1, 9)
            names = [targets[s]] if rng.random() < (0.4 if s > place else 0.12) else [others[s]]
            names = [60, 61] if s == place and u % 2 else names
            user += [u] * len(names)
            group += names
            time += [t] * len(names)
    for u in range(900, 900 + bots):
        user += [u] * 300
        group += rng.choice(400, 300, replace=False).tolist()
        time += rng.integers(0, 120, 300).tolist()
    names = [f"g{i:02}" if i < 100 else f"h{i}" for i in range(400)]
    joins = JoinLog.from_arrays(np.array(user), np.array(group), np.array(time), groups=names)
    return joins, TargetSet(np.array([n < "g40" for n in joins.groups.to_pylist()]), "targets")


def found_in(bots: int = 0, **options: str) -> Detection:
    joins, targets = gateway_log(bots)
    chosen = SelfControlledOptions(surrogates="none", **options)
    return detect_self_controlled(joins, targets, options=chosen)


@pytest.mark.compiled
def test_detector__calls_groups_that_are_joined_together_as_one():
    table = found_in().to_arrow()
    first = table.slice(0, 2).to_pydict()
    assert first["group"] == ["g60", "g61"]
    assert first["alias"] == ["g60", "g60"]
    assert first["rank"] == [1, 1]
    assert first["flagged"] == [True, True]
    assert first["grade"] == ["robust", "robust"]
    assert first["p_value"][0] == first["p_value"][1]
    assert table["alias"].null_count == table.num_rows - 2
    assert table["grade"].null_count == table.num_rows - table["flagged"].to_pylist().count(True)
    limit = first["ci_low"][0]
    joins, targets = gateway_log()
    share = targets.mask[joins.group].mean()
    # More than 15 % of the joins are events: the limit of an odds ratio counts as its root.
    assert share > 0.15
    root = np.sqrt(limit)
    assert first["e_value"][0] == pytest.approx(root + np.sqrt(root * (root - 1)))


@pytest.mark.compiled
def test_detector__without_aliases_each_group_has_half_of_the_effect():
    both, one = found_in(), found_in(aliases="none", prior="none")
    assert one.extra["alias"].tolist() == [None] * len(one.groups)
    pair = [g in ("g60", "g61") for g in one.groups.to_pylist()]
    whole = float(both.score[pair][0])
    np.testing.assert_allclose(one.score[pair], [one.score[pair][0]] * 2, atol=1e-4)
    assert one.score[pair][0] < 0.7 * whole


@pytest.mark.compiled
def test_detector__prior_moves_scores_and_no_call():
    plain, informed = found_in(prior="none"), found_in()
    np.testing.assert_array_equal(plain.p_value, informed.p_value)
    np.testing.assert_array_equal(plain.flagged, informed.flagged)
    ranked = plain.rank > 0
    assert not np.allclose(plain.score[ranked], informed.score[ranked])


@pytest.mark.compiled
def test_detector__sets_bots_aside_and_names_them():
    with_bots, kept = found_in(bots=7), found_in(bots=7, unusual_users="keep")
    note = with_bots.notes[0]
    assert note.endswith("joins are set aside: u0000900, u0000901, u0000902, u0000903, u0000904 "
                         "and 2 others")  # fmt: skip
    assert "set aside" not in " ".join(kept.notes)
    alone = found_in()
    top = with_bots.groups.to_pylist().index("g60")
    assert with_bots.extra["observed"][top] == alone.extra["observed"][top]
    assert kept.extra["observed"][top] > alone.extra["observed"][top]


@pytest.mark.compiled
def test_detector__without_a_second_contrast_no_call_is_robust():
    found = found_in(second_contrast="none")
    assert set(found.extra["grade"][found.flagged]) == {"called"}
    assert np.isnan(found.extra["z_near"]).all()


@pytest.mark.compiled
def test_detector__on_the_calendar_there_is_no_grade_and_no_check():
    found = found_in(clock="calendar")
    assert set(found.extra["grade"]) <= {"called", None}
    assert found.notes == ()


@pytest.mark.compiled
def test_detector__a_wider_null_widens_test_and_interval_alike():
    joins, targets = two_countries()

    def found(inflation: str) -> Detection:
        options = SelfControlledOptions(surrogates="none", inflation=inflation, user_strata="none")
        return detect_self_controlled(joins, targets, options=options)

    plain, wide = found("none"), found("bulk")
    tested = np.isfinite(plain.extra["z"]) & (np.abs(plain.extra["z"]) > 0.1)
    factor = plain.extra["z"][tested] / wide.extra["z"][tested]
    np.testing.assert_allclose(factor, factor[0], rtol=1e-9)
    assert factor[0] > 1.2
    assert plain.flagged.sum() > 0 == wide.flagged.sum()
    excludes = (wide.ci_low > 1) | (wide.ci_high < 1)
    # At the very edge the search for the end of the interval stops within 1e-5.
    z = wide.extra["z"]
    clear = np.isfinite(z) & (np.abs(np.abs(z) - 1.959964) > 1e-3)
    np.testing.assert_array_equal(excludes[clear], np.abs(z[clear]) > 1.959964)


@pytest.mark.compiled
def test_detector__countries_have_their_own_calendars():
    joins, targets = two_countries()

    def spread(strata: str) -> tuple[float, Detection]:
        options = SelfControlledOptions(surrogates="none", inflation="none", user_strata=strata)
        found = detect_self_controlled(joins, targets, options=options)
        return float(np.nanstd(found.extra["z"])), found

    (one, _), (two, found) = spread("none"), spread("auto")
    # 120 statistics: their standard deviation has a relative error of 1 / sqrt(240) = .065.
    assert one > 1.5
    assert two == pytest.approx(1.0, abs=0.2)
    assert any("two kinds" in note for note in found.notes)
