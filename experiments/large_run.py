"""A large log from drawing to rankings: time, processor time and memory over time of each stage.

Every stage is the command that a user would type, in a process of its own: ``big_log.py`` draws
the log, ``gateway convert`` brings it into columns, ``gateway detect`` runs one detector on
them, all within ``--memory``. Resident memory is sampled each second: all of it, and without
pages of mapped files, which the system takes back when somebody else needs them. Stages that were
measured before with as many users are measured again, and the others kept.

Usage: python -m experiments.large_run SCRATCH [--users 100000000] [--memory 8GiB]
    [--stages draw convert frequentist edges self_controlled spike]
    [--out results/out_of_core]
Without a stage the figure alone is drawn, from what is stored.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.csv

from experiments.cost_figures import draw_large_run
from gateway.figures import render
from gateway.log.work import parse_size
from gateway.provenance import describe_environment

STAGES = ("draw", "convert", "frequentist", "edges", "self_controlled", "spike")
GATEWAY = [sys.executable, "-m", "gateway"]
# Points of a stage that are kept, about.
_POINTS = 200


def main() -> None:
    """Run the stages in their order and store what each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--users", type=int, default=100_000_000)
    parser.add_argument("--memory", default="8GiB")
    parser.add_argument("--stages", nargs="*", choices=STAGES, default=list(STAGES))
    parser.add_argument("--out", type=Path, default=Path("results/out_of_core"))
    options = parser.parse_args()
    options.scratch.mkdir(parents=True, exist_ok=True)
    for stage in options.stages:
        words = _command(stage, options)
        found, trace = _measured(list(map(str, words)), options.scratch / f"{stage}.txt")
        size = _bytes_in(options.scratch / ("log" if stage == "draw" else stage))
        row = {"stage": stage, "users": options.users, "joins": _joins(options.scratch),
               "memory": options.memory, **found, "bytes": size}  # fmt: skip
        sys.stdout.write(f"{row}\n")
        points = [{"stage": stage, "users": options.users, **point} for point in trace]
        _store(options.out / "large_run.csv", [row])
        _store(options.out / "large_trace.csv", points)
    if options.stages:
        made = {"memory": options.memory, "users": options.users, **describe_environment()}
        (options.out / "large_run.json").write_text(json.dumps(made, indent=2) + "\n")
    trace = pyarrow.csv.read_csv(options.out / "large_trace.csv")
    trace = trace.filter(pc.equal(trace["users"], pc.max(trace["users"])))
    figure = draw_large_run(trace, allowed_gib=parse_size(options.memory) / 2**30)
    (options.out / "large_run.png").write_bytes(render(figure)["png"])


def _command(stage: str, options: argparse.Namespace) -> list[Any]:
    log, folder = options.scratch / "convert", options.scratch / stage
    if stage == "draw":
        draw = Path(__file__).with_name("big_log.py")
        return [sys.executable, draw, options.scratch, "--users", options.users, "--seeds"]
    if stage == "convert":
        source = options.scratch / "log"
        return [*GATEWAY, "convert", source, "--out", folder, "--memory", options.memory]
    targets = options.scratch / "targets.txt"
    return [*GATEWAY, "detect", log, "--targets", targets, "--detector", stage,
            "--memory", options.memory, "--out", folder]  # fmt: skip


def _joins(scratch: Path) -> int | None:
    place = scratch / "convert" / "manifest.json"
    return json.loads(place.read_text())["joins"] if place.exists() else None


def _measured(words: list[str], said: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run a command; return what it took, and memory over time."""
    begun, trace = time.monotonic(), []
    with said.open("w") as stream:
        child = subprocess.Popen(words, stdout=stream, stderr=subprocess.STDOUT)  # noqa: S603
        while True:
            done, status, used = os.wait4(child.pid, os.WNOHANG)
            if done:
                break
            trace.append({"second": round(time.monotonic() - begun, 1), **_memory(child.pid)})
            time.sleep(1.0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - begun
    found = {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mib": round(used.ru_maxrss / 2**10),
        "anonymous_mib": max(point["anonymous_mib"] for point in trace),
        "load": round(sum(point["load"] for point in trace) / len(trace), 1),
        "exit_code": child.returncode,
    }
    return found, trace[:: max(len(trace) // _POINTS, 1)]


def _memory(pid: int) -> dict[str, float]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    kib = {line.split(":")[0]: line.split()[1] for line in lines if line.endswith("kB")}
    resident, anonymous = (int(kib.get(name, 0)) for name in ("VmRSS", "RssAnon"))
    return {"resident_mib": resident >> 10, "anonymous_mib": anonymous >> 10,
            "load": round(os.getloadavg()[0], 1)}  # fmt: skip


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _store(place: Path, rows: list[dict[str, Any]]) -> None:
    """Put rows into a table in place of those of the same stage and size."""
    place.parent.mkdir(parents=True, exist_ok=True)
    kept: list[dict[str, Any]] = []
    if place.exists():
        with place.open(newline="") as stream:
            kept = list(csv.DictReader(stream))
    same = {(row["stage"], str(row["users"])) for row in rows}
    kept = [row for row in kept if (row["stage"], row["users"]) not in same]
    with place.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, *rows])


if __name__ == "__main__":
    main()
