"""From the measured rows of `scaling.py` to tables: exponents, limits, and a projection.

The projection is arithmetic on a fitted model, not a measurement. For each stage, by least
squares of relative errors over all its points, no coefficient below zero:

    T = c0 + c1 J + c2 J / r(G) + c3 G     seconds, for each evaluation
    M = m0 + m1 J + m2 G                   bytes beyond those of Python and its libraries

J joins, G groups, r(G) the random reads a second from a table of G cells, measured beside
each point: c1 is what a join costs whatever the groups, c2 how many reads it waits for. A
stage that was measured over users alone has c0, c1, m0 and m1. A cluster of W workers that
each hold J / W joins takes, with E evaluations and a network of bandwidth N and latency l,

    E T(J / W) + E (B / N + l),

B the bytes of an evaluation over the scheduler's one line: each worker gets the point, and the
gradients of the chunks of rows come back, as many as they are however many workers hold them;
more workers than there are chunks to hold do not share a fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from experiments.cost_figures import LEAST, exponent_interval

__all__ = ["Cost", "cluster_table", "cost_of", "exponents_table", "limits_table", "markdown",
           "projections"]  # fmt: skip

Row = dict[str, Any]
Floats = npt.NDArray[np.float64]

# Assumptions of the projection, all stated in docs/results/scaling.md.
NETWORK_BYTES = 1.25e9
LATENCY_SECONDS = 2e-3
WORKERS = (8, 64)
JOINS = (10**9, 10**10)
GROUPS = 10**6
MACHINE_GIB = 24.0


@dataclass(frozen=True)
class Shared:
    """What the workers of a stage tell each other.

    Parameters
    ----------
    floats
        Numbers of eight bytes per group that come back for each evaluation: from each worker,
        or, where there are chunks, from each chunk.
    evaluations
        How often; 0 takes the measured number of the stage's largest point.
    chunks
        Of rows, each with a gradient of its own; each worker gets a number per group as well.
    most
        Workers that can share the work.
    """

    floats: int
    evaluations: int
    chunks: int = 0
    most: int = 10**9


# Numbers that go to and fro in an evaluation beside one for each group: the cells of covariates.
_BACKGROUND = {"train": 2_108}
_BESIDE = {"bandwidth_gb": 1, "pages_gb": 1, "reads_m": 0, "user_reads_m": 0}
# Stages whose memory is what they are allowed to take, whatever the log.
BOUNDED = {"convert", "on disk: spike"}
# Reading, writing and laying out rows need no word from others once users are dealt out.
SHARED = {
    "read": Shared(0, 1),
    "prefixes": Shared(0, 1),
    "train": Shared(1, 0, chunks=16, most=16),
    "score": Shared(1, 1),
    "spike": Shared(7, 1),
    "cases": Shared(0, 1),
    "self-controlled fit": Shared(1, 0, chunks=16, most=4),
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
    paid = [row for row in found if row[cost] >= LEAST[cost]]
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
            row, needs = found[-1], STAGES[stage].needs
            each = row["seconds"] / row["rows"] / row["evaluations"]
            least = needs.seconds(row) / row["rows"] if needs else 0.0
            beside = (f"{row[name]:,.{digits}f}" for name, digits in _BESIDE.items())
            lines.append([
                stage, f"{row['rows']:,}", f"{row['groups']:,}", f"{row['evaluations']}",
                f"{each * 1e9:.2f}", f"{row['cpu_seconds'] / row['seconds']:.2f}",
                str(needs) if needs else "not stated",
                f"{least * 1e9:.2f}" if needs else "–",
                f"{each / least:.1f}" if needs else "–", "; ".join(beside),
            ])  # fmt: skip
    header = ["stage", "rows", "groups", "evaluations", "ns a row and evaluation", "cores at work",
              "least needed for a row", "ns for that", "times the limit",
              "measured beside it: GB/s; new pages GB/s; M reads/s by group; by user"]  # fmt: skip
    return markdown(header, lines)


def cluster_table(rows: list[Row]) -> str:
    """Fits on workers as ``cluster.py`` measured them, beside what the model says of their bytes.

    ``rows``: as text, as they stand in its file.
    """
    lines, alone = [], {}
    for row in rows:
        seconds = float(row["setup_seconds"]) + float(row["fit_seconds"])
        workers, each = int(row["workers"]), float(row["bytes_per_evaluation"])
        if workers == 0:
            alone[row["fit"]] = seconds
        groups = int(row["groups"])
        numbers = groups + _BACKGROUND.get(row["fit"], 0)
        said = 8.0 * numbers * (workers + 16) if workers else 0.0
        lines.append([
            row["fit"], f"{int(row['joins']):,}", f"{groups:,}",
            f"{workers} workers" if workers else f"this process, {row['threads']} threads",
            row["rate"] if workers else "–", row["evaluations"], f"{seconds:.2f}",
            f"{alone[row['fit']] / seconds:.2f}", f"{each / 1e3:,.0f}" if workers else "–",
            f"{said / 1e3:,.0f}" if workers else "–",
        ])  # fmt: skip
    header = ["fit", "joins", "groups", "who", "line", "evaluations", "seconds",
              "times as fast as one process on all cores", "kB an evaluation",
              "by the formula"]  # fmt: skip
    return markdown(header, lines)


def projections(rows: list[Row]) -> str:
    """Time and memory for 10^9 and 10^10 joins on one machine and on clusters."""
    return "\n\n".join([_costs(rows), _one_machine(rows), _clusters(rows)])


@dataclass(frozen=True)
class Cost:
    """The fitted model of a stage.

    Parameters
    ----------
    time, memory
        Coefficients (c0, c1, c2, c3) and (m0, m1, m2) of the formulas above.
    worst
        Largest relative error of T over the points.
    evaluations
        At the largest point.
    points
        How many.
    """

    time: Floats
    memory: Floats
    worst: float
    evaluations: int
    points: int

    def seconds(self, joins: float, groups: float, reads: float) -> float:
        """Return the time of one evaluation."""
        return float(self.time @ [1.0, joins, joins / reads, groups])

    def gib(self, joins: float, groups: float) -> float:
        """Return the memory at the peak."""
        return float(self.memory @ [1.0, joins, groups]) / 2**30


def cost_of(rows: list[Row], stage: str) -> Cost:
    """Fit the model of a stage."""
    found = [row for row in rows if row["stage"] == stage and row["status"] == "ok"]
    joins = np.array([_joins_of(row) for row in found])
    groups, reads, seconds, evaluations = (
        np.array([row[name] for row in found], float)
        for name in ("groups", "reads_m", "seconds", "evaluations")
    )
    over_groups = len({row["groups"] for row in found if row["series"] != "users"}) > 1
    ones, none = np.ones(len(found)), np.zeros(len(found))
    shape = [ones, joins, joins / (reads * 1e6), groups] if over_groups else [ones, joins]
    each = seconds / evaluations
    time = _fitted(np.column_stack(shape), each)
    peak = np.array([row["base_mib"] + row["added_mib"] - row["start_mib"] for row in found])
    columns = [ones, joins, groups if over_groups else none]
    memory = _fitted(np.column_stack(columns), np.maximum(peak, 1.0) * 2**20)
    worst = float(np.abs(np.column_stack(shape) @ time / each - 1).max())
    most = int(evaluations[np.argmax(joins)])
    return Cost(np.pad(time, (0, 4 - len(time))), memory, worst, most, len(found))


def _fitted(x: Floats, y: Floats) -> Floats:
    """Least squares of relative errors, columns brought to one scale first."""
    weighed = x / y[:, None]
    size = np.maximum(np.abs(weighed).max(axis=0), 1e-300)
    return np.asarray(nnls(weighed / size, np.ones(len(y)))[0] / size)


def _joins_of(row: Row) -> float:
    """Joins of a point; a simulated one has as many as rows."""
    return float(row["joins"] or row["rows"])


def _reads(rows: list[Row]) -> float:
    """Random reads a second at ``GROUPS``, or at the nearest number that was measured."""
    known = [row for row in rows if row["status"] == "ok"]
    near = min(abs(np.log(row["groups"] / GROUPS)) for row in known)
    return 1e6 * float(np.median([row["reads_m"] for row in known
                                  if abs(np.log(row["groups"] / GROUPS)) == near]))  # fmt: skip


def _modelled(rows: list[Row]) -> list[str]:
    known = [s for s in _stages(rows) if s != "draw world" and "one evaluation" not in s]
    return [s for s in known if len(_measured(rows, s, _series_of(rows, s))) > 1]


def _costs(rows: list[Row]) -> str:
    lines = []
    for stage in _modelled(rows):
        cost = cost_of(rows, stage)
        c0, c1, c2, c3 = cost.time
        lines.append([
            stage, str(cost.points), f"{c0 * 1e3:.2g}", f"{c1 * 1e9:.3g}", f"{c2:.2g}",
            f"{c3 * 1e9:.3g}", f"{cost.worst:.0%}", str(cost.evaluations),
            f"{cost.memory[1]:.3g}", f"{cost.memory[2]:.3g}",
        ])  # fmt: skip
    header = ["stage", "points", "c0, ms", "c1, ns a join", "c2, reads a join", "c3, ns a group",
              "worst error of T", "evaluations", "m1, bytes a join",
              "m2, bytes a group"]  # fmt: skip
    return "**Fitted costs.**\n\n" + markdown(header, lines)


def _one_machine(rows: list[Row]) -> str:
    lines, reads = [], _reads(rows)
    for stage in _modelled(rows):
        cost = cost_of(rows, stage)
        cells = [stage]
        for joins in JOINS:
            seconds = cost.evaluations * cost.seconds(joins, GROUPS, reads)
            room = "as allowed" if stage in BOUNDED else _room(cost.gib(joins, GROUPS))
            cells += [_duration(seconds), room]
        lines.append(cells)
    header = ["stage", *(f"{_power(joins)} joins: {what}"
                         for joins in JOINS for what in ("time", "memory"))]  # fmt: skip
    return "**Projection, one machine like this one.**\n\n" + markdown(header, lines)


def _clusters(rows: list[Row]) -> str:
    lines, reads = [], _reads(rows)
    for stage in [s for s in _modelled(rows) if s in SHARED]:
        cost = cost_of(rows, stage)
        for joins in JOINS:
            cells = [stage, _power(joins)]
            for workers in WORKERS:
                sent, talk = _communication(SHARED[stage], cost, workers)
                share = joins / min(workers, SHARED[stage].most)
                work = cost.evaluations * cost.seconds(share, GROUPS, reads)
                cells += [f"{_duration(work)} + {_duration(talk)}",
                          _room(cost.gib(share, GROUPS)),
                          f"{sent / 2**30:.2g} GiB"]  # fmt: skip
            lines.append(cells)
    header = ["stage", "joins", *(f"{w} workers: {what}" for w in WORKERS
              for what in ("work + talk", "memory of each", "sent in all"))]  # fmt: skip
    return "**Projection, a cluster of such machines.**\n\n" + markdown(header, lines)


def _communication(shared: Shared, cost: Cost, workers: int) -> tuple[float, float]:
    """Bytes over the scheduler's line in all, and the seconds that they take."""
    times, workers = shared.evaluations or cost.evaluations, min(workers, shared.most)
    answers = shared.chunks + workers if shared.chunks else shared.floats * workers
    sent = times * 8.0 * answers * GROUPS
    return sent, sent / NETWORK_BYTES + times * LATENCY_SECONDS


def _power(number: int) -> str:
    return f"10^{round(np.log10(number))}"


def _room(gib: float) -> str:
    return f"{gib:,.3g} GiB" + ("" if gib <= MACHINE_GIB else ", too much")


def _duration(seconds: float) -> str:
    if seconds < 0.05:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
