"""Arms of interventions and total effects: from a config to the stored tables."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tomli_w

from gateway._numba import lean_kernel
from gateway.config import Config, config_digest, parse_config
from gateway.counterfactual import live_arms, measure_truth, pin_groups
from gateway.counterfactual.arms import cost_per_averted
from gateway.counterfactual.chosen_groups import largest
from gateway.errors import ConfigError, ResultError
from gateway.pipeline import obtain_inputs
from gateway.provenance import MODEL_VERSION
from gateway.simulate import (
    Demotion,
    GysjSeedFilter,
    compare_runs,
    joins_by_user,
    live_through,
    measure_direct_effects,
    measure_total_effects,
    replay_kernels,
)
from gateway.simulate.occasion_kernels import (
    MEMBER,
    UNCONFIRMED,
    add_influence,
    write,
)
from gateway.simulate.paired import paired_total
from gateway.simulate.replay import relived_stage
from gateway.simulate.tables import CELL, NO_DAY, empty_table
from gateway.world import GATEWAYS, Role, draw_world
from gateway.world.model import groups_in_roles
from tests.worlds import SMALL, cells_of, small_config

# Whole simulations: minutes as plain Python.
pytestmark = pytest.mark.compiled

decide_again = lean_kernel(replay_kernels.decide_again)

WORLD = ("world.roles.recommender=4", "world.roles.inviter=3")
FILTER = {"kind": "gysj_seed_filter", "arm": "filter", "start": 60, "roles": ["planted"]}
DEMOTION = {"kind": "demotion", "arm": "demote", "start": 60, "share": 0.7, "roles": ["influence"]}
CAP = {"kind": "invite_cap", "arm": "filter + cap", "start": 30, "most": 1}


def arms_config(*tables: dict, overrides: tuple[str, ...] = ()) -> Config:
    text = tomli_w.dumps({"interventions": list(tables)}) + SMALL
    return parse_config(text, overrides=[*WORLD, *overrides])


@pytest.fixture(scope="module")
def platform():
    return obtain_inputs(arms_config())


@pytest.fixture(scope="module")
def truth(platform):
    config = arms_config()
    return measure_truth(
        platform.history, platform.targets.mask, platform.joins, section=config.truth
    )


def findings(names: list[str], detector: str = "spike") -> pa.Table:
    """What a detector that ranks these groups, best first, would have found."""
    n = len(names)
    unknown = ("score", "estimate", "ci_low", "ci_high", "p_value", "q_value")
    return pa.table(
        {
            "detector": pa.array([detector] * n, pa.string()),
            "group": pa.array(names, pa.string()),
            **dict.fromkeys(unknown, pa.nulls(n, pa.float64())),
            **dict.fromkeys(("n_joiners", "n_events"), pa.array([9] * n, pa.int64())),
            "rank": pa.array(range(1, n + 1), pa.int32()),
            "flagged": pa.array([i < 2 for i in range(n)], pa.bool_()),
        }
    )


def live(platform, truth, *tables: dict, gateways: pa.Table | None = None):
    found = findings([]) if gateways is None else gateways
    return live_arms(
        arms_config(*tables), platform.history, platform.joins, platform.targets.mask,
        gateways=found, truth=truth,
    )  # fmt: skip


def one(table: pa.Table, arm: str) -> dict:
    (row,) = [row for row in table.to_pylist() if row["arm"] == arm]
    return row


# Arms -----------------------------------------------------------------------------------------


def test_arms__without_interventions_are_no_tables(platform, truth):
    assert live(platform, truth) == {}


def test_arms__hold_what_a_direct_comparison_finds(platform, truth):
    history, mask = platform.history, platform.targets.mask
    role = history.world.groups.role
    got = live(platform, truth, FILTER, DEMOTION)
    policies = {
        "filter": GysjSeedFilter(60, np.isin(role, GATEWAYS)),
        "demote": Demotion(60, role == Role.INFLUENCE, 0.7),
    }
    assert got["interventions"]["arm"].to_pylist() == ["demote", "filter"]
    for arm, policy in policies.items():
        found, other = compare_runs(history, (policy,), mask)
        row = one(got["interventions"], arm)
        assert (row["averted"], row["averted_low"], row["averted_high"]) == paired_total(
            found.averted
        )
        assert row["benign_lost"] + row["harmful_averted"] == found.lost.sum()
        assert row["n_diverged"] == found.diverged.sum() > 0
        users = [u for u in got["intervention_users"].to_pylist() if u["arm"] == arm]
        assert [u["user"] for u in users] == [f"u{i:07d}" for i in np.flatnonzero(found.diverged)]
        assert sum(u["averted"] for u in users) == found.averted.sum()
        assert min(u["first_day"] for u in users) >= 60
        sources = [s for s in got["intervention_sources"].to_pylist() if s["arm"] == arm]
        assert sum(s["factual"] for s in sources) == history.joins().n_joins
        assert sum(s["otherwise"] for s in sources) == other.joins().n_joins
        target = [s["factual"] - s["otherwise"] for s in sources if s["kind"] == "target"]
        assert sum(target) == row["averted"]


def test_first_day__is_that_of_the_first_difference(platform):
    history = platform.history
    every = np.ones(len(history.world.groups), bool)
    found, other = compare_runs(history, (Demotion(80, every, 1.0),), platform.targets.mask)
    for u in np.flatnonzero(found.diverged)[:50]:
        here, there = cells_of(history, u), cells_of(other, u)
        differs = (here.group != there.group) | (here.source != there.source)
        assert found.first_day[u] == here.time[np.argmax(differs)]
    assert (found.first_day[found.diverged] >= 80).all()


def test_arm__of_several_interventions_lets_them_act_together(platform, truth):
    both = {**FILTER, "arm": "filter + cap"}
    got = live(platform, truth, both, CAP)["interventions"].to_pylist()
    alone = live(platform, truth, both)["interventions"].to_pylist()
    (row,) = got
    assert row["first_day"] == 30
    assert "invite cap 1 from day 30" in row["acts"]
    assert "gysj seed filter on planted (13) from day 60" in row["acts"]
    assert row["n_diverged"] > alone[0]["n_diverged"]


def test_arms__are_the_same_tables_twice_and_in_any_order(platform, truth):
    got = live(platform, truth, FILTER, DEMOTION, CAP)
    again = live(platform, truth, CAP, DEMOTION, FILTER)
    assert set(got) == set(again)
    assert all(got[name].equals(again[name]) for name in got)


def test_arm__that_touches_nobody_changes_nobody(platform, truth):
    unused = {**FILTER, "roles": None, "names": None, "from_detector": "spike", "flagged": True}
    table = {key: value for key, value in unused.items() if value is not None}
    got = live(platform, truth, table)
    row = one(got["interventions"], "filter")
    assert row["n_groups"] == 0
    assert (row["averted"], row["benign_lost"], row["n_diverged"]) == (0.0, 0.0, 0)
    assert row["cost"] is None
    assert got["intervention_users"].num_rows == 0
    assert got["intervention_groups"].num_rows == 0


def test_arm__may_start_on_a_date(platform, truth):
    by_day = live(platform, truth, FILTER)
    by_date = arms_config({**FILTER, "start": 0})
    section = by_date.interventions[0].model_copy(
        update={"start": platform.history.world.section.start.replace(month=3, day=1)}
    )
    config = by_date.model_copy(update={"interventions": (section,)})
    got = live_arms(
        config, platform.history, platform.joins, platform.targets.mask,
        gateways=findings([]), truth=truth,
    )  # fmt: skip
    assert one(got["interventions"], "filter")["first_day"] == 60  # 1 March 2020
    assert got["interventions"].equals(by_day["interventions"])


# Which groups ---------------------------------------------------------------------------------


def acted(platform, truth, gateways=None, **choice) -> set[str]:
    table = {"kind": "gysj_seed_filter", "arm": "filter", "start": 199, **choice}
    groups = live(platform, truth, table, gateways=gateways)["intervention_groups"]
    return set(groups["group"].to_pylist())


def in_roles(platform, *roles: Role) -> set[str]:
    role = platform.history.world.groups.role
    names = platform.joins.groups.to_pylist()
    return {name for name, one in zip(names, role, strict=True) if one in roles}


def test_groups__by_role(platform, truth):
    assert acted(platform, truth, roles=["planted"]) == in_roles(platform, *GATEWAYS)
    expected = in_roles(platform, Role.HOMOPHILY, Role.HUB)
    assert acted(platform, truth, roles=["look_alikes"]) == expected
    assert acted(platform, truth, roles=["hub", "inviter"]) == in_roles(
        platform, Role.HUB, Role.INVITER
    )


def test_groups__of_a_role_the_most_joined(platform, truth):
    got = acted(platform, truth, roles=["homophily"], top=2)
    sizes = dict(zip(platform.joins.groups.to_pylist(), platform.joins.sizes(), strict=True))
    ordered = sorted(in_roles(platform, Role.HOMOPHILY), key=lambda g: -sizes[g])
    assert got == set(ordered[:2])


def test_groups__by_name_and_by_this_run_s_detector(platform, truth):
    names = ["g0000007", "g0000003", "g0000005"]
    assert acted(platform, truth, names=names) == set(names)
    found = findings(names)
    assert acted(platform, truth, found, from_detector="spike", top=1) == {"g0000007"}
    assert acted(platform, truth, found, from_detector="spike", flagged=True) == set(names[:2])


@pytest.mark.parametrize("oracle", ["direct_effect", "caused"])
def test_groups__by_the_truth(platform, truth, oracle):
    rows = [row for row in truth.to_pylist() if row["direct_effect"] is not None]
    factor = {row["group"]: row["n_joins"] if oracle == "caused" else 1 for row in rows}
    value = {row["group"]: row["direct_effect"] * factor[row["group"]] for row in rows}
    ordered = sorted((v for v in value.values() if v > 0), reverse=True)
    expected = {name for name, v in value.items() if v >= ordered[4]}
    assert acted(platform, truth, oracle=oracle, top=5) == expected
    assert acted(platform, truth, oracle=oracle, top=10_000) == {n for n in value if value[n] > 0}


def test_largest__takes_all_that_equal_the_last_one():
    among = np.array([True, True, True, True, False])
    got = largest([3, 1, 2, 2, 9], among, 2)
    np.testing.assert_array_equal(got, [True, False, True, True, False])
    assert not largest([1, 1, 1, 1, 1], among, 0).any()
    np.testing.assert_array_equal(largest([3, 1, 2, 2, 9], among, 50), among)


# An earlier run -------------------------------------------------------------------------------


STATUS = json.dumps({"format": "gateway result, 1", "kind": "run"})


@pytest.fixture
def earlier(tmp_path):
    folder = tmp_path / "earlier"
    folder.mkdir()
    names = ["g0000007", "g0000003", "g0000005"]
    pq.write_table(findings(names), folder / "gateways.parquet")
    made_by = json.dumps({"model_version": MODEL_VERSION})
    for name, text in (
        ("status.json", STATUS), ("provenance.json", made_by), ("config.toml", SMALL),
    ):  # fmt: skip
        (folder / name).write_text(text)
    return folder


def from_result(folder, **more) -> dict:
    chosen = {"from_result": str(folder), "detector": "spike", "top": 2}
    return {"kind": "gysj_seed_filter", "arm": "filter", "start": 60, **chosen, **more}


def test_pin__puts_the_digest_of_an_earlier_run_into_the_config(platform, truth, earlier):
    config = arms_config(from_result(earlier))
    pinned = pin_groups(config)
    assert pinned.interventions[0].digest is not None
    assert config_digest(pinned) != config_digest(config)
    assert pin_groups(pinned) == pinned
    got = live_arms(
        pinned, platform.history, platform.joins, platform.targets.mask,
        gateways=findings([]), truth=truth,
    )  # fmt: skip
    expected = ["g0000003", "g0000007"]
    assert sorted(got["intervention_groups"]["group"].to_pylist()) == expected


def test_pin__refuses_an_earlier_run_that_has_changed(earlier):
    pinned = pin_groups(arms_config(from_result(earlier)))
    pq.write_table(findings(["g0000009"]), earlier / "gateways.parquet")
    with pytest.raises(ResultError, match="is not the result that the config names"):
        pin_groups(pinned)


def test_pin__says_what_is_wrong_with_an_earlier_run(earlier, tmp_path):
    with pytest.raises(ResultError, match="does not exist"):
        pin_groups(arms_config(from_result(tmp_path / "nowhere")))
    with pytest.raises(ResultError, match="no findings of a detector 'sccs'; it has: spike"):
        pin_groups(arms_config(from_result(earlier, detector="sccs")))
    pq.write_table(findings(["g0099999"]), earlier / "gateways.parquet")
    with pytest.raises(ResultError, match="is of another world: it ranks 'g0099999'"):
        pin_groups(arms_config(from_result(earlier)))
    shutil.rmtree(earlier)
    (earlier).mkdir()
    with pytest.raises(ResultError, match="holds no finished result"):
        pin_groups(arms_config(from_result(earlier)))


def test_pin__names_every_group_that_is_not_in_the_world():
    named = {"kind": "gysj_seed_filter", "start": 60, "names": ["g0000001", "g000002", "x\x1b"]}
    config = arms_config(named, overrides=("truth.total_groups=['g0000999']",))
    with pytest.raises(ConfigError) as caught:
        pin_groups(config)
    text = str(caught.value)
    assert len(caught.value.problems) == 3
    assert "names in interventions must be groups of the world, 'g0000000' to 'g0000119'" in text
    assert "got 'g000002' (did you mean 'g0000" in text
    assert "truth.total_groups" in text
    assert "\x1b" not in text


# Numbers --------------------------------------------------------------------------------------


def test_cost__has_fieller_s_limits():
    rng = np.random.default_rng(3)
    averted = rng.poisson(0.4, 4000)
    lost = averted + rng.poisson(0.3, 4000)
    cost, low, high = cost_per_averted(averted, lost)
    assert cost == lost.sum() / averted.sum()
    # With so many users Fieller's limits are those of the delta method.
    ratio = averted.mean()
    error = (lost - cost * averted).std(ddof=1) / ratio / np.sqrt(4000)
    np.testing.assert_allclose([low, high], [cost - 1.96 * error, cost + 1.96 * error], rtol=2e-3)


def test_cost__is_without_limits_where_nothing_is_surely_averted():
    assert cost_per_averted(np.array([0, 0, 0]), np.array([1, 0, 0])) == (None, None, None)
    assert cost_per_averted(np.array([-1, 0, 0]), np.array([1, 0, 0])) == (None, None, None)
    cost, low, high = cost_per_averted(np.array([1, 0, 0]), np.array([2, 0, 0]))
    assert (cost, low, high) == (2.0, None, None)


# Total effects --------------------------------------------------------------------------------


def test_truth__without_wishes_has_no_total_effects(truth):
    assert truth["total_effect"].null_count == truth.num_rows
    assert truth["direct_effect"].null_count < truth.num_rows


def test_truth__total_effects_equal_a_direct_call(platform):
    config = arms_config(
        overrides=("truth.total=2", "truth.total_groups=['g0000003']"),
    )
    mask = platform.targets.mask
    got = measure_truth(platform.history, mask, platform.joins, section=config.truth).to_pylist()
    chosen = [i for i, row in enumerate(got) if row["total_effect"] is not None]
    role = platform.history.world.groups.role
    planted = groups_in_roles(role, ["planted"])
    most = np.flatnonzero(largest(platform.joins.sizes(), planted, 2))
    assert set(chosen) == {3, *most.tolist()}
    expected = measure_total_effects(platform.history, chosen, mask)
    assert [got[i]["total_effect"] for i in chosen] == expected.effect.tolist()
    assert [got[i]["total_se"] for i in chosen] == expected.standard_error.tolist()


ALONE = (
    "world.users=3000", "simulation.recommendation=0.0", "simulation.friends=0.0",
    "simulation.invitation=0.0", "simulation.intent=1.0", "world.roles.influence_strength=3.0",
)  # fmt: skip


def lone_users(*overrides: str):
    """(history of users who do not see each other, target mask, gateways and ordinary groups)."""
    history = live_through(draw_world(small_config(*ALONE, *overrides)))
    groups = history.world.groups
    sizes = np.bincount(history.joins().group, minlength=len(groups))
    gateways = np.flatnonzero(groups.role == Role.INFLUENCE)
    ordinary = np.flatnonzero(groups.role == Role.ORDINARY)
    chosen = np.concatenate([gateways[:3], ordinary[np.argsort(-sizes[ordinary])[:2]]])
    return history, groups.role == Role.TARGET, chosen


@pytest.mark.parametrize("confirmation", ["false", "true"])
def test_total_effect__is_the_direct_effect_of_lone_users_who_look_once(confirmation):
    overrides = ("simulation.attempts=1", f"simulation.confirmation={confirmation}")
    history, mask, chosen = lone_users(*overrides)
    direct = measure_direct_effects(history, mask).effect[chosen]
    assert (direct > 0).sum() == 3
    np.testing.assert_array_equal(measure_total_effects(history, chosen, mask).effect, direct)


def targets_without(history, u: int, g: int, mask) -> int:
    """Target joins of user u living every occasion again in a world without g."""
    stage, mail = relived_stage(history), history.invitations.mail(len(history.world.users))
    fact = cells_of(history, u)
    n_done = int((fact.time < NO_DAY).sum())
    own = empty_table(n_done, CELL)
    boost, since, looked = 0.0, 0, -1
    for n in range(n_done):
        day = int(fact.time[n])
        answer, looked = decide_again(
            stage, history.policies, mail, own, n, u, day, boost, since, looked, g,
            history.world.seed, 2,
        )  # fmt: skip
        write(own[n], day, answer)
        if answer.outcome == MEMBER and stage.groups[answer.group].influence != 0.0:
            beta = stage.groups[answer.group].influence
            boost, since = add_influence(stage.half_life, boost, since, day, beta), day
    joined = (own.group >= 0) & (own.source < UNCONFIRMED)
    return int((mask[np.maximum(own.group, 0)] & joined).sum())


def test_total_effect__of_lone_users_is_the_sum_of_their_lives_without_the_group():
    """Who looks on finds something else instead: that is what a replay of one join leaves out."""
    history, mask, chosen = lone_users()
    total = measure_total_effects(history, chosen, mask)
    direct = measure_direct_effects(history, mask)
    assert (total.effect < direct.effect[chosen]).all()
    factual = joins_by_user(history, mask)
    for g, effect in zip(chosen, total.effect, strict=True):
        cell = np.flatnonzero(history.state.group == g)
        users = np.unique(history.owner(cell))
        lost = sum(int(factual[u]) - targets_without(history, int(u), int(g), mask) for u in users)
        joins = int((history.state.source[cell] < UNCONFIRMED).sum())
        assert effect == lost / joins
