from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import norm
from scipy.stats.contingency import odds_ratio

from gateway.analyses import common_odds_ratio, explain_group, explain_top
from gateway.analyses.explanation import EXPLANATIONS_SCHEMA, _look_alike
from gateway.analyses.look_alike import Histories
from gateway.detect import SpikeOptions, detect_spikes, find_spikes
from gateway.detect.chain import build_chain
from gateway.errors import GatewayError
from gateway.log.join_log import JoinLog
from gateway.report import render_report
from gateway.report.latex import tex_tables
from gateway.score import build_prefixes, score_joins
from gateway.targets import TargetSet
from tests.result_tables import result_tables
from tests.worlds import first_groups, linked_log, small_config


@pytest.fixture(scope="module")
def found():
    joins = linked_log(4, users=400)
    targets = first_groups(joins, 2)
    scores = score_joins(joins, targets, horizon=15)
    return joins, targets, scores, find_spikes(scores, options=SpikeOptions())


def name_of(joins, g):
    return joins.groups[g].as_py()


def test_explanation__counts_what_the_scores_hold(found):
    joins, _, scores, spike = found
    why = explain_group(*found, group=name_of(joins, 4))
    rows = scores.prefixes
    mine = rows.group == 4
    assert (why.n_joiners, why.n_events) == (mine.sum(), (mine & spike).sum())
    assert why.observed == (mine & (rows.label == 1)).sum()
    assert why.expected == pytest.approx(scores.expected[mine & (rows.label >= 0)].sum())
    assert why.n_members == joins.sizes()[4] >= why.n_joiners


def test_event_study__is_the_mean_over_users_block_by_block(found):
    joins, _, scores, _ = found
    why = explain_group(*found, group=name_of(joins, 4))
    rows, user = scores.prefixes, scores.prefixes.user()
    blocks = rows.blocks_before()
    for offset in (-2, -1, 0, 3):
        values = []
        for i in np.flatnonzero(rows.group == 4):
            there = (user == user[i]) & (blocks == blocks[i] + offset) & rows.ends_block
            values.extend(scores.at_end[there].tolist())
        (row,) = [r for r in why.event_study.to_pylist() if r["offset"] == offset]
        assert row["n_users"] == len(values)
        assert row["mean"] == pytest.approx(np.mean(values))
        half = 1.96 * np.std(values, ddof=1) / np.sqrt(len(values))
        assert row["ci_high"] - row["mean"] == pytest.approx(half)


def test_event_study__jumps_at_a_group_that_leads_to_targets(found):
    study = explain_group(*found, group=name_of(found[0], 4)).event_study
    mean = {row["offset"]: row["mean"] for row in study.to_pylist()}
    assert mean[0] > mean[-1]


def test_look_alike_check__by_hand():
    """Ann and bea tell: 1 of 3 joins before and 1 of 2 after; 0 of 1 and 1 of 2.

    Of cat nothing stands after a, her tie with t is neither; dan never joined it; eve's
    joins are all of targets, fay's none: where they stand says nothing.
    """
    rows = [
        ("ann", "b", 0), ("ann", "s", 2), ("ann", "c", 2), ("ann", "a", 4), ("ann", "t", 8),
        ("ann", "d", 9),
        ("bea", "b", 0), ("bea", "a", 1), ("bea", "t", 5), ("bea", "c", 5),
        ("cat", "s", 2), ("cat", "b", 3), ("cat", "a", 6), ("cat", "t", 6),
        ("dan", "t", 10), ("dan", "b", 11),
        ("eve", "s", 3), ("eve", "a", 9), ("eve", "t", 10),
        ("fay", "b", 3), ("fay", "a", 9), ("fay", "c", 10),
    ]  # fmt: skip
    user, group, time = zip(*rows, strict=True)
    joins = JoinLog.from_arrays(list(user), list(group), list(time))
    targets = TargetSet(np.isin(joins.groups.to_pylist(), ["s", "t"]), "s and t")
    histories = Histories(joins, targets, build_prefixes(joins, targets))
    assert [x.tolist() for x in histories.around(0)] == [
        [3, 1, 2, 1, 1], [2, 2, 0, 1, 1], [1, 0, 1, 1, 0], [1, 1, 0, 1, 0],
    ]  # fmt: skip
    got = _look_alike(histories, 0)
    assert (got.n_informative, got.joins_before, got.joins_after) == (2, 4, 4)
    assert (got.targets_before, got.targets_after) == (1, 2)
    assert got.expected == pytest.approx(2 * 2 / 5 + 1 * 2 / 3)
    # At odds ratio r, ann has 0, 1, 2 after with weights 3, 6 r, r^2, and bea 0, 1 with 1, 2 r.
    r = got.ratio
    assert (6 * r + 2 * r**2) / (3 + 6 * r + r**2) + 2 * r / (1 + 2 * r) == pytest.approx(2)
    assert got.ci_low < got.ratio < got.ci_high


def tables(seed, *, users=60, most=7):
    """Joins before and after of some users, of targets in any proportion."""
    rng = np.random.default_rng(seed)
    before, after = rng.integers(0, most, (2, users))
    names = ("joins_before", "joins_after", "targets_before", "targets_after")
    return dict(
        zip(
            names, (before, after, rng.binomial(before, 0.3), rng.binomial(after, 0.4)), strict=True
        )
    )


@pytest.mark.parametrize("seed", range(5))
def test_odds_ratio__agrees_with_statsmodels(seed):
    from statsmodels.discrete.conditional_models import ConditionalLogit
    from statsmodels.stats.contingency_tables import StratifiedTable

    given = tables(seed)
    m0, m1, b, a = given.values()
    got = common_odds_ratio(**given)
    # One observation to a join: was it after, was it of a target?
    is_after = np.concatenate([np.repeat([0, 1], [i, j]) for i, j in zip(m0, m1, strict=True)])
    is_target = np.concatenate(
        [np.repeat([1, 0, 1, 0], [y, i - y, x, j - x]) for i, j, y, x in zip(*given.values(),
                                                                          strict=True)]
    )  # fmt: skip
    user = np.repeat(np.arange(len(m0)), m0 + m1)
    mixed = np.isin(user, np.flatnonzero((a + b > 0) & (a + b < m0 + m1)))
    fit = ConditionalLogit(is_target[mixed], is_after[mixed, None], groups=user[mixed]).fit(disp=0)
    # The oracle's optimiser, which has only gradients, stops early.
    assert np.log(got.ratio) == pytest.approx(fit.params[0], abs=1e-3)
    open_ = (m0 > 0) & (m1 > 0)
    strata = np.array([[a, m1 - a], [b, m0 - b]])[:, :, open_].astype(float)
    oracle = StratifiedTable(strata)
    # Another estimator of the same ratio: near it, well within its interval.
    assert np.log(got.ratio) == pytest.approx(oracle.logodds_pooled, abs=0.1)
    assert np.log([got.ci_low, got.ci_high]) == pytest.approx(
        oracle.logodds_pooled_confint(), abs=0.15
    )
    # The interval ends at 1 just where the test of Mantel and Haenszel has p = 5 %.
    p = oracle.test_null_odds(correction=False).pvalue
    assert (p < 0.05) == (got.ci_low > 1 or got.ci_high < 1)


def test_odds_ratio__of_one_user_is_scipys_and_its_interval_is_the_score_test():
    one = {"joins_before": 30, "joins_after": 20, "targets_before": 6, "targets_after": 9}
    got = common_odds_ratio(**{key: np.array([n]) for key, n in one.items()})
    expected = odds_ratio([[9, 11], [6, 24]], kind="conditional").statistic
    assert got.ratio == pytest.approx(expected, rel=1e-5)
    assert got.expected == pytest.approx(15 * 20 / 50)
    from scipy.stats import nchypergeom_fisher

    for end, side in ((got.ci_low, 1), (got.ci_high, -1)):
        mean, variance = nchypergeom_fisher.stats(50, 15, 20, end, moments="mv")
        assert (9 - mean) / np.sqrt(variance) == pytest.approx(side * norm.ppf(0.975), abs=1e-6)


def test_odds_ratio__of_empty_cells_has_an_open_end():
    one = np.ones(5, np.int64)
    after = common_odds_ratio(
        joins_before=one, joins_after=one, targets_before=0 * one, targets_after=one
    )
    assert (after.ratio, after.ci_high) == (np.inf, np.inf)
    # All n on one side: Wilson's interval of the share n / n begins at n / (n + z^2).
    assert after.ci_low == pytest.approx(5 / norm.ppf(0.975) ** 2)
    before = common_odds_ratio(
        joins_before=one, joins_after=one, targets_before=one, targets_after=0 * one
    )
    assert (before.ci_low, before.ratio) == (0, 0)
    assert before.ci_high == pytest.approx(1 / after.ci_low)


def test_odds_ratio__of_nothing_is_not_a_number():
    one = np.ones(3, np.int64)
    for change in ({"joins_before": 0 * one, "targets_before": 0 * one}, {"targets_after": 0 * one},
                   {"targets_before": one, "targets_after": 2 * one}):  # fmt: skip
        given = {"joins_before": one, "joins_after": 2 * one, "targets_before": 0 * one,
                 "targets_after": one} | change  # fmt: skip
        got = common_odds_ratio(**given)
        assert got.n_informative == 0
        assert np.isnan([got.ratio, got.ci_low, got.ci_high]).all()


@pytest.mark.parametrize("days", [400, 12])
def test_look_alike_check__is_right_where_groups_are_drawn_at_random(days):
    """Nothing is true, with few ties and with many: a ratio of 1, and 5 % of intervals without it.

    Users differ in how many joins they make and when the first is, not in which. Standard
    errors over the 600 groups: .009 of the share; of the median .013.
    """
    found = []
    for seed in range(20):
        rng = np.random.default_rng([seed, days])
        size = rng.geometric(0.25, 1_500)
        user = np.repeat(np.arange(1_500), size)
        begin = rng.integers(0, days, 1_500)[user]
        time = begin + rng.integers(0, days - begin)
        joins = JoinLog.from_arrays(user, rng.integers(0, 300, len(user)), time)
        targets = first_groups(joins, 60)
        histories = Histories(joins, targets, build_prefixes(joins, targets))
        top = np.argsort(-np.where(targets.mask, 0, joins.sizes()), kind="stable")[:30]
        found += [_look_alike(histories, int(g)) for g in top]
    ratio, low, high = np.array([(c.ratio, c.ci_low, c.ci_high) for c in found]).T
    assert ((low <= ratio) & (ratio <= high)).all()
    assert np.median(ratio) == pytest.approx(1, abs=0.08)
    assert np.mean((low > 1) | (high < 1)) == pytest.approx(0.05, abs=0.03)


def test_next_groups__shares_are_of_all_next_joins(found):
    joins, targets, *_ = found
    rows = explain_group(*found, group=name_of(joins, 4)).next_groups.to_pylist()
    assert rows == sorted(rows, key=lambda r: -r["n_joins"])
    assert sum(r["share"] for r in rows) <= 1 + 1e-12
    (target,) = [r for r in rows if r["is_target"]]
    # Half of its joiners go on to a target within 8 days.
    assert target["lift"] > 1.2
    assert not {r["next_group"] for r in rows} & {*targets.names(joins), name_of(joins, 4)}


@pytest.mark.parametrize("ticks_per_join", [1, 4])
def test_histories__count_next_joins_as_the_chain_does(ticks_per_join):
    """The chain of all joins is the oracle; coarser time makes more and larger ties."""
    fine = linked_log(4, users=150)
    user, group = (np.array(column) for column in (fine.user(), fine.group))
    joins = JoinLog.from_arrays(user, group, np.array(fine.time) // ticks_per_join)
    targets = first_groups(joins, 2)
    chain = build_chain(joins, targets)
    histories = Histories(joins, targets, build_prefixes(joins, targets, horizon=15))
    for g in np.flatnonzero(~targets.mask):
        expected = np.append(chain.moves[[g], :].toarray()[0], chain.to_target[g])
        np.testing.assert_allclose(histories.next_of(g), expected, rtol=0, atol=1e-12)
    expected = np.append(np.asarray(chain.moves.sum(axis=0)), chain.to_target.sum())
    np.testing.assert_allclose(histories.next_of_all, expected, rtol=0, atol=1e-9)


def test_explain__refuses_targets_and_strangers(found):
    joins = found[0]
    with pytest.raises(GatewayError, match="must not be a target group"):
        explain_group(*found, group=name_of(joins, 0))
    with pytest.raises(GatewayError, match=r"must be a group of the log.*did you mean"):
        explain_group(*found, group="g000004")


def test_explain_top__has_the_first_groups_in_order(found):
    d = detect_spikes(*found[:3], options=SpikeOptions(min_joiners=5))
    rows = explain_top(*found, d, count=4).to_pylist()
    assert [row["rank"] for row in rows] == sorted(row["rank"] for row in rows)
    assert [row["group"] for row in rows] == d.to_arrow()["group"].to_pylist()[:4]
    why = explain_group(*found, group=rows[0]["group"])
    assert rows[0]["observed"] == why.observed
    assert rows[0]["odds_ratio"] == why.look_alike.ratio
    assert rows[0]["next_group"] in why.next_groups["next_group"].to_pylist()


def test_report__explains_hostile_names_safely():
    row = dict.fromkeys(EXPLANATIONS_SCHEMA.names) | {
        "rank": 1, "group": "<script>x</script>", "n_joiners": 3, "observed": 1,
        "odds_ratio": 2.5, "ci_low": 1.5, "ci_high": float("inf"),
    }  # fmt: skip
    tables = {**result_tables(), "explanations": pa.Table.from_pylist([row], EXPLANATIONS_SCHEMA)}
    page = render_report(tables, {}, config_toml="", provenance={}, title="t")
    assert "Why these groups" in page
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page
    assert "[1.50, \N{INFINITY}]" in page
    assert r"1.50, $\infty$]" in tex_tables(tables)["reasons"]


@pytest.mark.compiled
def test_command__explains_a_stored_result(tmp_path, capsys):
    from gateway.cli.folders import explain_and_show
    from gateway.pipeline import execute

    result = execute(small_config(), folder=tmp_path / "r")
    top = result.table("gateways").to_pylist()[0]
    explain_and_show(tmp_path / "r", top["group"], threads=1, as_json=True)
    got = json.loads(capsys.readouterr().out)
    assert got["ranks"][0]["rank"] == top["rank"] == 1
    assert (got["n_joiners"], got["n_events"]) == (top["n_joiners"], top["n_events"])
    explain_and_show(tmp_path / "r", top["group"], threads=1, as_json=False)
    said = capsys.readouterr().out
    assert "look-alike check" in said
    assert "Joined next" in said
