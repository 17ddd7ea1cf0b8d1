from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binomtest

from gateway.analyses import explain_group, explain_top, rate_ratio
from gateway.analyses.explanation import EXPLANATIONS_SCHEMA, _before_and_after
from gateway.analyses.histories import Histories
from gateway.detect import SpikeOptions, detect_spikes, find_spikes
from gateway.detect.chain import build_chain
from gateway.errors import GatewayError
from gateway.joins import JoinLog
from gateway.report import render_report
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
    """ann: a target before and one after; bea: one after; cat: a tie, which is neither."""
    rows = [
        ("ann", "b", 0), ("ann", "s", 2), ("ann", "a", 4), ("ann", "t", 8),
        ("bea", "a", 1), ("bea", "t", 5),
        ("cat", "b", 2), ("cat", "a", 6), ("cat", "t", 6),
        ("dan", "t", 10), ("eve", "b", 3), ("eve", "a", 9),
    ]  # fmt: skip
    user, group, time = zip(*rows, strict=True)
    joins = JoinLog.from_arrays(list(user), list(group), list(time))
    targets = TargetSet(np.isin(joins.groups.to_pylist(), ["s", "t"]), "s and t")
    histories = Histories(joins, targets, build_prefixes(joins, targets))
    got = _before_and_after(histories, 0)
    assert (got.before, got.after) == (1, 2)
    assert (got.ticks_before, got.ticks_after) == (4 + 0 + 4 + 6, 6 + 9 + 4 + 1)
    assert got.ratio == pytest.approx((2 / 20) / (1 / 14))


@pytest.mark.parametrize(("before", "after"), [(0, 3), (4, 0), (2, 9)])
def test_rate_ratio__interval_is_scipys_for_the_share(before, after):
    got = rate_ratio(before=before, after=after, ticks_before=30, ticks_after=50)
    exact = binomtest(after, before + after).proportion_ci(method="exact")
    share = [r * 50 / (r * 50 + 30) if np.isfinite(r) else 1.0 for r in (got.ci_low, got.ci_high)]
    assert share == pytest.approx([exact.low, exact.high], abs=1e-9)


def test_rate_ratio__of_nothing_is_not_a_number():
    assert np.isnan(rate_ratio(before=0, after=0, ticks_before=3, ticks_after=3).ratio)
    assert np.isnan(rate_ratio(before=1, after=2, ticks_before=0, ticks_after=3).ratio)


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
    assert rows[0]["rate_ratio"] == why.look_alike.ratio
    assert rows[0]["next_group"] in why.next_groups["next_group"].to_pylist()


def test_report__explains_hostile_names_safely():
    row = dict.fromkeys(EXPLANATIONS_SCHEMA.names) | {
        "rank": 1, "group": "<script>x</script>", "n_joiners": 3, "observed": 1,
    }  # fmt: skip
    tables = {**result_tables(), "explanations": pa.Table.from_pylist([row], EXPLANATIONS_SCHEMA)}
    page = render_report(tables, {}, config_toml="", provenance={}, title="t")
    assert "Why these groups" in page
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page


@pytest.mark.compiled
def test_command__explains_a_stored_result(tmp_path, capsys):
    from gateway.cli.explaining import explain_and_show
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
