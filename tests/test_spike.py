from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, betabinom, norm

import gateway
from gateway.detect import SpikeOptions, detect_spikes, find_spikes, rank_groups
from gateway.detect.significance import beta_prior, shrink_shares
from gateway.detect.spike import DEFAULT_THRESHOLD, _p_values
from gateway.errors import GatewayError
from gateway.score import LogisticScorer, score_joins
from tests import naive
from tests.worlds import first_groups, linked_log

RULES = ("absolute", "log_odds", "own_history", "standardised")


@pytest.fixture(scope="module")
def found():
    joins = linked_log(2, users=300)
    targets = first_groups(joins, 2)
    return joins, targets, score_joins(joins, targets, horizon=10)


def options(**changes):
    return SpikeOptions(**{"min_joiners": 5, "min_spiking": 1, **changes})


def test_detect_spikes__sums_equal_the_twin(found):
    joins, targets, scores = found
    d = detect_spikes(joins, targets, scores, options=options(p_value="normal"))
    p, jump = scores.prefixes, scores.after - scores.before
    spike = find_spikes(scores, options=options())
    counts, sums = naive.add_by_group(
        p.group, spike, jump, p.label, scores.expected, joins.n_groups
    )
    np.testing.assert_array_equal(d.n_joiners, counts[:, 0])
    np.testing.assert_array_equal(d.n_events, counts[:, 1])
    np.testing.assert_array_equal(d.extra["n_resolved"], counts[:, 2])
    c = d.candidate
    counts, sums = counts[c], sums[c]
    # The same sums in another order.
    np.testing.assert_allclose(d.extra["mean_jump"][c], sums[:, 0] / counts[:, 0], rtol=1e-10)
    surplus = counts[:, 3] - sums[:, 1]
    np.testing.assert_allclose(
        d.extra["realised_effect"][c], surplus / counts[:, 2], rtol=1e-9, atol=1e-12
    )
    t = surplus / np.sqrt(sums[:, 2])
    np.testing.assert_allclose(d.extra["statistic"][c], t, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(d.p_value[c], norm.sf(t), rtol=1e-9)


def test_rules__by_hand(found):
    _, _, scores = found
    p = scores.prefixes
    jump = scores.after - scores.before
    odds = np.log(scores.after / (1 - scores.after)) - np.log(scores.before / (1 - scores.before))
    expected = {
        "absolute": jump > 0.05,
        "log_odds": odds > np.log(2),
        "own_history": (naive.own_history_z(p, jump, 3) > 3.5) & (jump > 0),
    }
    for rule, want in expected.items():
        np.testing.assert_array_equal(find_spikes(scores, options=options(rule=rule)), want)
    assert expected["absolute"].any()
    assert expected["own_history"].any()
    assert DEFAULT_THRESHOLD["log_odds"] == np.log(2)


def test_standardised__is_z_within_cells(found):
    _, _, scores = found
    p, jump = scores.prefixes, scores.after - scores.before
    edges = [1, 2, 3, 4, 6, 9, 13, 20, 40]
    position = np.array([sum(e <= b for e in edges) for b in p.blocks_before()])
    cuts = np.unique(np.quantile(scores.before, np.arange(1, 10) / 10))
    decile = np.array([sum(c < x for c in cuts) for x in scores.before])
    z = np.zeros(len(jump))
    for cell in {*zip(position, decile, strict=True)}:
        at = (position == cell[0]) & (decile == cell[1])
        if at.sum() > 1 and jump[at].std() > 0:
            z[at] = (jump[at] - jump[at].mean()) / jump[at].std(ddof=1)
    # What the joiners of a group in a fold have in common goes; the group's mean stays.
    fold, alone = scores.fold[p.user()], z.copy()
    for g in np.unique(p.group):
        for k in np.unique(fold):
            at = (p.group == g) & (fold == k)
            if at.any():
                z[at] += alone[p.group == g].mean() - alone[at].mean()
    want = (z >= np.quantile(z, 0.95)) & (z > 0) & (jump > 0)
    got = find_spikes(scores, options=options())
    # Equal but where rounding decides a tie with the quantile itself.
    assert (got != want).sum() <= 1
    assert 0.02 < got.mean() < 0.06


@pytest.mark.parametrize("rule", ["absolute", "log_odds", "own_history"])
def test_threshold__a_higher_one_gives_fewer_spikes(found, rule):
    _, _, scores = found
    low = find_spikes(scores, options=options(rule=rule, threshold=0.01))
    high = find_spikes(scores, options=options(rule=rule, threshold=0.2))
    assert high.sum() < low.sum()
    assert not (high & ~low).any()


@pytest.mark.parametrize("rule", RULES)
def test_rules__a_fall_is_no_spike(found, rule):
    """Even where every join lowers the probability, and some lower it less than others."""
    _, _, scores = found
    fallen = dataclasses.replace(scores, after=scores.before * (0.5 + 0.4 * scores.after))
    assert not find_spikes(fallen, options=options(rule=rule)).any()


def test_beta_prior__recovers_a_planted_prior():
    rng = np.random.default_rng(0)
    n = rng.integers(20, 400, size=4_000)
    k = betabinom(n, 2.0, 6.0).rvs(random_state=rng)
    a, b = beta_prior(k, n)
    # 4,000 groups: the moments' standard error is about 3 % of each parameter.
    np.testing.assert_allclose([a, b], [2.0, 6.0], rtol=0.12)


def test_shrink_shares__are_those_of_every_group_for_itself():
    """The posterior of each group is the oracle."""
    rng = np.random.default_rng(3)
    n = rng.integers(1, 12, 300)
    k = rng.binomial(n, 0.3)
    among = n >= 4
    a, b = beta_prior(k[among], n[among])
    got = shrink_shares(k, n, among=among)
    for g in range(len(n)):
        posterior = beta(k[g] + a, n[g] - k[g] + b)
        assert got[g] == pytest.approx(posterior.mean(), rel=1e-13)


def test_beta_prior__of_equal_shares_shrinks_fully():
    n = np.full(50, 100)
    a, b = beta_prior(np.full(50, 30), n)
    assert abs(a / (a + b) - 0.3) < 1e-9
    assert a + b > 1e5


def test_score__lies_between_the_share_and_the_pooled_share(found):
    joins, targets, scores = found
    d = detect_spikes(joins, targets, scores, options=options())
    ranked = d.rank > 0
    pooled = d.n_events[ranked].sum() / d.n_joiners[ranked].sum()
    share = d.n_events[ranked] / d.n_joiners[ranked]
    low = np.minimum(share, pooled) - 1e-12
    high = np.maximum(share, pooled) + 1e-12
    assert ((d.score[ranked] >= low) & (d.score[ranked] <= high)).all()


def test_interval__is_above_no_effect_just_where_the_p_value_is_small(found):
    """Both ends are the test turned round: an interval at 95 % leaves .025 on either side."""
    joins, targets, scores = found
    d = detect_spikes(joins, targets, scores, options=options())
    ranked = d.rank > 0
    above = d.p_value[ranked] < 0.025
    assert np.array_equal(d.ci_low[ranked] > 0, above)
    assert above.any()
    assert not above.all()


@given(st.lists(st.floats(0.01, 0.5), min_size=3, max_size=40), st.data())
def test_binomial_tail__bounds_the_exact_one(p, data):
    """Hoeffding (1956): an upper bound wherever the sum exceeds its mean by one."""
    p = np.array(p)
    lowest = int(np.ceil(p.sum() + 1))
    if lowest > len(p):
        return
    k = data.draw(st.integers(lowest, len(p)))
    one = np.array([k]), np.array([len(p)]), np.array([p.sum()]), np.zeros(1)
    got = _p_values(*one, "binomial")[0]
    exact = naive.poisson_binomial_tail(p, k)
    assert got >= exact * (1 - 1e-9)


def test_normal_tail__is_too_short_where_few_outcomes_are_expected():
    """Why the binomial bound is the default: 100 joiners at 1 %, 6 outcomes."""
    p = np.full(100, 0.01)
    t = (6 - 1) / np.sqrt((p * (1 - p)).sum())
    exact = naive.poisson_binomial_tail(p, 6)
    assert norm.sf(t) < exact / 1000
    one = np.array([6]), np.array([100]), np.array([1.0]), np.array([t])
    # All p equal: the bound is the exact tail.
    np.testing.assert_allclose(_p_values(*one, "binomial")[0], exact, rtol=1e-9)


def test_no_spike_at_all__leaves_every_group_tied(found):
    joins, targets, scores = found
    d = detect_spikes(joins, targets, scores, options=options(rule="absolute", threshold=2.0))
    assert (d.n_events == 0).all()
    assert set(d.rank[d.rank > 0].tolist()) == {1}


def test_min_joiners__leaves_small_groups_unranked_and_untested(found):
    joins, targets, scores = found
    sizes = np.sort(detect_spikes(joins, targets, scores, options=options()).n_joiners)
    d = detect_spikes(joins, targets, scores, options=options(min_joiners=int(sizes[-3])))
    small = d.n_joiners < sizes[-3]
    assert (d.rank[small] == 0).all()
    assert np.isnan(d.q_value[small]).all()
    assert not d.flagged[small].any()
    assert (d.rank[~small & d.candidate] > 0).all()


def test_min_spiking__guards_the_flag(found):
    joins, targets, scores = found
    changes = {"alpha": 0.999, "min_joiners": 40}
    loose = detect_spikes(joins, targets, scores, options=options(**changes))
    tight = detect_spikes(joins, targets, scores, options=options(min_spiking=40, **changes))
    assert (loose.n_joiners[loose.flagged] >= 40).all()
    assert (loose.n_events < 40).all()
    assert loose.flagged.any()
    assert not tight.flagged.any()


def test_targets__are_never_candidates(found):
    joins, targets, scores = found
    table = detect_spikes(joins, targets, scores, options=options()).to_arrow()
    assert not set(table["group"].to_pylist()) & set(targets.names(joins))
    assert table.num_rows == joins.n_groups - 2


@pytest.mark.parametrize("rule", RULES)
def test_detection__is_invariant_to_renumbering_given_scores(found, rule):
    """Users in another order, groups under other ids: the same finding for each group."""
    joins, targets, scores = found
    rng = np.random.default_rng(0)
    p = scores.prefixes
    new_id = rng.permutation(joins.n_groups).astype(np.int32)
    order = rng.permutation(joins.n_users)
    rows = np.concatenate([np.arange(p.offsets[u], p.offsets[u + 1]) for u in order])
    offsets = np.concatenate([[0], np.cumsum(np.diff(p.offsets)[order])])
    moved = dataclasses.replace(
        p, offsets=offsets, group=new_id[p.group[rows]], time=p.time[rows],
        starts_block=p.starts_block[rows], ends_block=p.ends_block[rows], label=p.label[rows],
    )  # fmt: skip
    arrays = {name: getattr(scores, name)[rows] for name in ("before", "after", "expected")}
    arrays["fold"] = scores.fold[order]
    back = np.argsort(new_id)
    a = detect_spikes(joins, targets, scores, options=options(rule=rule))
    mask = dataclasses.replace(targets, mask=targets.mask[back])
    b = detect_spikes(
        joins, mask, dataclasses.replace(scores, prefixes=moved, **arrays),
        options=options(rule=rule),
    )  # fmt: skip
    np.testing.assert_array_equal(a.n_events, b.n_events[new_id])
    np.testing.assert_array_equal(a.rank, b.rank[new_id])
    # Sums run in another order.
    np.testing.assert_allclose(a.score, b.score[new_id], rtol=1e-9)
    c = a.candidate
    np.testing.assert_allclose(a.p_value[c], b.p_value[new_id][c], rtol=1e-7)


def test_rank__ties_share_a_rank():
    got = rank_groups(np.array([0.5, 0.7, 0.5, 0.1]), np.array([True, True, True, True]))
    assert got.tolist() == [2, 1, 2, 4]


def test_package__is_the_function(found):
    joins, targets, scores = found
    expected = detect_spikes(joins, targets, scores, options=options()).to_arrow()
    got = gateway.detect(joins, targets, scores=scores, min_joiners=5, min_spiking=1)
    assert got.to_arrow().equals(expected)
    assert got.to_pandas()["group"].tolist() == expected["group"].to_pylist()
    assert got.to_polars()["rank"].to_list() == expected["rank"].to_pylist()


def test_detection_and_log__say_what_they_are_in_a_line(found):
    joins, targets, scores = found
    d = detect_spikes(joins, targets, scores, options=options())
    assert repr(d).startswith("<Detection by spike: 10 groups ranked")
    assert repr(joins).startswith("<JoinLog: ")
    assert "\n" not in repr(d) + repr(joins)


def test_package__says_what_is_wrong_with_its_arguments(found):
    joins, targets, _ = found
    with pytest.raises(GatewayError, match="every target must be a group of the log"):
        gateway.detect(joins, ["no such group"])
    with pytest.raises(GatewayError, match=r"horizon: .* a whole number of ticks; got 0\.5"):
        gateway.detect(joins, targets, horizon=0.5)


def test_package__refuses_what_it_does_not_know(found):
    joins, targets, scores = found
    with pytest.raises(GatewayError, match=r"must be a function or one of spike, .*; got 'spikes'"):
        gateway.detect(joins, targets, detector="spikes", scores=scores)
    with pytest.raises(GatewayError, match=r"quantle is not a known key \(did you mean 'quan"):
        gateway.detect(joins, targets, scores=scores, quantle=0.5)


def plain_null(rng, users):
    """Who joins what when, where nothing is true."""
    n = rng.poisson(rng.lognormal(1.6, 0.8, users))
    user = np.repeat(np.arange(users), n)
    return user, rng.integers(0, 300, len(user))


def bursty_null(rng, users):
    """The same with sessions: several joins on one tick, more of them for some users."""
    n = rng.poisson(rng.lognormal(0.7, 0.6, users))
    session = np.repeat(np.arange(users), n)
    time = rng.integers(0, 300, len(session))
    size = 1 + rng.poisson(rng.gamma(1.0, 1.5, users)[session])
    return np.repeat(session, size), np.repeat(time, size)


def level(seed, *, null=plain_null, p_value="binomial", users=6_000):
    """Tested groups, p < .05, and calls at q < .05 in a log where nothing is true."""
    rng = np.random.default_rng(seed)
    user, time = null(rng, users)
    popularity = rng.lognormal(0, 1.2, 300)
    group = rng.choice(300, size=len(user), p=popularity / popularity.sum())
    joins = gateway.JoinLog.from_arrays(user, group, time)
    targets = first_groups(joins, 12)
    scores = score_joins(joins, targets, horizon=100, scorer=LogisticScorer(penalty=300.0))
    d = detect_spikes(joins, targets, scores, options=SpikeOptions(p_value=p_value))
    tested = ~np.isnan(d.p_value)
    return tested.sum(), (d.p_value[tested] < 0.05).sum(), (d.q_value[tested] < 0.05).sum()


@pytest.mark.compiled
@pytest.mark.parametrize("null", [plain_null, bursty_null])
def test_T_g__keeps_its_level_where_nothing_is_true(null):
    tested, small, called = np.sum([level(seed, null=null) for seed in range(3)], axis=0)
    assert tested > 500
    # At most 5 % plus four binomial standard errors; the bound itself gives about 3 %.
    assert small / tested < 0.05 + 4 * np.sqrt(0.05 * 0.95 / tested)
    assert called <= 1


@pytest.mark.compiled
def test_T_g__normal_tail_gives_smaller_p_values():
    """It is there to compare: it is too short, see the docstring of detect_spikes."""
    _, bound, _ = level(0)
    _, normal, _ = level(0, p_value="normal")
    assert normal > bound


@pytest.mark.slow
@pytest.mark.parametrize("null", [plain_null, bursty_null])
def test_T_g__keeps_its_level_over_forty_null_worlds(null):
    counts = np.array([level(seed, null=null) for seed in range(100, 140)])
    tested, small, _ = counts.sum(axis=0)
    assert small / tested < 0.05 + 4 * np.sqrt(0.05 * 0.95 / tested)
    # Under the null any call is false: BH at 5 % calls something in at most 5 % of worlds.
    # Of 40 worlds at 5 %, 6 or more have probability 0.014.
    assert (counts[:, 2] > 0).sum() < 6
