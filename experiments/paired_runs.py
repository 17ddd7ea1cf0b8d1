"""How many fewer replicates does a paired comparison need than two independent runs?

An arm of a config's interventions is measured in target joins averted. Paired: both runs
of one seed share every other draw. Independent: the run with the intervention, in the same
world, draws all its joins with a seed of its own. The variance of the difference over
replicates says how many of them an interval of a given width takes. Arms that choose their
groups by a detector or by the truth need a whole run and are refused; targets are the
planted ones of the first kind.

Run: python experiments/paired_runs.py [--config configs/interventions.toml]
     [--arm NAME] [--replicates 20] [--users 10000]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa

from gateway.config import Config
from gateway.counterfactual.arms import acted_on, arm_sections, as_intervention
from gateway.counterfactual.chosen_groups import Known
from gateway.log.join_log import numbered_names
from gateway.results import load_config
from gateway.simulate import History, Intervention, compare_runs, joins_by_user, live_through
from gateway.simulate.paired import paired_total
from gateway.world import Role, World, draw_world

# A quarter of the roles for a fifth of the users: a replicate takes seconds.
SMALLER = (
    "world.groups=1000", "world.roles.targets=80", "world.roles.influence=10",
    "world.roles.recommender=10", "world.roles.inviter=0", "world.roles.homophily=10",
    "world.roles.hub=5",
)  # fmt: skip


def target_mask(world: World) -> np.ndarray:
    """Planted targets of the first kind."""
    return (world.groups.role == Role.TARGET) & (world.groups.topic == 0)


def policies_of(config: Config, arm: str, history: History) -> tuple[Intervention, ...]:
    """The interventions of an arm on this world."""
    groups = history.world.groups
    known = Known(
        names=numbered_names("g", np.arange(len(groups))),
        role=groups.role,
        n_joins=np.bincount(history.joins().group, minlength=len(groups)),
        gateways=pa.table({}),
        truth=pa.table({}),
    )
    first = history.world.section.start
    return tuple(
        as_intervention(section, acted_on(section, known), first=first)
        for section in arm_sections(config)[arm]
    )


def measure(config: Config, arm: str) -> tuple[float, float, float, float]:
    """(paired difference, its users' standard error, target joins without, and with apart)."""
    world = draw_world(config)
    history = live_through(world)
    policies = policies_of(config, arm, history)
    found, _ = compare_runs(history, policies, target_mask(world))
    total, low, high = paired_total(found.averted)
    print(
        f"seed {world.seed}: {total:+.0f} target joins averted (95 % {low:.0f} to {high:.0f}), "
        f"{found.lost.sum():+d} other joins lost, {found.diverged.mean():.1%} of users differ"
    )
    return total, (high - low) / 3.92, count(history), count(live_apart(world, policies))


def count(history: History) -> int:
    """Target joins on the whole platform."""
    return int(joins_by_user(history, target_mask(history.world)).sum())


def live_apart(world: World, policies: tuple[Intervention, ...]) -> History:
    """Live through the same world with the policies, every join drawn with another seed."""
    section = world.config.experiment
    config = world.config.model_copy(
        update={"experiment": section.model_copy(update={"seed": section.seed + 10_000})}
    )
    return live_through(replace(world, config=config), interventions=policies)


def chosen_arm(config: Config, wanted: str) -> str:
    """The arm of this name, if its groups are known before any run."""
    sections = arm_sections(config)
    if wanted not in sections:
        sys.exit(f"no arm {wanted!r}; the config has: {', '.join(sections)}")
    if any(one.from_detector or one.oracle for one in sections[wanted]):
        sys.exit(f"arm {wanted!r} chooses its groups by a detector or the truth")
    return wanted


def main() -> None:
    """Measure replicates and compare the variances."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="configs/interventions.toml")
    parser.add_argument("--arm", default="seed filter alone")
    parser.add_argument("--replicates", type=int, default=20)
    parser.add_argument("--users", type=int, default=10_000)
    options = parser.parse_args()
    rows = []
    for seed in range(1, options.replicates + 1):
        overrides = [*SMALLER, f"world.users={options.users}", f"experiment.seed={seed}"]
        config = load_config(options.config, overrides=overrides)
        rows.append(measure(config, chosen_arm(config, options.arm)))
    paired, error, before, apart = np.array(rows).T
    independent = before - apart
    ratio = independent.var(ddof=1) / paired.var(ddof=1)
    print(
        f"paired: mean {paired.mean():.1f}, sd over worlds {paired.std(ddof=1):.1f} "
        f"(within a world, from users: {error.mean():.1f}); independent: mean "
        f"{independent.mean():.1f}, sd {independent.std(ddof=1):.1f}; "
        f"pairing needs {ratio:.1f} times fewer replicates"
    )


if __name__ == "__main__":
    main()
