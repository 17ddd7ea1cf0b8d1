"""The figure of the note's evidence: what each published number says of gateways, and could say.

Reads ``numbers.csv`` and ``bayes_factors.csv`` of ``calibrate_note.py`` and draws ``evidence.svg``
beside them; nothing is simulated.

Run: python experiments/note_figure.py DIR
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gateway.figures.style import BLUE, FAINT, INK, MUTED, PAGE, render, styled
from gateway.figures.style import figure as new_figure

__all__ = ["draw_evidence"]

# Kass, Raftery (1995), J. Am. Stat. Assoc. 90, 773: below, "not worth more than a bare mention".
BARE = 0.5
ORANGE = "#D55E00"
SHOWN = (("all", "no gateways", "gateways", ORANGE, "o"),
         ("all", "no look-alikes", "look-alikes", BLUE, "s"))  # fmt: skip


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Read a CSV."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@styled
def draw_evidence(numbers: list[dict[str, Any]], factors: list[dict[str, Any]]) -> Figure:
    """Draw log10 Bayes factors: of each number and, beside it, of each claim and of everything.

    Parameters
    ----------
    numbers, factors
        Rows of the two tables, as text.
    """
    fitted = [row for row in numbers if row["kind"] == "fitted"]
    drawn = new_figure(PAGE, 0.17 * len(fitted) + 0.9)
    left, right = drawn.subplots(1, 2, width_ratios=(1.25, 1))
    _draw_numbers(left, fitted)
    _draw_claims(right, factors)
    return drawn


def _prepare(axes: Axes, labels: list[str]) -> None:
    axes.axvspan(-BARE, BARE, color=FAINT, alpha=0.25, lw=0)
    axes.axvline(0.0, color=MUTED, lw=0.6)
    axes.set_yticks(np.arange(len(labels)), labels, fontsize=6)
    axes.invert_yaxis()
    axes.set_xlabel("log10 Bayes factor: there against not")
    axes.grid(visible=False, axis="y")


def _draw_numbers(axes: Axes, fitted: list[dict[str, Any]]) -> None:
    at = np.arange(len(fitted))
    factor, error, could = (
        np.array([float(row[key] or "nan") for row in fitted])
        for key in ("log10_bayes_factor", "mc_error", "could_tell")
    )
    axes.errorbar(factor, at, xerr=2 * error, fmt="o", ms=3, lw=0.8, color=ORANGE,
                  label="gateways: published value, ±2 Monte Carlo errors")  # fmt: skip
    axes.plot(could, at, "D", ms=3, mfc="none", color=INK, lw=0,
              label="expected if gateways are there")  # fmt: skip
    _prepare(axes, [f"{row['id']}  {row['number'].replace('_', ' ')}" for row in fitted])
    axes.legend(fontsize=6, loc="upper center", bbox_to_anchor=(0.3, -0.07), frameon=False)
    axes.set_title("a number, given all others", loc="left", fontsize=7)


def _draw_claims(axes: Axes, factors: list[dict[str, Any]]) -> None:
    pair = ("all", "no gateways")
    asked = [(row["kind"], row["of"]) for row in factors
             if (row["one"], row["other"]) == pair and " " not in row["of"]]  # fmt: skip
    labels = [f"{of}  {kind}" if of else "all numbers together" for kind, of in asked]
    at = np.arange(len(asked))
    for place, (one, other, label, color, marker) in enumerate(SHOWN):
        found = {(row["kind"], row["of"]): row for row in factors
                 if row["one"] == one and row["other"] == other}  # fmt: skip
        values, errors = (
            np.array([float(found[key][column] or "nan") for key in asked])
            for column in ("log10_bayes_factor", "mc_error")
        )
        axes.errorbar(values, at + 0.2 * (place - 0.5), xerr=2 * errors, fmt=marker, ms=3, lw=0.8,
                      color=color, label=label)  # fmt: skip
    _prepare(axes, labels)
    axes.legend(fontsize=6, loc="upper center", bbox_to_anchor=(0.3, -0.07), ncols=2, frameon=False)
    axes.set_title("a claim, and everything", loc="left", fontsize=7)


def main() -> None:
    """Draw the figure beside the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    found = draw_evidence(rows_of(folder / "numbers.csv"), rows_of(folder / "bayes_factors.csv"))
    (folder / "evidence.svg").write_bytes(render(found, kinds=["svg"])["svg"])


if __name__ == "__main__":
    main()
