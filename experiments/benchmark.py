"""All detectors against all truths: means over worlds with intervals, and what they cost.

Run: gateway sweep configs/benchmark.toml --out DIR, then
     python experiments/benchmark.py DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median

import pyarrow as pa

from gateway.evaluate.replicates import compare_detectors
from gateway.results import SweepFolder, open_result, open_tables

COLUMNS = {
    ("planted", "average_precision"): "average precision",
    ("planted", "precision_at_50"): "precision at 50",
    ("planted", "precision_at_100"): "at 100",
    ("planted", "recall_at_50"): "recall at 50",
    ("planted", "recall_at_100"): "at 100",
    ("planted", "share_homophily_at_100"): "homophily in the top 100",
    ("planted", "share_hub_at_100"): "hubs",
    ("planted", "false_share_q10"): "false at q < .10",
    ("direct", "average_precision"): "average precision, direct effect",
    ("direct", "ndcg"): "nDCG",
    ("direct", "spearman_clear"): "Spearman, clear direct effects",
    ("total", "spearman"): "Spearman, total effect",
}


def costs(folder: Path) -> dict[str, float]:
    """Median processor seconds of the scores and of each detector over the points."""
    found: dict[str, list[float]] = {}
    sweep = SweepFolder(folder)
    for key in sorted({e["point"] for e in sweep.history() if e["event"] == "finished"}):
        for name, seconds in open_result(sweep.point(key)).provenance["cpu_seconds"].items():
            found.setdefault(name, []).append(seconds)
    return {name: median(seconds) for name, seconds in found.items()}


def rows(table: pa.Table, seconds: dict[str, float]) -> list[list[str]]:
    """One row for each detector, by falling average precision."""
    found = {(r["detector"], r["truth"], r["metric"]): r for r in table.to_pylist()}
    names = sorted({d for d, _, _ in found}, key=lambda d: -found[d, *next(iter(COLUMNS))]["value"])
    return [
        [f"`{name}`", *(cell(found.get((name, *key))) for key in COLUMNS),
         f"{seconds.get(name, float('nan')):.1f}"]
        for name in names
    ]  # fmt: skip


def cell(row: dict[str, float | None] | None) -> str:
    """Mean and interval, a dash where a detector has none."""
    if row is None or row["value"] is None:
        return "–"
    if row["ci_low"] is None:
        return f"{row['value']:.2f}"
    return f"{row['value']:.2f} ({row['ci_low']:.2f}–{row['ci_high']:.2f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    table = compare_detectors(open_tables(folder).table("evaluation"))
    if table is None:
        parser.error("the sweep holds no replicates of several detectors")
    seconds = costs(folder)
    print("| detector | " + " | ".join([*COLUMNS.values(), "processor seconds"]) + " |")
    print("|" + "---|" * (len(COLUMNS) + 2))
    for row in rows(table, seconds):
        print("| " + " | ".join(row) + " |")
    print(f"\nScores: {seconds.get('scores', float('nan')):.1f} processor seconds.")


if __name__ == "__main__":
    main()
