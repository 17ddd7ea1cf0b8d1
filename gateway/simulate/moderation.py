"""Strikes, and the labels that follow them after a review."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import stats

from gateway.arrays import Float64
from gateway.config.platform import ModerationSection
from gateway.randomness import Purpose, generator
from gateway.simulate.occasion_kernels import NEVER
from gateway.simulate.tables import Labels
from gateway.world import World

__all__ = ["Moderation", "Strikes", "months_of"]


@dataclass(frozen=True, eq=False)
class Strikes:
    """Strikes counted by calendar month.

    Parameters
    ----------
    count, severe
        int64, shape (n_groups, n_months, n_kinds): all strikes, and the severe among them.
    months
        ``YYYY-MM``, shape (n_months,): every month that the observation touches.
    kinds
        Names of the kinds of harm.
    """

    count: npt.NDArray[np.int64]
    severe: npt.NDArray[np.int64]
    months: tuple[str, ...]
    kinds: tuple[str, ...]

    def of(self, kind: str, month: str) -> npt.NDArray[np.int64]:
        """Return the strikes of each group for one kind and month, shape (n_groups,)."""
        return self.count[:, self.months.index(month), self.kinds.index(kind)]

    def to_arrow(self, groups: pa.StringArray) -> pa.Table:
        """Return the non-zero counts as a long table: group, month, kind, strikes, severe."""
        g, m, k = np.nonzero(self.count)
        return pa.table(
            {
                "group": groups.take(pa.array(g)),
                "month": pa.array([self.months[i] for i in m], pa.string()),
                "kind": pa.array([self.kinds[i] for i in k], pa.string()),
                "strikes": pa.array(self.count[g, m, k], pa.int64()),
                "severe": pa.array(self.severe[g, m, k], pa.int64()),
            }
        )


def months_of(world: World) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Calendar months that the observation touches, and the day on which each begins."""
    days = np.datetime64(world.section.start) + np.arange(world.days)
    month, first = np.unique(days.astype("datetime64[M]"), return_index=True)
    return tuple(str(m) for m in month), first.astype(np.int64)


def _draw_severity(section: ModerationSection, n_groups: int, *, seed: int) -> Float64:
    """Share of each group's strikes that are severe, shape (n_groups,).

    Beta with mean s and variance rho s (1 - s), so that the severe among n strikes of a group
    are beta-binomial with intraclass correlation rho (Skellam 1948, J. R. Stat. Soc. B 10, 257).
    """
    s, rho = section.severe_share, section.severe_spread
    if rho == 0 or s in (0, 1):
        return np.full(n_groups, s)
    size = (1 - rho) / rho
    return generator(seed, Purpose.SEVERITY).beta(s * size, (1 - s) * size, size=n_groups)


class Moderation:
    """Moderation as it goes: strikes month by month, labels with their days.

    Strikes of a month are Poisson, with mean harm x members at the month's start; a share
    is severe, each group's own where ``severe_spread`` is above zero. When a group's strikes
    so far reach a threshold at a month's end, its label is given after an exponential review
    delay. Each month has a generator of its own, so that the strikes of a month do not depend
    on those before, and each group a draw of its own: two platforms that differ in one
    group's members share the strikes of all others.
    """

    def __init__(self, world: World, section: ModerationSection) -> None:
        self.world, self.section = world, section
        self.months, self.starts = months_of(world)
        shape = (len(world.groups), len(self.months), len(world.kinds))
        self._count, self._severe = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self.severity = _draw_severity(section, len(world.groups), seed=world.seed)
        never = np.full(len(world.groups), NEVER, np.int32)
        self.labels = Labels(
            non_rec=never.copy(),
            non_amp=never.copy(),
            demoted=never.copy(),
            demotion=section.demotion,
        )

    def month_of(self, day: int) -> int | None:
        """Return the number of the month that begins on ``day``, if one does."""
        at = np.flatnonzero(self.starts == day)
        return int(at[0]) if len(at) else None

    def begin_month(self, month: int, members: npt.NDArray[np.int64]) -> None:
        """Judge the month that has ended, and draw the strikes of the one that begins."""
        if month > 0:
            self._label(month)
        rng = generator(self.world.seed, Purpose.STRIKES, month)
        mean = self.world.groups.harm * members[:, None]
        x, y = rng.random((2, *mean.shape))
        count = self._count[:, month]
        at = mean > 0
        # By inversion: numpy's own draws take more random numbers for some means than for
        # others, which would shift those of every later group.
        count[at] = np.maximum(stats.poisson.ppf(x[at], mean[at]), 0)  # ppf(0) is -1
        share = np.broadcast_to(self.severity[:, None], mean.shape)[at]
        self._severe[:, month][at] = np.maximum(stats.binom.ppf(y[at], count[at], share), 0)

    def _label(self, month: int) -> None:
        """Give labels for strikes until the end of the month before ``month``."""
        rng = generator(self.world.seed, Purpose.MODERATION, month)
        so_far = self._count[:, :month].sum(axis=(1, 2))
        thresholds = (
            (self.labels.demoted, self.section.demote_strikes),
            (self.labels.non_amp, self.section.non_amp_strikes),
            (self.labels.non_rec, self.section.non_rec_strikes),
        )
        for given, threshold in thresholds:
            delay = rng.exponential(self.section.review_days, size=len(given))
            due = (given == NEVER) & (so_far >= threshold) & self.section.acts
            given[due] = self.starts[month] + delay[due].astype(np.int32)

    def strikes(self) -> Strikes:
        """Return all strikes."""
        return Strikes(self._count, self._severe, self.months, self.world.kinds)
