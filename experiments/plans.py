"""What a budget of so many groups or edges averts and costs, by whose findings it is spent.

In worlds where gateways act by influence, recommendation and invitation (configs/mechanisms.toml,
"all together"), from half of the time on: groups of the verdict with the measures that it
points to (``plan_groups``), recommended edges of the verdict (``plan_edges``), and the top of
``spike``, of ``self_controlled`` and of the truth (``caused``) with all measures, since these do
not tell which one: seed filter, friction on invitations to members, demotion. Every plan is
lived through beside its factual platform. Intervals are Student's over worlds.

Run: python experiments/plans.py [--seeds 61 62 ...] [--out results/reference/mechanisms]
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from interventions import over_worlds, ratio_of_means

from gateway.counterfactual import live_plan, measure_truth, plan_edges, plan_groups
from gateway.figures.style import csv_bytes
from gateway.finding import run_detectors, score_where_needed
from gateway.pipeline import obtain_inputs
from gateway.results import load_config
from gateway.talk import SILENT

CONFIG = Path(__file__).parent.parent / "configs" / "mechanisms.toml"
WORLD = ("world.roles.influence=7", "world.roles.recommender=7", "world.roles.inviter=7",
         'detect.detectors=["spike", "self_controlled", "edges"]')  # fmt: skip
BUDGETS = (5, 10, 20)
MEASURES = ("seed_filter", "friction", "demotion")


def everything_on(groups: list[str]) -> pa.Table:
    """Return a plan with all measures on groups in order; it promises nothing."""
    yes = pa.array([True] * len(groups), pa.bool_())
    about = {"group": pa.array(groups, pa.string()), **dict.fromkeys(MEASURES, yes)}
    return pa.table(about | {"averted": pa.array([0.0] * len(groups))})


def plans_of(seed: int) -> tuple[Any, dict[str, pa.Table]]:
    """Return the inputs of a world and the plans made from its log and from its truth."""
    config = load_config(str(CONFIG), overrides=[f"experiment.seed={seed}", *WORLD])
    config = config.model_copy(update={"sweep": None})
    inputs = obtain_inputs(config)
    joins, targets = inputs.joins, inputs.targets
    scores = score_where_needed(config, joins, targets, talk=SILENT)
    found = run_detectors(config, joins, targets, scores, talk=SILENT)
    gateways = pa.concat_tables([d.to_arrow() for d in found.values()], promote_options="default")
    truth = measure_truth(inputs.history, targets.mask, joins, section=config.truth)  # type: ignore[arg-type]
    caused = pc.fill_null(pc.multiply(truth["direct_effect"], truth["n_joins"]), 0.0)
    best = truth.append_column("caused", caused).sort_by([("caused", "descending")])
    verdict = plan_groups(gateways)
    plans = {"verdict": verdict, "verdict, edges": plan_edges(gateways, joins, targets.mask)}
    for name in ("spike", "self_controlled"):
        rows = gateways.filter(pc.equal(gateways["detector"], name)).filter(pc.field("rank") > 0)
        plans[name] = everything_on(rows.sort_by("rank")["group"].to_pylist())
    plans["oracle"] = everything_on(best["group"].to_pylist())
    return inputs, plans


def measure(seed: int) -> list[dict[str, Any]]:
    """Live through every plan of one world."""
    inputs, plans = plans_of(seed)
    rows = []
    for name, plan in plans.items():
        for budget in BUDGETS:
            lived = live_plan(
                inputs.history, inputs.targets.mask, plan, budget=budget,
                start=inputs.history.world.days // 2,
            )  # fmt: skip
            rows.append({"seed": seed, "plan": name, "budget": budget, **lived})
    return rows


def summarise(rows: list[dict[str, Any]]) -> pa.Table:
    """Return a row for each plan and budget: means over worlds, ratio, and their intervals."""
    of = defaultdict(list)
    for row in rows:
        of[row["plan"], row["budget"]].append(row)
    found = []
    for (name, budget), worlds in of.items():
        value = {
            key: np.array([row[key] or 0.0 for row in worlds], float)
            for key in ("averted", "benign_lost", "promised", "n", "target_joins")
        }
        row = {"plan": name, "budget": budget, "worlds": len(worlds)}
        row |= {key: float(value[key].mean()) for key in ("n", "promised", "target_joins")}
        for key, three in {
            "averted": over_worlds(value["averted"]),
            "benign_lost": over_worlds(value["benign_lost"]),
            "cost": ratio_of_means(value["benign_lost"], value["averted"]),
        }.items():
            row |= dict(zip((key, f"{key}_low", f"{key}_high"), three, strict=True))
        found.append(row)
    return pa.Table.from_pylist(found)


def main() -> None:
    """Measure every world that is not there yet, print a table, and store it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(61, 71)))
    parser.add_argument("--rows", type=Path, help="file of the worlds measured before")
    parser.add_argument("--out", type=Path, help="folder for the table")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if given.rows is not None and given.rows.exists():
        rows = [json.loads(line) for line in given.rows.read_text("utf-8").splitlines()]
    for seed in sorted(set(given.seeds) - {row["seed"] for row in rows}):
        rows += (new := measure(seed))
        if given.rows is not None:
            with given.rows.open("a", encoding="utf-8") as out:
                out.writelines(json.dumps(row) + "\n" for row in new)
    table = summarise([row for row in rows if row["seed"] in given.seeds])
    print("| plan | budget | acted on | target joins averted | benign joins lost | lost for each |")
    print("|---" * 6 + "|")
    for row in table.to_pylist():
        cells = [f"{row[k]:.{d}f} ({row[f'{k}_low']:.{d}f} to {row[f'{k}_high']:.{d}f})"
                 for k, d in (("averted", 0), ("benign_lost", 0), ("cost", 1))]  # fmt: skip
        print(f"| {row['plan']} | {row['budget']} | {row['n']:.1f} | {' | '.join(cells)} |")
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "plans.csv").write_bytes(csv_bytes(table))


if __name__ == "__main__":
    main()
