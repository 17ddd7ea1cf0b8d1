"""How many rows of a plain loop a row of each hot path costs: what `tests/test_speed.py` bounds.

Seconds say more of the machine and of who else is on it than of the code. So each path is
held against a loop that reads a table at random places and takes an exponential
(`machine_kernels.plain_loop`), per row. The two take turns, and the least processor time of
many short rounds counts, which neighbours on the machine disturb least. One thread.

Run: python experiments/hot_paths.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from experiments.machine_kernels import plain_loop
from experiments.stages import STAGES, Size, draw_to
from gateway._numba import set_threads

__all__ = ["HOT_PATHS", "ratio"]

HOT_PATHS = ("train, one evaluation", "score", "spike", "self-controlled, one evaluation",
             "simulate")  # fmt: skip
# Small enough to stay in the second cache: what is beyond it is shared with the neighbours.
SMALL = (4_000, 500, 40_000)
# Where each group, or each day, has a cost of its own, more rows for each of them.
SIZES = {"spike": (20_000, 100, 200_000), "simulate": (2_000, 500, 0)}
REFERENCE_CELLS, REFERENCE_ROWS = 500, 40_000
MOST_ROUNDS, FEWEST_ROUNDS = 100, 5
ENOUGH = 1.0


@cache
def _prepared(name: str) -> tuple[Callable[[], object], int]:
    """Return the work of a stage, warm, and its rows."""
    users, groups, joins = SIZES.get(name, SMALL)
    with TemporaryDirectory() as folder:
        size = Size(users, groups, joins, Path(folder))
        if not STAGES[name].simulated:
            draw_to(size)
        prepared = STAGES[name].prepare(size)
    prepared.work()
    return prepared.work, prepared.rows()


@cache
def _reference() -> Callable[[], object]:
    rng = np.random.default_rng(1)
    table = rng.normal(size=REFERENCE_CELLS)
    index = rng.integers(0, REFERENCE_CELLS, REFERENCE_ROWS, dtype=np.int32)
    plain_loop(table, index)
    return lambda: plain_loop(table, index)


def _seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def ratio(name: str, *, times: int = 1) -> float:
    """Time for a row of a stage, its work done ``times`` times, in rows of the plain loop."""
    work, rows = _prepared(name)
    plain = _reference()
    ours, reference = [], []
    while len(ours) < FEWEST_ROUNDS or (sum(ours) < ENOUGH and len(ours) < MOST_ROUNDS):
        ours.append(sum(_seconds(work) for _ in range(times)))
        reference.append(_seconds(plain))
    return (min(ours) / rows) / (min(reference) / REFERENCE_ROWS)


def main() -> None:
    """Print the ratios of this machine."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    set_threads(1)
    for name in HOT_PATHS:
        print(f"{name}: {ratio(name):.2f}", flush=True)


if __name__ == "__main__":
    main()
