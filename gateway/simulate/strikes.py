"""Content strikes per group, month and kind of harm."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.joins import JoinLog
from gateway.randomness import Purpose, generator
from gateway.world import World

__all__ = ["Strikes", "draw_strikes"]


@dataclass(frozen=True, eq=False)
class Strikes:
    """Strikes counted by calendar month.

    Parameters
    ----------
    count
        int64, shape (n_groups, n_months, n_kinds).
    months
        ``YYYY-MM``, shape (n_months,): every month that the observation touches.
    kinds
        Names of the kinds of harm.
    """

    count: npt.NDArray[np.int64]
    months: tuple[str, ...]
    kinds: tuple[str, ...]

    def of(self, kind: str, month: str) -> npt.NDArray[np.int64]:
        """Return the strikes of each group for one kind and month, shape (n_groups,)."""
        return self.count[:, self.months.index(month), self.kinds.index(kind)]

    def to_arrow(self, groups: pa.StringArray) -> pa.Table:
        """Return the non-zero counts as a long table: group, month, kind, strikes."""
        g, m, k = np.nonzero(self.count)
        return pa.table(
            {
                "group": groups.take(pa.array(g)),
                "month": pa.array([self.months[i] for i in m], pa.string()),
                "kind": pa.array([self.kinds[i] for i in k], pa.string()),
                "strikes": pa.array(self.count[g, m, k], pa.int64()),
            }
        )


def draw_strikes(world: World, joins: JoinLog) -> Strikes:
    """Draw strikes: Poisson, with mean harm x members at the month's start (at least one).

    A group of no harm has none. Members who leave are not modelled.
    """
    months, starts = _months(world.section.start, world.days)
    rng = generator(world.seed, Purpose.STRIKES)
    members = _members_at(joins, starts)
    mean = world.groups.harm[:, None, :] * members[:, :, None]
    return Strikes(rng.poisson(mean).astype(np.int64), months, world.kinds)


def _months(start: date, n_days: int) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Calendar months that the observation touches, and the day on which each begins."""
    days = np.datetime64(start) + np.arange(n_days)
    month, first = np.unique(days.astype("datetime64[M]"), return_index=True)
    return tuple(str(m) for m in month), first.astype(np.int64)


def _members_at(joins: JoinLog, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Members of each group before each day of ``starts``, shape (n_groups, n_months)."""
    slot = np.searchsorted(starts, joins.time, side="right")
    n_slots = len(starts) + 1
    cell = joins.group.astype(np.int64) * n_slots + slot
    joined = np.bincount(cell, minlength=joins.n_groups * n_slots).reshape(-1, n_slots)
    return np.cumsum(joined, axis=1)[:, :-1]
