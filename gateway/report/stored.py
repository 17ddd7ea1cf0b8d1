"""What the report reads from the stored tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["DETECTOR", "SCORER", "Estimate", "Result"]

DETECTOR = "spike"
"""The note's own."""
SCORER = "scorer:"


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; any of the three may be missing."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Result:
    """Stored tables by name, without the files' endings."""

    tables: Mapping[str, pa.Table]

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
        gateways = self.tables.get("gateways")
        names = [] if gateways is None else gateways["detector"].to_pylist()
        return DETECTOR if DETECTOR in names or not names else str(names[0])

    def scorer(self, metric: str) -> Estimate:
        """Return a metric of the scorer."""
        return self._metric(metric, of=lambda name: name.startswith(SCORER), truth="outcome")

    def has_scorer(self) -> bool:
        """Whether the result holds measures of a scorer."""
        return any(row["detector"].startswith(SCORER) for row in self.rows("evaluation"))

    def _metric(self, metric: str, *, of: Any, truth: str) -> Estimate:
        for row in self.rows("evaluation"):
            if row["metric"] == metric and row["truth"] == truth and of(row["detector"]):
                return Estimate(row["value"], row["ci_low"], row["ci_high"])
        return Estimate()

    def roles(self) -> dict[str, str]:
        """Return the planted role of each group by name."""
        return {row["group"]: row["role"] for row in self.rows("groups")}

    def has_truth(self) -> bool:
        """Whether roles are known: the log is simulated."""
        return any(role != "unknown" for role in self.roles().values())

    def ranked(self) -> pa.Table | None:
        """Return the leading detector's ranked groups, by rank, then name."""
        if "gateways" not in self.tables:
            return None
        gateways = self.tables["gateways"]
        of_it = pc.equal(gateways["detector"], self.detector)
        mine = pc.and_(of_it, pc.is_valid(gateways["rank"]))
        return gateways.filter(mine).sort_by([("rank", "ascending"), ("group", "ascending")])
