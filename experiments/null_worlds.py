"""How many groups does T_g call where no gateway acts?

Two kinds of world without any gateway effect, the size of the quickstart. In the *strict*
ones nothing is true at all: all users have the same interests and find groups by search
alone, so that no group says anything about its joiners. In the *quickstart without effect*
everything is as in configs/quickstart.toml but beta = 0: the look-alikes still attract
users who were going anyway.

Run: python experiments/null_worlds.py [--worlds 3]
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace

import numpy as np

from gateway.config import Config
from gateway.detect import Detection, SpikeOptions, detect_spikes
from gateway.pipeline import Inputs, obtain_inputs
from gateway.results import load_config
from gateway.score import score_joins

QUICKSTART = "configs/quickstart.toml"
STRICT = (
    "world.roles.influence=0", "world.roles.homophily=0", "world.interest_concentration=1e6",
    "world.harm_concentration=1e6", "world.harm_interest=0.02", "world.home_bias=0.0",
    "simulation.intent=1.0", "simulation.recommendation=0.0", "simulation.friends=0.0",
    "simulation.invitation=0.0",
)  # fmt: skip
NO_EFFECT = ("world.roles.influence_strength=0.0",)
ALPHA = 0.05


def called(detection: Detection, platform: Inputs) -> str:
    """Number of groups with q below ALPHA, by role."""
    q = np.nan_to_num(detection.q_value, nan=1.0)
    roles = Counter(platform.role[q < ALPHA].tolist())
    listed = ", ".join(f"{n} {role}" for role, n in sorted(roles.items()))
    return f"{sum(roles.values())}" + (f" ({listed})" if listed else "")


def measure(name: str, config: Config) -> None:
    """Print one world: calls by p-value, against the expectation and against p_{i-1}."""
    platform = obtain_inputs(config)
    scores = score_joins(platform.joins, platform.targets, horizon=config.score.horizon)
    raw = replace(scores, expected=scores.before)
    for p_value in ("binomial", "normal"):
        options = SpikeOptions(p_value=p_value)
        found = detect_spikes(platform.joins, platform.targets, scores, options=options)
        naive = detect_spikes(platform.joins, platform.targets, raw, options=options)
        tested = ~np.isnan(found.p_value)
        small = (found.p_value[tested] < ALPHA).mean()
        seed = config.experiment.seed
        print(
            f"{name:>12} seed {seed} {p_value:>8}: {tested.sum()} tested, p < .05 {small:.3f}, "
            f"q < .05: {called(found, platform)}; against p_(i-1): {called(naive, platform)}"
        )


def main() -> None:
    """Run both kinds of world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=3)
    worlds = parser.parse_args().worlds
    for name, settings in (("strict", STRICT), ("no effect", NO_EFFECT)):
        for seed in range(101, 101 + worlds):
            overrides = [*settings, f"experiment.seed={seed}"]
            measure(name, load_config(QUICKSTART, overrides=overrides))


if __name__ == "__main__":
    main()
