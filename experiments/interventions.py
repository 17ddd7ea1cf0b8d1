"""What acting on groups averts, over several worlds, and how much look-alikes cost of it.

Run, for example (a minute of processor time each):
    for seed in 1 2 3; do gateway run configs/interventions.toml --seed $seed --out out/$seed; done
    python experiments/interventions.py out/1 out/2 out/3 --out results/reference/interventions

Every world counts alike. Intervals are Student's over worlds; those of two ratios, the share
of the benefit that is lost, 1 - averted(arm) / averted(planted gateways), and the benign
joins lost for each target join averted, are Fieller's. The worlds' own intervals, from the
users' paired differences, are not used.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import stats

from gateway.figures.causal_effects import draw_dose_response, plotted_dose_response
from gateway.figures.style import csv_bytes, render
from gateway.results import open_tables

REFERENCE = "both: planted gateways"
MECHANISMS = ("recommendation", "friends", "invitation", "intent")

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


def ratio_of_means(above: Float64, below: Float64) -> Interval:
    """Return mean(above) / mean(below), paired by world, with Fieller's (1954) interval.

    Where the mean below is not clearly above zero the ends are NaN: any ratio is possible.

    Examples
    --------
    >>> ratio_of_means(np.array([2.0, 2.0, 2.0]), np.array([8.0, 8.0, 8.0]))
    (0.25, 0.25, 0.25)
    """
    n = len(above)
    t = stats.t.ppf(0.975, n - 1)
    ((vbb, vab), (_, vaa)) = np.cov(above, below) * t**2 / n
    a, b = below.mean(), above.mean()
    first, middle, last = a**2 - vaa, a * b - vab, b**2 - vbb
    if first <= 0 or a <= 0:
        return float(b / a) if a > 0 else float("nan"), float("nan"), float("nan")
    half = np.sqrt(max(middle**2 - first * last, 0.0))
    return float(b / a), float((middle - half) / first), float((middle + half) / first)


def lost_share(averted: Float64, reference: Float64) -> Interval:
    """Return the share of the reference's benefit that an arm does not have, and its interval.

    Examples
    --------
    >>> lost_share(np.array([2.0, 2.0, 2.0]), np.array([8.0, 8.0, 8.0]))
    (0.75, 0.75, 0.75)
    """
    kept, low, high = ratio_of_means(averted, reference)
    return 1 - kept, 1 - high, 1 - low


def by_arm(folders: Sequence[Path], column: str) -> dict[str, Float64]:
    """Return a column of the interventions of every world, shape (n_worlds,) for each arm."""
    found: dict[str, list[float]] = defaultdict(list)
    for folder in folders:
        for row in open_tables(folder).table("interventions").to_pylist():
            found[row["arm"]].append(row[column])
    return {arm: np.array(values, np.float64) for arm, values in found.items()}


def summarise(folders: Sequence[Path]) -> pa.Table:
    """Return a row for each arm: means over worlds, ratios, and their intervals."""
    averted, lost = by_arm(folders, "averted"), by_arm(folders, "benign_lost")
    factual, harmful = by_arm(folders, "target_joins"), by_arm(folders, "harmful_averted")
    size = by_arm(folders, "n_groups")
    rows = []
    for arm, values in averted.items():
        shares = lost_share(values, averted[REFERENCE]) if arm != REFERENCE else (None,) * 3
        found = {
            "averted": over_worlds(values),
            "share_averted": ratio_of_means(values, factual[arm]),
            "benign_lost": over_worlds(lost[arm]),
            "cost": ratio_of_means(lost[arm], values),
            "harmful_averted": over_worlds(harmful[arm]),
            "benefit_lost": shares,
        }
        named = {
            f"{name}{end}": value
            for name, three in found.items()
            for end, value in zip(("", "_low", "_high"), three, strict=True)
        }
        groups = round(float(size[arm].mean()))
        rows.append({"arm": arm, "worlds": len(values), "n_groups": groups, **named})
    return pa.Table.from_pylist(rows)


def displacement(folders: Sequence[Path]) -> pa.Table:
    """Return the change of target joins by arm and mechanism, mean over worlds and interval.

    A rise at a mechanism that was not acted on is displacement.
    """
    found: dict[tuple[str, str], Float64] = defaultdict(lambda: np.zeros(len(folders)))
    for i, folder in enumerate(folders):
        for row in open_tables(folder).table("intervention_sources").to_pylist():
            if row["kind"] == "target":
                found[row["arm"], row["mechanism"]][i] += row["otherwise"] - row["factual"]
    names = ("arm", "mechanism", "change", "change_low", "change_high")
    rows = [(*key, *over_worlds(values)) for key, values in found.items()]
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows])


def said(row: dict[str, float | None], name: str, form: str = ".0f", scale: float = 1.0) -> str:
    """Return a value and its interval as text, a dash where it has no limits."""
    middle, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if middle is None or low is None or high is None or np.isnan(low):
        return "–"
    middle, low, high = (format(scale * value, form) for value in (middle, low, high))
    return f"{middle} ({low} to {high})"


def report(table: pa.Table, moved: pa.Table) -> list[str]:
    """Return two Markdown tables: what each arm averts and costs, and where joins went."""
    lines = ["| arm | groups | target joins averted | of all, % | benign joins lost | "
             "lost for each averted | benefit lost, % |", "|---" * 7 + "|"]  # fmt: skip
    for row in table.to_pylist():
        cells = (
            row["arm"], str(row["n_groups"]), said(row, "averted"),
            said(row, "share_averted", ".1f", 100.0), said(row, "benign_lost"),
            said(row, "cost", ".1f"), said(row, "benefit_lost", ".0f", 100.0),
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    change = {(r["arm"], r["mechanism"]): said(r, "change") for r in moved.to_pylist()}
    lines += ["", f"| change of target joins by | {' | '.join(MECHANISMS)} |", "|---" * 5 + "|"]
    for arm in table["arm"].to_pylist():
        lines.append(f"| {arm} | {' | '.join(change[arm, m] for m in MECHANISMS)} |")
    return lines


def main() -> None:
    """Read results of configs/interventions.toml, print tables, and store them if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="results, at least two worlds")
    parser.add_argument("--out", type=Path, help="folder for tables and figure")
    options = parser.parse_args()
    table, moved = summarise(options.folders), displacement(options.folders)
    print("\n".join(report(table, moved)))
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "interventions.csv").write_bytes(csv_bytes(table))
        (options.out / "displacement.csv").write_bytes(csv_bytes(moved))
        doses = plotted_dose_response({"interventions": table})
        if doses is not None:
            (options.out / "dose_response.csv").write_bytes(csv_bytes(doses))
            (options.out / "dose_response.png").write_bytes(
                render(draw_dose_response(doses))["png"]
            )


if __name__ == "__main__":
    main()
