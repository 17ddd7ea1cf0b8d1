"""Stored tables of studies that never happened: event study, benchmark, sweep, interventions."""

from __future__ import annotations

from itertools import product

import numpy as np
import pyarrow as pa

from gateway.analyses.curves import EVENT_STUDY_SCHEMA
from gateway.check import PLACES, summarise_check

DETECTORS = ("self_controlled", "spike", "frequentist", "markov_removal")


def check_table(*, nulls: int = 30) -> pa.Table:
    """Return what a check says of two detectors, of which one claims change."""
    rows = []

    def add(detector: str, log: str, place: tuple[str, float], **metrics: float) -> None:
        head = {"detector": detector, "log": log, "where": place[0], "ratio": place[1]}
        rows.extend({**head, "metric": key, "value": value} for key, value in metrics.items())

    for i, detector in enumerate(("spike", "self_controlled")):
        add(
            detector, "time_reversed", ("anywhere", 1.0), n_tested=50.0, n_forwards=9.0,
            n_backwards=10.0, n_both_ways=4.0, rank_correlation=0.53 - 1.5 * i,
        )  # fmt: skip
        for log in ("labels_permuted", "permuted_within_users", "placebo_targets"):
            for k in range(nulls):
                calls = 3.0 if log == "permuted_within_users" and i == 0 else float(k == 0)
                add(
                    detector, log, ("anywhere", 1.0), n_tested=50.0, n_flagged=calls,
                    n_small_q=calls, n_small_p=2.0, n_intervals=50.0, n_holding=48.0,
                )  # fmt: skip
        for where, ratio, k in product(PLACES, (2.0, 4.0, 8.0), range(3)):
            found = min(10.0, ratio + k + 2 * i)
            add(
                detector, "planted", (where, ratio), n_tested=50.0, n_flagged=found + 2.0,
                n_planted=10.0, n_found=found, average_precision=found / 12.0,
                precision_by_chance=0.25, n_planted_ranked=10.0 - i,
                **({"n_planted_intervals": 10.0, "n_planted_holding": 9.0} if i else {}),
            )  # fmt: skip
    return summarise_check(pa.Table.from_pylist(rows))


def event_study_table(rng: np.random.Generator, *, truth: bool) -> pa.Table:
    """Return curves that jump at the join; those of look-alikes rise before it, too."""
    roles = ("homophily", "influence", "ordinary") if truth else ("unknown",)
    curves = [(True, role) for role in roles] + [(False, role) for role in roles]
    rows = []
    for flagged, role in curves:
        drift = 0.004 if role == "homophily" else 0.001
        for k in range(-10, 11):
            jump = 0.02 if flagged and k >= 0 else 0.0
            change = drift * (k + 1) + jump + (0.0 if k == -1 else rng.normal(0.0, 0.001))
            n = 4_000 // (2 + abs(k)) if abs(k) < 10 or not flagged else 6
            half = 0.0 if k == -1 else 0.03 / np.sqrt(n)
            rows.append(
                ("spike", flagged, role, 12, k, n + 5, n, 0.05 + change, change, change - half,
                 change + half)
            )  # fmt: skip
    columns = zip(*rows, strict=True)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, EVENT_STUDY_SCHEMA, strict=True)]
    return pa.table(arrays, schema=EVENT_STUDY_SCHEMA)


def benchmark_table(rng: np.random.Generator) -> pa.Table:
    """Return a ready benchmark: four detectors, two truths, five metrics, ten worlds."""
    metrics = ("average_precision", "precision_at_50", "recall_at_100", "share_homophily_at_100",
               "spearman_strength")  # fmt: skip
    rows = []
    for (i, detector), truth, metric in product(
        enumerate(DETECTORS), ("planted", "direct"), metrics
    ):
        value = 0.85 - 0.2 * i + 0.02 * rng.random()
        value = 1.0 - value if metric.startswith("share_homophily") else value
        rows.append((detector, truth, metric, value, value - 0.04, value + 0.04, 10))
    names = ("detector", "truth", "metric", "value", "ci_low", "ci_high", "n_worlds")
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows])


def sweep_evaluation(
    rng: np.random.Generator, *, replicates: int = 3, swept: bool = True
) -> pa.Table:
    """Return the long table of a sweep over two keys (or the seed alone) by replicates."""
    homophily = (0, 20, 40, 80) if swept else (40,)
    strength = (0.0, 0.7, 1.4) if swept else (1.4,)
    rows = []
    for point, (h, s, replicate) in enumerate(product(homophily, strength, range(replicates))):
        for i, detector in enumerate(DETECTORS):
            value = s / 1.6 * (1.0 - h / 100 * (i > 0)) + 0.02 * rng.random()
            row = {"point": point, "replicate": replicate, "seed": 100 + point,
                   "world.roles.homophily": h, "world.roles.influence_strength": s,
                   "spike.rule": "standardised", "detector": detector, "truth": "planted",
                   "metric": "average_precision", "value": value, "ci_low": None,
                   "ci_high": None}  # fmt: skip
            rows += [row, {**row, "metric": "precision_at_50", "value": value / 2}]
    table = pa.Table.from_pylist(rows)
    for key in ("ci_low", "ci_high"):
        at = table.schema.get_field_index(key)
        table = table.set_column(at, key, table[key].cast(pa.float64()))
    return table


def phase_table(rng: np.random.Generator) -> pa.Table:
    """Return a ready phase diagram of two detectors, 3 x 4 cells."""
    rows = [
        {"x_key": "world.roles.homophily", "x": float(x), "y_key": "world.roles.influence_strength",
         "y": y, "detector": detector, "metric": "average_precision",
         "value": y / 2 * (1 - x / 100 * (detector == "spike")) + 0.01 * rng.random(),
         "n_worlds": 5}
        for detector in DETECTORS[:2] for x in (0, 20, 40, 80) for y in (0.0, 0.7, 1.4)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows)


def lines_table(rng: np.random.Generator) -> pa.Table:
    """Return a ready line over one key for two detectors, with intervals."""
    rows = [
        {"x_key": "world.users", "x": float(x), "detector": detector, "metric": "average_precision",
         "value": value, "ci_low": value - 0.05, "ci_high": value + 0.05, "n_worlds": 5}
        for detector in DETECTORS[:2] for x in (1_000, 10_000, 100_000)
        for value in [0.2 + 0.1 * np.log10(x / 1_000) + 0.01 * rng.random()]
    ]  # fmt: skip
    return pa.Table.from_pylist(rows)


def dose_table(rng: np.random.Generator) -> pa.Table:
    """Return averted and lost joins of two interventions, three choosers, four doses."""
    gain = {"oracle": 12.0, "self_controlled": 9.0, "spike": 3.0}
    rows = []
    for intervention, chooser in product(("gysj_seed_filter", "demotion"), gain):
        for n in (10, 20, 50, 100):
            value = gain[chooser] * n**0.8 * (1.0 + 0.05 * rng.random())
            row = {"intervention": intervention, "chosen_by": chooser, "n_groups": n,
                   "quantity": "averted", "value": value, "ci_low": value - 40.0,
                   "ci_high": value + 40.0}  # fmt: skip
            rows += [row, {**row, "quantity": "lost", "value": value / 3}]
    return pa.Table.from_pylist(rows)
