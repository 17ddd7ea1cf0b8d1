"""How many fewer replicates does a paired comparison need than two independent runs?

An intervention (nothing is recommended from the planted gateways, from day 180 on) is
measured in target joins averted. Paired: both runs of one seed share every other draw.
Independent: the run with the intervention, in the same world, draws all its joins with
a seed of its own. The variance of the difference over replicates says how many of them
an interval of a given width takes.

Run: python experiments/paired_runs.py [--replicates 20] [--users 10000]
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from gateway.simulate import GysjSeedFilter, History, compare_runs, live_through
from gateway.store import load_config
from gateway.world import GATEWAYS, Role, World, draw_world

SETTINGS = (
    "world.groups=1000", "world.roles.targets=80", "world.roles.influence=10",
    "world.roles.recommender=10", "world.roles.homophily=10", "world.roles.hub=5",
)  # fmt: skip


def target_mask(world: World) -> np.ndarray:
    """Planted targets of the first kind."""
    return (world.groups.role == Role.TARGET) & (world.groups.topic == 0)


def measure(seed: int, users: int) -> tuple[float, float, float, float]:
    """(paired difference, its users' standard error, target joins without, and with apart)."""
    overrides = [*SETTINGS, f"world.users={users}", f"experiment.seed={seed}"]
    world = draw_world(load_config("configs/quickstart.toml", overrides=overrides))
    policy = GysjSeedFilter(180, np.isin(world.groups.role, GATEWAYS))
    history = live_through(world)
    found, _ = compare_runs(history, (policy,), target_mask(world))
    total, low, high = found.net_averted()
    print(
        f"seed {seed}: {total:+.0f} target joins averted (95 % {low:.0f} to {high:.0f}), "
        f"{found.lost.sum():+d} other joins lost, {found.diverged.mean():.1%} of users differ"
    )
    return total, (high - low) / 3.92, count(history), count(live_apart(world, policy))


def count(history: History) -> int:
    """Target joins on the whole platform."""
    return int(target_mask(history.world)[history.joins().group].sum())


def live_apart(world: World, policy: GysjSeedFilter) -> History:
    """Live through the same world with the policy, every join drawn with another seed."""
    section = world.config.experiment
    config = world.config.model_copy(
        update={"experiment": section.model_copy(update={"seed": section.seed + 10_000})}
    )
    return live_through(replace(world, config=config), interventions=(policy,))


def main() -> None:
    """Measure replicates and compare the variances."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=20)
    parser.add_argument("--users", type=int, default=10_000)
    options = parser.parse_args()
    rows = np.array([measure(seed, options.users) for seed in range(1, options.replicates + 1)])
    paired, error, before, apart = rows.T
    independent = before - apart
    ratio = independent.var(ddof=1) / paired.var(ddof=1)
    print(
        f"paired: mean {paired.mean():.1f}, sd over worlds {paired.std(ddof=1):.1f} "
        f"(within a world, from users: {error.mean():.1f}); independent: mean "
        f"{independent.mean():.1f}, sd {independent.std(ddof=1):.1f}; "
        f"pairing needs {ratio:.0f} times fewer replicates"
    )


if __name__ == "__main__":
    main()
