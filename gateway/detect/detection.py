"""What every detector answers: one row per group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import rankdata

from gateway.arrays import Float64, Int64
from gateway.detect.measure import Measure
from gateway.log.columns import frame_library

__all__ = ["UNRANKED", "Detection", "rank_groups"]

UNRANKED = 0


@dataclass(frozen=True, eq=False, repr=False)
class Detection:
    """Findings of one detector about every group of a log; each array has shape (n_groups,).

    Parameters
    ----------
    measure
        Which detector it is, and what its numbers mean.
    groups
        Names of the groups.
    candidate
        bool: False for target groups, which are never candidates.
    score
        What the groups are ranked by; larger is more of a gateway.
    estimate, ci_low, ci_high
        The detector's estimate within its 95 % interval, on the scale of ``measure.estimate``.
    p_value, q_value
        One-sided p-value and its Benjamini-Hochberg counterpart; NaN where not tested.
    n_joiners, n_events
        Joiners, and those of them with what the detector counts: ``measure.joiners`` and
        ``measure.events``.
    flagged
        bool: called a gateway; nobody where the p-values do not hold their level.
    rank
        1 is the top; equal scores share a rank; ``UNRANKED`` for too few joiners.
    extra
        Columns of this detector alone.
    notes
        What is to be said about the whole, a sentence each.
    """

    measure: Measure
    groups: pa.StringArray
    candidate: npt.NDArray[np.bool_]
    score: Float64
    estimate: Float64
    ci_low: Float64
    ci_high: Float64
    p_value: Float64
    q_value: Float64
    n_joiners: Int64
    n_events: Int64
    flagged: npt.NDArray[np.bool_]
    rank: Int64
    extra: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def detector(self) -> str:
        """Name of the detector."""
        return self.measure.detector

    def to_arrow(self) -> pa.Table:
        """Return the candidates as a table, best first; NaN becomes null.

        ``level_held`` says whether the p-value of a row holds its level.
        """
        columns: dict[str, Any] = {
            "detector": pa.array([self.detector] * len(self.groups), pa.string()),
            "group": self.groups,
        }
        for name in (
            "score", "estimate", "ci_low", "ci_high", "p_value", "q_value",
            "n_joiners", "n_events", "flagged",
        ):  # fmt: skip
            columns[name] = pa.array(getattr(self, name), from_pandas=True)
        untested = np.isnan(self.p_value)
        held = np.full(len(untested), self.measure.holds_level)
        columns["level_held"] = pa.array(held, pa.bool_(), mask=untested)
        columns["rank"] = pa.array(self.rank.astype(np.int32), mask=self.rank == UNRANKED)
        for name, values in self.extra.items():
            kind = pa.string() if values.dtype == object else None
            columns[name] = pa.array(values, kind, from_pandas=True)
        table = pa.table(columns).filter(pa.array(self.candidate))
        return table.take(
            pc.sort_indices(
                table,
                sort_keys=[
                    ("rank", "ascending"),
                    ("n_joiners", "descending"),
                    ("group", "ascending"),
                ],
            )
        )

    def __repr__(self) -> str:
        ranked = np.count_nonzero(self.rank != UNRANKED)
        flagged = np.count_nonzero(self.flagged)
        return f"<Detection by {self.detector}: {ranked:,} groups ranked, {flagged:,} flagged>"

    def to_pandas(self) -> Any:
        """Return ``to_arrow()`` as a pandas frame.

        Raises
        ------
        ModuleNotFoundError
            When pandas is not installed.
        """
        frame_library("pandas")
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:
        """Return ``to_arrow()`` as a polars frame.

        Raises
        ------
        ModuleNotFoundError
            When polars is not installed.
        """
        return frame_library("polars").from_arrow(self.to_arrow())


def rank_groups(score: Float64, ranked: npt.NDArray[np.bool_]) -> Int64:
    """Rank the groups of a mask by falling score; equal scores share the best rank.

    Examples
    --------
    >>> rank_groups(np.array([0.2, 0.9, 0.2, 0.5]), np.array([True, True, True, False]))
    array([2, 1, 2, 0])
    """
    rank = np.full(len(score), UNRANKED, dtype=np.int64)
    rank[ranked] = rankdata(-score[ranked], method="min")
    return rank
