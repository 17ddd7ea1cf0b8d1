"""Fit simulated worlds to the note's numbers, and weigh what the numbers say of gateways.

One command from a start to ``configs/note.toml`` and to the tables of ``results/reference/note``,
without a step by hand. **Agreement with fitted parameters is not evidence about the real
platform**: many worlds fit, and these were chosen to.

Rounds of small worlds. The first draws points of the prior (``note_worlds``), the same for all four
hypotheses. After each round a surrogate is fitted to all worlds so far (``note_surrogate``), and
the next round of each hypothesis is drawn from its posterior, widened. A round's proposal is a
known normal distribution, so that every world is also a test of the inference: its own numbers,
inferred from with that proposal as the prior and a surrogate that has not seen it, must place its
parameters evenly (simulation-based calibration: Talts et al. 2018, arXiv 1804.06788).

What is said of a number: its 90 % band in new worlds of each hypothesis's posterior; the same
predicted from all *other* numbers; and the log10 Bayes factor of the hypotheses given the others,
p(number | others, gateways) / p(number | others, no gateways). Its Monte Carlo error is the
standard deviation over bootstrap samples of the worlds, refitted and inferred from anew with other
draws. How much the number *could* tell is the expectation of that log10 ratio if the platform has
gateways.

A few full-size worlds at the centres of the fits, with gateways and without, then shift the
surrogate by what differs between the sizes.

Worlds are stored one by one: the same command goes on where it was stopped, and more rounds
keep what is there.

Run: python experiments/calibrate_note.py --out DIR [--rounds 4] [--points 24] [--workers 2]
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w
from note_evidence import (
    BAND,
    PRIOR,
    Study,
    bands,
    bayes_factors,
    calibration,
    could_tell,
    events,
    posteriors,
)
from note_numbers import EXTRA, FITTED, NUMBERS, legible, observed
from note_surrogate import Normal, Posterior, infer
from note_worlds import HYPOTHESES, N_PARAMETERS, NAMES, Draw, Size, Store, config_at, natural
from scipy.stats import norm, qmc

from gateway._numba import set_threads
from gateway.config import Config
from gateway.provenance import MODEL_VERSION
from gateway.results import load_config

Float64 = npt.NDArray[np.float64]

START = Path(__file__).with_name("calibrate_note_start.toml")
SIZE = Size(24_000, 450)
HEADER = """\
# A world fitted to the published numbers of the note: the centre of a posterior, hypothesis
# "{}". Written by experiments/calibrate_note.py; docs/results/note.md says what it reaches.
# Agreement with fitted parameters is not evidence about the real platform.
"""
# Of the full-size worlds of the fit, and of those held out, the first of which is the config's.
FULL_SEED, HELD_OUT_SEED = 500_001, 900_001
# In deviations of the prior: beyond, some keys leave the range that the config allows.
FARTHEST = 3.0
# Of the covariance that the next round is drawn from, over the posterior's.
WIDENED = 1.5


def first_points(n: int, seed: int) -> Float64:
    """Return points of the prior: normal quantiles of a Sobol sequence, shape (n, d)."""
    unit = qmc.Sobol(N_PARAMETERS, rng=np.random.default_rng(seed)).random_base2(
        max(n - 1, 1).bit_length()
    )[:n]
    return np.asarray(norm.ppf(np.clip(unit, 1e-4, 1 - 1e-4)))


def proposed(study: Study, number: int, *, seed: int) -> dict[str, Normal]:
    """Return what a round is drawn from: the widened posterior of each hypothesis so far."""
    y, discrepancy = observed()
    surfaces = study.surfaces(small=True)
    found = {}
    for place, name in enumerate(HYPOTHESES):
        rng = np.random.default_rng([seed, number, place])
        mean, cov = infer(surfaces[name], y, prior=PRIOR, rng=rng, discrepancy=discrepancy).normal()
        found[name] = Normal(mean, WIDENED * cov)
    return found


def points_of(
    study: Study, number: int, *, points: int, seed: int, folder: Path
) -> tuple[dict[str, Normal], dict[str, Float64]]:
    """Return what a round is drawn from and its points, from the file where they are there.

    So the worlds of a round count, whatever is changed in the inference later.
    """
    if number == 0:
        return dict.fromkeys(HYPOTHESES, PRIOR), dict.fromkeys(
            HYPOTHESES, first_points(points, seed)
        )
    path = folder / f"round_{number}.npz"
    if not path.exists():
        columns = {}
        for place, (name, normal) in enumerate(proposed(study, number, seed=seed).items()):
            rng = np.random.default_rng([seed, number, place, 1])
            root = np.linalg.cholesky(normal.cov)
            drawn = normal.mean + rng.standard_normal((points, N_PARAMETERS)) @ root.T
            columns |= {f"mean {name}": normal.mean, f"cov {name}": normal.cov,
                        f"points {name}": drawn}  # fmt: skip
        np.savez(path, **columns)
    with np.load(path, allow_pickle=False) as stored:
        normals = {n: Normal(stored[f"mean {n}"], stored[f"cov {n}"]) for n in HYPOTHESES}
        return normals, {n: stored[f"points {n}"] for n in HYPOTHESES}


def run_rounds(store: Store, *, rounds: int, points: int, seed: int, workers: int) -> Study:
    """Compute the rounds; what is stored is taken from there."""
    study = Study(store, [], {})
    store.path.parent.mkdir(parents=True, exist_ok=True)
    for number in range(rounds):
        normals, at = points_of(study, number, points=points, seed=seed, folder=store.path.parent)
        study.proposals |= {(number, name): normal for name, normal in normals.items()}
        at = {name: np.round(np.clip(x, -FARTHEST, FARTHEST), 4) for name, x in at.items()}
        draws = [
            Draw(number, name, 1000 * (number + 1) + place + 1, tuple(at[name][place].tolist()))
            for place in range(len(at["all"]))
            for name in HYPOTHESES
        ]
        study.entries += store.compute(draws, workers=workers)
        counts = f"{len(study.entries)} worlds, {len(study.usable())} usable"
        print(f"round {number}: {counts}", flush=True)
    return study


# Tables ------------------------------------------------------------------------------------


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table as CSV: four significant digits, an empty cell for NaN."""

    def cell(value: Any) -> Any:
        if isinstance(value, float | np.floating):
            return "" if np.isnan(value) else f"{value:.4g}"
        return value

    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: cell(value) for key, value in row.items()} for row in rows)


def as_table(entries: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return worlds as a table: what made each, its point, its numbers (null of a failed one)."""
    names = [*(number.name for number in FITTED), *EXTRA]
    rows = [
        {key: entry[key] for key in ("round", "hypothesis", "seed", "seconds")}
        | dict(zip(NAMES, entry["x"], strict=True))
        | {name: entry["values"].get(name) for name in names}
        for entry in entries
    ]
    table = pa.Table.from_pylist(rows)
    return table.cast(pa.schema(
        pa.field(f.name, pa.float32() if f.type in (pa.float64(), pa.null()) else f.type)
        for f in table.schema
    ))  # fmt: skip


def parameter_rows(config: Config, found: Mapping[str, Posterior]) -> list[dict[str, Any]]:
    """Return prior and posterior median and 90 % interval of each parameter."""
    rows = []
    for place, name in enumerate(NAMES):
        row: dict[str, Any] = {"parameter": name}
        spans = {"prior": norm.ppf(BAND)} | {
            hypothesis: np.quantile(posterior.draws[:, place], BAND)
            for hypothesis, posterior in found.items()
        }
        for label, span in spans.items():
            for end, x in zip(("low", "median", "high"), span, strict=True):
                row[f"{label} {end}"] = natural(config, place, float(x))
        row["posterior sd over prior's"] = float(found["all"].draws[:, place].std())
        rows.append(row)
    return rows


def number_rows(
    spans: Mapping[Any, Float64], factors: Iterable[Mapping[str, Any]], telling: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return a row per legible number: bands, Bayes factor and what it could tell."""
    by_number = {(f["of"], f["other"]): f for f in factors
                 if f["one"] == "all" and f["kind"] == "given the others"}  # fmt: skip
    rows = []
    for number in NUMBERS:
        row: dict[str, Any] = {
            "id": number.id, "number": number.label, "kind": number.kind,
            "published": number.published, "discrepancy_sd": number.discrepancy,
        }  # fmt: skip
        for name in ("all", "no gateways"):
            for kind in ("fitted", "others"):
                span = spans.get((name, kind, number.name), np.full(3, np.nan))
                for end, value in zip(("low", "median", "high"), span, strict=True):
                    row[f"{name}, {kind}: {end}"] = float(value)
                inside = "" if np.isnan(span[0]) else bool(span[0] <= number.published <= span[2])
                row[f"{name}, {kind}: inside"] = inside
        told = by_number.get((number.name, "no gateways"), {})
        row["log10_bayes_factor"] = told.get("log10_bayes_factor", float("nan"))
        row["mc_error"] = told.get("mc_error", float("nan"))
        row["could_tell"] = telling.get(number.name, float("nan"))
        rows.append(row)
    return rows


def centre(posterior: Posterior, *, hypothesis: str, seed: int) -> Draw:
    """Return the world at the posterior's mean."""
    x = np.round(posterior.draws.mean(axis=0), 4)
    return Draw(-1, hypothesis, seed, tuple(x.tolist()))


def add_full_worlds(study: Study, out: Path, *, worlds: int, seed: int, workers: int) -> None:
    """Compute full-size worlds at the centres of the fits with gateways and without."""
    small = posteriors(study.surfaces(small=True), seed)
    draws = [
        centre(small[name], hypothesis=name, seed=FULL_SEED + place)
        for place in range(worlds)
        for name in ("all", "no gateways")
    ]
    store = Store(out / "full_size.jsonl", study.store.config, None)
    study.full = store.compute(draws, workers=workers)


def mean_of(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    """Return the mean of a column, to four digits."""
    return round(float(np.mean([row[key] for row in rows])), 4)


def write_tables(study: Study, config: Config, out: Path, *, seed: int, bootstraps: int) -> None:
    """Write everything that the worlds so far say."""
    surfaces = study.surfaces()
    found = posteriors(surfaces, seed)
    factors = bayes_factors(study, bootstraps=bootstraps, seed=seed)
    spans, telling = bands(surfaces, seed=seed), could_tell(surfaces, seed=seed)
    numbers = number_rows(spans, factors, telling)
    checked = calibration(study, seed=seed)
    write_rows(out / "parameters.csv", parameter_rows(config, found))
    write_rows(out / "bayes_factors.csv", factors)
    write_rows(out / "numbers.csv", numbers)
    write_rows(out / "calibration.csv", checked)
    write_rows(out / "events.csv", events(study))
    pq.write_table(as_table([*study.entries, *study.full]), out / "worlds.parquet")
    fitted = [row for row in numbers if row["kind"] == "fitted"]
    summary: dict[str, Any] = {
        "model_version": MODEL_VERSION, "seed": seed, "worlds": len(study.entries),
        "usable": len(study.usable()), "full_size": len(study.full),
        "rounds": 1 + max(e["round"] for e in study.entries),
        "users": study.store.size.users, "groups": study.store.size.groups,
        "parameters": N_PARAMETERS, "fitted": len(fitted), "bootstraps": bootstraps,
        "cpu_seconds": round(sum(e["seconds"] for e in study.entries)),
        "legible": legible(),
        "inside": {
            f"{name}, {kind}": sum(bool(row[f"{name}, {kind}: inside"]) for row in fitted)
            for name in ("all", "no gateways") for kind in ("fitted", "others")
        },
        "efficiency": {name: round(p.efficiency, 3) for name, p in found.items()},
        "coverage_90_parameters": mean_of(checked[:N_PARAMETERS], "coverage_90"),
        "coverage_50_parameters": mean_of(checked[:N_PARAMETERS], "coverage_50"),
        "coverage_90_numbers": mean_of(checked[N_PARAMETERS:], "coverage_90"),
        "calibration_worlds": checked[0]["worlds"],
    }  # fmt: skip
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    for name, file in (("all", "note.toml"), ("no gateways", "note_without_gateways.toml")):
        fitted = config_at(config, centre(found[name], hypothesis=name, seed=HELD_OUT_SEED))
        # What is a default is left out; another version of a default is another world anyway.
        values = fitted.model_dump(exclude_defaults=True, exclude_none=True)
        text = f"{HEADER.format(name)}\n{tomli_w.dumps(values)}"
        (out / file).write_text(text, encoding="utf-8")
    print(json.dumps(summary, indent=1))


def main() -> None:
    """Run the rounds, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default=str(START))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--points", type=int, default=24, help="worlds of a hypothesis and round")
    parser.add_argument("--full", type=int, default=3, help="full-size worlds of a hypothesis")
    parser.add_argument("--bootstraps", type=int, default=30)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--users", type=int, default=SIZE.users)
    parser.add_argument("--groups", type=int, default=SIZE.groups)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    set_threads(1)
    config = load_config(options.config, overrides=options.set)
    store = Store(options.out / "worlds.jsonl", config, Size(options.users, options.groups))
    study = run_rounds(store, rounds=options.rounds, points=options.points, seed=options.seed,
                       workers=options.workers)  # fmt: skip
    add_full_worlds(study, options.out, worlds=options.full, seed=options.seed,
                    workers=options.workers)  # fmt: skip
    write_tables(study, config, options.out, seed=options.seed, bootstraps=options.bootstraps)


if __name__ == "__main__":
    main()
