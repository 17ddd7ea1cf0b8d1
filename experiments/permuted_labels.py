"""Whom does each detector call in a real log whose labels are permuted?

The groups of all joins are permuted over all joins: users keep when and how often they
joined, groups keep their size, and nothing is true. Whatever is called is a false call.
With ``--within`` the groups of each user are permuted among that user's joins: association
stays, change goes.

Run: python experiments/permuted_labels.py LOG GROUPS --category Tech [--times 30] [--within]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.csv

from gateway.check import permute_labels, permute_within_users
from gateway.detect import REGISTRY, Detection, detectors_for, run_detector
from gateway.log.join_log import JoinLog
from gateway.score import score_joins
from gateway.targets import TargetSet

HORIZON = 180
ALPHA = 0.05


def detections(
    joins: JoinLog, targets: TargetSet, horizon: int | None, names: list[str]
) -> Iterator[Detection]:
    """Run the detectors that test something on one set of scores."""
    scores = None
    if any(REGISTRY[name].needs_scores for name in names):
        scores = score_joins(joins, targets, horizon=horizon)
    for name in names:
        yield run_detector(
            name, joins, targets, options={}, scores=scores, horizon=horizon, seed=1
        )  # fmt: skip


def main() -> None:
    """Print calls at q < .05 and flags of each detector, over the permutations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("groups", type=Path)
    parser.add_argument("--category", default="Tech")
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--detectors", nargs="+", default=None)
    parser.add_argument("--within", action="store_true")
    given = parser.parse_args()
    permute = permute_within_users if given.within else permute_labels
    joins = JoinLog.read(given.log)
    rows = pyarrow.csv.read_csv(given.groups)
    named = rows.filter(pc.equal(rows["category"], given.category))["group"].combine_chunks()
    mask = pc.is_in(joins.groups, value_set=named).to_numpy(zero_copy_only=False)
    targets = TargetSet(np.asarray(mask, bool), f"category {given.category}")
    print(f"{joins}, {targets.count} targets")
    found: dict[tuple[str, str], list[tuple[int, int, float, int]]] = {}
    for seed in range(given.times):
        log = permute(joins, seed=seed).joins
        for horizon in (HORIZON, None):
            wanted = given.detectors or detectors_for(log)
            names = [n for n in wanted if horizon is None or REGISTRY[n].uses_horizon]
            for d in detections(log, targets, horizon, names):
                key = d.detector, "none" if horizon is None else str(horizon)
                tested = ~np.isnan(d.p_value)
                if tested.any():
                    called = int((d.q_value[tested] < ALPHA).sum())
                    small = float((d.p_value[tested] < ALPHA).mean())
                    row = called, int(d.flagged.sum()), small, int(tested.sum())
                    found.setdefault(key, []).append(row)
    print("| detector | horizon | logs with q < .05 | groups with q < .05 | p < .05 | flags |")
    print("|---|---|---|---|---|---|")
    for (name, horizon_), rows_ in sorted(found.items()):
        called_, flagged, small_, _ = np.array(rows_).T
        print(
            f"| `{name}` | {horizon_} | {(called_ > 0).sum()} of {len(rows_)} | "
            f"{called_.min():.0f} to {called_.max():.0f} | {small_.mean():.3f} | "
            f"{flagged.min():.0f} to {flagged.max():.0f} |"
        )


if __name__ == "__main__":
    main()
