"""Plans: what to act on where the verdict points, and that a plan does what it says."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from gateway.config import parse_config
from gateway.counterfactual import live_plan, plan_edges, plan_groups
from gateway.detect import EdgesOptions, SelfControlledOptions, detect_edges, detect_self_controlled
from gateway.errors import ConfigError
from gateway.pipeline import obtain_inputs
from gateway.simulate import GysjSeedFilter, compare_runs
from tests.worlds import SMALL

# Whole simulations: minutes as plain Python.
pytestmark = pytest.mark.compiled

WORLD = (
    "world.users=4000", "world.groups=150", "world.roles.influence=0",
    "world.roles.recommender=6", "world.roles.recommender_strength=0.8",
)  # fmt: skip


@pytest.fixture(scope="module")
def inputs():
    return obtain_inputs(parse_config(SMALL, overrides=list(WORLD)))


@pytest.fixture(scope="module")
def gateways(inputs):
    edges = detect_edges(inputs.joins, inputs.targets, options=EdgesOptions())
    change = detect_self_controlled(inputs.joins, inputs.targets, options=SelfControlledOptions())
    return pa.concat_tables([edges.to_arrow(), change.to_arrow()], promote_options="default")


def test_plan_groups__takes_the_measure_that_the_verdict_points_to(inputs, gateways):
    plan = plan_groups(gateways).to_pylist()
    assert plan
    rows = {row["group"]: row for row in gateways.to_pylist() if row["detector"] == "edges"}
    for row in plan:
        if row["seed_filter"] and not row["friction"] and not row["demotion"]:
            assert row["averted"] == pytest.approx(rows[row["group"]]["seed_averted"])
    assert any(row["seed_filter"] for row in plan)
    amounts = [row["averted"] for row in plan]
    assert amounts == sorted(amounts, reverse=True)


def test_live_plan__is_the_paired_run_of_its_groups(inputs, gateways):
    plan = plan_groups(gateways).filter(plan_groups(gateways)["seed_filter"])
    plan = plan.set_column(2, "friction", pa.array([False] * plan.num_rows))
    plan = plan.set_column(3, "demotion", pa.array([False] * plan.num_rows))
    got = live_plan(inputs.history, inputs.targets.mask, plan, budget=2, start=0)
    chosen = np.isin(inputs.joins.groups.to_pylist(), plan["group"].to_pylist()[:2])
    found, _ = compare_runs(inputs.history, (GysjSeedFilter(0, chosen),), inputs.targets.mask)
    assert got["averted"] == found.averted.sum() > 0
    assert got["n"] == 2
    assert got["averted_low"] < got["averted"] < got["averted_high"]


def test_plan_edges__add_up_to_the_seeds_and_end_their_joins(inputs, gateways):
    joins, mask = inputs.joins, inputs.targets.mask
    plan = plan_edges(gateways, joins, mask)
    rows = {row["group"]: row for row in gateways.to_pylist() if row["detector"] == "edges"}
    by_seed: dict[str, float] = {}
    for edge in plan.to_pylist():
        by_seed[edge["seed"]] = by_seed.get(edge["seed"], 0.0) + edge["averted"]
    for seed, amount in by_seed.items():
        # The detector's sum leaves out users all of whose joins are of targets.
        assert amount >= rows[seed]["seed_averted"] - 1e-9
    got = live_plan(inputs.history, mask, plan, budget=10, start=0)
    assert got["averted"] > 0
    assert got["promised"] == pytest.approx(sum(plan["averted"].to_pylist()[:10]))


def test_arm_by_verdict__needs_edges():
    text = (
        '[[interventions]]\nkind = "gysj_seed_filter"\nstart = 0\nverdict = "recommends"\n' + SMALL
    )
    with pytest.raises(ConfigError, match="needs edges among"):
        parse_config(text)
