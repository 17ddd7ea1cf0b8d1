"""What the self-controlled detector, or ``edges``, finds on whole worlds, and calls in error.

For each seed the world of a config is simulated and ranked. Printed: average precision
against the planted gateways, look-alikes among the first 50, groups with q below 5, 10 and
20 % and the share of them that are no gateways, the same of robust calls, and processor time of
the detector. With ``--null`` every influence has the strength 0, and every call is a false one.

Run: python experiments/self_controlled_worlds.py [--config configs/benchmark_world.toml]
     [--seeds 1 2 3] [--null] [--clock calendar] [--surrogates none]
     [--detector edges] [--set world.users=60000 ...]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from gateway.detect import (
    Detection,
    EdgesOptions,
    SelfControlledOptions,
    detect_edges,
    detect_self_controlled,
)
from gateway.evaluate import evaluate_planted
from gateway.pipeline import Inputs, obtain_inputs
from gateway.results import load_config
from gateway.world import GATEWAYS, Role

BENCHMARK = "configs/benchmark_world.toml"
NO_EFFECT = ("world.roles.influence_strength=0.0",)
LEVELS = (0.05, 0.1, 0.2)
GATEWAY_NAMES = [role.name.lower() for role in Role if role in GATEWAYS]


def measure(platform: Inputs, options: SelfControlledOptions | EdgesOptions) -> list[float]:
    """Return the numbers of one world, as ``HEAD`` names them."""
    begun = time.process_time()
    if isinstance(options, EdgesOptions):
        found = detect_edges(platform.joins, platform.targets, options=options)
    else:
        found = detect_self_controlled(platform.joins, platform.targets, options=options)
    seconds = time.process_time() - begun
    if platform.world is None:
        raise SystemExit("only a simulated run has a truth")
    strength = platform.world.groups.strength
    table = evaluate_planted(found, platform.role, strength, seed=1).to_pylist()
    value = {row["metric"]: row["value"] for row in table}
    acts = np.isin(platform.role, GATEWAY_NAMES) & (strength > 0)
    calls = [number for level in LEVELS for number in called(found, acts, level)]
    robust = np.array([grade == "robust" for grade in found.extra.get("grade", ())], bool)
    return [
        _number(value["average_precision"]), _number(value.get("share_homophily_at_50")), *calls,
        *_counted(robust, acts[: len(robust)]),
        platform.joins.n_joins, platform.targets.mask[platform.joins.group].sum(),
        float(np.sum(found.extra.get("surrogate", 0))), seconds,
    ]  # fmt: skip


def _number(value: float | None) -> float:
    """Return NaN where nothing is planted and hence nothing is defined."""
    return np.nan if value is None else value


def called(found: Detection, acts: np.ndarray, level: float) -> tuple[float, float]:
    """Return how many groups have q below the level, and the share that do not act."""
    chosen = np.nan_to_num(found.q_value, nan=1.0) < level
    return _counted(chosen, acts)


def _counted(chosen: np.ndarray, acts: np.ndarray) -> tuple[float, float]:
    count = np.count_nonzero(chosen)
    return float(count), np.count_nonzero(chosen & ~acts) / max(count, 1)


HEAD = (
    "AP", "look-alikes@50", "called 5%", "false", "called 10%", "false", "called 20%", "false",
    "robust", "false", "joins", "target joins", "surrogates", "CPU s",
)  # fmt: skip


def line_of(row: list[float]) -> str:
    """Return the numbers of one world in a line."""
    return "  ".join(f"{x:.3g}" if not x >= 1_000 else f"{x:.0f}" for x in row)


def main() -> None:
    """Measure every seed and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--config", default=BENCHMARK)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--null", action="store_true")
    parser.add_argument("--detector", choices=("self_controlled", "edges"))
    parser.add_argument("--clock", default="joins")
    parser.add_argument("--surrogates", default="auto")
    parser.add_argument("--set", nargs="*", default=[])
    given = parser.parse_args()
    options: SelfControlledOptions | EdgesOptions = EdgesOptions()
    if given.detector != "edges":
        options = SelfControlledOptions(clock=given.clock, surrogates=given.surrogates)
    changes = (*given.set, *(NO_EFFECT if given.null else ()))
    print("seed  " + "  ".join(HEAD))
    rows = []
    for seed in given.seeds:
        config = load_config(given.config, overrides=[f"experiment.seed={seed}", *changes])
        rows.append(measure(obtain_inputs(config), options))
        print(seed, line_of(rows[-1]), flush=True)
    print("mean", line_of(np.mean(rows, axis=0).tolist()))


if __name__ == "__main__":
    main()
