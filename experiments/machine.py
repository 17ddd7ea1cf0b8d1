"""The limits of this machine, measured: memory bandwidth, new pages and random reads per second.

Run: python experiments/machine.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from experiments.machine_kernels import gather, triad
from gateway._numba import threads

__all__ = ["bandwidth", "gather_rate", "least_seconds", "page_rate"]

CHUNKS = 64
# 64 MiB an array: beyond any cache, and quick.
TRIAD_LENGTH = 1 << 23
GATHERS = 1 << 22
BYTES_PER_CELL = 24


def least_seconds(work: Callable[[], object], *, rounds: int = 7) -> float:
    """Seconds on the clock of the quickest of some rounds, after one that does not count."""
    work()
    found = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return min(found)


def bandwidth(length: int = TRIAD_LENGTH) -> float:
    """Bytes per second of the triad with as many threads as kernels use now."""
    a, b, c = (np.full(length, x) for x in (0.0, 1.0, 2.0))
    bounds = np.linspace(0, length, CHUNKS + 1).astype(np.int64)
    return BYTES_PER_CELL * length / least_seconds(lambda: triad(a, b, c, 3.0, bounds))


def page_rate(length: int = TRIAD_LENGTH) -> float:
    """Bytes per second of memory that was never touched, beyond writing to it: its pages.

    The triad into a new array, as large ones are asked of the system each time and given back,
    less the triad into an old one; at least a tenth of the latter, for clocks are noisy.
    """
    old, b, c = (np.full(length, x) for x in (0.0, 1.0, 2.0))
    bounds = np.linspace(0, length, CHUNKS + 1).astype(np.int64)
    into_old = least_seconds(lambda: triad(old, b, c, 3.0, bounds))
    into_new = least_seconds(lambda: triad(np.empty(length), b, c, 3.0, bounds))
    return 8 * length / max(into_new - into_old, into_old / 10)


def gather_rate(cells: int, gathers: int = GATHERS) -> float:
    """Random reads per second from a table of so many eight-byte cells."""
    rng = np.random.default_rng(1)
    table = rng.random(cells)
    index = rng.integers(0, cells, gathers, dtype=np.int32)
    bounds = np.linspace(0, gathers, CHUNKS + 1).astype(np.int64)
    total = np.zeros(CHUNKS)
    return gathers / least_seconds(lambda: gather(table, index, bounds, total))


def main() -> None:
    """Print both, the second for tables from the first cache to beyond the last."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(f"{threads()} threads; triad: {bandwidth() / 1e9:.1f} GB/s")
    print(f"new pages: {page_rate() / 1e9:.1f} GB/s")
    for cells in (1_000, 10_000, 100_000, 1_000_000, 10_000_000):
        rate = gather_rate(cells) / 1e6
        print(f"random reads from {cells:>10,} cells of 8 bytes: {rate:,.0f} M/s")


if __name__ == "__main__":
    main()
