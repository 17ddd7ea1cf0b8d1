"""From the measured rows of `scaling.py` to tables: exponents, limits, and a projection.

The projection is arithmetic on measured costs, not a measurement. In words, for a stage with
cost T and memory M at its largest measured number of joins J1, and exponent e of its time:

    time on one machine        T(J) = T (J / J1)^max(e, 1)
    memory on one machine      M(J) = base + M J / J1, the log's own columns included
    time on W machines         T(J) / W + E (2 B W / bandwidth + latency)

with E evaluations of the loss, B bytes of a gradient or of statistics per group (each
worker sends them to the scheduler and gets as many back), over a star: the scheduler's own
line carries all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.figures.scaling import exponent_interval

__all__ = ["exponents_table", "limits_table", "markdown", "projections"]

Row = dict[str, Any]

# Assumptions of the projection, all stated in docs/scaling.md.
NETWORK_BYTES = 1.25e9
LATENCY_SECONDS = 2e-3
WORKERS = (1, 8, 64)
JOINS = (10**9, 10**10)
GROUPS = 10**6
MACHINE_GIB = 24.0


@dataclass(frozen=True)
class Shared:
    """What the workers of a stage tell each other.

    Parameters
    ----------
    floats
        Numbers of eight bytes per group that a worker sends for each evaluation.
    evaluations
        How often; 0 takes the measured number of the stage's largest point.
    back
        Whether as many come back (weights) each time.
    """

    floats: int
    evaluations: int
    back: bool


# Reading, writing and laying out rows need no word from others once users are dealt out.
SHARED = {
    "read": Shared(0, 1, back=False),
    "prefixes": Shared(0, 1, back=False),
    "train": Shared(1, 0, back=True),
    "score": Shared(1, 1, back=False),
    "spike": Shared(7, 1, back=False),
    "cases": Shared(0, 1, back=False),
    "self-controlled fit": Shared(1, 0, back=True),
}


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _measured(rows: list[Row], stage: str, series: str) -> list[Row]:
    found = [r for r in rows if (r["stage"], r["series"], r["status"]) == (stage, series, "ok")]
    return sorted(found, key=lambda row: row[series])


def _series_of(rows: list[Row], stage: str) -> str:
    return "users" if _measured(rows, stage, "users") else "joins"


def _stages(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["stage"] for row in rows))


def _slope(found: list[Row], series: str, cost: str) -> str:
    paid = [row for row in found if row[cost] > 0]
    size = np.array([row[series] for row in paid], float)
    if len(size) < 2:
        return "–"
    slope, low, high = exponent_interval(size, np.array([row[cost] for row in paid]))
    return f"{slope:.2f}" + ("" if np.isnan(low) else f" ({low:.2f} to {high:.2f})")


def exponents_table(rows: list[Row]) -> str:
    """Exponents of time and memory, with intervals, and the largest point of every series."""
    lines = []
    for stage in _stages(rows):
        for series in ("users", "joins", "groups"):
            found = _measured(rows, stage, series)
            failed = [r for r in rows if (r["stage"], r["series"]) == (stage, series)
                      and r["status"] != "ok"]  # fmt: skip
            if not found and not failed:
                continue
            lines.append([stage, series, *_largest(found, series),
                          _slope(found, series, "seconds"), _slope(found, series, "added_mib"),
                          "; ".join(f"{r[series]:,}: {r['status']}" for r in failed)])  # fmt: skip
    header = ["stage", "what varies", "largest", "rows", "seconds", "memory added, MiB",
              "exponent of time", "exponent of memory", "not measured"]  # fmt: skip
    return markdown(header, lines)


def _largest(found: list[Row], series: str) -> list[str]:
    if not found:
        return ["–"] * 4
    last = found[-1]
    return [f"{last[series]:,}", f"{last['rows']:,}", f"{last['seconds']:.3g}",
            f"{last['added_mib']:,.0f}"]  # fmt: skip


def limits_table(rows: list[Row]) -> str:
    """How far the largest point of every stage is from the machine's limits."""
    from experiments.stages import STAGES  # noqa: PLC0415  (loads the kernels)

    lines = []
    for stage in _stages(rows):
        for series in ("joins", "groups") if _series_of(rows, stage) == "joins" else ("users",):
            found = _measured(rows, stage, series)
            if not found:
                continue
            row, needs = found[-1], STAGES[stage]
            each = row["seconds"] / row["rows"] / row["evaluations"]
            least = (needs.row_bytes / (row["bandwidth_gb"] * 1e9)
                     + needs.row_visits / (row["reads_m"] * 1e6))  # fmt: skip
            stated = f"{needs.row_bytes:.0f} B + {needs.row_visits:.0f} reads"
            lines.append([
                stage, f"{row['rows']:,}", f"{row['groups']:,}", f"{each * 1e9:.2f}",
                f"{1e-6 / each:,.1f}", stated if least else "not stated",
                f"{least * 1e9:.2f}" if least else "–",
                f"{each / least:.1f}" if least else "–",
                f"{each * row['reads_m'] * 1e6:,.0f}",
                f"{row['bandwidth_gb']:.1f}; {row['reads_m']:,.0f}",
            ])  # fmt: skip
    header = ["stage", "rows", "groups", "ns a row and evaluation", "M rows/s", "least needed",
              "ns for that", "times the limit", "in random reads",
              "measured beside it: GB/s; M reads/s"]  # fmt: skip
    return markdown(header, lines)


def projections(rows: list[Row]) -> str:
    """Time and memory for 10^9 and 10^10 joins on one machine and on clusters."""
    return "\n\n".join([_costs(rows), _one_machine(rows), _clusters(rows)])


def _cost(rows: list[Row], stage: str) -> tuple[Row, float]:
    """Largest measured point, and the exponent that it is extrapolated with."""
    series = _series_of(rows, stage)
    found = _measured(rows, stage, series)
    size = np.array([row[series] for row in found], float)
    slope = exponent_interval(size, np.array([row["seconds"] for row in found]))[0]
    return found[-1], max(1.0, slope) if len(found) > 1 else 1.0


def _joins_of(row: Row) -> float:
    """Joins of a point; a simulated one has as many as rows."""
    return float(row["joins"] or row["rows"])


def _seconds(row: Row, e: float, joins: float) -> float:
    return float(row["seconds"] * (joins / _joins_of(row)) ** e)


def _gib(row: Row, joins: float) -> float:
    return float((row["base_mib"] + row["added_mib"]) / 2**10 * joins / _joins_of(row))


def _modelled(rows: list[Row]) -> list[str]:
    skipped = {"draw world", "train, one evaluation", "self-controlled, one evaluation"}
    return [s for s in _stages(rows) if s not in skipped and _measured(rows, s, _series_of(rows, s))]


def _costs(rows: list[Row]) -> str:
    lines = []
    for stage in _modelled(rows):
        row, e = _cost(rows, stage)
        joins = _joins_of(row)
        lines.append([
            stage, f"{joins:,.0f}", f"{row['seconds'] / joins * 1e9:.3g}", f"{e:.2f}",
            f"{(row['base_mib'] + row['added_mib']) * 2**20 / joins:.3g}",
            f"{row['evaluations']}",
        ])  # fmt: skip
    header = ["stage", "joins J1", "ns a join", "exponent used", "bytes a join at the peak",
              "evaluations"]  # fmt: skip
    return "**Measured cost of a join.**\n\n" + markdown(header, lines)


def _one_machine(rows: list[Row]) -> str:
    lines = []
    for stage in _modelled(rows):
        row, e = _cost(rows, stage)
        cells = [stage]
        for joins in JOINS:
            gib = _gib(row, joins)
            fits = "" if gib <= MACHINE_GIB else " (does not fit)"
            cells += [_duration(_seconds(row, e, joins)), f"{gib:,.0f} GiB{fits}"]
        lines.append(cells)
    header = ["stage", *(f"{joins:.0e} joins: {what}".replace("e+", "e")
                         for joins in JOINS for what in ("time", "memory"))]  # fmt: skip
    return "**Projection, one machine like this one.**\n\n" + markdown(header, lines)


def _clusters(rows: list[Row]) -> str:
    lines = []
    for stage in [s for s in _modelled(rows) if s in SHARED]:
        row, e = _cost(rows, stage)
        for joins in JOINS:
            cells = [stage, f"{joins:.0e}".replace("e+", "e")]
            for workers in WORKERS[1:]:
                sent, talk = _communication(stage, row, workers)
                work = _seconds(row, e, joins / workers)
                gib = _gib(row, joins / workers)
                fits = "" if gib <= MACHINE_GIB else ", does not fit"
                cells += [f"{_duration(work)} + {_duration(talk)}", f"{gib:,.1f} GiB{fits}",
                          f"{sent / 2**30:.2g} GiB"]  # fmt: skip
            lines.append(cells)
    header = ["stage", "joins", *(f"{w} workers: {what}" for w in WORKERS[1:]
              for what in ("work + talk", "memory of each", "sent in all"))]  # fmt: skip
    return "**Projection, a cluster of such machines.**\n\n" + markdown(header, lines)


def _communication(stage: str, row: Row, workers: int) -> tuple[float, float]:
    """Bytes over the scheduler's line in all, and the seconds that they take."""
    shared = SHARED[stage]
    times = shared.evaluations or row["evaluations"]
    each = 8.0 * shared.floats * GROUPS * workers * (2 if shared.back else 1)
    sent = each * times
    return sent, sent / NETWORK_BYTES + times * LATENCY_SECONDS


def _duration(seconds: float) -> str:
    if seconds < 0.05:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
