"""The multivariate self-controlled fit: cost of an evaluation, and beside Cyclops.

The benchmark world's cases, with joins of surrogates as events too. An evaluation is loss
and gradient; its cost is given for each row of the cases (a join of a candidate by a case).
Cyclops gets the same intervals, the same penalty, and says itself how long its fit took,
loading and conversion not counted. The sides take turns. How good each answer is says the
loss above the least one, which is found with a tolerance that nobody would use.

Run: python experiments/bench_self_controlled.py [--cyclops LIBRARY] [--cases FILE]
LIBRARY is the R library into which Cyclops was installed (experiments/peers/cyclops.R).
FILE keeps the cases from one run to the next.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
from gateway.detect.self_controlled.cases import Cases, build_cases, list_events
from gateway.detect.self_controlled.multivariate import ConditionalLoss, fit_groups

from gateway._numba import set_threads
from gateway.detect.self_controlled.surrogates import choose_surrogates
from gateway.pipeline import obtain_inputs
from gateway.results import load_config

PENALTY = 60.0
SCRIPT = Path(__file__).parent / "peers" / "cyclops.R"
EVALUATIONS = 30


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cyclops", type=Path)
    parser.add_argument("--cases", type=Path)
    parser.add_argument("--tolerance", type=float, default=1e-7, help="of Cyclops")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    cases = obtain_cases(options.cases)
    print(
        f"{len(cases.user):,} cases, {len(np.unique(cases.group)):,} groups, "
        f"{len(cases.group):,} rows, {cases.events.sum() + cases.first_events.sum():,.0f} events"
    )
    measure_evaluations(cases)
    set_threads(1)
    fit_groups(cases, penalty=PENALTY)
    best = fit_groups(cases, penalty=PENALTY, tolerance=1e-15).beta
    if options.cyclops:
        beside_cyclops(cases, best, options.cyclops, options.tolerance, options.repeats)
    for tolerance in (1e-7, 1e-9):
        ours = [fit(cases, tolerance) for _ in range(options.repeats)]
        report(f"ours at {tolerance:g}", cases, best, ours)
    print(f"memory of our fit: {allocated(cases):,.0f} MiB beside {room(cases):,.0f} of the cases")


def obtain_cases(kept: Path | None) -> Cases:
    """Return the benchmark world's cases, from a file if it is there."""
    if kept is not None and kept.exists():
        with np.load(kept) as stored:
            columns = {f.name: stored[f.name] for f in fields(Cases)}
        numbers = {name: int(columns[name]) for name in ("n_groups", "n_tied")}
        return Cases(**columns | numbers)
    platform = obtain_inputs(load_config("configs/benchmark_world.toml"))
    joins, targets = platform.joins, platform.targets
    outcome = targets.mask | choose_surrogates(joins, targets, seed=1)
    cases = build_cases(joins, list_events(joins, outcome), ~outcome)
    if kept is not None:
        np.savez(kept, **vars(cases))
    return cases


def measure_evaluations(cases: Cases) -> None:
    """Print nanoseconds per row and evaluation with one thread and with two, in turns."""
    loss = ConditionalLoss(cases, penalty=PENALTY)
    beta = np.random.default_rng(1).normal(0.0, 0.2, cases.n_groups)
    wall: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(EVALUATIONS):
        for threads, times in wall.items():
            set_threads(threads)
            loss(beta)
            times.append(timed(lambda: loss(beta))[0])
    for threads, times in wall.items():
        each = [t / len(cases.group) * 1e9 for t in times]
        print(
            f"evaluation, {threads} thread(s): median {statistics.median(each):.1f}, "
            f"least {min(each):.1f} ns per row"
        )


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall and processor seconds of some work."""
    begun, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begun, time.process_time() - used


def fit(cases: Cases, tolerance: float) -> tuple[float, float, np.ndarray]:
    """Return wall and processor seconds of our fit, and its beta."""
    found: list[np.ndarray] = []
    seconds = timed(
        lambda: found.append(fit_groups(cases, penalty=PENALTY, tolerance=tolerance).beta)
    )
    return *seconds, found[0]


def beside_cyclops(
    cases: Cases, best: np.ndarray, library: Path, tolerance: float, repeats: int
) -> None:
    """Fit in turns: ours at the tolerance with which it stops, and Cyclops."""
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_intervals(cases, folder)
        for _ in range(repeats):
            ours.append(fit(cases, 1e-9))
            theirs.append(run_cyclops(cases, folder, library, tolerance))
            peak = float(read_csv(folder / "figures.csv")[0]["peak_kib"]) / 1024
    report("ours, in turns", cases, best, ours)
    report(f"Cyclops at {tolerance:g}", cases, best, theirs)
    for k, what in enumerate(("wall", "processor")):
        ratio = statistics.median(t[k] / o[k] for t, o in zip(theirs, ours, strict=True))
        print(f"Cyclops over ours, {what} seconds: {ratio:.0f}")
    print(f"Cyclops' process: {peak:,.0f} MiB at its peak")


def run_cyclops(
    cases: Cases, folder: Path, library: Path, tolerance: float
) -> tuple[float, float, np.ndarray]:
    """Return wall and processor seconds of its fit, and its beta."""
    where = [str(SCRIPT), str(library.resolve()), str(folder.resolve())]
    subprocess.run(  # noqa: S603  (our own script)
        ["Rscript", *where, str(PENALTY), str(tolerance), "1"],  # noqa: S607
        check=True,
    )
    beta = np.zeros(cases.n_groups)
    for row in read_csv(folder / "beta.csv"):
        beta[int(row["group"]) - 1] = float(row["beta"])
    figures = read_csv(folder / "figures.csv")[0]
    print(f"  Cyclops: {figures['wall']} s, {figures['iterations']} sweeps, {figures['status']}")
    return float(figures["wall"]), float(figures["cpu"]), beta


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a small CSV file."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def write_intervals(cases: Cases, folder: Path) -> None:
    """Write intervals and the exposures of each, with ids from 1, for ``cyclops.R``."""
    row = 0
    columns: dict[str, list[np.ndarray]] = {
        name: []
        for name in ("stratum", "length", "events", "group", "covariate_stratum", "covariate_row")
    }
    for c in range(len(cases.user)):
        rows = slice(cases.offsets[c], cases.offsets[c + 1])
        ends = np.flatnonzero(cases.length[rows] > 0)
        first = int(cases.first_length[c] > 0)
        length = np.append(cases.first_length[c : c + first], cases.length[rows][ends])
        events = np.append(cases.first_events[c : c + first], cases.events[rows][ends])
        if events.sum() == 0:
            continue
        # Interval k lies behind the first ends[k] + 1 joins.
        exposed = np.concatenate([np.arange(end + 1) for end in ends] or [[]]).astype(np.int64)
        columns["stratum"].append(np.full(len(length), c + 1))
        columns["length"].append(length)
        columns["events"].append(events)
        columns["group"].append(cases.group[rows][exposed] + 1)
        columns["covariate_stratum"].append(np.full(len(exposed), c + 1))
        numbers = np.arange(row + first + 1, row + len(length) + 1)
        columns["covariate_row"].append(np.repeat(numbers, ends + 1))
        row += len(length)
    whole = {name: np.concatenate(pieces) for name, pieces in columns.items()}
    whole["row"] = np.arange(1, row + 1)
    order = np.lexsort((whole["covariate_row"], whole["group"]))
    for name, column in whole.items():
        exposures = name in ("group", "covariate_stratum", "covariate_row")
        kind = "<f8" if name in ("length", "events") else "<i4"
        (column[order] if exposures else column).astype(kind).tofile(folder / f"{name}.bin")
    print(f"{row:,} intervals, {len(order):,} exposures for Cyclops")


def report(
    side: str, cases: Cases, best: np.ndarray, runs: list[tuple[float, float, np.ndarray]]
) -> None:
    """Print time and distance from the optimum."""
    loss = ConditionalLoss(cases, penalty=PENALTY)
    least = loss(best)[0]
    beta = runs[-1][2]
    wall, cpu = (statistics.median(run[k] for run in runs) for k in (0, 1))
    print(
        f"{side}: {wall:.2f} s ({cpu:.2f} s processor); loss {loss(beta)[0] - least:.1e} above "
        f"the least, relative {(loss(beta)[0] - least) / abs(least):.1e}; "
        f"largest distance of a beta {np.abs(beta - best).max():.1e}"
    )


def allocated(cases: Cases) -> float:
    """Peak of what one fit allocates, in MiB, as Python's tracemalloc counts it."""
    tracemalloc.start()
    fit_groups(cases, penalty=PENALTY)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return peak


def room(cases: Cases) -> float:
    """MiB of the cases themselves."""
    arrays = (getattr(cases, f.name) for f in fields(Cases))
    return sum(a.nbytes for a in arrays if isinstance(a, np.ndarray)) / 2**20


if __name__ == "__main__":
    main()
