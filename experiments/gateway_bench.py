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
from gateway.check.measuring import precision_by_chance
from gateway.config import Config
from gateway.config.swept import CheckSection
from gateway.detect import REGISTRY, Detection, detectors_for
from gateway.detect.registry import find_gateways
from gateway.detect.significance import clopper_pearson
from gateway.evaluate.ranking import average_precision, by_rank
from gateway.inputs import Inputs, obtain_inputs
from gateway.provenance import MODEL_VERSION
from gateway.results import load_config
from gateway.score import score_joins
from gateway.world import GATEWAYS, Role

# The public table: held-out seeds. Whoever tunes does so on the seeds from 1 upwards.
SEEDS = (1001,)
NULLS = 3
# Planted: what a member's rate of target joins is multiplied by, or the chance of one target join
# within a delay that the config's [check] names.
EFFECTS: Mapping[str, Mapping[str, float]] = {
    "ratio 4": {"ratio": 4.0}, "ratio 8": {"ratio": 8.0},
    "sent .15": {"sent": 0.15},
}  # fmt: skip
PLACES = ("anywhere", "aligned")
NULL_LOGS = ("labels_permuted", "permuted_within_users")
Detector = str | Callable[..., Any]


@dataclass(frozen=True)
class Unit:
    """One log that the detectors see."""

    config: str
    log: str
    seed: int
    where: str = ""
    effect: str = ""

    @property
    def name(self) -> str:
        """Stem of the file that holds what they said."""
        parts = (self.config, self.log, self.where, self.effect.replace(" ", ""), str(self.seed))
        return "-".join(part for part in parts if part)


def units_of(config: Config, name: str, seeds: tuple[int, ...], nulls: int) -> Iterator[Unit]:
    """Yield the logs that are made of a config's; a simulated one costs ten times a real one."""
    nulls = nulls if config.world is None else (nulls + 1) // 2
    for log in NULL_LOGS:
        yield from (Unit(name, log, seeds[0] + i) for i in range(nulls))
    if config.world is not None:
        yield from (Unit(name, "world", seed) for seed in seeds)
        return
    # Each effect has gateways of its own: ten groups drawn once tell too little of a detector.
    for where in PLACES:
        for i, effect in enumerate(EFFECTS):
            yield from (Unit(name, "planted", seed + 100 * i, where, effect) for seed in seeds)


def named(text: str) -> tuple[str, Detector]:
    """Return a detector by its name or entry point, or the function MODULE:FUNCTION."""
    module, colon, function = text.partition(":")
    if not colon:
        return text, text
    return text, getattr(importlib.import_module(module), function)


def run_on(
    unit: Unit, inputs: Inputs, section: CheckSection, detectors: Mapping[str, Detector]
) -> dict[str, Any]:
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
        found = run(inputs.joins, inputs.targets)
        acts = np.isin(inputs.role, [Role(role).name.lower() for role in GATEWAYS])
        for name, one in found.items():
            score, _ = by_rank(one, one.candidate)
            gateway = acts[one.candidate]
            said[name] |= {
                "average_precision": average_precision(score, gateway),
                "precision_by_chance": precision_by_chance(len(gateway), int(gateway.sum())),
                "n_planted": int(gateway.sum()),
                "n_flagged": int(one.flagged.sum()),
                "n_found": int((one.flagged & acts).sum()),
            }
        return said
    changes = {"log": unit.log, **EFFECTS.get(unit.effect, {})}
    changes |= {"where": unit.where} if unit.where else {}
    section = section.model_copy(update=changes)
    measured = measure_log(inputs.joins, inputs.targets, section, seed=unit.seed, run=run)
    for line in measured.evaluation.to_pylist():
        if line["value"] is not None:
            said[line["detector"]][line["metric"]] = line["value"]
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
        stored = json.loads(place.read_text()) if place.exists() else {}
        if stored.get("model") != MODEL_VERSION:
            stored = {"unit": asdict(unit), "model": MODEL_VERSION, "found": {}}
        missing = {name: one for name, one in wanted.items() if name not in stored["found"]}
        if missing:
            stored["found"] |= run_on(unit, inputs, config.check or CheckSection(), missing)
            draft = place.with_suffix(".part")
            draft.write_text(json.dumps(stored))
            draft.rename(place)
            print(f"{unit.name}: {', '.join(missing)}", flush=True)


Rows = Mapping[tuple[str, str], list[dict[str, Any]]]


def tables(stored: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the public tables in Markdown: false calls, average precision, and calls."""
    by: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    left_out: set[str] = set()
    for one in stored:
        unit = one["unit"]
        column = f"{unit['config']} {unit['where']}".strip()
        for name, values in one["found"].items():
            if values.get("n_unplaced", 0.0) > values.get("n_added", 0.0):
                left_out.add(f"{column}, {unit['effect']}, seed {unit['seed']}")
            elif unit["log"] in NULL_LOGS:
                by[name, unit["log"]].append(values)
            else:
                by[name, column].append(values)
    claims = {name: many[0]["claims"] for (name, _), many in by.items()}
    names = sorted(claims, key=lambda name: (claims[name], name))
    columns = sorted({column for _, column in by if column not in NULL_LOGS})
    yield from levels(by, names, claims)
    yield ""
    head = f"| detector | {' | '.join(columns)} |"
    yield from (head, f"|---|{'---|' * len(columns)}")
    for name in names:
        yield row(name, [with_error([one["average_precision"] for one in by[name, column]])
                         for column in columns])  # fmt: skip
    chance = [[one["precision_by_chance"] for name in names for one in by[name, column]]
              for column in columns]  # fmt: skip
    yield f"| a random order | {' | '.join(map(mean, chance))} |"
    yield ""
    yield from (head, f"|---|{'---|' * len(columns)}")
    for name in names:
        if any(one["flags"] for column in columns for one in by[name, column]):
            yield row(name, [called(by[name, column]) for column in columns])
    if left_out:
        yield ""
        yield (
            "Left out, as members run out of targets for more than half of the further joins: "
            f"{'; '.join(sorted(left_out))}."
        )


def levels(by: Rows, names: Iterable[str], claims: Mapping[str, str]) -> Iterator[str]:
    """Yield the table of logs in which nothing is true, and of cost."""
    yield "| detector | claims | labels permuted: logs with a call | within users | seconds |"
    yield "|---|---|---|---|---|"
    for name in names:
        seconds = [one["seconds"] for key, many in by.items() if key[0] == name for one in many]
        said = [logs_with_calls(by.get((name, log), [])) for log in NULL_LOGS]
        yield row(name, [claims[name], *said, mean(seconds, digits=1)])


def row(name: str, cells: Iterable[str]) -> str:
    """Return a line of a table."""
    return f"| `{name}` | {' | '.join(cells)} |"


def logs_with_calls(logs: list[dict[str, Any]]) -> str:
    """Share of logs with a call, as counts with the exact interval."""
    tested = [one for one in logs if one["n_tested"] and one["flags"]]
    if not tested:
        return "flags nobody"
    k, n = sum(one["n_flagged"] > 0 for one in tested), len(tested)
    low, high = clopper_pearson(np.array([k]), np.array([n]))
    return f"{k} of {n} ({100 * low[0]:.0f}–{100 * high[0]:.0f} %)"


def called(logs: list[dict[str, Any]]) -> str:
    """Share of gateways that are called, and how many of all calls are of gateways."""
    if not any(one["flags"] for one in logs):
        return "–"
    n = sum(one["n_flagged"] for one in logs)
    true = sum(one["n_found"] for one in logs)
    return f"{true / sum(one['n_planted'] for one in logs):.2f}; {true:.0f} of {n:.0f}"


def mean(values: list[float], *, digits: int = 2) -> str:
    """Mean, a dash where there is none."""
    return f"{np.mean(values):.{digits}f}" if values else "–"


def with_error(values: list[float]) -> str:
    """Mean and its standard error over logs, where there are several."""
    if len(values) < 2:
        return mean(values)
    return f"{mean(values)} ± {np.std(values, ddof=1) / len(values) ** 0.5:.2f}"


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
