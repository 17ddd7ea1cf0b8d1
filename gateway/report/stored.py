"""What the report reads from the stored tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gateway.evaluate.replicates import compare_detectors, is_sweep

__all__ = ["ANALYSES", "DETECTOR", "SCORER", "Estimate", "Result"]

DETECTOR = "spike"
"""The note's own."""
SCORER = "scorer:"
ANALYSES = "analyses/"
"""Where the tables of the note's results lie below a result."""


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; any of the three may be missing."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Result:
    """Stored tables by name, without the files' endings; ``top`` groups of each are listed."""

    tables: Mapping[str, pa.Table]
    top: int = 100

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return a table as one dict per row; none where the result lacks the table."""
        return self.tables[table].to_pylist() if table in self.tables else []

    def summary(self, key: str) -> str | None:
        """Return a value of the summary table."""
        return {row["key"]: row["value"] for row in self.rows("summary")}.get(key)

    def number(self, key: str) -> float | None:
        """Return a value of the summary table that is a number, None where it is not."""
        value = self.summary(key)
        try:
            return None if value is None else float(value)
        except ValueError:
            return None

    def planted(self, metric: str) -> Estimate:
        """Return a metric of the leading detector against the planted truth."""
        return self._metric(metric, of=lambda name: name == self.detector, truth="planted")

    @property
    def detector(self) -> str:
        """The detector that the report is about: the note's where it ran, else the first."""
        return next(iter(self.detectors()), DETECTOR)

    def scorer(self, metric: str) -> Estimate:
        """Return a metric of the scorer."""
        return self._metric(metric, of=lambda name: name.startswith(SCORER), truth="outcome")

    def has_scorer(self) -> bool:
        """Whether the result holds measures of a scorer."""
        return any(row["detector"].startswith(SCORER) for row in self.evaluations())

    def _metric(self, metric: str, *, of: Any, truth: str) -> Estimate:
        for row in self.evaluations():
            if row["metric"] == metric and row["truth"] == truth and of(row["detector"]):
                return Estimate(row["value"], row["ci_low"], row["ci_high"])
        return Estimate()

    def roles(self) -> dict[str, str]:
        """Return the planted role of each group by name."""
        return {row["group"]: row["role"] for row in self.rows("groups")}

    def has_truth(self) -> bool:
        """Whether roles are known: the log is simulated."""
        return any(role != "unknown" for role in self.roles().values())

    def evaluations(self) -> list[dict[str, Any]]:
        """Return the evaluation of one run; those of a sweep are no result's own."""
        table = self.tables.get("evaluation")
        return [] if table is None or is_sweep(table) else self.rows("evaluation")

    def benchmark(self) -> list[dict[str, Any]]:
        """Return detectors over several worlds: a stored benchmark, or means over a sweep's."""
        if "benchmark" in self.tables or "evaluation" not in self.tables:
            return self.rows("benchmark")
        evaluation = self.tables["evaluation"]
        table = compare_detectors(evaluation) if is_sweep(evaluation) else None
        return [] if table is None else list(table.to_pylist())

    def detectors(self) -> list[str]:
        """Return the detectors that ran: the note's own first, the others as stored."""
        if "gateways" not in self.tables:
            return []
        names = dict.fromkeys(self.tables["gateways"]["detector"].to_pylist())
        return sorted(names, key=lambda name: name != DETECTOR)

    def ranked(self, detector: str) -> list[dict[str, Any]]:
        """Return a detector's first ``top`` ranked groups, by rank, then name."""
        gateways = self.tables["gateways"]
        mine = pc.and_(pc.equal(gateways["detector"], detector), pc.is_valid(gateways["rank"]))
        order = [("rank", "ascending"), ("group", "ascending")]
        rows: list[dict[str, Any]] = gateways.filter(mine).sort_by(order)[: self.top].to_pylist()
        return rows
