"""Build the manuscript from stored results alone: every number in it is a macro from a table.

``docs/paper/paper.typ`` holds the words. This script reads ``results/reference`` and
``claims.toml``, writes what they hold as macros and tables into one JSON file, and has Typst
set the PDF. Nothing is computed but formats, counts of rows and which rows are largest. What is not
there is said to be missing, in the page, by name.

Run: make paper   (or: python experiments/paper.py [--out build/paper] [--png])
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

__all__ = ["forms", "gather"]

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "docs" / "paper" / "paper.typ"
REFERENCE = ROOT / "results" / "reference"
# Kass, Raftery (1995): below, "not worth more than a bare mention".
BARE = 0.5
FIGURES = {
    "evidence": "note/evidence.svg",
    "benchmark": "benchmark/benchmark.png",
    "phase": "phase_diagram/phase_diagram.png",
}


def number(value: float, digits: int = 3) -> str:
    """Return a value with so many significant digits, a true minus and no exponent.

    Examples
    --------
    >>> number(-0.04251), number(1234567.0), number(0.5)
    ('−0.0425', '1,234,567', '0.500')
    """
    if not math.isfinite(value):
        return "–"
    if value == int(value) and abs(value) >= 10:
        return f"{int(value):,}".replace("-", "−")
    places = digits - 1 - math.floor(math.log10(abs(value))) if value else digits
    return f"{value:,.{min(max(places, 0), 6)}f}".replace("-", "−")


def forms(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Return a value's macros: as it is, in percent, with two digits, as a whole number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield key, "–" if value in (None, "") else str(value)
        return
    yield key, number(float(value))
    yield f"{key}.two", number(float(value), 2)
    if math.isfinite(value):
        yield f"{key}.percent", f"{100 * value:.1f} %".replace("-", "−")
        yield f"{key}.whole", f"{round(value):,}".replace("-", "−")


def parsed(text: str) -> Any:
    """Return a CSV's cell as a number where it is one."""
    try:
        return float(text)
    except ValueError:
        return text


def rows_of(name: str) -> list[dict[str, Any]]:
    """Read a stored CSV; nothing where it is missing."""
    path = REFERENCE / name
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return [{k: parsed(v) for k, v in row.items()} for row in csv.DictReader(stream)]


def flat(prefix: str, tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return the macros of a nested mapping, keys joined by dots."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(f"{prefix}.{key}", value)
        else:
            yield from forms(f"{prefix}.{key}", value)


def told(value: Any, error: Any = None) -> str:
    """Return a cell: a number, or a number and its Monte Carlo error."""
    if not isinstance(value, float):
        return "–"
    shown = f"{value:.2f}".replace("-", "−")
    return f"{shown} ± {error:.2f}" if isinstance(error, float) else shown


def span(row: Mapping[str, Any], prefix: str) -> str:
    """Return a 90 % band as a cell, marked where the published value is outside."""
    low, high = row[f"{prefix}: low"], row[f"{prefix}: high"]
    if not isinstance(low, float):
        return "–"
    mark = "" if row[f"{prefix}: inside"] == "True" else " \N{DAGGER}"
    return f"{low:.2f} to {high:.2f}{mark}".replace("-", "−")


def note_numbers() -> Iterator[tuple[str, Any]]:
    """Return macros and tables of the fit of the note's numbers."""
    summary = REFERENCE / "note" / "summary.json"
    if summary.is_file():
        yield from flat("fit", json.loads(summary.read_text(encoding="utf-8")))
    rows = [row for row in rows_of("note/numbers.csv") if row["kind"] == "fitted"]
    for row in rows:
        yield from flat(f"number.{row['id']} {row['number']}", row)
    telling = [row for row in rows
               if isinstance(row["log10_bayes_factor"], float)
               and abs(row["log10_bayes_factor"]) - 2 * (row["mc_error"] or 0) > BARE]  # fmt: skip
    could = [row for row in rows
             if isinstance(row["could_tell"], float) and row["could_tell"] > BARE]  # fmt: skip
    yield "tell.count", str(len(telling))
    yield "tell.for", _listed(row for row in telling if row["log10_bayes_factor"] > 0)
    yield "tell.against", _listed(row for row in telling if row["log10_bayes_factor"] < 0)
    yield "could.count", str(len(could))
    yield "could.list", _listed(could)
    yield "table.numbers", [
        [f"{row['id']}", row["number"].replace("_", " "), number(row["published"]),
         span(row, "all, fitted"), span(row, "no gateways, fitted"),
         span(row, "all, others"), span(row, "no gateways, others"),
         told(row["log10_bayes_factor"], row["mc_error"]), told(row["could_tell"])]
        for row in rows
    ]  # fmt: skip
    yield from _claims()


def _listed(rows: Any) -> str:
    names = [f"{row['id']} {row['number'].replace('_', ' ')}" for row in rows]
    return "; ".join(names) if names else "none"


def _claims() -> Iterator[tuple[str, Any]]:
    """Return the Bayes factors of claims and of everything."""
    rows = rows_of("note/bayes_factors.csv")
    found = {(r["one"], r["other"], r["kind"], r["of"]): r for r in rows}
    for (one, other, kind, of), row in found.items():
        if " " not in of:
            key = f"factor.{one} against {other}.{kind}.{of}".rstrip(".")
            yield key, told(row["log10_bayes_factor"], row["mc_error"])
    pairs = list(dict.fromkeys((r["one"], r["other"]) for r in rows))
    claims = list(dict.fromkeys(r["of"] for r in rows if r["kind"] == "alone"))
    wanted = [("everything", "", "all numbers")]
    wanted += [
        (kind, of, f"{of}, {kind}") for of in claims for kind in ("alone", "given the others")
    ]
    yield "table.claims", [
        [label, *(told(found[*pair, kind, of]["log10_bayes_factor"],
                       found[*pair, kind, of]["mc_error"]) for pair in pairs)]
        for kind, of, label in wanted
    ] if rows else []  # fmt: skip
    yield "table.events", [
        [r["event"], r["hypothesis"], f"{r['holds']:.0f} of {r['worlds']:.0f}",
         f"{r['low']:.2f} to {r['high']:.2f}"]
        for r in rows_of("note/events.csv")
    ]  # fmt: skip
    yield "table.held_out", _held_out()
    judged = [row for row in rows_of("note/held_out.csv") if isinstance(row["published"], float)]
    for of in ("all", "no gateways") if judged else ():
        near = sum(abs(row[f"{of}: mean"] - row["published"]) <= 2 * row["discrepancy_sd"] + 1e-9
                   for row in judged if isinstance(row[f"{of}: mean"], float))  # fmt: skip
        yield f"held_out.{of}.within", str(near)
        yield f"held_out.{of}.worlds", f"{judged[0][f'{of}: worlds']:.0f}"
    if judged:
        yield "held_out.judged", str(len(judged))
    yield "table.parameters", [
        [r["parameter"].replace("_", " "),
         *(f"{number(r[f'{of} median'], 2)} ({number(r[f'{of} low'], 2)} to "
           f"{number(r[f'{of} high'], 2)})" for of in ("prior", "all", "no gateways"))]
        for r in rows_of("note/parameters.csv")
    ]  # fmt: skip


def _held_out() -> list[list[str]]:
    """Return the full-size worlds of new seeds beside the published numbers."""

    def mean(row: Mapping[str, Any], of: str) -> str:
        value, sd = row[f"{of}: mean"], row[f"{of}: sd"]
        return f"{value:.3f} ({sd:.3f})".replace("-", "−") if isinstance(sd, float) else "–"

    def apart(row: Mapping[str, Any]) -> str:
        value, error = row["difference"], row["difference_se"]
        return f"{value:.3f} ± {error:.3f}".replace("-", "−") if isinstance(error, float) else "–"

    return [
        [row["id"], row["number"].replace("_", " "),
         number(row["published"]) if isinstance(row["published"], float) else "–",
         mean(row, "all"), mean(row, "no gateways"), apart(row)]
        for row in rows_of("note/held_out.csv")
        if row["kind"] in {"fitted", "unpublished"} and "p-value" not in row["number"]
        and row["number"] != "requests"
    ]  # fmt: skip


def detectors() -> Iterator[tuple[str, Any]]:
    """Return macros and tables of the detectors on simulated platforms."""
    path = REFERENCE / "quickstart" / "evaluation.parquet"
    for row in pq.read_table(path).to_pylist() if path.is_file() else []:
        of = f"quickstart.{row['detector']}.{row['truth']}.{row['metric']}"
        yield from forms(of, row["value"])
        ends = [row[end] for end in ("ci_low", "ci_high")]
        if None not in ends:
            yield f"{of}.interval", " to ".join(number(end) for end in ends)
    rows = rows_of("benchmark/benchmark.csv")
    yield "table.benchmark", [
        [row["detector"].replace("_", " "), number(row["value"]),
         f"{number(row['ci_low'])} to {number(row['ci_high'])}"]
        for row in sorted(rows, key=lambda row: -row["value"])
        if row["truth"] == "planted" and row["metric"] == "average_precision"
    ]  # fmt: skip
    for row in rows_of("interventions/interventions.csv"):
        yield from flat(f"intervention.{row['arm']}", row)


def settings() -> Iterator[tuple[str, Any]]:
    """Return the settings of the runs that the text names."""
    for name, path in (("note", ROOT / "configs/note.toml"),
                       ("quickstart", REFERENCE / "quickstart/config.toml")):  # fmt: skip
        if path.is_file():
            yield from flat(f"config.{name}", tomllib.loads(path.read_text(encoding="utf-8")))


def claims() -> Iterator[tuple[str, Any]]:
    """Return the pinned claims: expected value and tolerance."""
    table = tomllib.loads((ROOT / "claims.toml").read_text(encoding="utf-8"))["claims"]
    for claim in table:
        yield from forms(f"claim.{claim['id']}", claim["expected"])
        yield f"claim.{claim['id']}.tolerance", number(float(claim["tolerance"]), 2)


def gather() -> dict[str, Any]:
    """Return every macro and table by name, and the figures that are there."""
    found: dict[str, Any] = dict([*note_numbers(), *detectors(), *claims(), *settings()])
    figures = {name: f"/results/reference/{path}" for name, path in FIGURES.items()
               if (REFERENCE / path).is_file()}  # fmt: skip
    return {"macros": {k: v for k, v in found.items() if isinstance(v, str)},
            "tables": {k.removeprefix("table."): v for k, v in found.items()
                       if not isinstance(v, str)},
            "figures": figures}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the macros and set the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "paper")
    parser.add_argument("--png", action="store_true", help="pages as images too")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    macros = ROOT / "build" / "paper" / "macros.json"
    macros.parent.mkdir(parents=True, exist_ok=True)
    macros.write_text(json.dumps(gather(), indent=1, ensure_ascii=False), encoding="utf-8")
    import typst  # noqa: PLC0415  (of the group docs; what reads stored tables does not need it)

    # No date in it, and its own fonts alone: the same results give the same bytes.
    compiler = typst.Compiler(str(SOURCE), root=str(ROOT), ignore_system_fonts=True)
    compiler.compile(output=str(options.out / "paper.pdf"), format="pdf", timestamp=0)
    if options.png:
        compiler.compile(output=str(options.out / "page-{p}.png"), format="png", ppi=110)
    print(f"The manuscript is {options.out / 'paper.pdf'}")


if __name__ == "__main__":
    main()
