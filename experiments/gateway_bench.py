"""GatewayBench: detectors on real logs with planted gateways, and on simulated platforms.

Every detector of the package that a log has the columns for, and those that are submitted, sees
for each config in configs/bench: both nulls; of a real log gateways planted into its joins, of a
simulated one the gateways of the platform. docs/results/gatewaybench.md: rules, seeds, the table.

Run: python experiments/gateway_bench.py --out DIR [--detector MODULE:FUNCTION ...]
Again with the same folder it computes what is missing, and prints the table.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gateway.check import measure_log
from gateway.config import Config
from gateway.config.checked_log import CheckSection
from gateway.detect import REGISTRY, Detection, detectors_for
from gateway.detect.calling import find_gateways
from gateway.detect.significance import clopper_pearson
from gateway.evaluate import evaluate_planted
from gateway.inputs import Inputs, obtain_inputs
from gateway.results import load_config
from gateway.score import score_joins

# The public table: held-out seeds. Whoever tunes does so on the seeds from 1 upwards.
SEEDS = (1001, 1002)
NULLS = 5
RATIOS = (3.0, 8.0)
PLACES = ("anywhere", "aligned")
Detector = str | Callable[..., Any]


@dataclass(frozen=True)
class Unit:
    """One log that the detectors see."""

    config: str
    log: str
    seed: int
    where: str = "anywhere"
    ratio: float = 1.0

    @property
    def name(self) -> str:
        """Stem of the file that holds what they said."""
        return f"{self.config}-{self.log}-{self.where}-{self.ratio:g}-{self.seed}"


def units_of(config: Config, name: str, seeds: tuple[int, ...], nulls: int) -> Iterator[Unit]:
    """Yield the logs that are made of a config's."""
    for log in ("labels_permuted", "permuted_within_users"):
        yield from (Unit(name, log, seeds[0] + i) for i in range(nulls))
    if config.world is not None:
        yield from (Unit(name, "world", seed) for seed in seeds)
        return
    for where in PLACES:
        for ratio in RATIOS:
            yield from (Unit(name, "planted", seed, where, ratio) for seed in seeds)


def named(text: str) -> tuple[str, Detector]:
    """Return a detector by its name or entry point, or the function MODULE:FUNCTION."""
    module, colon, function = text.partition(":")
    if not colon:
        return text, text
    return function, getattr(importlib.import_module(module), function)


def run_on(unit: Unit, inputs: Inputs, detectors: Mapping[str, Detector]) -> dict[str, Any]:
    """Let detectors see one log; return measures and processor seconds by detector."""
    said: dict[str, dict[str, Any]] = {}

    def run(joins: Any, targets: Any) -> dict[str, Detection]:
        scores, found = None, {}
        if any(REGISTRY[name].needs_scores for name in detectors if name in REGISTRY):
            scores = score_joins(joins, targets, seed=unit.seed)
        for name, detector in detectors.items():
            begun = time.process_time()
            found[name] = find_gateways(
                joins, targets, detector=detector, scores=scores, horizon=None, seed=unit.seed
            )
            measure = found[name].measure
            said[name] = {"seconds": time.process_time() - begun, "claims": measure.claims,
                          "flags": bool(measure.test) and measure.holds_level}  # fmt: skip
        return found

    if unit.log == "world":
        assert inputs.world is not None  # noqa: S101  (a config with a world)
        found = run(inputs.joins, inputs.targets)
        rows = [
            {**row, "detector": name}
            for name, one in found.items()
            for row in evaluate_planted(
                one, inputs.role, inputs.world.groups.strength, seed=1, draws=0
            ).to_pylist()
        ]
    else:
        section = CheckSection(log=unit.log, where=unit.where, ratio=unit.ratio)  # type: ignore[arg-type]
        measured = measure_log(inputs.joins, inputs.targets, section, seed=unit.seed, run=run)
        rows = measured.evaluation.to_pylist()
    for row in rows:
        if row["value"] is not None:
            said[row["detector"]][row["metric"]] = row["value"]
    return said


@cache
def inputs_of(path: Path, seed: int, data: Path | None) -> Inputs:
    """Read the log of a config, or simulate it with a seed."""
    config = load_config(path, overrides=[f"experiment.seed={seed}"])
    if config.log is not None and data is not None:
        log = config.log.model_copy(update={"path": str(data / Path(config.log.path).name)})
        targets = config.targets
        if targets.file is not None:
            file = str(data / Path(targets.file).name)
            targets = targets.model_copy(update={"file": file})
        config = config.model_copy(update={"log": log, "targets": targets})
    return obtain_inputs(config)


def compute(path: Path, given: argparse.Namespace, submitted: dict[str, Detector]) -> None:
    """Compute what is missing of one config, or say why it is skipped."""
    config = load_config(path)
    if config.log is not None:
        file = (given.data or Path(config.log.path).parent) / Path(config.log.path).name
        if not file.exists():
            print(f"{path.stem} is skipped: there is no file {file}")
            return
    for unit in units_of(config, path.stem, given.seeds, given.nulls):
        inputs = inputs_of(path, unit.seed if unit.log == "world" else given.seeds[0], given.data)
        wanted = {name: name for name in detectors_for(inputs.joins)} | submitted
        place = given.out / f"{unit.name}.json"
        stored = json.loads(place.read_text()) if place.exists() else {"unit": asdict(unit)}
        found = stored.setdefault("found", {})
        missing = {name: one for name, one in wanted.items() if name not in found}
        if missing:
            found |= run_on(unit, inputs, missing)
            draft = place.with_suffix(".part")
            draft.write_text(json.dumps(stored))
            draft.rename(place)
            print(f"{unit.name}: {', '.join(missing)}", flush=True)


def tables(stored: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the public tables, in Markdown: false calls and real logs, then simulated ones."""
    by: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    empty: set[str] = set()
    for one in stored:
        for name, values in one["found"].items():
            if values.get("n_unplaced", 0.0) > values.get("n_added", 0.0):
                empty.add(f"{one['unit']['config']} (ratio {one['unit']['ratio']:g})")
                continue
            by[name, one["unit"]["log"]].append(one["unit"] | values)
    if empty:
        yield (
            "Left out, as members run out of targets for more than half of the further joins: "
            f"{', '.join(sorted(empty))}."
        )
        yield ""
    claims = {name: many[0]["claims"] for (name, _), many in by.items()}
    names = sorted(claims, key=lambda name: (claims[name], name))
    yield (
        "| detector | claims | labels permuted: logs with a call | within users | "
        "average precision, planted anywhere | aligned | found | seconds |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for name in names:
        planted = by[name, "planted"]
        cells = [
            f"`{name}`", claims[name],
            calls(by[name, "labels_permuted"]), calls(by[name, "permuted_within_users"]),
            *(mean([one["average_precision"] for one in planted if one["where"] == where])
              for where in PLACES),
            share(planted), mean([one["seconds"] for log in by if log[0] == name
                                  for one in by[log]], digits=1),
        ]  # fmt: skip
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield "| detector | platform | average precision | calls | of these gateways |"
    yield "|---|---|---|---|---|"
    for name in names:
        for config in sorted({one["config"] for one in by[name, "world"]}):
            mine = [one for one in by[name, "world"] if one["config"] == config]
            n = sum(one["n_flagged"] for one in mine)
            true = sum(one["n_flagged"] * one.get("precision_flagged", 0.0) for one in mine)
            cells = [f"`{name}`", config, mean([one["average_precision"] for one in mine]),
                     f"{n:.0f}", f"{true:.0f}"]  # fmt: skip
            yield f"| {' | '.join(cells)} |"


def calls(logs: list[dict[str, Any]]) -> str:
    """Share of logs with a call, as counts with the exact interval."""
    tested = [one for one in logs if one["n_tested"] and one["flags"]]
    if not tested:
        return "flags nobody"
    k, n = sum(one["n_flagged"] > 0 for one in tested), len(tested)
    low, high = clopper_pearson(np.array([k]), np.array([n]))
    return f"{k} of {n} ({100 * low[0]:.0f}–{100 * high[0]:.0f} %)"


def share(logs: list[dict[str, Any]]) -> str:
    """Share of planted gateways that are flagged."""
    if not any(one["n_tested"] and one["flags"] for one in logs):
        return "–"
    return f"{sum(one['n_found'] for one in logs) / sum(one['n_planted'] for one in logs):.2f}"


def mean(values: list[float], *, digits: int = 2) -> str:
    """Mean, a dash where there is none."""
    return f"{np.mean(values):.{digits}f}" if values else "–"


def main() -> None:
    """Compute what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/gatewaybench"))
    parser.add_argument("--data", type=Path, help="folder of the logs, else as the configs say")
    parser.add_argument("--configs", type=Path, default=Path("configs/bench"))
    parser.add_argument(
        "--detector", action="append", default=[], help="MODULE:FUNCTION or a name, repeat"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--nulls", type=int, default=NULLS)
    given = parser.parse_args()
    given.seeds = tuple(given.seeds)
    given.out.mkdir(parents=True, exist_ok=True)
    submitted = dict(named(text) for text in given.detector)
    for path in sorted(given.configs.glob("*.toml")):
        compute(path, given, submitted)
    stored = [json.loads(path.read_text()) for path in sorted(given.out.glob("*.json"))]
    print("\n".join(tables(stored)))


if __name__ == "__main__":
    main()
