"""The note's numbers in full-size worlds of seeds that no fit has seen, with gateways and without.

Reads the two configs that ``calibrate_note.py`` writes, ``note.toml`` (the posterior's centre) and
``note_without_gateways.toml`` (the centre of the fit without gateways, its twin), computes worlds
of new seeds, R10 too, and writes ``held_out.csv`` beside them: for each number the mean over seeds,
its standard deviation, and in how many worlds it is within two deviations of its discrepancy.
Worlds are stored one by one: the same command goes on where it was stopped.

Run: python experiments/note_held_out.py DIR [--worlds 4]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from calibrate_note import HELD_OUT_SEED, write_rows
from note_numbers import EXTRA, NUMBERS
from note_worlds import found_record, numbers_of

from gateway import analyses
from gateway._numba import set_threads
from gateway.config import config_digest
from gateway.errors import GatewayError
from gateway.provenance import MODEL_VERSION
from gateway.results import load_config

FILES = {"all": "note.toml", "no gateways": "note_without_gateways.toml"}
ENTITIES = ("average precision: gain", "recall at precision 0.5: gain")


def world(path: Path, seed: int, stored: Path) -> dict[str, Any]:
    """Return a world's numbers, from the store where they are there."""
    config = load_config(path, overrides=[f"experiment.seed={seed}"])
    key = f"{MODEL_VERSION} {config_digest(config)}"
    lines = stored.read_text(encoding="utf-8").splitlines() if stored.exists() else []
    for entry in map(json.loads, lines):
        if entry["key"] == key:
            return dict(entry)
    begun = time.process_time()
    values: dict[str, float] = {}
    try:
        record, _ = found_record(config)
        assert config.note is not None  # noqa: S101  (found_record has looked)
        values = numbers_of(record, config.note)
        entities = analyses.entity_model(record, precision=config.note.precision, seed=seed)
        for row in entities.to_pylist():
            if row["quantity"].endswith(": gain"):
                gain = row["simulated"]
                values[f"R10 {row['quantity']}"] = math.nan if gain is None else gain
    except GatewayError as error:
        print(f"{path.name}, seed {seed}: {error}")
    seconds = round(time.process_time() - begun, 1)
    entry = {"key": key, "file": path.name, "seed": seed, "seconds": seconds, "values": values}
    with stored.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(entry) + "\n")
    return entry


def rows_of(found: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    """Return one row per number, with the worlds of both hypotheses side by side."""
    known = {number.name: number for number in NUMBERS}
    gains = sorted({name for values in found["all"] for name in values if name.startswith("R10")})
    rows = []
    for name in (*known, *EXTRA, *gains):
        number = known.get(name)
        row: dict[str, Any] = {
            "id": name.partition(" ")[0],
            "number": number.label if number else name.partition(" ")[2],
            "kind": number.kind if number else "unpublished",
            "published": number.published if number else math.nan,
            "discrepancy_sd": number.discrepancy if number else math.nan,
        }
        for hypothesis, worlds in found.items():
            values = np.array([v.get(name, math.nan) for v in worlds], np.float64)
            values = values[~np.isnan(values)]
            row[f"{hypothesis}: worlds"] = len(values)
            row[f"{hypothesis}: mean"] = float(values.mean()) if len(values) else math.nan
            row[f"{hypothesis}: sd"] = float(values.std(ddof=1)) if len(values) > 1 else math.nan
            row[f"{hypothesis}: within"] = (
                int((abs(values - number.published) <= 2 * number.discrepancy + 1e-9).sum())
                if number
                else ""
            )
        row["difference"] = row["all: mean"] - row["no gateways: mean"]
        variance = [row[f"{name}: sd"] ** 2 / max(row[f"{name}: worlds"], 1) for name in found]
        row["difference_se"] = math.sqrt(sum(variance))
        rows.append(row)
    return rows


def main() -> None:
    """Compute the worlds and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fit", type=Path)
    parser.add_argument("--worlds", type=int, default=4)
    options = parser.parse_args()
    set_threads(1)
    stored = options.fit / "held_out.jsonl"
    found: dict[str, list[dict[str, float]]] = {name: [] for name in FILES}
    for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + options.worlds):
        for name, file in FILES.items():
            entry = world(options.fit / file, seed, stored)
            found[name].append(entry["values"])
            print(f"{name}, seed {seed}: {entry['seconds']} s", flush=True)
    write_rows(options.fit / "held_out.csv", rows_of(found))


if __name__ == "__main__":
    main()
