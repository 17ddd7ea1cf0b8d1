"""Peers and we do the same works in turns: time, memory, and whether the answers agree.

Every run is a process of its own: ours here, each peer's in its own environment
(`experiments/peers/environments.py` makes them). In every round each of them runs once;
shown are medians over the rounds. `experiments/peers/protocol.py` says what is timed and
what memory counts. Who needs more than `--limit` seconds is reported so. Rows are written to
DIR/peers.csv as they are known, those of the works that are measured replaced, and with all
of it the table in DIR/peers.md.

Run: python experiments/peers.py [--work NAME ...] [--scale 0.01] [--rounds 3] [--out DIR]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from experiments.peer_works import WORKS, Answer, Arrays, Peer, Work
from experiments.scaling_model import markdown

ROOT = Path(__file__).absolute().parents[1]
SCRIPTS = ROOT / "experiments" / "peers"
COLUMNS = ("key", "work", "size", "rounds", "peer", "status", "our_seconds", "seconds",
           "time_ratio", "least_ratio", "most_ratio", "our_mib", "mib", "memory_ratio",
           "agreement")  # fmt: skip
# A round that takes so long is the only one.
LONG = 20.0
# Below a mebibyte the resident memory says nothing.
LEAST_MIB = 1.0

Run = dict[str, float]


def ask(call: list[str], folder: Path, limit: float) -> Run | str:
    """Run one side once in a folder; return what it measured, or how it ended instead."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(  # noqa: S603
            call, cwd=folder, env=environment, capture_output=True, text=True, check=False,
            timeout=limit,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"did not finish in {limit / 60:.0f} minutes"
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [""]
        return f"ended with code {done.returncode}: {lines[-1][:120]}"
    found: Run = json.loads(done.stdout.splitlines()[-1])
    return found


def take_turns(work: Work, folder: Path, options: argparse.Namespace) -> dict[str, list[Run] | str]:
    """Run all sides round after round; a side that failed is not asked again."""
    sides = [Peer("gateway", "", "ours.py", work.ours), *work.peers]
    found: dict[str, list[Run] | str] = {side.label: [] for side in sides}
    for number in range(options.rounds):
        for side in sides:
            runs = found[side.label]
            if isinstance(runs, str) or (number and runs[0]["seconds"] > LONG):
                continue
            run = ask(_call(side, folder, options), folder, options.limit)
            if isinstance(run, str):
                found[side.label] = run
            else:
                runs.append(run)
    return found


def _call(side: Peer, folder: Path, options: argparse.Namespace) -> list[str]:
    """Return the command line of one side."""
    home = options.environments.absolute() / side.environment
    python = str(home / "bin" / "python") if side.environment else sys.executable
    files = [folder / name for name in ("small.npz", "input.npz", _file_of(side.label))]
    return [python, str(SCRIPTS / side.script), side.work, *map(str, files)]


def _file_of(label: str) -> str:
    return f"{label.replace(' ', '-')}.npz"


def compare(key: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure one work; return a row for each peer."""
    work = WORKS[key]
    given = work.draw(options.scale)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "input.npz", **given)
        np.savez(folder / "small.npz", **work.draw(min(options.scale, work.small)))
        found = take_turns(work, folder, options)
        ours = found.pop("gateway")
        return [row_of(key, work, given, ours, (label, runs), folder)
                for label, runs in found.items()]  # fmt: skip


def row_of(
    key: str, work: Work, given: Arrays, ours: list[Run] | str, peer: tuple[str, list[Run] | str],
    folder: Path,
) -> dict[str, Any]:  # fmt: skip
    """One line of the table."""
    label, runs = peer
    row: dict[str, Any] = {"key": key, "work": work.label, "size": work.size(given), "peer": label}
    if isinstance(ours, str):
        return row | {"status": f"gateway {ours}"}
    row |= {"our_seconds": _median(ours, "seconds"), "our_mib": _median(ours, "mib")}
    if isinstance(runs, str):
        return row | {"status": runs}
    ratios = [b["seconds"] / a["seconds"] for a, b in zip(ours, runs, strict=False)]
    mib = _median(runs, "mib")
    answers = (_answer(folder, "gateway"), _answer(folder, label))
    return row | {
        "status": "ok", "rounds": len(runs), "seconds": _median(runs, "seconds"), "mib": mib,
        "time_ratio": statistics.median(ratios), "least_ratio": min(ratios),
        "most_ratio": max(ratios),
        "memory_ratio": max(mib, LEAST_MIB) / max(row["our_mib"], LEAST_MIB),
        "agreement": work.agree(given, *answers),
    }  # fmt: skip


def _median(runs: list[Run], name: str) -> float:
    return statistics.median(run[name] for run in runs)


def _answer(folder: Path, label: str) -> Answer:
    with np.load(folder / _file_of(label)) as file:
        return {name: file[name] for name in file.files}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows that are there."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_rows(rows: list[dict[str, Any]], folder: Path) -> None:
    """Write the rows and the table."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = sorted(rows, key=lambda row: list(WORKS).index(row["key"]))
    with (folder / "peers.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (folder / "peers.md").write_text(table_of(rows) + "\n", encoding="utf-8")


def table_of(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table in Markdown."""
    header = ["work", "size", "ours, s", "peer", "s", "times faster (range)", "ours, MiB", "MiB",
              "times less memory", "agreement"]  # fmt: skip
    return markdown(header, [_line(row) for row in rows])


def _line(row: dict[str, Any]) -> list[str]:
    def number(name: str, digits: int = 2) -> str:
        if row.get(name) in (None, ""):
            return "–"
        value = float(row[name])
        return f"{value:,.0f}" if value >= 10**digits else f"{value:.{digits}g}"

    start = [row["work"], row["size"], number("our_seconds", 3), row["peer"]]
    if row["status"] != "ok":
        return [*start, row["status"], "–", number("our_mib", 3), "–", "–", "–"]
    spread = f"**{number('time_ratio')}** ({number('least_ratio')} to {number('most_ratio')})"
    return [*start, number("seconds", 3), spread, _mib(row["our_mib"]), _mib(row["mib"]),
            number("memory_ratio"), row["agreement"]]  # fmt: skip


def _mib(value: Any) -> str:
    return f"{float(value):,.0f}"


def main() -> None:
    """Measure the works one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", choices=WORKS, nargs="+", default=list(WORKS))
    parser.add_argument("--scale", type=float, default=1.0, help="1 is full size")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for a run")
    parser.add_argument("--environments", type=Path, default=Path(".cache/peers"))
    parser.add_argument("--out", type=Path, default=Path("results/peers"))
    options = parser.parse_args()
    for key in options.work:
        new = compare(key, options)
        kept = [row for row in read_rows(options.out / "peers.csv") if row["key"] != key]
        write_rows(kept + new, options.out)
        print(table_of(new), flush=True)


if __name__ == "__main__":
    main()
