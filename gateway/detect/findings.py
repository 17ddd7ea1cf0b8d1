"""From a detector's numbers about every group to a ranked detection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.arrays import Float64, Int64, Mask
from gateway.detect.detection import Detection, rank_groups
from gateway.detect.measure import Measure
from gateway.detect.significance import benjamini_hochberg
from gateway.log.join_log import JoinLog
from gateway.targets import TargetSet

__all__ = ["Findings", "add_up", "count_by_group", "count_by_user", "sum_by_group"]


def count_by_group(group: npt.NDArray[np.int32], n_groups: int) -> Int64:
    """Return how often each group occurs, int64, shape (n_groups,)."""
    return np.bincount(group, minlength=n_groups).astype(np.int64)


def sum_by_group(group: npt.NDArray[np.integer[Any]], x: Float64, n_groups: int) -> Float64:
    """Return the sum of x over the rows of each group, float64, shape (n_groups,)."""
    return np.bincount(group, weights=x, minlength=n_groups).astype(np.float64)


def add_up(counts: Iterable[tuple[npt.NDArray[Any], ...]]) -> tuple[npt.NDArray[Any], ...]:
    """Return the sums of the counts of several parts of a log, added in their order."""
    return reduce(lambda so_far, more: tuple(map(np.add, so_far, more)), counts)


def count_by_user(joins: JoinLog, group: Mask) -> Int64:
    """Return how many of some groups each user joined, int64, shape (n_users,).

    ``group``: bool, shape (n_groups,). It looks for the users of the few joins there are.
    """
    row = np.flatnonzero(np.take(group, joins.group))
    user = np.searchsorted(joins.offsets, row, side="right") - 1
    return np.bincount(user, minlength=joins.n_users)


@dataclass(frozen=True, eq=False)
class Findings:
    """What a detector found about every group; each array has shape (n_groups,).

    Parameters
    ----------
    score, estimate, ci_low, ci_high, n_joiners, n_events, extra
        As in ``Detection``.
    p_value
        One-sided; None for a detector that tests nothing: it ranks, and flags nobody.
    """

    score: Float64
    estimate: Float64
    ci_low: Float64
    ci_high: Float64
    n_joiners: Int64
    n_events: Int64
    p_value: Float64 | None = None
    extra: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def rank(
        self,
        measure: Measure,
        joins: JoinLog,
        targets: TargetSet,
        *,
        min_joiners: int,
        alpha: float = 0.05,
        flaggable: npt.NDArray[np.bool_] | None = None,
        alias: Int64 | None = None,
    ) -> Detection:
        """Rank the candidates with enough joiners and a finite score; flag those with q < alpha.

        Nobody is flagged where the p-values do not hold their level, nor outside of
        ``flaggable``, shape (n_groups,), where it is given. Groups of one ``alias``, shape
        (n_groups,), are tested and called together.
        """
        candidate = ~targets.mask
        ranked = candidate & (self.n_joiners >= min_joiners) & np.isfinite(self.score)
        given = np.full(len(ranked), np.nan) if self.p_value is None else self.p_value
        p = np.where(ranked, given, np.nan)
        q = benjamini_hochberg(p, alias)
        flagged = measure.holds_level & (np.nan_to_num(q, nan=1.0) < alpha)
        if flaggable is not None:
            flagged &= flaggable if alias is None else _of_any(flaggable, alias)
        return Detection(
            measure=measure,
            groups=joins.groups,
            candidate=candidate,
            score=self.score,
            estimate=self.estimate,
            ci_low=self.ci_low,
            ci_high=self.ci_high,
            p_value=p,
            q_value=q,
            n_joiners=self.n_joiners,
            n_events=self.n_events,
            flagged=flagged,
            rank=rank_groups(self.score, ranked),
            extra=self.extra,
        )


def _of_any(mask: npt.NDArray[np.bool_], alias: Int64) -> npt.NDArray[np.bool_]:
    """Return whether any group of the same alias is in the mask."""
    return np.asarray((np.bincount(alias, mask, minlength=len(mask)) > 0)[alias])
