"""The simulator against size: throughput, direct effects and peak memory.

Each size runs in a process of its own, after a small world has loaded the kernels. The
memory of the process before it draws a world is measured too, so that what the simulation
adds can be told from what Python and its libraries take. Everything is on, as in the
quickstart; 50,000 groups at every size, or a quarter of the users where that is less.

Run: python experiments/bench_simulation.py [--users 100000 1000000] [--joins 18] [--direct]
     [--out results/scaling]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from gateway.figures import csv_bytes, render
from gateway.figures.scaling import draw
from gateway.provenance import peak_memory_mib
from gateway.simulate import live_through, measure_direct_effects
from gateway.store import load_config
from gateway.world import Role, World, draw_world

MOST_GROUPS = 50_000
SMALL = 2_000
Result = TypeVar("Result")


def world_of(users: int, joins: float) -> World:
    """The quickstart's world at another size."""
    groups = min(MOST_GROUPS, users // 4)
    overrides = [f"world.users={users}", f"world.groups={groups}", f"world.joins_per_user={joins}"]
    return draw_world(load_config("configs/quickstart.toml", overrides=overrides))


def timed(work: Callable[[], Result]) -> tuple[Result, float, float]:
    """Return what work gives, its seconds on the clock and those of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    return work(), time.perf_counter() - wall, time.process_time() - cpu


def measure(users: int, joins: float, *, direct: bool) -> dict[str, Any]:
    """Simulate once with warm kernels."""
    warm = live_through(world_of(SMALL, joins))
    measure_direct_effects(warm, warm.world.groups.role == Role.TARGET)
    log = warm.joins()
    base = peak_memory_mib()
    world, world_wall, _ = timed(lambda: world_of(users, joins))
    history, wall, cpu = timed(lambda: live_through(world))
    log, log_wall, log_cpu = timed(history.joins)
    found = {
        "users": users, "groups": log.n_groups, "occasions": len(history.state),
        "joins": log.n_joins, "world_seconds": world_wall, "seconds": wall + log_wall,
        "cpu_seconds": cpu + log_cpu, "base_mib": base, "peak_mib": peak_memory_mib(),
    }  # fmt: skip
    if direct:
        is_target = (world.groups.role == Role.TARGET) & (world.groups.topic == 0)
        _, direct_wall, direct_cpu = timed(lambda: measure_direct_effects(history, is_target))
        found |= {"direct_seconds": direct_wall, "direct_cpu_seconds": direct_cpu}
    return found


def apart(users: int, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one size in a process of its own."""
    words = [sys.executable, __file__, "--one", str(users), "--joins", str(options.joins)]
    words += ["--direct"] if options.direct else []
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    row: dict[str, Any] = json.loads(done.stdout)
    allowed = (300 * row["users"] + 24 * row["joins"]) / 2**20
    print(
        f"{users:,} users: {row['joins']:,} joins in {row['seconds']:.1f} s "
        f"({row['joins'] / row['seconds'] / 1e6:.2f} M/s; {row['cpu_seconds']:.1f} CPU s), world "
        f"{row['world_seconds']:.1f} s, peak {row['peak_mib']:,.0f} MiB, of which "
        f"{row['base_mib']:,.0f} before the world (300 B a user + 24 B a join: {allowed:,.0f})",
        flush=True,
    )
    if options.direct:
        ratio = row["direct_cpu_seconds"] / row["cpu_seconds"]
        print(f"  direct effects: {row['direct_seconds']:.1f} s, {ratio:.1f} times (CPU)")
    return row


def main() -> None:
    """Measure every size; write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--joins", type=float, default=18.0)
    parser.add_argument("--direct", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", type=int)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.joins, direct=options.direct)))
        return
    table = pa.Table.from_pylist([apart(users, options) for users in options.users])
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "scaling.csv").write_bytes(csv_bytes(table))
        for kind, data in render(draw(table)).items():
            (options.out / f"scaling.{kind}").write_bytes(data)


if __name__ == "__main__":
    main()
