"""What a check measures, sums up, says and stores."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
import tomli_w

import gateway
from gateway.check import (
    LOGS,
    QUICK,
    THOROUGH,
    Design,
    fails,
    limits_of,
    logs_of,
    measure_log,
    paragraph_of,
    permute_few,
    sample_users,
    summarise_check,
    verdict_of_check,
)
from gateway.check.measuring import precision_by_chance
from gateway.check.summary import least_ratio
from gateway.config import parse_config
from gateway.config.swept import CheckSection
from gateway.detect import detect, measure_of
from gateway.errors import GatewayError
from gateway.evaluate import average_precision
from gateway.log.join_log import JoinLog
from gateway.publish import redraw, run
from gateway.score import assign_folds
from gateway.sweep import EngineOptions, check_plan, run_sweep
from gateway.targets import TargetSet
from tests.study_tables import check_table
from tests.worlds import linked_log

SMALL = Design(nulls=2, placebos=1, ratios=(6.0,), plantings=1, aligned=0, by_size=0)
SUMMARY = {"n_joins": "45583", "n_users": "24631", "n_groups": "602", "n_targets": "100"}


def log_and_targets() -> tuple[JoinLog, TargetSet]:
    joins = linked_log(4, users=400, groups=16, days=200)
    return joins, TargetSet(np.arange(16) < 3, "three groups")


def fast(joins: JoinLog, targets: TargetSet):
    names = ("frequentist", "order")
    return {name: detect(joins, targets, detector=name, min_joiners=5) for name in names}


def value(table: pa.Table, **keys: object) -> tuple[float, float, float, int]:
    (row,) = [r for r in table.to_pylist() if all(r[k] == v for k, v in keys.items())]
    return row["value"], row["ci_low"], row["ci_high"], row["n"]


# What is measured of one log ----------------------------------------------------------------


@pytest.mark.parametrize("log", LOGS)
def test_measure_log__counts_what_the_detectors_say(log):
    joins, targets = log_and_targets()
    section = CheckSection(log=log, ratio=6.0, gateways=3, min_joiners=5)
    got = measure_log(joins, targets, section, seed=3, run=fast)
    rows = {(r["detector"], r["metric"]): r["value"] for r in got.evaluation.to_pylist()}
    assert set(got.evaluation["truth"].to_pylist()) == {log}
    tested = rows["frequentist", "n_tested"]
    assert 0 < tested <= 13
    if log == "time_reversed":
        assert (
            rows["frequentist", "n_forwards"] == fast(joins, targets)["frequentist"].flagged.sum()
        )
        assert -1.0 <= rows["frequentist", "rank_correlation"] <= 1.0
    else:
        assert 0 <= rows["frequentist", "n_flagged"] <= rows["frequentist", "n_small_q"] <= tested
        # A detector that does not hold its level flags nobody, whatever its p-values.
        assert rows["order", "n_flagged"] == 0
    key = "n_forwards" if log == "time_reversed" else "n_flagged"
    assert got.calls.num_rows == rows["frequentist", key]
    if log == "planted":
        assert got.planted is not None
        assert int(got.summary["n_added"]) == sum(got.planted["added"].to_pylist()) > 0
        assert set(got.planted["role"].to_pylist()) == {"influence"}
        hits = set(got.calls["group"].to_pylist()) & set(got.planted["group"].to_pylist())
        assert len(hits) == rows["frequentist", "n_found"]
        assert rows["frequentist", "n_planted"] == 3
        assert 0.0 < rows["frequentist", "average_precision"] <= 1.0
        # Three of thirteen in a random order, by the sum over positions.
        mean = sum((1 + (i - 1) * 2 / 12) / i for i in range(1, 14)) / 13
        assert rows["frequentist", "precision_by_chance"] == pytest.approx(mean)
    else:
        assert got.planted is None


@pytest.mark.parametrize(("n", "k"), [(5, 2), (6, 1), (4, 4)])
def test_precision_by_chance__is_the_mean_over_all_orders(n, k):
    places = np.array(list(combinations(range(n), k)))
    score = -np.arange(n, dtype=float)
    every = [average_precision(score, np.isin(np.arange(n), place)) for place in places]
    assert precision_by_chance(n, k) == pytest.approx(np.mean(every), rel=1e-12)


def test_measure_log__counts_intervals_that_hold_no_effect():
    joins, targets = log_and_targets()
    section = CheckSection(log="permuted_within_users")
    got = measure_log(joins, targets, section, seed=3, run=fast).evaluation.to_pylist()
    rows = {r["metric"]: r["value"] for r in got if r["detector"] == "order"}
    assert rows["n_intervals"] == 13
    assert 11 <= rows["n_holding"] <= 13


def test_measure_log__plants_into_the_permuted_log_where_asked():
    joins, targets = log_and_targets()
    section = CheckSection(log="planted", ratio=6.0, gateways=3, min_joiners=5, permuted=True)
    seen = []

    def run(log: JoinLog, whose: TargetSet):
        seen.append(log)
        return fast(log, whose)

    got = measure_log(joins, targets, section, seed=3, run=run)
    (log,) = seen
    was, before = (set(zip(j.user(), j.group, j.time, strict=True)) for j in (log, joins))
    # What each user joins stays, when does not; what is added is of targets.
    assert {(u, g) for u, g, _ in before} < {(u, g) for u, g, _ in was}
    assert len(before - was) > joins.n_joins / 2
    assert log.n_joins == joins.n_joins + int(got.summary["n_added"])
    said = paragraph_of(check_table().to_pylist(), got.summary)
    assert "planted into the log with each user's groups permuted among that user's joins." in said


def test_measure_log__needs_groups_to_plant_in():
    joins, targets = log_and_targets()
    section = CheckSection(log="planted", ratio=2.0, min_joiners=500)
    with pytest.raises(GatewayError, match="0 groups beside the targets have 500 members"):
        measure_log(joins, targets, section, seed=1, run=fast)


def test_sample_users__keeps_the_joins_of_some_whoever_else_is_there():
    joins = linked_log(5, users=50)
    inviter = (joins.user() + 1) % joins.n_users
    joins = JoinLog.from_arrays(
        joins.user(), joins.group, joins.time, users=joins.users.to_pylist(),
        groups=joins.groups.to_pylist(), inviter=inviter,
    )  # fmt: skip
    got = sample_users(joins, 20, seed=4)
    assert got.n_users == 20
    kept = [joins.users.to_pylist().index(name) for name in got.users.to_pylist()]
    rows = np.isin(joins.user(), kept)
    assert (got.group == joins.group[rows]).all()
    assert (got.time == joins.time[rows]).all()
    names = np.append(got.users.to_pylist(), "nobody")
    expected = [
        joins.users[int(v)].as_py() if v in kept else "nobody" for v in inviter[rows]
    ]  # fmt: skip
    assert names[got.inviter].tolist() == expected
    # The folds of a cross-fit with the same seed are not what is drawn by.
    many = sample_users(linked_log(5, users=3000), 300, seed=4)
    assert (np.bincount(assign_folds(many, folds=5, seed=4), minlength=5) > 30).all()
    # Who is drawn does not depend on those who are not.
    assert sample_users(sample_users(joins, 30, seed=4), 20, seed=4).equals(got)
    assert sample_users(joins, 50, seed=4) is joins


# What all logs say together -----------------------------------------------------------------


def test_summarise__gives_exact_intervals_of_false_calls():
    table = check_table(nulls=10)
    # One of ten: Clopper and Pearson (1934), from the published tables .0025 to .445.
    got = value(
        table, detector="self_controlled", log="labels_permuted", metric="share_of_logs_with_calls"
    )
    assert got == (0.1, pytest.approx(0.0025, abs=5e-5), pytest.approx(0.445, abs=5e-4), 10)
    # Of association nothing is asked where each user's groups are permuted.
    within = [r for r in table.to_pylist() if r["log"] == "permuted_within_users"]
    assert "coverage" not in {r["metric"] for r in within if r["detector"] == "spike"}
    got = value(table, detector="self_controlled", log="permuted_within_users", metric="coverage")
    assert got[0] == pytest.approx(0.96)
    assert got[3] == 500


def test_summarise__pools_planted_groups_and_finds_the_least_ratio():
    table = check_table()
    where = {"detector": "spike", "log": "planted", "where": "anywhere"}
    # Found 2, 3, 4 of 10 at ratio 2; 4, 5, 6 at 4; 8, 9, 10 at 8.
    assert value(table, **where, ratio=2.0, metric="power")[::3] == (0.3, 30)
    assert value(table, **where, ratio=8.0, metric="power")[0] == pytest.approx(0.9)
    assert value(table, **where, ratio=4.0, metric="average_precision")[0] == pytest.approx(5 / 12)
    # Each log has two calls of other groups: 9 of 15.
    assert value(table, **where, ratio=2.0, metric="share_planted")[::3] == (0.6, 15)
    # .5 at 4 and .9 at 8: three quarters of the way over the logarithm.
    assert value(table, **where, metric="least_ratio")[0] == pytest.approx(4 * 2**0.75)
    got = value(table, **{**where, "detector": "self_controlled"}, ratio=2.0, metric="coverage")
    assert got[0] == pytest.approx(0.9)


def test_least_ratio__is_nothing_where_the_power_is_never_reached():
    assert np.isnan(least_ratio([(2.0, 0.1), (8.0, 0.79)]))
    assert least_ratio([(2.0, 0.9), (8.0, 1.0)]) == 2.0
    # After a fall the first crossing counts.
    assert least_ratio([(2.0, 0.8), (4.0, 0.2), (8.0, 0.9)]) == 2.0


@pytest.mark.parametrize(("false", "broken"), [(3, ()), (5, ("permuted_within_users",))])
def test_fails__from_where_one_in_twenty_is_below_the_interval(false, broken):
    rows = []
    for seed in range(30):
        counts = {"n_tested": 40.0, "n_flagged": float(seed < false), "n_small_q": 0.0,
                  "n_small_p": 2.0, "n_intervals": 0.0, "n_holding": 0.0}  # fmt: skip
        rows += [
            {"detector": name, "log": "permuted_within_users", "where": "anywhere", "ratio": 1.0,
             "metric": metric, "value": count}
            for name in ("spike", "self_controlled")
            for metric, count in counts.items()
        ]  # fmt: skip
    table = summarise_check(pa.Table.from_pylist(rows)).to_pylist()
    assert fails(table, "self_controlled") == broken
    assert fails(table, "spike") == ()
    expected = "fails" if broken else "too few logs to tell"
    assert verdict_of_check(table, "self_controlled", "permuted_within_users") == expected
    assert verdict_of_check(table, "spike", "permuted_within_users") == "association stays"
    said = " ".join(limits_of(table))
    assert ("no call of it on this log may be claimed" in said) == bool(broken)


def test_words__say_association_and_the_numbers():
    rows = check_table().to_pylist()
    said = paragraph_of(rows, SUMMARY)
    assert "45,583 joins, 24,631 users, 602 groups; 100 target groups" in said
    assert "spike called a group in 1 of 30 logs (95 % interval 0.1 % to 17.2 %)" in said
    assert "spike called a group in 30 of 30" in said
    assert "(placebo), spike called 0.0 groups a log; self controlled called 0.0 groups" in said
    assert "On the log as it is, spike called 9 groups and self controlled called 9 groups." in said
    assert "association stays there, and it claims no more" in said
    assert "called 9 groups forwards and 10 backwards, 4 of them both ways" in said
    assert "rank correlation of 0.53" in said
    assert "self controlled found 15, 21 and 30 of 30 planted groups each; its" in said
    assert "0.75 (in a random order 0.25). Of gateways" in said
    assert "held the planted ratio. It could tell nothing of 9 of these 90 groups." in said
    assert "self controlled called 9 groups forwards" not in said
    assert paragraph_of(rows, SUMMARY | {"notes": "no sign of trends"}).endswith(
        "On the log as it is: no sign of trends."
    )
    limits = limits_of(rows)
    assert any("may not be read as what a group does to its members" in line for line in limits)
    assert any("a planted ratio of about 6.7 is needed" in line for line in limits)


# A few permuted logs beside every run -------------------------------------------------------


def flagging(which: dict[str, set[int]], seen: list[tuple[str, ...]]):
    """Detectors that flag a group in the runs whose numbers are named."""

    def run(joins: JoinLog, targets: TargetSet, names):
        seen.append(tuple(names))
        found = detect(joins, targets, detector="frequentist", min_joiners=5)
        flag = np.arange(joins.n_groups) == 3
        here = len(seen) - 1
        return {n: replace(found, flagged=flag & (here in which.get(n, ()))) for n in names}

    return run


def permuted_by(which: dict[str, set[int]], *, count: int = 2):
    joins, targets = log_and_targets()
    seen: list[tuple[str, ...]] = []
    measures = [measure_of(name) for name in ("frequentist", "self_controlled", "order", "hitting")]
    got = permute_few(
        joins, targets, measures=measures, run=flagging(which, seen), seed=1, count=count
    )
    return got, seen


def test_permute_few__each_sees_the_strictest_null_it_answers_to():
    got, seen = permuted_by({"frequentist": {1}})
    # order does not hold its level and flags nobody; hitting tests nothing.
    assert seen == [("frequentist",)] * 2 + [("self_controlled",)] * 2
    rows = {(r["detector"], r["log"]): r for r in got.to_arrow().to_pylist()}
    assert set(rows) == {
        ("frequentist", "labels_permuted"), ("self_controlled", "permuted_within_users")
    }  # fmt: skip
    row = rows["frequentist", "labels_permuted"]
    # Clopper and Pearson, 1 of 2: 1 - .975^.5 and its mirror.
    assert (row["n_logs"], row["n_with_calls"]) == (2, 1)
    assert row["ci_low"] == pytest.approx(1 - 0.975**0.5)
    assert row["ci_high"] == pytest.approx(0.975**0.5)
    assert not got.failing
    assert "still 99 % of such logs may have calls" in got.line()


def test_permute_few__marks_only_what_the_evidence_refutes():
    # 2 of 2: the lower limit is .025^.5 = .16; 1 of 1 it would be .025, which refutes nothing.
    assert permuted_by({"self_controlled": {2, 3}})[0].failing == {"self_controlled"}
    assert permuted_by({"self_controlled": {1}}, count=1)[0].failing == set()
    assert permuted_by({"self_controlled": {3}})[0].failing == set()
    said = permuted_by({"self_controlled": {2, 3}})[0].line()
    assert "self controlled calls in 2 of 2" in said
    assert "its flags are marked as not held" in said


def test_permute_few__says_why_a_log_cannot_be_permuted():
    joins, targets = log_and_targets()

    def run(*_):
        raise GatewayError("nobody is left")

    got = permute_few(joins, targets, measures=[measure_of("spike")], run=run, seed=1)
    assert got.line() == "permuted logs cannot be used: nobody is left"
    assert got.to_arrow().num_rows == 0


def test_permute_few__takes_few_users_of_a_large_log():
    joins = linked_log(4, users=6000, groups=16, days=200)
    seen = []

    def run(log, targets, _):
        seen.append(log)
        return fast(log, targets)

    got = permute_few(
        joins, TargetSet(np.arange(16) < 3, "three"), measures=[measure_of("frequentist")],
        run=run, seed=1,
    )  # fmt: skip
    # About two thousand joins and a fiftieth of the log's.
    assert joins.n_joins > 30_000
    for log in seen:
        assert log.n_users == got.n_users
        assert log.n_joins == pytest.approx(2000 + joins.n_joins / 50, rel=0.05)
    assert set(seen[0].users.to_pylist()) != set(seen[1].users.to_pylist())
    assert f"({got.n_users:,} of {joins.n_users:,} users)" in got.line()


@pytest.mark.usefixtures("undrawn")
def test_run__marks_flags_of_a_detector_that_calls_where_nothing_is(tmp_path):
    joins, targets = log_and_targets()
    joins.to_parquet(tmp_path / "log.parquet")
    text = f"""
        [experiment]
        name = "marked"
        [log]
        path = "{tmp_path / "log.parquet"}"
        [targets]
        groups = {targets.names(joins)}
        [detect]
        detectors = ["frequentist"]
        [frequentist]
        alpha = 0.999
        """.replace("'", '"')
    result = run(parse_config(text), folder=tmp_path / "r")
    (row,) = result.table("permuted").to_pylist()
    assert (row["n_with_calls"], row["fails"]) == (2, True)
    gateways = result.table("gateways")
    flagged = gateways.filter(gateways["flagged"])
    assert flagged.num_rows > 0
    assert not any(flagged["level_held"].to_pylist())
    said = {r["key"]: r["value"] for r in result.table("summary").to_pylist()}["permuted"]
    assert "frequentist calls in 2 of 2" in said
    assert "yes (not held)" in (tmp_path / "r" / "report.html").read_text()
    assert "yes (not held)" in (tmp_path / "r" / "tables" / "ranked.tex").read_text()
    # None of these where it is not wanted.
    off = parse_config(text, overrides=["detect.permutations=0"])
    result = run(off, folder=tmp_path / "off")
    assert "permuted" not in result.table_names
    assert all(result.table("gateways")["level_held"].to_pylist())


def test_words__say_that_members_run_out_of_targets():
    rows = []
    for added, unplaced in ((60.0, 0.0), (30.0, 30.0)):
        metrics = {"n_tested": 9.0, "n_flagged": 1.0, "n_found": 1.0, "n_planted": 3.0,
                   "average_precision": 0.5, "n_added": added, "n_unplaced": unplaced}  # fmt: skip
        rows += [
            {"detector": "spike", "log": "planted", "where": "anywhere", "ratio": 8.0,
             "metric": metric, "value": number} for metric, number in metrics.items()
        ]  # fmt: skip
    table = summarise_check(pa.Table.from_pylist(rows))
    where = {"detector": "spike", "ratio": 8.0}
    assert value(table, **where, metric="joins_added")[0] == 45.0
    # 30 of the 120 that were drawn.
    assert value(table, **where, metric="share_unplaced")[::3] == (0.25, 120)
    (said,) = [line for line in limits_of(table.to_pylist()) if "every target" in line]
    assert said.startswith("Up to 25.0 % of the further joins that were drawn are not there")
    assert not any("every target" in line for line in limits_of(check_table().to_pylist()))


def test_words__warn_of_intervals_that_miss_and_of_placebos_that_are_called():
    rows = check_table().to_pylist()
    assert not any("they are too narrow" in line for line in limits_of(rows))
    for row in rows:
        # 18 of 30: Clopper and Pearson's upper limit is .77.
        if (row["metric"], row["where"], row["ratio"]) == ("coverage", "aligned", 8.0):
            row |= {"value": 0.6, "ci_low": 0.406, "ci_high": 0.773}
        if (row["metric"], row["log"]) == ("calls", "placebo_targets"):
            row["value"] = 19.5
    limits = limits_of(rows)
    (said,) = [line for line in limits if "they are too narrow" in line]
    assert (
        "intervals that self controlled gives groups planted aligned with a ratio of 8, 60.0 % hold"
        in said
    )
    (said,) = [line for line in limits if "no more groups for the real targets" in line]
    assert "(9) than for other groups of like size (19.5 on average)" in said


# Whole checks -------------------------------------------------------------------------------


@pytest.mark.parametrize(("design", "most"), [(QUICK, 29), (THOROUGH, 301)])
def test_logs_of__are_as_many_as_the_design_says_and_none_twice(design, most):
    logs = logs_of(design, seed=5)
    assert len(set(logs)) == len(logs) == most
    assert min(log.seed for log in logs) == 5


def test_check__takes_detectors_of_others_and_depends_on_the_seed_alone():
    joins, targets = log_and_targets()

    def mine(joins: JoinLog, targets: TargetSet):
        return detect(joins, targets, detector="frequentist", min_joiners=5)

    got = gateway.check(joins, targets, detectors=[mine, "order"], design=SMALL, seed=2)
    again = gateway.check(joins, targets, detectors=[mine, "order"], design=SMALL, seed=2)
    other = gateway.check(joins, targets, detectors=[mine, "order"], design=SMALL, seed=3)
    assert got.table.equals(again.table)
    assert not got.table.equals(other.table)
    assert {"frequentist", "order"} == set(got.table["detector"].to_pylist())
    assert "frequentist" in got.paragraph
    with pytest.raises(GatewayError, match="must be a function or one of spike"):
        gateway.check(joins, targets, detectors=["guess"])


def test_check_plan__of_who_calls_nobody_stores_a_table_without_rows(tmp_path):
    joins, targets = log_and_targets()
    joins.to_parquet(tmp_path / "log.parquet")
    document = {
        "experiment": {"name": "silent"},
        "log": {"path": str(tmp_path / "log.parquet")},
        "targets": {"groups": targets.names(joins)},
        "detect": {"detectors": ["order"]},
    }
    design = Design(nulls=1, placebos=0, ratios=(), plantings=0, aligned=0, by_size=0)
    plan = check_plan(parse_config(tomli_w.dumps(document)), design)
    run_sweep(plan, folder=tmp_path / "c", options=EngineOptions("serial"))
    calls = redraw(tmp_path / "c").table("calls")
    assert calls.num_rows == 0
    assert {"check.log", "group", "p_value"} < set(calls.column_names)


def test_check_plan__is_a_sweep_that_is_resumed_and_ends_in_a_report(tmp_path):
    joins, targets = log_and_targets()
    joins.to_parquet(tmp_path / "log.parquet")
    config = parse_config(
        f"""
        [experiment]
        name = "checked"
        [log]
        path = "{tmp_path / "log.parquet"}"
        [targets]
        groups = {targets.names(joins)}
        [detect]
        detectors = ["frequentist", "order"]
        [check]
        log = "planted"
        gateways = 3
        """.replace("'", '"')
    )
    plan = check_plan(config, SMALL)
    assert len(plan.points) == 7
    assert {point.config.check.gateways for point in plan.points} == {3}
    first = run_sweep(plan, folder=tmp_path / "c", options=EngineOptions("serial"))
    assert (first.n_done, first.n_computed, first.n_failed) == (7, 7, 0)
    result = redraw(tmp_path / "c")
    table = result.table("check")
    assert value(
        table, detector="order", log="labels_permuted", metric="share_of_logs_with_calls"
    )[::3] == (0.0, 2)  # fmt: skip
    page = (tmp_path / "c" / "report.html").read_text()
    assert "What may not be claimed" in page
    assert "Scorer" not in page
    assert "gateway check FILE" in page
    assert "[sweep]" not in page
    assert "ranking" not in page
    assert (tmp_path / "c" / "figures" / "check_power.svg").is_file()
    assert (tmp_path / "c" / "tables" / "check-nulls.tex").is_file()
    again = run_sweep(plan, folder=tmp_path / "c", options=EngineOptions("serial"))
    assert (again.n_done, again.n_computed) == (7, 0)
    (tmp_path / "c" / "report.html").unlink()
    redraw(tmp_path / "c", report_only=True)
    assert (tmp_path / "c" / "report.html").read_text() == page
    with pytest.raises(GatewayError, match=r"\[check\] makes one log of a check"):
        run(plan.points[0].config, folder=tmp_path / "r")
    # In memory the same logs give the same table, and the same groups are called.
    here = gateway.check(joins, targets, detectors=["frequentist", "order"], design=SMALL, seed=1)
    apart = pa.compute.not_equal(table["log"], "planted")
    assert here.table.filter(apart).equals(table.filter(apart))
    stored, calls = (
        [(row[key], row["seed"], row["group"]) for row in rows.to_pylist() if row[key] != "planted"]
        for rows, key in ((result.table("calls"), "check.log"), (here.calls, "log"))
    )
    assert stored == calls != []
    # The truth of a planted log stands with it.
    assert result.table("planted")["check.ratio"].to_pylist() == [6.0] * 3
    assert here.planted.num_rows == 4
