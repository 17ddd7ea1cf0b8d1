"""Which experiment finds what a seed filter averts, and how far is it off?

In worlds of recommender gateways (configs/mechanisms.toml) the planted ones are filtered out of
the seeds for half of the users, of the groups, of the pairs of group and target, or of clusters
of users by co-membership. The truth is the platform lived with the filter for everybody. For
each design: mean estimate, its bias by interference and substitution (intervals: Student's over
worlds), the standard deviation over assignments beside the error that the trial itself states,
how often an effect is called at 5 %, and the least effect that is found with power .8.

Run: python experiments/designs.py [--seeds 61 62 ...] [--trials 10] [--out FOLDER]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
from interventions import over_worlds

from gateway.counterfactual.designs import co_membership_clusters, run_trial, true_averted
from gateway.figures.style import csv_bytes
from gateway.pipeline import obtain_inputs
from gateway.results import load_config
from gateway.world import Role

CONFIG = Path(__file__).parent.parent / "configs" / "mechanisms.toml"
WORLD = ("world.roles.influence=0", "world.roles.recommender=20")
DESIGNS = ("user", "cluster", "entity", "edge")
CLUSTERS = 100


def measure(seed: int, trials: int) -> dict[str, dict[str, float]]:
    """Return what the trials of each design say of one world."""
    config = load_config(str(CONFIG), overrides=[f"experiment.seed={seed}", *WORLD])
    inputs = obtain_inputs(config.model_copy(update={"sweep": None}))
    history, mask = inputs.history, inputs.targets.mask
    if history is None:
        raise SystemExit("only a simulated run has a truth")
    groups, start = history.world.groups.role == Role.RECOMMENDER, history.world.days // 4
    truth = true_averted(history, mask, groups, start=start)
    clusters = co_membership_clusters(inputs.joins, before=start, count=CLUSTERS, seed=seed)
    found = {}
    for by in DESIGNS:
        runs = [
            run_trial(history, mask, groups, by=by, start=start, seed=i, clusters=clusters)
            for i in range(trials)
        ]
        estimate = np.array([run.estimate for run in runs])
        found[by] = {
            "units": runs[0].units, "truth": truth, "estimate": estimate.mean(),
            "bias": estimate.mean() - truth, "sd": estimate.std(ddof=1),
            "error": np.mean([run.error for run in runs]),
            "power": np.mean([run.found for run in runs]),
            "detectable": np.mean([run.detectable for run in runs]),
        }  # fmt: skip
    return found


def main() -> None:
    """Measure every world, print a table, and store it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(61, 71)))
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--out", type=Path, help="folder for the table")
    given = parser.parse_args()
    of = defaultdict(list)
    for seed in given.seeds:
        for by, values in measure(seed, given.trials).items():
            of[by].append(values)
            print(seed, by, {key: round(float(x), 2) for key, x in values.items()}, flush=True)
    rows = []
    for by, worlds in of.items():
        mean = {key: float(np.mean([world[key] for world in worlds])) for key in worlds[0]}
        _, low, high = over_worlds(np.array([world["bias"] for world in worlds]))
        rows.append({"design": by, "worlds": len(worlds), **mean,
                     "bias_low": low, "bias_high": high})  # fmt: skip
    for row in rows:
        print({key: x if isinstance(x, str) else round(x, 2) for key, x in row.items()})
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "designs.csv").write_bytes(csv_bytes(pa.Table.from_pylist(rows)))


if __name__ == "__main__":
    main()
