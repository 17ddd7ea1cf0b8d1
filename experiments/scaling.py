"""Time and memory of every stage against size, and how far each is from the machine's limits.

Each measurement is a process of its own: it prepares its size, warms the kernels on a small
one, measures what the machine can do (`machine.py`), and then the stage, several times where
that is quick. Memory is the resident memory at the peak of the work, less that before it. A
point that takes too long, or for which there is no room, leaves a row that says so.

Rows are added to DIR/stages.csv as they are known; a second run goes on where the first
ended. `figures` draws time.png and memory.png from the table. The tables in docs/results/scaling.md
are printed by `exponents`, `limits` and `model`.

Run: python experiments/scaling.py run [--sizes quick|full] [--stage NAME ...] [--limit 600]
       [--most USERS] [--again]
     python experiments/scaling.py figures | exponents | limits | model   (all: [--out DIR])
     python experiments/scaling.py page --out results/reference/scaling
The last puts these tables, and those of `peers.py` and `cluster.py`, between the marks in
docs/results/scaling.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from experiments.cost_figures import draw_memory, draw_time
from experiments.machine import bandwidth, gather_rate, page_rate
from experiments.memory import peak_mib, resident_mib, restart_peak
from experiments.scaling_model import cluster_table, exponents_table, limits_table, projections
from experiments.stages import STAGES, Prepared, Size, draw_to
from gateway._numba import threads
from gateway.figures import csv_bytes, render

TABLE = "stages.csv"
TABLES = {"exponents": exponents_table, "limits": limits_table, "model": projections}
PAGE = Path("docs/results/scaling.md")
SCRATCH = Path(".cache/scaling")
# Users, groups and joins of each point by series; what varies gives the series its name.
JOINS_PER_USER = 10
GROUPS = 5_000
SIZES = {
    "quick": {"joins": (10**5, 3 * 10**5, 10**6), "groups": (10**3, 10**4, 10**5), "at": 10**6,
              "users": (10**4, 3 * 10**4, 10**5)},
    "full": {"joins": (10**5, 10**6, 10**7, 3 * 10**7, 10**8),
             "groups": (10**3, 10**4, 10**5, 10**6), "at": 10**7,
             "users": (10**4, 10**5, 10**6, 3 * 10**6, 10**7)},
}  # fmt: skip
MOST_WORLD_GROUPS = 50_000
# Quick work is repeated until it has taken so many seconds, at most so many times.
ENOUGH, MOST_REPEATS = 1.0, 7
COLUMNS = {
    "stage": pa.string(), "series": pa.string(), "users": pa.int64(), "groups": pa.int64(),
    "joins": pa.int64(), "threads": pa.int64(), "rows": pa.int64(), "evaluations": pa.int64(),
    "repeats": pa.int64(), "seconds": pa.float64(), "cpu_seconds": pa.float64(),
    "start_mib": pa.float64(), "base_mib": pa.float64(), "added_mib": pa.float64(),
    "bandwidth_gb": pa.float64(), "pages_gb": pa.float64(), "reads_m": pa.float64(),
    "user_reads_m": pa.float64(), "status": pa.string(),
}  # fmt: skip


def points(sizes: str, stages: list[str]) -> Iterator[tuple[str, str, int, int, int]]:
    """Yield stage, series, users, groups and joins, the small ones first."""
    chosen: dict[str, Any] = SIZES[sizes]
    for name in stages:
        if STAGES[name].simulated:
            for users in chosen["users"]:
                groups = min(MOST_WORLD_GROUPS, users // 4)
                yield name, "users", users, groups, 0
            continue
        for joins in chosen["joins"]:
            yield name, "joins", joins // JOINS_PER_USER, GROUPS, joins
        for groups in () if STAGES[name].joins_only else chosen["groups"]:
            yield name, "groups", chosen["at"] // JOINS_PER_USER, groups, chosen["at"]


def measure(name: str, size: Size) -> dict[str, Any]:
    """Prepare a stage and time it; in this process."""
    stage = STAGES[name]
    _warm(name, size)
    start = resident_mib()
    prepared = stage.prepare(size)
    limits = {
        "bandwidth_gb": bandwidth() / 1e9, "pages_gb": page_rate() / 1e9,
        "reads_m": gather_rate(size.groups) / 1e6, "user_reads_m": gather_rate(size.users) / 1e6,
    }  # fmt: skip
    base = resident_mib()
    restart_peak()
    timed = _time(prepared)
    return {
        **timed, **limits, "threads": threads(), "rows": prepared.rows(),
        "evaluations": prepared.evaluations(), "start_mib": start,
        "base_mib": base, "added_mib": peak_mib() - base,
    }  # fmt: skip


def _warm(name: str, size: Size) -> None:
    """Load every kernel of a stage on a small size."""
    small = Size(2_000, 500, 20_000, size.folder.with_name(f"{size.folder.name}-warm-{name}"))
    draw_to(small)
    STAGES[name].prepare(small).work()
    shutil.rmtree(small.folder)


def _time(prepared: Prepared) -> dict[str, float]:
    seconds: list[float] = []
    cpu: list[float] = []
    while not seconds or (sum(seconds) < ENOUGH and len(seconds) < MOST_REPEATS):
        clock, used = time.perf_counter(), time.process_time()
        prepared.work()
        seconds.append(time.perf_counter() - clock)
        cpu.append(time.process_time() - used)
    return {
        "seconds": statistics.median(seconds), "cpu_seconds": statistics.median(cpu),
        "repeats": len(seconds),
    }  # fmt: skip


def apart(words: list[str], limit: float) -> tuple[str, str]:
    """Run this script in a process of its own; return how it ended and what it printed."""
    call = [sys.executable, __file__, *words]
    try:
        done = subprocess.run(  # noqa: S603
            call, stdout=subprocess.PIPE, text=True, check=False, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return f"did not finish in {limit:.0f} s", ""
    if done.returncode != 0:
        return f"ended with code {done.returncode}", ""
    return "ok", done.stdout


def run(options: argparse.Namespace) -> None:
    """Measure every point that the table does not have yet."""
    rows = read_table(options.out)
    if options.again:
        rows = [row for row in rows if row["status"] == "ok"]
    known = {(row["stage"], row["series"], row["users"], row["groups"]) for row in rows}
    for name, series, users, groups, joins in points(options.sizes, options.stage):
        if users > options.most or (name, series, users, groups) in known:
            continue
        size = Size(users, groups, joins, SCRATCH / f"{users}-{groups}")
        status, row = measured_apart(name, size, options.limit)
        rows.append({"stage": name, "series": series, "users": users, "groups": groups,
                     "joins": joins, **row, "status": status})  # fmt: skip
        store(rows, options.out)
        seconds = f"{row['seconds']:.4g} s, {row['added_mib']:,.0f} MiB" if row else status
        print(f"{name}: {users:,} users, {groups:,} groups: {seconds}", flush=True)
    shutil.rmtree(SCRATCH, ignore_errors=True)


def measured_apart(name: str, size: Size, limit: float) -> tuple[str, dict[str, Any]]:
    """Draw the log of the size if a stage needs it, then measure; each in its own process."""
    words = [str(size.users), str(size.groups), str(size.joins), str(size.folder)]
    if not STAGES[name].simulated and not (size.folder / "time.npy").exists():
        status, _ = apart(["draw", *words], limit)
        if status != "ok":
            return f"its log {status}", {}
    status, printed = apart(["one", *words, "--stage", name], limit)
    if status != "ok":
        return status, {}
    row: dict[str, Any] = json.loads(printed)
    return status, row


def read_table(folder: Path) -> list[dict[str, Any]]:
    """Return the rows so far."""
    path = folder / TABLE
    if not path.exists():
        return []
    convert = pa.csv.ConvertOptions(column_types=COLUMNS, strings_can_be_null=True)
    table = pa.csv.read_csv(path, convert_options=convert)
    if table.column_names != list(COLUMNS):
        raise SystemExit(f"{path} has not the columns of today: measure again, into another folder")
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    """Return the rows as a table, empty where nothing was measured."""
    schema = pa.schema(list(COLUMNS.items()))
    return pa.Table.from_pylist([{c: row.get(c) for c in COLUMNS} for row in rows], schema)


def store(rows: list[dict[str, Any]], folder: Path) -> None:
    """Write the table."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TABLE).write_bytes(csv_bytes(table_of(rows)))


def figures(folder: Path) -> None:
    """Draw both figures from the table."""
    table = table_of([row for row in read_table(folder) if row["status"] == "ok"])
    for name, draw in (("time", draw_time), ("memory", draw_memory)):
        (folder / f"{name}.png").write_bytes(render(draw(table))["png"])


def put_tables(page: Path, tables: dict[str, str]) -> None:
    """Replace what stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``."""
    text = page.read_text(encoding="utf-8")
    for name, table in tables.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"{page} has no marks for {name!r}, or several")
        head, rest = text.split(begin)
        text = f"{head}{begin}\n\n{table}\n\n{end}{rest.split(end)[1]}"
    page.write_text(text, encoding="utf-8")


def write_page(folder: Path) -> None:
    """Put every table into the page."""
    rows = read_table(folder)
    tables = {name: table(rows) for name, table in TABLES.items()}
    peers = folder.parent / "peers" / "peers.md"
    if peers.exists():
        tables["peers"] = peers.read_text(encoding="utf-8").strip()
    cluster = folder.parent / "cluster" / "cluster.csv"
    if cluster.exists():
        with cluster.open(encoding="utf-8", newline="") as file:
            tables["cluster"] = cluster_table(list(csv.DictReader(file)))
    put_tables(PAGE, tables)


def main() -> None:
    """Do what the first word says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["run", "figures", *TABLES, "page", "one", "draw"])
    parser.add_argument("size", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--sizes", choices=SIZES, default="quick")
    parser.add_argument("--stage", choices=STAGES, nargs="+", default=list(STAGES))
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for a point")
    parser.add_argument("--most", type=int, default=10**8, help="no point of more users")
    parser.add_argument("--again", action="store_true", help="also what did not finish before")
    parser.add_argument("--out", type=Path, default=Path("results/scaling"))
    options = parser.parse_args()
    if options.what == "run":
        run(options)
        figures(options.out)
    elif options.what == "figures":
        figures(options.out)
    elif options.what in TABLES:
        print(TABLES[options.what](read_table(options.out)))
    elif options.what == "page":
        write_page(options.out)
    else:
        users, groups, joins, folder = options.size
        size = Size(int(users), int(groups), int(joins), Path(folder))
        if options.what == "draw":
            draw_to(size)
        else:
            print(json.dumps(measure(options.stage[0], size)))


if __name__ == "__main__":
    main()
