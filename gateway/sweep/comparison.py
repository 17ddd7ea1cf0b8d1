"""What two runs, or two sweeps, do not share: settings and results.

A value of a run has the interval that its evaluation gave it. A value of a sweep is the
mean over its replicates, with Student's interval; where two sweeps have the same seeds, the
difference is taken in pairs, seed by seed, which cancels what the seeds share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gateway.config import Config
from gateway.results import SweepFolder, compare_results, is_sweep, load_config, open_result

# Of a value: which point of the sweep it belongs to, detector, truth and metric.
Name = tuple[str, ...]


@dataclass(frozen=True)
class ChangedKey:
    """A config key that the two do not share; None where it has no value."""

    key: str
    first: Any
    second: Any


@dataclass(frozen=True)
class ChangedValue:
    """A measure that differs."""

    point: str  # swept keys and values, empty for runs
    detector: str
    truth: str
    metric: str
    # Value, lower and upper end of the 95 % interval; NaN where unknown.
    first: tuple[float, float, float]
    second: tuple[float, float, float]
    # Second less first: the paired difference where there are pairs; otherwise as if the two were
    # independent, which two runs with one seed are not (the interval is then too wide, as a
    # rule).
    difference: tuple[float, float, float]
    pairs: int  # seeds that both have, 0 for runs


@dataclass(frozen=True)
class FolderComparison:
    """What differs between two folders."""

    keys: tuple[ChangedKey, ...]  # of the configs
    values: tuple[ChangedValue, ...]  # of the evaluations, largest difference first
    n_values: int  # how many measures both have
    files: tuple[str, ...]  # tables and figures of two runs that are not the same bytes
    # Points, or measures, that the other does not have.
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]


def compare_folders(first: str | Path, second: str | Path) -> FolderComparison:
    """Compare two runs, or two sweeps.

    Raises
    ------
    ResultError
        When a folder is neither.
    """
    a, b = Path(first), Path(second)
    keys = _changed_keys(_config(a), _config(b))
    values_a, values_b = _values(a), _values(b)
    both = [name for name in values_a if name in values_b]
    changed = [found for name in both if (found := _changed(name, values_a[name], values_b[name]))]
    files: tuple[str, ...] = ()
    if not is_sweep(a) and not is_sweep(b):
        differ = compare_results(open_result(a), open_result(b))
        files = tuple(f"{d.name}: {d.what}" for d in differ)
    return FolderComparison(
        keys,
        tuple(sorted(changed, key=lambda v: -abs(v.difference[0]))),
        len(both),
        files,
        tuple(" ".join(filter(None, name)) for name in values_a if name not in values_b),
        tuple(" ".join(filter(None, name)) for name in values_b if name not in values_a),
    )


def _config(folder: Path) -> Config:
    return load_config(folder / "sweep.toml") if is_sweep(folder) else open_result(folder).config


def _changed_keys(first: Config, second: Config) -> tuple[ChangedKey, ...]:
    a, b = (dict(_flat(config.model_dump(exclude_none=True))) for config in (first, second))
    return tuple(
        ChangedKey(key, a.get(key), b.get(key))
        for key in [*a, *(key for key in b if key not in a)]
        if a.get(key) != b.get(key)
    )


def _flat(table: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in table.items():
        inner = isinstance(value, dict) and value
        found += _flat(value, f"{above}{key}.") if inner else [(above + key, value)]
    return found


# Value and ends of each seed.
_Seeds = dict[int, tuple[float, float, float]]


def _values(folder: Path) -> dict[Name, _Seeds]:
    """Return every measure of a folder, by name and seed."""
    if not is_sweep(folder):
        config = open_result(folder).config
        rows = open_result(folder).table("evaluation")
        return _by_name(rows, [], config.experiment.seed)
    swept = [str(key) for key in (_config(folder).sweep or _no_sweep()).over]
    found = SweepFolder(folder).sweep_table("evaluation", columns=["seed", *swept])
    return {} if found is None else _by_name(found, swept, None)


def _no_sweep() -> Any:
    raise AssertionError("the file of a sweep holds one: it was checked when it was read")


def _by_name(table: pa.Table, swept: Sequence[str], seed: int | None) -> dict[Name, _Seeds]:
    found: dict[Name, _Seeds] = {}
    for row in table.to_pylist():
        point = ", ".join(f"{key} = {_said(row[key])}" for key in swept)
        name = (point, row["detector"], row["truth"], row["metric"])
        ends = (_number(row["value"]), _number(row["ci_low"]), _number(row["ci_high"]))
        found.setdefault(name, {})[row["seed"] if seed is None else seed] = ends
    return found


def _said(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _changed(name: Name, first: _Seeds, second: _Seeds) -> ChangedValue | None:
    if _same(first, second):
        return None
    shared = sorted(first.keys() & second.keys())
    a, b = _mean(list(first.values())), _mean(list(second.values()))
    pairs = [(second[s][0] - first[s][0], math.nan, math.nan) for s in shared]
    difference = _mean(pairs) if len(pairs) > 1 else _unpaired(a, b)
    point, detector, truth, metric = name
    n_pairs = len(pairs) if len(pairs) > 1 else 0
    return ChangedValue(point, detector, truth, metric, a, b, difference, n_pairs)


def _unpaired(
    first: tuple[float, float, float], second: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Return second less first, its interval from theirs as if they were independent.

    Zou & Donner (2008), "Construction of confidence limits about effect measures: a
    general approach", equation (3): each side adds the squares of the nearer ends.
    """
    (a, a_low, a_high), (b, b_low, b_high) = first, second
    below = math.hypot(b - b_low, a_high - a)
    above = math.hypot(b_high - b, a - a_low)
    return b - a, b - a - below, b - a + above


def _same(first: _Seeds, second: _Seeds) -> bool:
    return first.keys() == second.keys() and all(
        x == y or (math.isnan(x) and math.isnan(y))
        for seed in first
        for x, y in zip(first[seed], second[seed], strict=True)
    )


def _mean(values: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    """Return the mean over seeds with Student's 95 % interval; one seed keeps its own."""
    if len(values) == 1:
        return values[0]
    from scipy.stats import t  # noqa: PLC0415  (only where there are replicates)

    x = np.array([value for value, _, _ in values])
    middle = float(x.mean())
    half = float(t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x)))
    return middle, middle - half, middle + half
