"""Every detector on worlds like the quickstart; and what their parts are worth.

Prints means over worlds of each detector's measures against the planted gateways; the
odds ratio of target joins after to before a join, pooled by role (the look-alike check of
``gateway explain``); and how far the approximate returns of ``markov_removal`` are from the
inverse.

Run: python experiments/rivals.py [--worlds 3] [--detector NAME ...]
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np

import gateway
from gateway.analyses import common_odds_ratio
from gateway.analyses.look_alike import Histories
from gateway.detect import DETECTORS
from gateway.detect.chain import build_chain, mean_returns, solve_visits
from gateway.evaluate import evaluate_planted
from gateway.pipeline import Inputs, obtain_inputs
from gateway.score import Scores, score_joins

QUICKSTART = "configs/quickstart.toml"
MEASURES = (
    "average_precision", "precision_at_50", "share_homophily_at_50", "share_hub_at_50",
    "n_flagged", "precision_flagged",
)  # fmt: skip
FEWEST, MOST = 20, 40
ROLES = ("influence", "homophily", "hub", "ordinary")


def measure(
    platform: Inputs, scores: Scores, name: str, horizon: int | None, seed: int
) -> list[float]:
    """Return the measures of one detector."""
    found = gateway.detect(
        platform.joins, platform.targets, detector=name, scores=scores, horizon=horizon, seed=seed
    )
    world = platform.world
    assert world is not None  # noqa: S101  (it was simulated)
    table = evaluate_planted(found, platform.role, world.groups.strength, seed=seed)
    value = {row["metric"]: row["value"] for row in table.to_pylist()}
    return [np.nan if value[key] is None else value[key] for key in MEASURES]


def check_roles(platform: Inputs, scores: Scores) -> None:
    """Print the look-alike check, pooled over the first groups of a role."""
    joins, targets = platform.joins, platform.targets
    histories = Histories(joins, targets, scores.prefixes)
    for role in ROLES:
        mine = np.flatnonzero((platform.role == role) & (joins.sizes() >= FEWEST))[:MOST]
        before, after, targets_before, targets_after = (
            np.concatenate(counts)
            for counts in zip(*(histories.around(int(g)) for g in mine), strict=True)
        )
        pooled = common_odds_ratio(
            joins_before=before,
            joins_after=after,
            targets_before=targets_before,
            targets_after=targets_after,
        )
        print(
            f"  {role:>9}: {len(mine)} groups, {pooled.targets_after:,} after, "
            f"{pooled.expected:,.0f} by chance, "
            f"odds ratio {pooled.ratio:.2f} [{pooled.ci_low:.2f}, {pooled.ci_high:.2f}]"
        )


def check_returns(platform: Inputs) -> None:
    """Print how far the approximate N_gg is from the exact one."""
    moves, starts, _ = build_chain(platform.joins, platform.targets).probabilities()
    visits = solve_visits(moves, starts)
    exact, near = (mean_returns(moves, visits, exact=e) for e in (True, False))
    off = np.abs(near / exact - 1)
    print(f"N_gg at most {exact.max():.3f}; off by at most {off.max():.1e}, median "
          f"{np.median(off):.1e}")  # fmt: skip


def main() -> None:
    """Measure all worlds and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=3)
    parser.add_argument("--detector", choices=DETECTORS, nargs="*", default=list(DETECTORS))
    given = parser.parse_args()
    found: dict[str, list[list[float]]] = defaultdict(list)
    for seed in range(201, 201 + given.worlds):
        config = gateway.load_config(QUICKSTART, overrides=[f"experiment.seed={seed}"])
        platform, horizon = obtain_inputs(config), config.score.horizon
        scores = score_joins(platform.joins, platform.targets, horizon=horizon, seed=seed)
        if seed == 201:
            check_roles(platform, scores)
            check_returns(platform)
        for name in given.detector:
            found[name].append(measure(platform, scores, name, horizon, seed))
    print(" ".join(["detector", *MEASURES]))
    for name, rows in found.items():
        columns = np.array(rows).T
        means = [c[~np.isnan(c)].mean() if not np.isnan(c).all() else np.nan for c in columns]
        print(f"{name:>15} " + " ".join(f"{mean:.3f}" for mean in means))


if __name__ == "__main__":
    main()
