"""The simulator against size: throughput, direct effects and peak memory.

Each size runs in a process of its own, after a small world has loaded the kernels; what it
found is printed and stored before the next one starts, and a size that fails (no memory, no
time left) leaves the others as they are. The memory of the process before it draws a world is
measured too, so that what the simulation adds can be told from what Python and its libraries
take. Measured is ``simulate``, which gives the log of joins. With ``--history`` a second
process measures ``live_through`` with its log, which keep what a replay reads; ``--direct``
adds the direct effects of all groups to that. Everything is on, as in the quickstart; 50,000
groups at every size, or a quarter of the users where that is less.

Run: python experiments/bench_simulation.py [--users 100000 1000000] [--joins 18] [--history]
     [--direct] [--out results/scaling]
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

from experiments.cost_figures import draw_simulation
from gateway.figures import csv_bytes, render
from gateway.log.join_log import JoinLog
from gateway.provenance import peak_memory_mib
from gateway.results import load_config
from gateway.simulate import History, live_through, measure_direct_effects, simulate
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


def measure(users: int, joins: float) -> dict[str, Any]:
    """Simulate the log of joins once with warm kernels."""
    simulate(world_of(SMALL, joins))
    base = peak_memory_mib()
    world, world_wall, _ = timed(lambda: world_of(users, joins))
    log, wall, cpu = timed(lambda: simulate(world))
    peak = peak_memory_mib()
    return {
        "users": users, "groups": log.n_groups, "occasions": int(world.users.occasions.sum()),
        "joins": log.n_joins, "world_seconds": world_wall, "seconds": wall, "cpu_seconds": cpu,
        "base_mib": base, "peak_mib": peak, "added_mib": peak - base,
        "budget_mib": (300 * users + 24 * log.n_joins) / 2**20,
    }  # fmt: skip


def measure_history(users: int, joins: float, *, direct: bool) -> dict[str, Any]:
    """Live through the platform, keep all of it beside its log; then replay every join."""
    warm = live_through(world_of(SMALL, joins))
    measure_direct_effects(warm, warm.world.groups.role == Role.TARGET)
    warm.joins()
    base = peak_memory_mib()
    world = world_of(users, joins)
    (history, _log), wall, cpu = timed(lambda: lived(world))
    found = {"history_seconds": wall, "history_added_mib": peak_memory_mib() - base}
    if direct:
        is_target = (world.groups.role == Role.TARGET) & (world.groups.topic == 0)
        _, replay_wall, replay_cpu = timed(lambda: measure_direct_effects(history, is_target))
        found |= {
            "direct_seconds": replay_wall, "direct_over_history": replay_cpu / cpu,
            "direct_added_mib": peak_memory_mib() - base,
        }  # fmt: skip
    return found


def lived(world: World) -> tuple[History, JoinLog]:
    """The platform with everything that it keeps, and its log."""
    history = live_through(world)
    return history, history.joins()


def apart(users: int, options: argparse.Namespace, *words: str) -> dict[str, Any] | None:
    """Measure one size in a process of its own; None where that did not end well."""
    call = [sys.executable, __file__, "--one", str(users), "--joins", str(options.joins), *words]
    done = subprocess.run(call, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        print(f"{users:,} users: ended with code {done.returncode}", flush=True)
        return None
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def row_of(users: int, options: argparse.Namespace) -> dict[str, Any] | None:
    """All that is measured of one size, printed as soon as it is known."""
    row = apart(users, options)
    if row is None:
        return None
    print(
        f"{users:,} users: {row['joins']:,} joins in {row['seconds']:.1f} s "
        f"({row['joins'] / row['seconds'] / 1e6:.2f} M/s; {row['cpu_seconds']:.1f} CPU s), world "
        f"{row['world_seconds']:.1f} s; peak {row['added_mib']:,.0f} MiB beyond the start's "
        f"{row['base_mib']:,.0f} (300 B a user + 24 B a join: {row['budget_mib']:,.0f})",
        flush=True,
    )
    return row


def kept_of(users: int, options: argparse.Namespace) -> dict[str, Any]:
    """What is measured of a platform that is kept, empty where that did not end well."""
    kept = apart(users, options, "--history", *(["--direct"] if options.direct else [])) or {}
    words = ", ".join(f"{name} {value:,.1f}" for name, value in kept.items())
    print(f"  all kept: {words}", flush=True)
    return kept


def main() -> None:
    """Measure every size; write the table after each of them, and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--joins", type=float, default=18.0)
    parser.add_argument("--history", action="store_true")
    parser.add_argument("--direct", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", type=int)
    options = parser.parse_args()
    if options.one and options.history:
        print(json.dumps(measure_history(options.one, options.joins, direct=options.direct)))
        return
    if options.one:
        print(json.dumps(measure(options.one, options.joins)))
        return
    rows: list[dict[str, Any]] = []
    for users in options.users:
        row = row_of(users, options)
        if row is None:
            continue
        rows.append(row)
        store(rows, options.out)
        if options.history or options.direct:
            row |= kept_of(users, options)
            store(rows, options.out)


def store(rows: list[dict[str, Any]], folder: Path | None) -> None:
    """Write what is known so far; a size whose second process failed has empty cells."""
    if folder is None:
        return
    names = dict.fromkeys(name for row in rows for name in row)
    table = pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scaling.csv").write_bytes(csv_bytes(table))
    for kind, data in render(draw_simulation(table)).items():
        (folder / f"scaling.{kind}").write_bytes(data)


if __name__ == "__main__":
    main()
