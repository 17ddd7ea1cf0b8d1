"""What it takes to find gateways: recall and false calls by users, joins, targets, effect.

Run: gateway sweep configs/power.toml --out DIR, then python experiments/power.py DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa

from gateway.evaluate import mean_interval
from gateway.evaluate.replicates import swept_keys
from gateway.results import open_tables

# What configs/power.toml plants.
GATEWAYS = 30
KEPT = ("average_precision", "n_called_q10", "false_share_q10")


def by_world(evaluation: pa.Table) -> dict[tuple[object, ...], dict[str, float]]:
    """Metrics of each detector in each world, by point, seed and detector."""
    keys = swept_keys(evaluation)
    found: dict[tuple[object, ...], dict[str, float]] = {}
    for row in evaluation.to_pylist():
        if row["metric"] in KEPT and row["truth"] == "planted":
            name = (row["detector"], *(row[key] for key in keys), row["seed"])
            value = row["value"]
            found.setdefault(name, {})[row["metric"]] = np.nan if value is None else value
    return found


def main() -> None:
    """Print the table: one row for each point and detector, means over worlds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    evaluation = open_tables(parser.parse_args().folder).table("evaluation")
    keys, worlds = swept_keys(evaluation), by_world(evaluation)
    names = ["detector", *(key.rsplit(".", 1)[-1] for key in keys)]
    print("| " + " | ".join([*names, "average precision", "found at q < .10", "false"]) + " |")
    print("|" + "---|" * (len(names) + 3))
    for point in sorted({name[:-1] for name in worlds}, key=str):
        values = [v for name, v in worlds.items() if name[:-1] == point]
        precision = np.array([v["average_precision"] for v in values])
        false = np.array([v["false_share_q10"] for v in values])
        called = np.array([v["n_called_q10"] for v in values])
        recall = called * (1 - false) / GATEWAYS
        cells = [f"{mean_interval(x)[0]:.2f}" for x in (precision, recall, false)]
        print("| " + " | ".join([*map(str, point), *cells]) + " |")


if __name__ == "__main__":
    main()
