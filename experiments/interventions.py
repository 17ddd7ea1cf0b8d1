"""What acting on groups averts, over several worlds, and how much look-alikes cost of it.

Run, for example (a minute of processor time each):
    for seed in 1 2 3; do gateway run configs/interventions.toml --seed $seed --out out/$seed; done
    python experiments/interventions.py out/1 out/2 out/3

Every world counts alike. Intervals are Student's over worlds; that of the share of the
benefit that is lost, 1 - averted(arm) / averted(planted gateways), is Fieller's.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats

from gateway.store import open_tables

REFERENCE = "both: planted gateways"

Float64 = npt.NDArray[np.float64]
Interval = tuple[float, float, float]


def over_worlds(values: Float64) -> Interval:
    """Return a mean and its 95 % interval (Student); values, shape (n_worlds,), two or more.

    Examples
    --------
    >>> [round(x, 2) for x in over_worlds(np.array([1.0, 2.0, 3.0]))]
    [2.0, -0.48, 4.48]
    """
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def lost_share(averted: Float64, reference: Float64) -> Interval:
    """Return the share of the reference's benefit that an arm does not have, and its interval.

    Fieller (1954) for the ratio of two means that are paired by world. Where the benefit of
    the reference is not clearly above zero the ends are NaN: any share is possible.

    Examples
    --------
    >>> lost_share(np.array([2.0, 2.0, 2.0]), np.array([8.0, 8.0, 8.0]))
    (0.75, 0.75, 0.75)
    """
    n = len(averted)
    t = stats.t.ppf(0.975, n - 1)
    ((vbb, vab), (_, vaa)) = np.cov(averted, reference) * t**2 / n
    a, b = reference.mean(), averted.mean()
    first, middle, last = a**2 - vaa, a * b - vab, b**2 - vbb
    if first <= 0 or a <= 0:
        return float(1 - b / a), float("nan"), float("nan")
    half = np.sqrt(max(middle**2 - first * last, 0.0))
    return float(1 - b / a), float(1 - (middle + half) / first), float(1 - (middle - half) / first)


def said(values: Interval, form: str = ".0f", scale: float = 1.0) -> str:
    """Return a value and its interval as text."""
    middle, low, high = (format(scale * value, form) for value in values)
    return f"{middle} ({low} to {high})"


def report(folders: Sequence[Path]) -> list[str]:
    """Return a Markdown table with a row for each arm."""
    tables = [open_tables(folder).table("interventions").to_pylist() for folder in folders]
    by_arm: dict[str, list[tuple[float, float]]] = {row["arm"]: [] for row in tables[0]}
    for table in tables:
        for row in table:
            by_arm[row["arm"]].append((row["averted"], row["benign_lost"]))
    reference = np.array(by_arm[REFERENCE], np.float64)[:, 0]
    lines = ["| arm | averted | benign joins lost | benefit lost, % |", "|---|---|---|---|"]
    for arm, pairs in by_arm.items():
        averted, benign = np.array(pairs, np.float64).T
        lost = "–" if arm == REFERENCE else said(lost_share(averted, reference), scale=100.0)
        cells = (arm, said(over_worlds(averted)), said(over_worlds(benign)), lost)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Read results of configs/interventions.toml and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="results, at least two worlds")
    print("\n".join(report(parser.parse_args().folders)))


if __name__ == "__main__":
    main()
