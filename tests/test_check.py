"""Both nulls, time reversed, placebo targets and planted gateways are what they say."""

from __future__ import annotations

import random
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from gateway.check import (
    MECHANISMS,
    PLACES,
    Planting,
    permute_labels,
    permute_within_users,
    placebo_targets,
    plant,
    reverse_time,
)
from gateway.detect import detect
from gateway.errors import GatewayError, LogError
from gateway.evaluate import average_precision
from gateway.log.join_log import SOURCES, JoinLog
from gateway.targets import TargetSet
from naive_check import plant as naive_plant
from worlds import linked_log, random_log

# A law over many draws is refuted at this chance of a false alarm.
SURPRISE = 1e-4


def targets_of(joins: JoinLog, *ids: int) -> TargetSet:
    mask = np.zeros(joins.n_groups, np.bool_)
    mask[list(ids)] = True
    return TargetSet(mask, "some groups")


def memberships(joins: JoinLog) -> set[tuple[int, int, int]]:
    return set(zip(joins.user().tolist(), joins.group.tolist(), joins.time.tolist(), strict=True))


def traced(joins: JoinLog) -> JoinLog:
    """Every join but a user's first is seeded by the one before it, by a user nearby."""
    user = joins.user()
    before = np.append(np.int32(-1), joins.group[:-1])
    before[joins.offsets[:-1][np.diff(joins.offsets) > 0]] = -1
    return JoinLog.from_arrays(
        user, joins.group, joins.time, users=joins.users.to_pylist(),
        groups=joins.groups.to_pylist(), source=np.where(before < 0, 4, 1),
        confirmed=np.ones(len(user), bool), inviter=(user + 1) % joins.n_users,
        seed_group=before,
    )  # fmt: skip


def scrambled(joins: JoinLog, seed: int) -> JoinLog:
    """The same log from rows in another order, with other numbers for users and groups."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(joins.n_joins)
    u, g = rng.permutation(joins.n_users), rng.permutation(joins.n_groups)
    seeds = joins.seed_group[rows]
    return JoinLog.from_arrays(
        np.argsort(u)[joins.user()[rows]], np.argsort(g)[joins.group[rows]], joins.time[rows],
        users=np.array(joins.users.to_pylist())[u].tolist(),
        groups=np.array(joins.groups.to_pylist())[g].tolist(),
        source=joins.source[rows], confirmed=joins.confirmed[rows],
        inviter=np.argsort(u)[joins.inviter[rows]],
        seed_group=np.where(seeds < 0, -1, np.argsort(g)[seeds]),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_permuted_labels__keep_the_slots_of_users_and_the_sizes_of_groups(seed):
    joins = random_log(seed)
    got = permute_labels(joins, seed=seed)
    assert got.n_lost == 0
    assert (got.joins.offsets == joins.offsets).all()
    assert (got.joins.sizes() == joins.sizes()).all()
    assert (got.joins.time == joins.time).all()
    assert len({(u, g) for u, g, _ in memberships(got.joins)}) == joins.n_joins
    assert not got.joins.equals(joins)


def test_permuted_labels__where_no_exchange_is_made_lose_joins_and_count_them(monkeypatch):
    monkeypatch.setattr("gateway.check.rearranging._MOST_ROUNDS", 0)
    joins = JoinLog.from_arrays(np.repeat([0, 1, 2], 3), np.tile([0, 1, 2], 3), np.arange(9))
    got = [permute_labels(joins, seed=seed) for seed in range(40)]
    assert len({result.n_lost for result in got}) > 1
    for result in got:
        assert result.joins.n_joins + result.n_lost == joins.n_joins


def test_permuted_labels__are_uniform_where_nobody_joins_twice():
    joins = JoinLog.from_arrays([0, 1, 2], [0, 1, 2], [5, 6, 7])
    got = Counter(
        tuple(permute_labels(joins, seed=seed).joins.group.tolist()) for seed in range(600)
    )
    assert set(got) == set(permutations(range(3)))
    assert chisquare(list(got.values())).pvalue > SURPRISE


def test_permuted_labels__put_every_group_in_every_place_of_a_user():
    # One user of many joins, so that labels have to be exchanged; a group with many members.
    user = np.concatenate([np.zeros(8, int), np.arange(1, 50)])
    group = np.concatenate([np.arange(8), np.arange(49) % 6 % 5])
    joins = JoinLog.from_arrays(user, group, np.arange(57))
    places = []
    for seed in range(200):
        log = permute_labels(joins, seed=seed).joins
        places += np.flatnonzero(log.group[:8] == 0).tolist()
    assert len(places) > 150
    assert chisquare(np.bincount(places, minlength=8)).pvalue > SURPRISE


def test_permuted_within_users__keep_what_a_user_joins_and_when():
    joins = random_log(7)
    got = permute_within_users(joins, seed=7).joins
    pairs = {(u, g) for u, g, _ in memberships(joins)}
    assert {(u, g) for u, g, _ in memberships(got)} == pairs
    assert (got.time == joins.time).all()
    assert not got.equals(joins)


def test_permuted_within_users__take_every_order_equally_often():
    n = 3000
    user = np.repeat(np.arange(n), 3)
    joins = JoinLog.from_arrays(user, np.tile([0, 1, 2], n), np.tile([0, 1, 2], n))
    got = permute_within_users(joins, seed=1).joins.group.reshape(n, 3)
    counts = Counter(map(tuple, got.tolist()))
    assert set(counts) == set(permutations(range(3)))
    assert chisquare(list(counts.values())).pvalue > SURPRISE


@pytest.mark.parametrize("permute", [permute_labels, permute_within_users])
def test_permutations__let_seeds_follow_the_label_of_the_join_that_they_are(permute):
    joins = traced(linked_log(3, days=4000))
    got = permute(joins, seed=2)
    assert got.traces == {
        "source": "kept", "confirmed": "kept", "inviter": "kept", "seed_group": "moved",
    }  # fmt: skip
    log = got.joins
    seeded = np.flatnonzero(log.seed_group >= 0)
    assert len(seeded) == np.count_nonzero(joins.seed_group >= 0)
    # The join before is of an earlier tick, so the seed is its group in the new log, too.
    apart = seeded[log.time[seeded] > log.time[seeded - 1]]
    assert (log.seed_group[apart] == log.group[apart - 1]).all()
    assert (log.source == joins.source).all()
    assert (log.inviter == joins.inviter).all()


def test_permutations__leave_a_seed_that_is_not_in_the_log_as_it_is_unless_it_is_joined():
    joins = JoinLog.from_arrays(
        [0, 0], [0, 1], [0, 1], groups=["a", "b", "c"], seed_group=[2, 0]
    )  # fmt: skip
    for seed in range(8):
        log = permute_within_users(joins, seed=seed).joins
        assert log.seed_group.tolist() == [2, log.group[0]]


def test_reversed__a_log_by_hand():
    joins = JoinLog.from_arrays(
        [0, 0, 1], [0, 1, 0], [2, 5, 4], observed_from=[1, 4], observed_until=[9, 6],
        seed_group=[-1, 0, -1], source=[1, 2, 3],
    )  # fmt: skip
    got = reverse_time(joins)
    assert got.traces == {"source": "kept", "seed_group": "dropped"}
    log = got.joins
    assert log.group.tolist() == [1, 0, 0]
    assert log.time.tolist() == [2, 5, 3]
    assert log.observed_from.tolist() == [-2, 1]
    assert log.observed_until.tolist() == [6, 3]
    assert log.source.tolist() == [2, 1, 3]


def test_reversed__twice_is_the_log_itself():
    joins = random_log(4)
    assert reverse_time(joins).joins.observed_from is None
    assert reverse_time(reverse_time(joins).joins).joins.equals(joins)


def test_placebo_targets__are_other_groups_of_like_size():
    size = np.arange(1, 101)
    group = np.repeat(np.arange(100), size)
    joins = JoinLog.from_arrays(np.concatenate([np.arange(n) for n in size]), group, group * 0)
    targets = targets_of(joins, *range(5, 100, 10))
    got = placebo_targets(joins, targets, seed=3)
    assert got.count == targets.count
    assert not (got.mask & targets.mask).any()
    difference = np.sort(joins.sizes()[got.mask]) - np.sort(joins.sizes()[targets.mask])
    assert np.abs(difference).max() <= 12  # ten free neighbours, and ten targets between them
    assert not (placebo_targets(joins, targets, seed=4).mask == got.mask).all()
    with pytest.raises(LogError, match="20 groups with joins stand beside 80 targets"):
        placebo_targets(joins, targets_of(joins, *range(80)), seed=1)


def histories_of(joins: JoinLog) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {u: [] for u in range(joins.n_users)}
    for user, group, time in sorted(memberships(joins)):
        found[user].append((time, group))
    return found


def dated_every(joins: JoinLog, step: int) -> JoinLog:
    """The same joins, of which the log knows no more than the week or the year."""
    return JoinLog.from_arrays(
        np.array(joins.users.to_pylist())[joins.user()], joins.group,
        joins.time // step * step, groups=joins.groups.to_pylist(),
    )  # fmt: skip


def thinned(joins: JoinLog, group: int) -> JoinLog:
    """The joins, but for three of four of one group: targets are of unlike sizes then."""
    left = np.flatnonzero(joins.group != group)
    kept = np.sort(np.append(left, np.flatnonzero(joins.group == group)[::4]))
    return JoinLog.from_arrays(
        np.array(joins.users.to_pylist())[joins.user()[kept]], joins.group[kept],
        joins.time[kept], groups=joins.groups.to_pylist(),
    )  # fmt: skip


@pytest.mark.parametrize("step", [1, 7], ids=["daily", "weekly"])
@pytest.mark.parametrize(
    "effect", [{"ratio": 4.0}, {"sent": 0.4, "within": 6}], ids=["ratio", "sent"]
)
def test_plant__agrees_with_the_naive_planting(effect, step):
    joins = thinned(dated_every(linked_log(11, groups=10, days=60), step), 0)
    targets = targets_of(joins, 0, 1, 2)
    # Every other group is a gateway, so that no seed chooses others.
    planting = Planting(**effect, count=7, min_joiners=1)
    histories, gateways = histories_of(joins), set(range(3, 10))
    ours, theirs, times, naive_times = [], [], [], []
    for seed in range(400):
        got = plant(joins, targets, planting, seed=seed)
        new = memberships(got.joins) - memberships(joins)
        times += [t for _, _, t in new]
        ours.append(
            [
                got.added.sum(),
                *got.added[3:],
                *(sum(g == target for _, g, _ in new) for target in range(3)),
            ]
        )
        rng = random.Random(seed)  # noqa: S311
        naive = naive_plant(
            rng, histories, {0, 1, 2}, gateways, until=int(joins.time.max()), **effect
        )
        naive_times += [t for _, _, t, _ in naive]
        theirs.append(
            [len(naive)]
            + [sum(g == h for _, g, _, _ in naive) for h in range(3, 10)]
            + [sum(g == target for *_, g in naive) for target in range(3)]
        )
    a, b = np.array(ours, float), np.array(theirs, float)
    error = np.sqrt(a.var(0, ddof=1) / len(a) + b.var(0, ddof=1) / len(b))
    # Eleven comparisons at four standard errors.
    assert (np.abs(a.mean(0) - b.mean(0)) < 4 * error).all()
    assert a.sum(0).min() > 100
    if step == 1:
        assert kstest(times, naive_times).pvalue > SURPRISE
    assert set(times) | set(naive_times) <= set(joins.time.tolist())


@pytest.mark.parametrize("ratio", [2.0, 6.0])
def test_planted_benchmark__agrees_with_that_of_the_naive_planting(ratio):
    joins = linked_log(4, users=400, groups=16, days=200)
    targets = targets_of(joins, 0, 1, 2)
    histories = histories_of(joins)

    def found(log: JoinLog, gateways: set[int]) -> tuple[float, float]:
        d = detect(log, targets, detector="frequentist", min_joiners=5)
        planted = np.isin(np.arange(16), list(gateways))
        score = np.where(d.rank > 0, -d.rank, -99)[d.candidate]
        precision = average_precision(score.astype(float), planted[d.candidate])
        return precision, float((d.flagged & planted).sum())

    ours, theirs = [], []
    for seed in range(60):
        got = plant(joins, targets, Planting(ratio=ratio, count=3, min_joiners=20), seed=seed)
        ours.append(found(got.joins, set(np.flatnonzero(got.gateway).tolist())))
        rng = random.Random(seed)  # noqa: S311
        gateways = set(rng.sample(range(3, 16), 3))
        more = naive_plant(
            rng, histories, {0, 1, 2}, gateways, until=int(joins.time.max()), ratio=ratio
        )
        rows = sorted(memberships(joins)) + [(u, g, t) for u, _, t, g in more]
        user, group, time = np.array(rows).T
        log = JoinLog.from_arrays(
            np.array(joins.users.to_pylist())[user], group, time, groups=joins.groups.to_pylist()
        )
        theirs.append(found(log, gateways))
    a, b = np.array(ours), np.array(theirs)
    error = np.sqrt(a.var(0, ddof=1) / len(a) + b.var(0, ddof=1) / len(b))
    # Average precision and calls of planted groups, at four standard errors each; the errors are
    # small enough for a ratio of another size to show.
    assert (np.abs(a.mean(0) - b.mean(0)) < 4 * error).all()
    assert error[0] < 0.05


def test_plant__keeps_every_join_and_adds_target_joins_after_a_gateway():
    joins = linked_log(5)
    targets = targets_of(joins, 0, 1)
    got = plant(joins, targets, Planting(ratio=6.0, count=3, min_joiners=3), seed=2)
    before, after = memberships(joins), memberships(got.joins)
    assert before < after
    joined = {(u, g): t for u, g, t in before}
    gateways = np.flatnonzero(got.gateway).tolist()
    for user, group, time in after - before:
        assert targets.mask[group]
        assert min(joined.get((user, g), 999) for g in gateways) < time <= joins.time.max()
    assert got.added.sum() == len(after - before)
    assert not got.added[~got.gateway].any()
    assert not (got.gateway & targets.mask).any()
    table = got.to_arrow().to_pydict()
    assert table["added"] == got.added.tolist()
    assert {role for role, g in zip(table["role"], got.gateway, strict=True) if g} == {"influence"}


def test_plant__stays_within_the_window_of_a_user():
    user = np.repeat(np.arange(40), 2)
    joins = JoinLog.from_arrays(
        user, np.tile([0, 1], 40), np.tile([10, 12], 40), groups=["a", "t", "z"],
        observed_from=5, observed_until=np.where(np.arange(40) < 20, 12, 60),
    )  # fmt: skip
    targets = targets_of(joins, 1, 2)
    got = plant(joins, targets, Planting(sent=1.0, within=1, count=1), seed=1)
    # The mean delay is one tick, so it is one; the only target that is left has no members.
    assert got.n_unplaced == 40
    joins = JoinLog.from_arrays(
        np.append(user, [40]), np.append(np.tile([0, 1], 40), [2]),
        np.append(np.tile([12, 10], 40), [9]), groups=["a", "t", "z"],
        observed_from=5, observed_until=np.where(np.arange(41) < 20, 12, 60),
    )  # fmt: skip
    got = plant(joins, targets, Planting(sent=1.0, within=1, count=1), seed=1)
    new = sorted(memberships(got.joins) - memberships(joins))
    assert new == [(u, 2, 13) for u in range(20, 40)]


def test_plant__adds_no_date_that_the_log_does_not_have():
    # Dated by the year, a join between two years would be the only one soon after others.
    joins = dated_every(linked_log(5, days=4_000), 365)
    targets = targets_of(joins, 0, 1)
    planting = Planting(sent=1.0, within=30, count=3, min_joiners=3)
    got = plant(joins, targets, planting, seed=2)
    assert got.added.sum() > 20
    assert set(got.joins.time.tolist()) == set(joins.time.tolist())


def test_plant__marks_a_recommendation_with_the_gateway_as_its_seed():
    joins = traced(linked_log(5))
    targets = targets_of(joins, 0, 1)
    planting = Planting(sent=0.7, within=3, count=2, min_joiners=3, mechanism="recommender")
    got = plant(joins, targets, planting, seed=3)
    log, before = got.joins, memberships(joins)
    rows = zip(
        log.user().tolist(), log.group.tolist(), log.time.tolist(), log.seed_group.tolist(),
        log.source.tolist(), log.inviter.tolist(), strict=True,
    )  # fmt: skip
    new = [row for row in rows if row[:3] not in before]
    assert Counter(row[3] for row in new) == Counter(
        {g: int(got.added[g]) for g in np.flatnonzero(got.gateway)}
    )
    assert {(SOURCES[row[4]], row[5]) for row in new} == {("gysj", -1)}


def test_plant__lets_another_and_earlier_member_invite():
    joins = traced(linked_log(5))
    targets = targets_of(joins, 0, 1)
    planting = Planting(sent=0.7, within=3, count=1, min_joiners=3, mechanism="inviter")
    got = plant(joins, targets, planting, seed=3)
    log, before = got.joins, memberships(joins)
    (gateway,) = np.flatnonzero(got.gateway).tolist()
    joined = {u: t for u, g, t in before if g == gateway}
    seen = set()
    for u, g, t, inviter, seed in zip(
        log.user().tolist(), log.group.tolist(), log.time.tolist(), log.inviter.tolist(),
        log.seed_group.tolist(), strict=True,
    ):  # fmt: skip
        if (u, g, t) not in before:
            assert inviter != u
            assert joined[inviter] < t
            assert seed == -1
            seen.add(inviter)
    assert len(seen) > 5


def test_plant__the_first_joiner_alone_has_nobody_to_invite_them():
    joins = JoinLog.from_arrays(
        [0, 1, 2], [0, 1, 1], [0, 0, 90], inviter=[-1, -1, -1]
    )  # fmt: skip
    planting = Planting(sent=1.0, within=1, count=1, min_joiners=1, mechanism="inviter")
    got = plant(joins, targets_of(joins, 1), planting, seed=1)
    assert got.n_unplaced == 1
    assert got.joins.equals(joins)


def test_plant__chooses_by_place():
    rng = np.random.default_rng(1)
    sizes = np.arange(20, 60)
    group = np.concatenate([np.repeat(np.arange(2, 42), sizes), np.zeros(300, int)])
    user = np.concatenate(
        [*(rng.choice(600, n, replace=False) for n in sizes), np.arange(300)]
    )  # fmt: skip
    # Members of group 2 are those who join the target.
    user[: sizes[0]] = np.arange(sizes[0])
    joins = JoinLog.from_arrays(user, group, rng.integers(0, 50, len(user)))
    targets = targets_of(joins, 0)
    chosen = {
        where: plant(joins, targets, Planting(ratio=1.0, count=10, where=where), seed=1).gateway
        for where in PLACES
    }
    size = joins.sizes()
    assert set(size[chosen["small"]]) == set(range(20, 30))
    assert set(size[chosen["large"]]) == set(range(50, 60))
    assert chosen["aligned"][joins.groups.to_pylist().index("g0000002")]
    assert np.ptp(size[chosen["anywhere"]]) > 15
    # A ratio of one plants nothing.
    got = plant(joins, targets, Planting(ratio=1.0), seed=1)
    assert got.joins.equals(joins)


@pytest.mark.parametrize("seed", range(3))
def test_arrangements__do_not_depend_on_rows_or_numbers(seed):
    joins = traced(random_log(seed))
    other = scrambled(joins, seed)
    assert other.equals(joins)
    for arrange in (permute_labels, permute_within_users):
        assert arrange(joins, seed=5).joins.equals(arrange(other, seed=5).joins)
    targets = targets_of(joins, 0, 1)
    for mechanism in MECHANISMS:
        planting = Planting(ratio=3.0, count=2, min_joiners=5, mechanism=mechanism)
        got, expected = (plant(log, targets, planting, seed=5) for log in (other, joins))
        assert got.joins.equals(expected.joins)
        assert got.to_arrow().equals(expected.to_arrow())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "either ratio or sent"),
        ({"ratio": 2.0, "sent": 0.1}, "either ratio or sent"),
        ({"ratio": 0.5}, "ratio must be at least 1; got 0.5"),
        ({"ratio": float("nan")}, "ratio must be at least 1; got nan"),
        ({"sent": 1.5, "within": 3}, r"sent must be in \[0, 1\]; got 1.5"),
        ({"sent": 0.5}, "within must be given beside sent"),
        ({"ratio": 2.0, "count": 0}, "count must be at least 1; got 0"),
        ({"ratio": 2.0, "where": "here"}, "where must be one of anywhere"),
        ({"ratio": 2.0, "mechanism": "magic"}, "mechanism must be one of influence"),
    ],
)
def test_planting__says_what_is_wrong(given, said):
    with pytest.raises(GatewayError, match=said):
        Planting(**given)


def test_plant__says_what_a_log_lacks():
    joins = random_log(1)
    targets = targets_of(joins, 0)
    with pytest.raises(GatewayError, match="column seed_group; this has none"):
        plant(joins, targets, Planting(ratio=2.0, mechanism="recommender"), seed=1)
    with pytest.raises(GatewayError, match="20 gateways cannot be planted: 11 groups"):
        plant(joins, targets, Planting(ratio=2.0, count=20, min_joiners=2), seed=1)
    empty = JoinLog.from_arrays([0, 1], [0, 0], [0, 1], groups=["a", "t"])
    with pytest.raises(GatewayError, match="no target group has a member"):
        plant(empty, targets_of(empty, 1), Planting(ratio=2.0, count=1, min_joiners=1), seed=1)
