"""Joins that came through a group: the likelihood, the traces, and what is found by them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy.stats import binom, norm

import gateway
from gateway._numba import set_threads, threads
from gateway.analyses import judge_groups
from gateway.cli.own_logs import config_for_log
from gateway.detect import EdgesOptions, detect_edges
from gateway.detect.edges import conditional, traces
from gateway.detect.edges.conditional import Slots, estimate_effects, fit_slots, pairs_of
from gateway.errors import LogError
from gateway.log import invariants
from gateway.log.join_log import JoinLog
from gateway.targets import TargetSet
from tests import naive_edges

NO_PRIOR = 1e-9


def random_slots(seed: int, *, strata: int = 40, groups: int = 3, cells: bool = True) -> Slots:
    """Strata of 2 to 8 slots, of which some but not all are events; some slots of a group."""
    rng = np.random.default_rng(seed)
    m = rng.integers(2, 9, strata)
    offsets = np.concatenate([[0], np.cumsum(m)]).astype(np.int64)
    event = np.zeros(offsets[-1], bool)
    for first, end in pairwise(offsets.tolist()):
        event[first : first + rng.integers(1, end - first)] = True
        rng.shuffle(event[first:end])
    held = rng.random((offsets[-1], groups)) < 0.4
    slot, group = np.nonzero(held)
    cell = rng.integers(0, 3, (1, offsets[-1])) if cells else np.zeros((0, offsets[-1]), int)
    return Slots(offsets, event, slot, group.astype(np.int32), cell.astype(np.int64), groups)


def strata_of(slots: Slots) -> list[slice]:
    return [slice(a, b) for a, b in pairwise(slots.offsets.tolist())]


# The likelihood --------------------------------------------------------------------------


def test_chances__of_a_user_with_one_event_are_shares_of_the_weights():
    """By hand: three slots of weights 1, 2 and 1, one event: 1/4, 1/2, 1/4; e_1 = 4."""
    slots = Slots(
        np.array([0, 3]), np.array([False, True, False]), np.array([1]),
        np.array([0], np.int32), np.zeros((0, 3), np.int64), 1,
    )  # fmt: skip
    loss = conditional._Loss(slots)
    chance, value = loss.chances(loss.predictor(np.array([np.log(2.0)])))
    np.testing.assert_allclose(chance, [0.25, 0.5, 0.25], rtol=1e-12)
    assert value == pytest.approx(np.log(4) - np.log(2))


def test_masses__of_two_of_four_alike_slots_are_hypergeometric():
    """By hand: of the 6 ways for two events to fall on four slots, 1, 4 and 1 have 0, 1, 2."""
    slots = Slots(
        np.array([0, 4]), np.array([True, True, False, False]), np.array([0, 2]),
        np.array([0, 0], np.int32), np.zeros((0, 4), np.int64), 1,
    )  # fmt: skip
    pairs = pairs_of(slots, fit_slots(slots, penalty=1.0))
    np.testing.assert_allclose(pairs.mass, [1 / 6, 4 / 6, 1 / 6], rtol=1e-9)
    assert pairs.observed.tolist() == [1.0]


@pytest.mark.parametrize("seed", range(5))
def test_chances__are_those_of_every_way_in_which_events_can_fall(seed):
    slots = random_slots(seed)
    loss = conditional._Loss(slots)
    eta = np.random.default_rng(seed).normal(0, 3, len(slots.event))
    chance, value = loss.chances(eta)
    expected = 0.0
    for at, n in zip(strata_of(slots), slots.n_events, strict=True):
        np.testing.assert_allclose(chance[at], naive_edges.chances(eta[at], int(n)), rtol=1e-9)
        expected += naive_edges.log_total(eta[at], int(n)) - eta[at][slots.event[at]].sum()
    assert value == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_masses__are_those_of_every_way_in_which_events_can_fall(seed):
    slots = random_slots(seed)
    fit = fit_slots(slots, penalty=1.0)
    pairs = pairs_of(slots, fit)
    i = 0
    for g in range(slots.n_groups):
        for at, n in zip(strata_of(slots), slots.n_events, strict=True):
            own = slots.entry_slot[slots.entry_group == g]
            own = own[(own >= at.start) & (own < at.stop)] - at.start
            if len(own):
                expected = naive_edges.masses(fit.eta[at], int(n), own.tolist(), fit.beta[g])
                got = pairs.mass[pairs.starts[i] : pairs.starts[i + 1]]
                np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-14)
                i += 1
    assert i == len(pairs.starts) - 1


def test_chances__of_a_long_stratum_are_near_the_exact_ones(monkeypatch):
    """Hajek (1964): p_s is off by the order of 1 / sum p (1 - p), here 1 / 40."""
    rng = np.random.default_rng(3)
    m, n = 240, 60
    event = rng.permutation(np.arange(m) < n)
    slots = Slots(
        np.array([0, m]), event, np.arange(m), rng.integers(0, 4, m).astype(np.int32),
        np.zeros((0, m), np.int64), 4,
    )  # fmt: skip
    eta = rng.normal(0, 1, m)
    exact, _ = conditional._Loss(slots).chances(eta)
    whole = fit_slots(slots, penalty=1.0)
    monkeypatch.setattr(conditional, "MOST_EXACT", 100)
    near, _ = conditional._Loss(slots).chances(eta)
    assert 0 < np.abs(near / exact - 1).max() < 0.025
    np.testing.assert_allclose(fit_slots(slots, penalty=1.0).beta, whole.beta, atol=0.01)
    assert near.sum() == pytest.approx(n, rel=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_fit__is_that_of_statsmodels(seed):
    sm = pytest.importorskip("statsmodels.api")
    slots = random_slots(seed, strata=80)
    design = np.zeros((len(slots.event), slots.n_groups + 2))
    design[slots.entry_slot, slots.entry_group] = 1
    for level in (1, 2):
        design[:, slots.n_groups + level - 1] = slots.cells[0] == level
    model = sm.ConditionalLogit(slots.event.astype(float), design, groups=slots.stratum)
    expected = model.fit(disp=False)
    # Their optimiser stops at 1e-5; nuisance effects have a ridge of 1e-3.
    fit = fit_slots(slots, penalty=NO_PRIOR)
    np.testing.assert_allclose(fit.beta, expected.params[: slots.n_groups], atol=2e-3)


def test_effect__of_one_group_is_that_of_statsmodels_and_its_interval_drops_by_chi_squared():
    sm = pytest.importorskip("statsmodels.api")
    slots = random_slots(7, strata=60, groups=1, cells=False)
    effects = estimate_effects(pairs_of(slots, fit_slots(slots, penalty=5.0)))
    design = np.zeros((len(slots.event), 1))
    design[slots.entry_slot] = 1
    model = sm.ConditionalLogit(slots.event.astype(float), design, groups=slots.stratum)
    expected = model.fit(disp=False)
    # Their optimiser stops at a slope of 1e-5.
    assert effects.log_ratio[0] == pytest.approx(expected.params[0], abs=1e-3)
    for end in (effects.low[0], effects.high[0]):
        drop = 2 * (expected.llf - model.loglike(np.array([end])))
        assert drop == pytest.approx(1.959964**2, rel=1e-3)


def test_root__is_the_exact_tail_where_counts_are_binomial():
    """Two slots and one event each: A is Binomial(strata, 1/2). Saddlepoint: off by 2 %."""
    strata, hits = 20, 15
    event = np.tile([True, False], strata)
    event[2 * hits :] = np.tile([False, True], strata - hits)
    slots = Slots(
        np.arange(0, 2 * strata + 1, 2), event, np.arange(0, 2 * strata, 2),
        np.zeros(strata, np.int32), np.zeros((0, 2 * strata), np.int64), 1,
    )  # fmt: skip
    pairs = pairs_of(slots, fit_slots(slots, penalty=1.0))
    for null, share in ((0.0, 0.5), (np.log(2.0), 2 / 3)):
        p = norm.sf(estimate_effects(pairs, null=null).root[0])
        assert p == pytest.approx(binom.sf(hits - 1, strata, share), rel=0.02)


def test_root__is_exact_where_all_events_are_there():
    event = np.tile([True, False, False], 5)
    slots = Slots(
        np.arange(0, 16, 3), event, np.arange(0, 15, 3), np.zeros(5, np.int32),
        np.zeros((0, 15), np.int64), 1,
    )  # fmt: skip
    effects = estimate_effects(pairs_of(slots, fit_slots(slots, penalty=1.0)), null=np.log(2))
    assert effects.log_ratio[0] == np.inf
    assert norm.sf(effects.root[0]) == pytest.approx((2 / 4) ** 5, rel=1e-9)


# The traces ------------------------------------------------------------------------------


def told() -> tuple[JoinLog, TargetSet]:
    """User 0 joins a, b (one tick), c, then t by user 1; user 1 was in b, and c too late."""
    joins = JoinLog.from_arrays(
        [0, 0, 0, 0, 1, 1, 1, 0], [0, 1, 2, 4, 1, 2, 0, 3], [1, 1, 2, 5, 3, 5, 9, 6],
        inviter=[-1, -1, -1, 1, -1, -1, -1, -1], seed_group=[-1, -1, 0, -1, -1, -1, -1, 2],
    )  # fmt: skip
    return joins, TargetSet(np.arange(5) == 4, "the last")


def through(joins: JoinLog, targets: TargetSet, form: str) -> list[tuple[int, int]]:
    """(group joined, group through which) of every entry."""
    cases = traces.collect_cases(joins, targets)
    entries = traces.entries_of(joins, cases, form)
    return sorted(zip(cases.group[entries.row].tolist(), entries.group.tolist(), strict=True))


def test_cases__are_the_users_who_join_a_target_and_another_group_and_have_a_trace():
    joins, targets = told()
    cases = traces.collect_cases(joins, targets)
    assert cases.user.tolist() == [0]
    assert cases.group.tolist() == [0, 1, 2, 4, 3]
    assert cases.earlier.tolist() == [0, 0, 2, 3, 4]


def test_entries__are_seeds_the_receivers_groups_and_those_shared_with_the_inviter_before():
    joins, targets = told()
    assert through(joins, targets, "seed") == [(2, 0), (3, 2)]
    assert through(joins, targets, "member") == [(4, 0), (4, 1), (4, 2)]
    # c: joined by the inviter in the tick of the invitation; a: after it.
    assert through(joins, targets, "fellow") == [(4, 1)]


def test_entries__of_members_who_left_are_none():
    joins, targets = told()
    left = np.full(joins.n_joins, 2**31 - 1, np.int32)
    left[1] = 4  # user 0 leaves b
    assert through(replace(joins, left=left), targets, "member") == [(4, 0), (4, 2)]
    assert through(replace(joins, left=left), targets, "fellow") == []


def test_entries__of_invitations_that_have_seeds_are_these():
    joins, targets = told()
    seeded = joins.seed_group.copy()
    seeded[joins.inviter >= 0] = 2
    assert through(replace(joins, seed_group=seeded), targets, "member") == [(4, 2)]


def test_sender_classes__count_what_the_inviter_brought_others_to():
    """Inviter 9 brings 0 and 1 to the target and 2 elsewhere; inviter 8 has one guest."""
    joins = JoinLog.from_arrays(
        [0, 0, 1, 1, 2, 2, 2, 8, 9], [0, 1, 0, 1, 2, 3, 0, 4, 4], [5, 1, 5, 1, 5, 1, 6, 0, 0],
        inviter=[9, -1, 9, -1, 9, -1, 8, -1, -1],
    )  # fmt: skip
    targets = TargetSet(np.arange(5) == 0, "the first")
    cases = traces.collect_cases(joins, targets)
    classes = traces.sender_classes(joins, targets, cases)
    # Of 0's inviter: one of two others; of 2's invitation elsewhere: both others.
    user = np.repeat(cases.user, np.diff(cases.offsets))
    keys = zip(user.tolist(), cases.group.tolist(), strict=True)
    got = dict(zip(keys, classes.tolist(), strict=True))
    assert got[0, 0] == got[1, 0] == got[2, 2] == 4
    assert got[2, 0] == 0
    assert got[0, 1] == 0


# The detector ----------------------------------------------------------------------------


def traced_log(
    seed: int, *, users: int = 1500, ratio: float = 8.0, form: str = "seed", fellows: int = 40
) -> tuple[JoinLog, TargetSet]:
    """Joins whose odds to be of a target are ``ratio`` times as large through groups 2 to 4.

    Users differ in their own odds of targets, and those of high odds like groups 5 to 7.
    """
    rng = np.random.default_rng(seed)
    rows: list[tuple[int, int, int, int, int]] = []
    taste = rng.normal(-3.2, 1.2, users)
    members: dict[int, list[int]] = {g: [] for g in range(30)}
    for u in range(users):
        held: list[int] = []
        for t in range(12):
            trace = rng.random() < 0.6 and len(held) > 0
            via = int(rng.choice(held)) if trace else -1
            sender = -1
            if form == "fellow" and trace:
                others = members[via]
                sender = int(rng.choice(others)) if others and rng.random() < 0.7 else -1
                sender = int(rng.integers(0, users)) if sender == u or sender < 0 else sender
            odds = np.exp(taste[u]) * (ratio if via in (2, 3, 4) else 1.0)
            if rng.random() < odds / (1 + odds):
                g = int(rng.integers(0, 2))
            else:
                w = np.ones(28)
                w[3:6] *= np.exp(1.5 * (taste[u] + 3.2))
                g = 2 + int(rng.choice(28, p=w / w.sum()))
            if g in held:
                continue
            seeded = form == "seed" or (form == "member" and via >= 0)
            if form == "member" and trace:
                sender = int(rng.integers(0, users))
            rows.append((u, g, t, via if seeded else -1, sender))
            held.append(g)
            members[g] = (members[g] + [u])[-fellows:]
    user, group, time, via_, sender_ = np.array(rows).T
    joins = JoinLog.from_arrays(
        user, group, time, seed_group=None if form == "fellow" else via_,
        inviter=None if form == "seed" else sender_,
    )  # fmt: skip
    return joins, TargetSet(np.arange(joins.n_groups) < 2, "the first two")


@pytest.mark.parametrize("form", ["seed", "member"])
def test_detection__finds_the_groups_that_joins_of_targets_come_through(form):
    joins, targets = traced_log(1, form=form)
    d = detect_edges(joins, targets)
    assert np.flatnonzero(d.flagged).tolist() == [2, 3, 4]
    assert sorted(d.rank[2:5].tolist()) == [1, 2, 3]
    assert d.extra["form"][2:5].tolist() == [form] * 3
    assert ((d.ci_low < 8) & (d.ci_high > 8))[2:5].all()


@pytest.mark.parametrize(("breadth", "targets_led_to"), [("set", 2), ("any", 1)])
def test_detection__asks_for_more_than_one_target_where_a_set_is_meant(breadth, targets_led_to):
    """Group 2 leads to both targets; of what comes through group 3 all are made the first."""
    joins, targets = traced_log(1)
    group = joins.group.copy()
    through_3 = (joins.seed_group == 3) & (group == 1)
    user, first = joins.user(), np.isin(joins.user(), joins.user()[group == 0])
    group[through_3 & ~first[np.arange(len(user))]] = 0
    kept = ~(through_3 & (group == 1))
    one = JoinLog.from_arrays(
        user[kept], group[kept], joins.time[kept], seed_group=joins.seed_group[kept],
        groups=joins.groups.to_pylist(),
    )  # fmt: skip
    hits = one.group[targets.mask[one.group] & (one.seed_group == 3)]
    assert set(hits.tolist()) == {0}
    d = detect_edges(one, targets, options=EdgesOptions(breadth=breadth))
    assert d.flagged[2]
    assert d.flagged[3] == (targets_led_to == 1)
    # Estimate and interval are of all targets, whatever is called.
    assert d.ci_low[3] > 1


def test_detection__of_one_target_needs_no_other():
    joins, _ = traced_log(1)
    only = TargetSet(np.arange(joins.n_groups) == 0, "the first")
    found = [detect_edges(joins, only, options=EdgesOptions(breadth=b)) for b in ("set", "any")]
    assert found[0].to_arrow().equals(found[1].to_arrow())
    assert found[0].flagged[[2, 3, 4]].any()


def test_averted__is_the_attributable_fraction_of_what_came_through():
    joins, targets = traced_log(1)
    d = detect_edges(joins, targets)
    e = d.extra
    expected = e["seed_targets"][2] * (1 - 1 / d.estimate[2])
    assert e["seed_averted"][2] == pytest.approx(expected)
    assert e["seed_averted_low"][2] < expected < e["seed_averted_high"][2] <= e["seed_targets"][2]


def test_detection__calls_nobody_where_users_differ_but_no_group_leads():
    """Groups 5 to 7 are liked by those who join targets: look-alikes."""
    called = [
        int(detect_edges(*traced_log(seed, users=600, ratio=1.0), options=EdgesOptions(
            least_ratio=1.0)).flagged.sum()) for seed in range(6)
    ]  # fmt: skip
    assert sum(called) <= 1


def test_detection__has_the_same_bits_for_any_parts_and_threads(monkeypatch):
    joins, targets = traced_log(2, users=300, form="fellow")
    whole = detect_edges(joins, targets).to_arrow()
    before = threads()
    try:
        set_threads(1)
        monkeypatch.setattr(invariants, "JOINS_PER_PART", 64)
        parts = detect_edges(joins, targets).to_arrow()
    finally:
        set_threads(before)
    assert parts.equals(whole)


@pytest.mark.parametrize("column", ["seed_group", "inviter"])
def test_detection__works_with_one_column_and_says_what_it_cannot_see(column):
    joins, targets = traced_log(3, users=300, form="member")
    one = replace(joins, **{c: None for c in ("seed_group", "inviter") if c != column})
    d = detect_edges(one, targets)
    seen = {f for f in traces.FORMS if np.isfinite(d.extra[f"{f}_ratio"]).any()}
    assert seen == ({"seed"} if column == "seed_group" else {"member", "fellow"})
    other = "inviter" if column == "seed_group" else "seed_group"
    assert f"without the column {other}" in gateway.detect.edges.traces_of(one)


def test_detection__of_a_log_without_traces_is_refused_in_one_line():
    joins = JoinLog.from_arrays([0, 0, 1], [0, 1, 1], [1, 2, 3])
    with pytest.raises(LogError, match=r"seed_group or inviter.*has neither"):
        gateway.detect(joins, TargetSet(np.array([True, False]), "a"), detector="edges")


# The verdict -----------------------------------------------------------------------------


def evidence(
    *,
    edges: dict[str, dict[str, float]],
    changes: str = "",
    associated: str = "",
    limits: dict[str, float] | None = None,
) -> pa.Table:
    """Findings on groups a to f: p-values of the forms where edges flags, and who else flags."""
    rows = []
    for g in "abcdef":
        form = {
            f"{f}_{name}": None for f in traces.FORMS
            for name in ("p_value", "ratio", "ratio_low", "ratio_high", "averted")
        }  # fmt: skip
        for f, p in edges.get(g, {}).items():
            form |= {f"{f}_p_value": p, f"{f}_ratio": 4.0, f"{f}_ratio_low": 3.0}
            form |= {f"{f}_ratio_high": (limits or {}).get(g, 5.0), f"{f}_averted": 6.0}
        p = edges.get(g, {})
        least = min(p.values(), default=1.0) * max(len(p), 1)
        rows.append({"detector": "edges", "group": g, "flagged": least < 0.01, "p_value": least}
                    | form)  # fmt: skip
        high = (limits or {}).get(g, 5.0)
        rows.append({"detector": "self_controlled", "group": g, "flagged": g in changes,
                     "p_value": 0.5, "estimate": 1.5, "ci_low": 1.0, "ci_high": high})  # fmt: skip
        rows.append({"detector": "spike", "group": g, "flagged": g in associated, "p_value": 0.5})
    columns = {name for row in rows for name in row}
    return pa.Table.from_pylist([{name: row.get(name) for name in columns} for row in rows])


def test_verdict__names_what_each_group_does():
    table = evidence(
        edges={"a": {"seed": 1e-6, "fellow": 0.4}, "b": {"member": 1e-5}, "d": {"seed": 0.4}},
        changes="bc", associated="adef", limits={"e": 1.8},
    )  # fmt: skip
    got = {row["group"]: row["verdict"] for row in judge_groups(table).to_pylist()}
    assert got == {
        "b": "changes people and leads by invitation",
        "c": "changes people",
        "a": "leads by recommendation",
        "e": "attracts people",
        "d": "cannot be told",
        "f": "cannot be told",
    }
    assert list(got)[:2] == ["b", "c"]
    assert list(got)[2:4] == ["a", "e"]


def test_verdict__counts_what_is_averted_once_for_each_way():
    table = evidence(edges={"a": {"seed": 1e-6, "member": 1e-6, "fellow": 1e-6}})
    assert judge_groups(table)["averted"].to_pylist() == [12.0]


def test_verdict__needs_the_detector_of_traces():
    table = evidence(edges={})
    assert judge_groups(table).num_rows == 0
    assert judge_groups(table.filter(pc.not_equal(table["detector"], "edges"))) is None


@pytest.mark.parametrize(
    ("header", "options", "expected"),
    [
        ("user,group,time", {}, False),
        ("user,group,time,inviter", {}, True),
        ("user,group,time,host", {}, False),
        ("user,group,time,host", {"inviter_column": "host"}, True),
        ("user,group,time,seed_group", {"seed_column": ""}, False),
    ],
)
def test_edges__is_among_the_defaults_where_the_log_has_traces(tmp_path, header, options, expected):
    path = tmp_path / "log.csv"
    path.write_text(header + "\n" + "a,b,1,c\n"[: 2 * header.count(",") + 1] + "\n")
    config = config_for_log(
        path, targets=None, named=["b"], detectors=None, columns=options, horizon=None, seed=None,
        settings=(),
    )  # fmt: skip
    assert ("edges" in config.detect.detectors) == expected
