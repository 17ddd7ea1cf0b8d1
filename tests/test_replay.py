from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

from gateway._numba import lean_kernel
from gateway.simulate import (
    Demotion,
    GysjSeedFilter,
    InviteCap,
    InviteFriction,
    compare_runs,
    live_through,
    measure_direct_effects,
    measure_leads,
    measure_total_effects,
    replay_kernels,
)
from gateway.simulate.occasion_kernels import MEMBER, UNCONFIRMED, add_influence, write
from gateway.simulate.paired import paired_total
from gateway.simulate.replay import relived_stage
from gateway.simulate.tables import CELL, NO_DAY, empty_table
from gateway.world import Role, draw_world
from tests.worlds import cells_of, small_config

decide_again = lean_kernel(replay_kernels.decide_again)

EVERYTHING = (
    "world.users=150", "world.groups=60", "world.roles.recommender=3", "world.roles.inviter=3",
    "world.roles.fellow_traveller=3", "world.drift_share=0.2", "world.leaving=0.2",
    "world.roles.influence_half_life=60.0", "world.featured_holdout=0.3",
    "simulation.pymk_share=0.3", "simulation.found_weight=2.0", "simulation.pymi_featuring=2.0",
    "moderation.demote_strikes=2", "moderation.non_amp_strikes=2", "moderation.non_rec_strikes=2",
    "moderation.non_amp_reduction=0.5", "moderation.non_rec_reduction=0.5",
    "moderation.demotion_spread=0.4", "moderation.demotion_slope=0.5", "moderation.detection=0.5",
    "moderation.detection_spread=0.3", "moderation.reports=0.5", "moderation.false_strikes=0.01",
)  # fmt: skip


def targets_of(world):
    return (world.groups.role == Role.TARGET) & (world.groups.topic == 0)


relived = cache(relived_stage)


def replay_plainly(history, u, skip, stage=None, policies=None):
    """(groups, sources) of user u without the join of occasion ``skip``, every step decided.

    The twin of the kernel's short cut: nothing is taken over from the factual log.
    """
    stage = relived(history) if stage is None else stage
    mail = history.invitations.mail(len(history.world.users))
    fact = cells_of(history, u)
    n_done = int((fact.time < NO_DAY).sum())
    own = empty_table(n_done, CELL)
    barred = int(fact.group[skip]) if skip >= 0 else -1
    boost, since, looked = 0.0, 0, -1
    for n in range(n_done):
        day = int(fact.time[n])
        answer, looked = decide_again(
            stage, policies or history.policies, mail, own, n, u, day, boost, since, looked,
            barred if n > skip else -1, history.world.seed, 2,
        )  # fmt: skip
        write(own[n], day, answer)
        if n == skip:
            own[n].group, own[n].source = -1, 0
        elif answer.outcome == MEMBER and stage.groups[answer.group].influence != 0.0:
            beta = stage.groups[answer.group].influence
            boost, since = add_influence(stage.half_life, boost, since, day, beta), day
    return own.group, own.source


def later_targets(group, source, skip, is_target):
    joined = (group >= 0) & (source < UNCONFIRMED)
    return int((joined & is_target[np.maximum(group, 0)])[skip + 1 :].sum())


@pytest.fixture(scope="module")
def history():
    return live_through(draw_world(small_config(*EVERYTHING)))


def test_replay__of_nothing_skipped_is_the_history_bit_for_bit(history):
    for u in range(150):
        group, source = replay_plainly(history, u, -1)
        np.testing.assert_array_equal(group, cells_of(history, u).group)
        np.testing.assert_array_equal(source, cells_of(history, u).source)


def test_direct_effects__equal_their_twin(history):
    is_target = targets_of(history.world)
    lost = {g: [] for g in range(60)}
    for u in range(150):
        group, source = cells_of(history, u).group, cells_of(history, u).source
        for skip in np.flatnonzero((group >= 0) & (source < UNCONFIRMED)):
            if not is_target[group[skip]]:
                without = later_targets(*replay_plainly(history, u, skip), skip, is_target)
                factual = later_targets(group, source, skip, is_target)
                lost[int(group[skip])].append(factual - without)
    got = measure_direct_effects(history, is_target)
    assert sum(any(v) for v in lost.values()) > 3
    for g, values in lost.items():
        assert got.n_joins[g] == len(values)
        if values:
            np.testing.assert_allclose(got.effect[g], np.mean(values), atol=1e-12)
        if len(values) > 1:
            error = np.std(values, ddof=1) / np.sqrt(len(values))
            np.testing.assert_allclose(got.standard_error[g], error, rtol=1e-9, atol=1e-12)


@pytest.mark.compiled
def test_direct_effects__same_for_one_and_two_threads(history):
    import numba

    from gateway._numba import set_threads

    before = numba.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            set_threads(threads)
            found.append(measure_direct_effects(history, targets_of(history.world)))
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(found[0].effect, found[1].effect)


@pytest.mark.compiled
def test_direct_effects__are_positive_for_gateways_and_about_zero_for_look_alikes():
    """Only influence acts: no recommendation and no invitation that a join could bring."""
    config = small_config(
        "world.users=20000", "world.groups=300", "world.roles.influence=12",
        "world.roles.homophily=12", "world.roles.fellow_traveller=12", "world.drift_share=0.2",
        "world.roles.influence_strength=2.0", "simulation.recommendation=0.0",
        "simulation.invitation=0.0", "simulation.friends=0.3", "simulation.intent=0.7",
    )  # fmt: skip
    world = draw_world(config)
    found = measure_direct_effects(live_through(world), targets_of(world))
    role = world.groups.role
    gateway = (role == Role.INFLUENCE) & (found.n_joins > 50)
    assert gateway.sum() >= 8
    z = found.effect[gateway] / found.standard_error[gateway]
    assert (z > 3).all()
    for look_alike in (Role.HOMOPHILY, Role.HUB, Role.FELLOW_TRAVELLER, Role.ORDINARY):
        others = (role == look_alike) & (found.n_joins > 0)
        assert others.any()
        # Without seeds and invitations nothing of the future looks at the join but the room
        # that it takes: the group itself, which is no target. Exactly zero.
        assert (found.effect[others] == 0.0).all()


def test_leads__equal_their_twin(history):
    """Every user lives again, member or not, without the group as a seed or its operator."""
    world, is_target = history.world, targets_of(history.world)
    got, joined = measure_leads(history, is_target), history.joins()
    acting = np.flatnonzero(np.isin(world.groups.role, (Role.RECOMMENDER, Role.INVITER)))

    def lost(g, stage, policies):
        found = np.zeros(150)
        for u in range(150):
            without = later_targets(*replay_plainly(history, u, -1, stage, policies), -1, is_target)
            fact = cells_of(history, u)
            found[u] = later_targets(fact.group, fact.source, -1, is_target) - without
        return found

    moved = np.zeros(2)
    for g in acting:
        filters = np.zeros_like(history.policies.seed_filter)
        filters[:, g] = True
        stage = relived(history)._replace(filters=True)
        seed = lost(g, stage, history.policies._replace(seed_filter=filters))
        groups = stage.groups.copy()
        groups.inviting[g] = 0.0
        invited = lost(g, stage._replace(groups=groups), history.policies)
        assert got.seed[g] == seed.sum()
        assert got.invited[g] == invited.sum()
        members = np.unique(joined.user()[joined.group == g])
        error = np.sqrt(len(members)) * seed[members].std()
        np.testing.assert_allclose(got.seed_error[g], error, rtol=1e-12)
        moved += (seed != 0).sum(), (invited != 0).sum()
    assert (moved > 0).all()
    assert np.isnan(got.seed[is_target]).all()
    some = np.arange(60) == acting[0]
    few = measure_leads(history, is_target, among=some)
    np.testing.assert_array_equal(np.isfinite(few.seed), some & np.isfinite(got.seed))


def everywhere(world):
    return np.ones(len(world.groups), bool)


def log_of(history):
    state = history.state
    return state.group, state.source, state.via


@pytest.mark.parametrize(
    "make",
    [
        lambda nobody: GysjSeedFilter(0, nobody),
        lambda nobody: Demotion(0, nobody, 1.0),
        lambda nobody: InviteFriction(0, nobody, 1.0),
        lambda _: InviteCap(10**6, 0),
    ],
)
def test_intervention__that_touches_nobody_changes_nobody(history, make):
    world = history.world
    other = live_through(world, interventions=(make(np.zeros(len(world.groups), bool)),))
    for got, expected in zip(log_of(other), log_of(history), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda all_: GysjSeedFilter(100, all_),
        lambda all_: Demotion(100, all_, 1.0),
        lambda all_: InviteFriction(100, all_, 1.0),
        lambda _: InviteCap(100, 0),
    ],
)
def test_intervention__changes_nothing_before_its_start_and_something_after(history, make):
    world = history.world
    other = live_through(world, interventions=(make(everywhere(world)),))
    early = history.state.time < 100
    for got, expected in zip(log_of(other), log_of(history), strict=True):
        np.testing.assert_array_equal(got[early], expected[early])
    assert (other.state.group != history.state.group).any()


def test_seed_filter__ends_recommendations(history):
    world = history.world
    other = live_through(world, interventions=(GysjSeedFilter(50, everywhere(world)),))
    recommended = (other.state.source & 127) < 2
    late = (other.state.group >= 0) & recommended & (other.state.time >= 50)
    assert not late.any()


def test_invite_cap__limits_what_one_join_sends(history):
    world = history.world
    other = live_through(world, interventions=(InviteCap(0, 1),))
    sent = other.invitations
    keys = list(zip(sent.sender[: sent.count], sent.group[: sent.count], strict=True))
    assert len(keys) == len(set(keys)) > 0
    plain = history.invitations
    keys = list(zip(plain.sender[: plain.count], plain.group[: plain.count], strict=True))
    assert len(keys) > len(set(keys))


def test_direct_effects__refuse_a_history_that_was_tampered_with(history):
    cells = history.state.copy()
    first = np.flatnonzero(cells.group >= 0)[0]
    cells.group[first] = (cells.group[first] + 1) % 60
    other = dataclasses.replace(history, stage=history.stage._replace(cells=cells))
    with pytest.raises(RuntimeError, match="not reproduced"):
        measure_direct_effects(other, targets_of(history.world))


def test_compare_runs__of_no_intervention_finds_nothing(history):
    found, _ = compare_runs(history, (), targets_of(history.world))
    assert not found.diverged.any()
    assert paired_total(found.averted) == (0.0, 0.0, 0.0)


def test_compare_runs__counts_what_the_logs_count(history):
    world = history.world
    is_target = targets_of(world)
    policies = (GysjSeedFilter(50, everywhere(world)), InviteCap(0, 0))
    found, other = compare_runs(history, policies, is_target)
    here, there = history.joins(), other.joins()
    assert found.averted.sum() == is_target[here.group].sum() - is_target[there.group].sum()
    assert found.averted.sum() + found.lost.sum() == here.n_joins - there.n_joins
    same = ~found.diverged
    for u in np.flatnonzero(same)[:20]:
        mine = [log.group[log.offsets[u] : log.offsets[u + 1]] for log in (here, there)]
        np.testing.assert_array_equal(*mine)


def test_total_effects__of_a_group_that_nobody_joins_are_nothing(history):
    world = history.world
    joined = np.bincount(history.joins().group, minlength=60)
    busiest = int(np.argmax(joined))
    found = measure_total_effects(history, [busiest], targets_of(world))
    assert found.group.tolist() == [busiest]
    assert np.isfinite(found.effect[0])
    assert found.standard_error[0] > 0


@pytest.mark.compiled
def test_total_effects__of_a_strong_gateway_are_positive():
    config = small_config("world.users=3000", "world.roles.influence_strength=3.0")
    world = draw_world(config)
    history = live_through(world)
    gateway = np.flatnonzero(world.groups.role == Role.INFLUENCE)
    sizes = np.bincount(history.joins().group, minlength=len(world.groups))
    chosen = gateway[np.argsort(-sizes[gateway])[:2]]
    found = measure_total_effects(history, chosen, targets_of(world))
    assert (found.effect / found.standard_error > 2).all()
