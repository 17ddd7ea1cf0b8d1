"""How many groups are called where no gateway acts?

Two kinds of world without any gateway effect, the size of the quickstart. In the *strict*
ones nothing is true at all: all users have the same interests and find groups by search
alone, so that no group says anything about its joiners. In the *quickstart without effect*
everything is as in configs/quickstart.toml but beta = 0: the look-alikes still attract
users who were going anyway. T_g is measured on both.

With ``--disturbed`` logs in which users join groups and targets at random, each target and
each group by its popularity, each user at a pace of their own, so that no group is associated
with targets or changes anything. But users come late, and their windows are not known; are
shown to a few groups when they come; or half of the targets are founded late. It counts the
logs in which each default detector flags a group.

Run: python experiments/null_worlds.py [--worlds 3]
     python experiments/null_worlds.py --disturbed --worlds 30
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace

import numpy as np

from gateway.config import Config
from gateway.detect import Detection, SpikeOptions, detect, detect_spikes
from gateway.log.join_log import JoinLog
from gateway.pipeline import Inputs, obtain_inputs
from gateway.results import load_config
from gateway.score import score_joins
from gateway.targets import TargetSet

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


USERS, GROUPS, TARGETS, WELCOMES, DAYS = 6_000, 300, 30, 5, 365
JOINS, TARGET_JOINS = 6.0, 1.5
DISTURBANCES = ("none", "late arrivals", "on-boarding", "late targets", "all three")


def disturbed(kind: str, seed: int) -> tuple[JoinLog, TargetSet]:
    """Return a log in which nothing is true; targets are the first groups, then the welcomes."""
    rng = np.random.default_rng([seed, DISTURBANCES.index(kind)])
    comes_late = kind in {"late arrivals", "on-boarding", "all three"}
    arrival = rng.integers(0, DAYS * 5 // 6, USERS) if comes_late else np.zeros(USERS, np.int64)
    popularity = rng.lognormal(0.0, 1.0, GROUPS)
    pace = rng.gamma(2.0, 0.5, USERS)
    taste = rng.gamma(1.0, 1.0, USERS)
    founded = np.zeros(GROUPS, np.int64)
    if kind in {"late targets", "all three"}:
        founded[: TARGETS // 2] = DAYS // 2
    rows = []
    for first, last, rate in (
        (0, TARGETS, TARGET_JOINS * pace * taste), (TARGETS, GROUPS, JOINS * pace)
    ):  # fmt: skip
        user = np.repeat(np.arange(USERS), rng.poisson(rate * (DAYS - arrival) / DAYS))
        day = arrival[user] + (rng.random(len(user)) * (DAYS - arrival[user])).astype(np.int64)
        share = popularity[first:last] / popularity[first:last].sum()
        group = first + rng.choice(last - first, len(user), p=share)
        there = day >= founded[group]
        rows.append((user[there], group[there], day[there]))
    if kind in {"on-boarding", "all three"}:
        welcomed, which = np.nonzero(rng.random((USERS, WELCOMES)) < 0.5)
        soon = np.minimum(arrival[welcomed] + rng.integers(0, 3, len(welcomed)), DAYS - 1)
        rows.append((welcomed, TARGETS + which, soon))
    user, group, day = (np.concatenate(column) for column in zip(*rows, strict=True))
    log = JoinLog.from_arrays(user, group, day, tick="day")
    names = np.array([int(name[1:]) for name in log.groups.to_pylist()])
    return log, TargetSet(names < TARGETS, "targets")


def count_flags(worlds: int) -> None:
    """Print for each disturbance the logs with a flag, and the share of small p-values."""
    print("| disturbance | detector | logs with a flag | flags in all | p < .05 |")
    print("|---|---|---|---|---|")
    for kind in DISTURBANCES:
        for name in ("spike", "self_controlled"):
            found = [detect(*disturbed(kind, seed), detector=name) for seed in range(worlds)]
            flags = np.array([np.count_nonzero(d.flagged) for d in found])
            p = np.concatenate([d.p_value[~np.isnan(d.p_value)] for d in found])
            print(
                f"| {kind} | `{name}` | {np.count_nonzero(flags)} of {worlds} | {flags.sum()} | "
                f"{(p < ALPHA).mean():.3f} |",
                flush=True,
            )


def main() -> None:
    """Run both kinds of world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=3)
    parser.add_argument("--disturbed", action="store_true")
    given = parser.parse_args()
    worlds = given.worlds
    if given.disturbed:
        count_flags(worlds)
        return
    for name, settings in (("strict", STRICT), ("no effect", NO_EFFECT)):
        for seed in range(101, 101 + worlds):
            overrides = [*settings, f"experiment.seed={seed}"]
            measure(name, load_config(QUICKSTART, overrides=overrides))


if __name__ == "__main__":
    main()
