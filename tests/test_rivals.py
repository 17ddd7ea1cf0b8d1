"""The rivals against hand-worked cases, slow twins, textbooks and other people's code."""

from __future__ import annotations

from itertools import combinations, pairwise, product

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binom, nbinom, nchypergeom_fisher
from sklearn.linear_model import LogisticRegression
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.stats.contingency_tables import StratifiedTable

import gateway
from gateway.detect.chain import build_chain, mean_returns, solve_visits
from gateway.detect.matching import MatchingOptions, bias_explained, detect_by_matching
from gateway.detect.significance import gamma_prior, normal_prior
from gateway.log.join_log import JoinLog
from gateway.score import score_joins
from gateway.targets import named_targets
from tests import naive
from tests.worlds import first_groups, linked_log, random_log


def log_of(rows, until=None):
    """Make a log from strings like "ann: a1 b2 t5" (group and tick)."""
    parts = [(who, word) for line in rows for who, _, words in [line.partition(": ")]
             for word in words.split()]  # fmt: skip
    users = [who for who, _ in parts]
    return JoinLog.from_arrays(
        users, [w[0] for _, w in parts], [int(w[1:]) for _, w in parts], observed_until=until
    )


def found(name, joins, **options):
    targets = named_targets(joins, "t")
    options.setdefault("min_joiners", 1)
    d = gateway.detect(joins, targets, detector=name, **options)
    return d, {g: i for i, g in enumerate(joins.groups.to_pylist())}


# frequentist -----------------------------------------------------------------------------

CASE = ("ann: a1 b2 t5", "bea: a1 b5 t5", "cat: t1 a2", "dan: a1 b3", "eve: b4")


def test_frequentist__by_hand_ties_are_neither_before_nor_after():
    """a: ann, bea, dan, of whom two go on. b: ann, dan, eve; bea joined it with the target."""
    d, at = found("frequentist", log_of(CASE))
    assert [(d.n_joiners[at[g]], d.n_events[at[g]]) for g in "ab"] == [(3, 2), (3, 1)]
    # 3 of 6 joins at risk are followed by a target join.
    assert d.extra["lift"][at["a"]] == pytest.approx((2 / 3) / (3 / 6))


def test_frequentist__leaves_out_whom_the_log_leaves_too_soon():
    """The log ends at 5: with a horizon of 3, dan's and eve's joins of b after 2 are open."""
    d, at = found("frequentist", log_of(CASE), horizon=3)
    assert [(d.n_joiners[at[g]], d.n_events[at[g]]) for g in "ab"] == [(3, 0), (1, 1)]


@pytest.mark.parametrize("horizon", [None, 8])
def test_frequentist__expects_joiners_as_active_as_people_drawn_by_their_joins(horizon):
    """The root of the inclusion probabilities by brentq, person by person."""
    joins = linked_log(1)
    targets = first_groups(joins, 2)
    d = gateway.detect(joins, targets, detector="frequentist", min_joiners=1, horizon=horizon)
    rows = [row for row in naive.labels(joins, targets, horizon) if row[2] >= 0]
    own = [[label for user, _, label in rows if user == u] for u in range(joins.n_users)]
    m = np.array([len(labels) for labels in own if labels])
    share = np.array([np.mean(labels) for labels in own if labels])
    for g in range(2, joins.n_groups):
        n = d.n_joiners[g]
        s = brentq(lambda s, n=n: (1 - (1 - s) ** m).sum() - n, 0.0, 1.0, xtol=1e-15)
        expected = ((1 - (1 - s) ** m) * share).sum()
        assert d.extra["expected_share"][g] == pytest.approx(expected / n, rel=1e-9)
        p = binom.sf(d.n_events[g] - 1, n, expected / n)
        assert d.p_value[g] == pytest.approx(p, rel=1e-6)


def people(bot: bool) -> JoinLog:
    """A hundred people with two of five groups each, half of whom go on; and perhaps a bot."""
    user = np.repeat(np.arange(100), 2)
    group = (2 * np.arange(200) // 2 + np.arange(200) % 2 * 2) % 5 + 1
    half = np.arange(0, 100, 2)
    rows = [(user, group, np.tile([1, 2], 100)), (half, np.zeros(50, int), np.full(50, 5))]
    if bot:
        many = np.arange(1_008)
        rows.append((np.full(1_008, 100), 1 + many, many % 5))
    columns = (np.concatenate(column) for column in zip(*rows, strict=True))
    return JoinLog.from_arrays(*columns)


def test_frequentist__one_person_of_a_hundred_and_one_changes_little():
    """40 joiners of each group, half of whom go on, as half of all do: .5 and half of P(20)."""
    p = {}
    for bot in (False, True):
        joins = people(bot)
        d = gateway.detect(joins, first_groups(joins, 1), detector="frequentist", min_joiners=30)
        p[bot] = d.p_value[1:6]
        assert not d.flagged.any()
        if not bot:
            assert d.n_joiners[1:6].tolist() == [40] * 5
            assert d.extra["expected_share"][1:6] == pytest.approx([0.5] * 5)
    assert p[False] == pytest.approx(binom.sf(d.n_events[1:6] - 1, 40, 0.5))
    assert (p[True] > 0.3).all()


@given(st.integers(0, 100), st.sampled_from([None, 3, 20]))
def test_frequentist__counts_as_the_slow_twin(seed, horizon):
    joins = random_log(seed, users=10)
    targets = first_groups(joins, 2)
    rows = naive.labels(joins, targets, horizon)
    d = gateway.detect(joins, targets, detector="frequentist", horizon=horizon)
    for g in range(joins.n_groups):
        labels = [label for _, group, label in rows if group == g and label >= 0]
        assert (d.n_joiners[g], d.n_events[g]) == (len(labels), sum(labels))


# survival --------------------------------------------------------------------------------

# Weeks of remission of 42 children, "+" for censored (Freireich et al. 1963, Blood 21;
# worked in Cox, Oakes 1984, and most textbooks since).
MERCAPTOPURINE = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"
PLACEBO = "1 1 2 2 3 4 4 5 5 8 8 8 8 11 11 12 12 15 17 22 23"


def leukaemia():
    """Everybody joins m or p at tick 0 and, at a relapse, the target."""
    rows, until = [], []
    for group, weeks in (("m", MERCAPTOPURINE), ("p", PLACEBO)):
        for i, week in enumerate(weeks.split()):
            relapse = "" if week.endswith("+") else f" t{week}"
            rows.append(f"{group}{i:02d}: {group}0{relapse}")
            until.append(int(week.removesuffix("+")))
    return log_of(rows, until)


@pytest.mark.parametrize("clock", ["calendar", "tenure"])
def test_survival__gives_the_log_rank_test_of_the_textbook(clock):
    d, at = found("survival", leukaemia(), clock=clock)
    placebo, treated = at["p"], at["m"]
    assert (d.n_events[placebo], d.n_events[treated]) == (21, 9)
    expected = d.n_events / d.estimate
    # Printed with two digits.
    assert expected[[placebo, treated]] == pytest.approx([10.75, 19.25], abs=0.005)
    assert d.extra["statistic"][placebo] ** 2 == pytest.approx(16.79, abs=0.005)
    assert d.extra["hazard_ratio"][placebo] == pytest.approx((21 / 10.749) / (9 / 19.251), rel=1e-3)


@given(st.integers(0, 60))
def test_survival__counts_as_the_slow_twin(seed):
    joins = linked_log(seed, users=25, days=15)
    targets = first_groups(joins, 2)
    d = gateway.detect(joins, targets, detector="survival", min_joiners=1)
    for g in range(2, joins.n_groups):
        observed, expected, variance = naive.log_rank(joins, targets, g)
        assert d.n_events[g] == observed
        if expected > 0:
            assert d.estimate[g] == pytest.approx(observed / expected, rel=1e-9)
        if variance > 1e-9:
            z = (observed - expected) / np.sqrt(variance)
            assert d.extra["statistic"][g] == pytest.approx(z, rel=1e-7, abs=1e-9)


def test_survival__surplus_is_the_score_of_a_cox_model_with_a_time_varying_covariate():
    """statsmodels: each history cut in two at the join of g, late entry, Breslow's ties."""
    joins = linked_log(3, users=120)
    targets, g = first_groups(joins, 2), 4
    rows = []
    for u, (blocks, first) in enumerate(naive.histories(joins, targets)):
        if not blocks:
            continue
        begin, end = blocks[0][0], int(joins.observed_until[u]) if first is None else first
        turn = next((t for t, block in blocks if g in block), None)
        cuts = [begin, *([turn] if turn is not None and turn > begin else []), end]
        for i, (low, high) in enumerate(pairwise(cuts)):
            exposed = turn is not None and low >= turn
            if high > low:
                rows.append((low, high, first is not None and i == len(cuts) - 2, exposed))
    entry, leave, status, x = np.array(rows, float).T
    # Half a tick later: at risk strictly after entry, whatever the library takes for that.
    entry += 0.5
    model = PHReg(leave, x[:, None], status=status, entry=entry, ties="breslow")
    d = gateway.detect(joins, targets, detector="survival", min_joiners=1)
    expected = d.n_events[g] / d.estimate[g]
    surplus = float(model.score(np.zeros(1))[0])
    assert d.n_events[g] - expected == pytest.approx(surplus, rel=1e-8)


def test_gamma_prior__finds_the_parameters_of_simulated_rates():
    """Counts given a gamma rate are negative binomial: shape 4, rate 2, expectation 30."""
    rng = np.random.default_rng(1)
    expected = np.full(20_000, 30.0)
    shape, rate = gamma_prior(nbinom.rvs(4, 2 / (2 + expected), random_state=rng), expected)
    # 20,000 groups: the standard error of either is about 1 %.
    assert (shape, rate) == pytest.approx((4.0, 2.0), rel=0.05)


# coefficient -----------------------------------------------------------------------------


def test_coefficient__is_scikit_learns():
    joins = linked_log(5)
    targets = first_groups(joins, 2)
    people = [(b, f) for b, f in naive.histories(joins, targets) if b]
    x = np.zeros((len(people), joins.n_groups))
    for row, (blocks, _) in enumerate(people):
        x[row, sorted(set().union(*(block for _, block in blocks)))] = 1.0
    y = np.array([first is not None for _, first in people])
    theirs = LogisticRegression(C=1 / 3.0, tol=1e-10, max_iter=5_000).fit(x, y)
    d = gateway.detect(joins, targets, detector="coefficient", penalty=3.0, tolerance=1e-13)
    # L-BFGS on either side stops where the loss is flat to its tolerance.
    np.testing.assert_allclose(d.score, theirs.coef_[0], atol=2e-4)
    p = theirs.predict_proba(x)[:, 1]
    half = 1.96 / np.sqrt(x.T @ (p * (1 - p)) + 3.0)
    np.testing.assert_allclose((d.ci_high - d.ci_low) / 2, half, rtol=1e-3)


# The chain -------------------------------------------------------------------------------

# A much reprinted example of channel attribution: three paths, one of them converts.
PATHS = ("ann: a1 b2 c3 t4", "bea: a1", "cat: b1 c2")


def test_markov_removal__gives_the_numbers_of_the_attribution_example():
    """Removing a halves the conversions, removing b or c ends them all."""
    for exact in (0, 100):
        d, at = found("markov_removal", log_of(PATHS), exact_groups=exact)
        got = [d.score[at[g]] for g in "abc"]
        assert got == pytest.approx([0.5, 1.0, 1.0], rel=1e-12)


@given(st.integers(0, 40))
def test_chain__counts_as_averaging_over_every_order_of_ties(seed):
    joins = random_log(seed, users=6, groups=8, days=5)
    targets = first_groups(joins, 1)
    counts, n = naive.transitions(joins, targets), joins.n_groups
    chain = build_chain(joins, targets)
    np.testing.assert_allclose(chain.moves.toarray(), counts[:n, :n], atol=1e-12)
    np.testing.assert_allclose(chain.starts, counts[n, :n], atol=1e-12)
    np.testing.assert_allclose(chain.to_target, counts[:n, n + 1], atol=1e-12)
    np.testing.assert_allclose(chain.to_end, counts[:n, n + 2], atol=1e-12)
    assert chain.direct == counts[n, n + 1]


@given(st.integers(0, 40))
def test_markov_removal__equals_taking_each_group_out_and_solving_again(seed):
    joins = linked_log(seed, users=40, days=12)
    targets = first_groups(joins, 2)
    counts = naive.transitions(joins, targets)
    whole = naive.absorbed(counts)
    d = gateway.detect(joins, targets, detector="markov_removal", min_joiners=1)
    for g in range(2, joins.n_groups):
        without = naive.absorbed(counts, removed=g)[joins.n_groups]
        expected = 1 - without / whole[joins.n_groups]
        assert d.score[g] == pytest.approx(expected, rel=1e-9, abs=1e-12)
        assert d.extra["hitting"][g] == pytest.approx(whole[g], rel=1e-9, abs=1e-12)


def test_mean_returns__approximation_is_near_the_inverse():
    """60 groups, 9 joins a user: returns are far more common than in a large log."""
    joins = linked_log(2, users=3_000, groups=60)
    moves, starts, _ = build_chain(joins, first_groups(joins, 2)).probabilities()
    visits = solve_visits(moves, starts)
    exact, near = (mean_returns(moves, visits, exact=e) for e in (True, False))
    assert exact.max() > 1.05
    # The rest is a mean over groups: off by a few per cent of what returns add.
    np.testing.assert_allclose(near, exact, rtol=5e-3)


def test_hitting__pagerank_is_networkxs():
    joins = linked_log(7, days=20)
    targets, n = first_groups(joins, 2), joins.n_groups
    counts = naive.transitions(joins, targets)
    back = nx.DiGraph()
    back.add_node("t")
    for i in range(n):
        if counts[i, n + 1]:
            back.add_edge("t", i, weight=counts[i, n + 1])
        if counts[n, i]:  # where a path has its start the walk begins anew
            back.add_edge(i, "t", weight=counts[n, i])
        for j in np.flatnonzero(counts[:n, i]):
            back.add_edge(i, int(j), weight=counts[j, i])
    if counts[n, n + 1]:
        back.add_edge("t", "t", weight=counts[n, n + 1])
    theirs = nx.pagerank(back, alpha=0.85, personalization={"t": 1}, tol=1e-14, max_iter=1_000)
    d = gateway.detect(joins, targets, detector="hitting", measure="pagerank", min_joiners=1)
    for g in range(2, n):
        assert d.score[g] == pytest.approx(theirs.get(g, 0.0), rel=1e-8)


# matching --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scored():
    joins = linked_log(2, users=300)
    targets = first_groups(joins, 2)
    return joins, targets, score_joins(joins, targets, horizon=10)


def test_matching__statistic_is_statsmodels_cochran_mantel_haenszel(scored):
    joins, targets, scores = scored
    options = MatchingOptions(strata=4, min_joiners=1)
    d = detect_by_matching(joins, targets, scores, options=options)
    rows = scores.prefixes
    cuts = np.quantile(scores.before, [0.25, 0.5, 0.75])
    stratum = 4 * rows.position() + np.searchsorted(cuts, scores.before, side="left")
    for g in range(2, 7):
        tables, top, bottom = [], 0.0, 0.0
        for s in np.unique(stratum[rows.resolved]):
            here = rows.resolved & (stratum == s)
            mine, event = rows.group[here] == g, rows.label[here] == 1
            table = np.array([[sum((mine == a) & (event == b)) for b in (1, 0)] for a in (1, 0)])
            (x, _), (y, _) = table
            n, m = table.sum(axis=1)
            if n and m:
                tables.append(table.astype(float))
                top, bottom = top + (x * m - y * n) / (n + m), bottom + n * m / (n + m)
        theirs = StratifiedTable(tables).test_null_odds(correction=False).statistic
        assert d.extra["statistic"][g] ** 2 == pytest.approx(theirs, rel=1e-9)
        assert d.estimate[g] == pytest.approx(top / bottom, rel=1e-9)


def test_matching__score_lies_between_the_estimate_and_the_mean_of_all(scored):
    d = detect_by_matching(*scored, options=MatchingOptions(min_joiners=5))
    ranked = d.rank > 0
    low = min(d.estimate[ranked].min(), 0.0)
    assert np.ptp(d.score[ranked]) < np.ptp(d.estimate[ranked])
    assert (d.score[ranked] > low).all()


def pairs(discordant: int, mine: int, concordant: int):
    """Pairs of a joiner and another: ``mine`` of the discordant ones have the joiner's event."""
    total = discordant + concordant
    x = (np.arange(total) < mine).astype(float)
    y = ((np.arange(total) >= mine) & (np.arange(total) < discordant)).astype(float)
    return np.ones(total), x, np.ones(total), y


@pytest.mark.parametrize(("gamma", "published"), [(4, 0.0036), (5, 0.03), (6, 0.1)])
def test_matching__gamma_is_that_of_the_published_smokers(gamma, published):
    # Hammond's pairs of a heavy smoker and a man who never smoked: of 122 with one death of
    # lung cancer it is the smoker's in 110 (Rosenbaum 2002, table 4.1). The concordant pairs
    # say nothing.
    exact = binom.sf(109, 122, gamma / (1 + gamma))
    # The table takes the normal approximation and prints two digits.
    assert exact == pytest.approx(published, abs=0.007)
    got = bias_explained(*pairs(122, 110, 300), level=exact)
    assert got == pytest.approx(gamma, rel=1e-9)


def test_matching__gamma_bounds_every_hidden_cause():
    # Two strata, of 3 joins of the group among 7 and 2 among 4; whatever is hidden, any 0 or 1
    # for each join, weighs the draws of the group's joins by Gamma^(sum of it).
    strata = [(3, 3, 4, 1), (2, 2, 2, 0)]
    got = bias_explained(*np.array(strata, float).T, level=0.2)
    assert got > 1.2
    total = np.array([1.0])
    for n, x, m, y in strata:
        outcome = np.arange(n + m) < x + y
        worst = np.zeros(x + 1)
        for hidden in product([0, 1], repeat=n + m):
            weight = np.zeros(n + 1)
            for chosen in combinations(range(n + m), n):
                which = list(chosen)
                weight[outcome[which].sum()] += got ** sum(hidden[i] for i in which)
            upper = np.cumsum(weight[::-1])[::-1] / weight.sum()
            worst = np.maximum(worst, upper[: x + 1])
        theirs = nchypergeom_fisher(n + m, x + y, n, got)
        # None is worse than the one that goes with the outcome.
        assert worst == pytest.approx(theirs.sf(np.arange(x + 1) - 1))
        total = np.convolve(total, theirs.pmf(np.arange(n + 1)))
    # A bound of the exact upper tail.
    assert total[5:].sum() <= 0.2 + 1e-9
    assert total[5:].sum() > 0.1


def test_matching__gamma_stands_beside_calls_alone():
    joins = linked_log(3, users=1500, groups=8, days=300)
    targets = first_groups(joins, 2)
    d = gateway.detect(joins, targets, detector="matching", alpha=0.5)
    assert 0 < d.flagged.sum() < 6
    gamma = d.extra["gamma"]
    assert (np.isnan(gamma) == ~d.flagged).all()
    assert (gamma[d.flagged] > 1.0).all()
    # The smaller the p-value, the more bias a call stands.
    order = np.argsort(d.p_value[d.flagged])
    assert (np.diff(gamma[d.flagged][order]) <= 0).all()


def test_normal_prior__finds_mean_and_variance_of_simulated_effects():
    rng = np.random.default_rng(3)
    variance = rng.uniform(0.5, 2.0, 20_000)
    estimate = rng.normal(0.3, np.sqrt(0.7 + variance))
    mean, spread = normal_prior(estimate, variance)
    # Standard errors are about 0.01 and 0.02.
    assert (mean, spread) == pytest.approx((0.3, 0.7), abs=0.06)


# order -----------------------------------------------------------------------------------


def test_order__by_hand():
    """a: before for ann and bea, after for cat. b: before for ann; bea's tie says nothing."""
    d, at = found("order", log_of(CASE))
    assert [(d.n_joiners[at[g]], d.n_events[at[g]]) for g in "ab"] == [(3, 2), (1, 1)]
    # Of the joins that can be ordered, ann and bea have all before, cat all after.
    assert d.extra["expected_before"][at["a"]] == pytest.approx(2 / 3)


@given(st.integers(0, 100))
def test_order__counts_as_the_slow_twin(seed):
    joins = random_log(seed, users=15)
    targets = first_groups(joins, 2)
    d = gateway.detect(joins, targets, detector="order")
    for g in range(2, joins.n_groups):
        before, after = naive.before_and_after(joins, targets, g)
        assert (d.n_events[g], d.n_joiners[g]) == (before, before + after)
