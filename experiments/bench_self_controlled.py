"""The self-controlled likelihood: cost of an evaluation, of a fit and of the detector.

The benchmark world's cases. An evaluation is loss and gradient; its cost is given for each
row of the cases (a join of a case), of the exact likelihood of the clock of joins and of the
multinomial one, with one thread and with two, in turns.

Run: python experiments/bench_self_controlled.py [--set world.users=60000 ...]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gateway._numba import set_threads
from gateway.detect import SelfControlledOptions, detect_self_controlled
from gateway.detect.self_controlled.effects import own_effects
from gateway.detect.self_controlled.fit import fit_joint
from gateway.detect.self_controlled.likelihood import Likelihood, Point
from gateway.detect.self_controlled.slots import Slots, build_slots
from gateway.pipeline import obtain_inputs
from gateway.results import load_config

EVALUATIONS = 30


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--set", nargs="*", default=[])
    given = parser.parse_args()
    platform = obtain_inputs(load_config("configs/benchmark_world.toml", overrides=given.set))
    joins, targets = platform.joins, platform.targets
    cut: list[Slots] = []
    seconds = timed(lambda: cut.append(build_slots(joins, targets.mask, ~targets.mask)))
    slots = cut[0]
    print(
        f"{joins.n_joins:,} joins; {slots.n_cases:,} cases, {len(slots.group):,} rows, "
        f"{slots.events.sum():,} events, cut in {seconds:.2f} s"
    )
    measure_evaluations("exact", slots)
    measure_evaluations("multinomial", replace(slots, exact=False))
    likelihood = Likelihood(slots)
    fit = fit_joint(likelihood)
    fitting = timed(lambda: fit_joint(likelihood))
    print(f"joint fit: {fitting:.2f} s, {fit.evaluations} evaluations")
    print(f"each group alone: {timed(lambda: own_effects(likelihood, fit)):.2f} s")
    for surrogates in ("none", "auto"):
        options = SelfControlledOptions(surrogates=surrogates)
        whole = timed(lambda: detect_self_controlled(joins, targets, options=options))  # noqa: B023
        print(f"detector, surrogates {surrogates}: {whole:.2f} s")


def measure_evaluations(what: str, slots: Slots) -> None:
    """Print nanoseconds per row and evaluation with one thread and with two, in turns."""
    likelihood, nothing = Likelihood(slots), Point.zero(slots)
    beta = np.random.default_rng(1).normal(0.0, 0.2, slots.n_groups)
    point = Point(beta, nothing.position, nothing.calendar)
    wall: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(EVALUATIONS):
        for threads, times in wall.items():
            set_threads(threads)
            likelihood.loss(point)
            times.append(timed(lambda: likelihood.loss(point)))
    for threads, times in wall.items():
        each = [t / len(slots.group) * 1e9 for t in times]
        print(
            f"{what} evaluation, {threads} thread(s): median {statistics.median(each):.1f}, "
            f"least {min(each):.1f} ns per row"
        )


def timed(work: Callable[[], object]) -> float:
    """Return the seconds of some work."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
