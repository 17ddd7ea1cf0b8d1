"""Strikes, the labels of groups that follow them after a review, and the labels of users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy import stats

from gateway.arrays import Float64, Int32, Int64
from gateway.config.platform import ModerationSection
from gateway.randomness import Purpose, generator
from gateway.simulate.occasion_kernels import UNCONFIRMED
from gateway.simulate.tables import Labels, Table, owners
from gateway.world import World
from gateway.world.model import NEVER


@dataclass(frozen=True, eq=False)
class Strikes:
    """Strikes counted by calendar month."""

    # Shape (n_groups, n_months, n_kinds): all strikes, and the severe among them.
    count: Int64
    severe: Int64
    # ``YYYY-MM``, shape (n_months,): every month that the observation touches.
    months: tuple[str, ...]
    kinds: tuple[str, ...]  # names of the kinds of harm

    def of(self, kind: str, month: str) -> Int64:
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


def months_of(world: World) -> tuple[tuple[str, ...], Int64]:
    """Calendar months that the observation touches, and the day on which each begins."""
    days = np.datetime64(world.section.start) + np.arange(world.days)
    month, first = np.unique(days.astype("datetime64[M]"), return_index=True)
    return tuple(str(m) for m in month), first.astype(np.int64)


def _draw_shares(mean: float, spread: float, world: World, purpose: Purpose) -> Float64:
    """Each group's own share, shape (n_groups,).

    Beta with mean s and variance rho s (1 - s), so that the hits among n events of a group
    are beta-binomial with intraclass correlation rho (Skellam 1948, J. R. Stat. Soc. B 10, 257).
    """
    if spread == 0 or mean in (0, 1):
        return np.full(len(world.groups), mean)
    size = (1 - spread) / spread
    rng = generator(world.seed, purpose)
    return rng.beta(mean * size, (1 - mean) * size, size=len(world.groups))


def _poisson(x: Float64, mean: Float64) -> Int64:
    """Poisson variates of uniform numbers, by inversion.

    numpy's own draws take more random numbers for some means than for others, which would
    shift those of every later group.
    """
    return np.maximum(stats.poisson.ppf(x, mean), 0).astype(np.int64)  # ppf(0) is -1


class Moderation:
    """Moderation as it goes: strikes month by month, labels with their days.

    Violations of a month have mean harm x members at the month's start. Strikes are Poisson:
    a share of the violations, each group's own where ``detection_spread`` is above zero, and
    false ones; a share of them is severe. Users report violations too. When a group's evidence
    so far (strikes, severe ones once more by their weight, reports) reaches a threshold at a
    month's end, its label is given after an exponential review delay; the review for demotion
    gives a score in [0, 1], which grows with the evidence. Each month has generators of its
    own, so that the strikes of a month do not depend on those before, and each group a draw of
    its own: two platforms that differ in one group's members share the strikes of all others.
    """

    def __init__(self, world: World, section: ModerationSection) -> None:
        self.world, self.section = world, section
        self.months, self.starts = months_of(world)
        shape = (len(world.groups), len(self.months), len(world.kinds))
        self._count, self._severe = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self._reports = np.zeros(len(world.groups), np.int64)
        self.severity = _draw_shares(
            section.severe_share, section.severe_spread, world, Purpose.SEVERITY
        )
        self.detection = _draw_shares(
            section.detection, section.detection_spread, world, Purpose.DETECTION
        )
        self.leniency = 1 - _draw_shares(
            section.demotion, section.demotion_spread, world, Purpose.DEMOTION
        )
        never = np.full(len(world.groups), NEVER, np.int32)
        self.labels = Labels(
            non_rec=never.copy(),
            non_amp=never.copy(),
            demoted=never.copy(),
            demotion=np.zeros(len(world.groups)),
        )

    def month_of(self, day: int) -> int | None:
        """Return the number of the month that begins on ``day``, if one does."""
        at = np.flatnonzero(self.starts == day)
        return int(at[0]) if len(at) else None

    def begin_month(self, month: int, members: Int64) -> None:
        """Judge the month that has ended, and draw the strikes of the one that begins."""
        if month > 0:
            self._label(month)
        harm, section = self.world.groups.harm, self.section
        rate = harm * self.detection[:, None] + section.false_strikes
        mean = rate * members[:, None]
        x, y = generator(self.world.seed, Purpose.STRIKES, month).random((2, *mean.shape))
        count = self._count[:, month]
        at = mean > 0
        count[at] = _poisson(x[at], mean[at])
        share = np.broadcast_to(self.severity[:, None], mean.shape)[at]
        self._severe[:, month][at] = np.maximum(stats.binom.ppf(y[at], count[at], share), 0)
        mean = section.reports * harm.sum(axis=1) * members
        at = mean > 0
        if at.any():
            z = generator(self.world.seed, Purpose.REPORTS, month).random(len(mean))
            self._reports[at] += _poisson(z[at], mean[at])

    def _label(self, month: int) -> None:
        """Give labels for the evidence until the end of the month before ``month``."""
        rng = generator(self.world.seed, Purpose.MODERATION, month)
        labels, section = self.labels, self.section
        strikes, severe = (x[:, :month].sum(axis=(1, 2)) for x in (self._count, self._severe))
        evidence = strikes + section.severe_weight * severe + self._reports
        thresholds = (
            (labels.demoted, section.demote_strikes),
            (labels.non_amp, section.non_amp_strikes),
            (labels.non_rec, section.non_rec_strikes),
        )
        for given, threshold in thresholds:
            delay = rng.exponential(section.review_days, size=len(given))
            due = (given == NEVER) & (evidence >= threshold) & section.acts
            given[due] = self.starts[month] + delay[due].astype(np.int32)
            if given is labels.demoted:
                grown = (evidence[due] / threshold) ** section.demotion_slope
                labels.demotion[due] = 1 - self.leniency[due] ** grown

    def strikes(self) -> Strikes:
        """Return all strikes."""
        return Strikes(self._count, self._severe, self.months, self.world.kinds)


def flag_users(world: World, users: Table, cells: Table) -> Int32:
    """Return the day from which each user is labelled non-rec, or ``NEVER``; shape (n_users,).

    Each membership of a harmful group is found out with probability ``flag_chance``, after an
    exponential delay of mean ``flag_days``; the first counts. A share ``false_flags`` of users
    is labelled for no reason of this world, on a day drawn evenly. The label changes nothing
    of what anybody sees. Every occasion has a draw of its own, taken or not, so that two
    platforms of one world share them.
    """
    section = world.config.moderation
    rng = generator(world.seed, Purpose.FLAGS)
    found_out = rng.random(len(cells)) < section.flag_chance
    delay = section.flag_days * rng.standard_exponential(len(cells))
    cell = np.flatnonzero(found_out & (cells.group >= 0) & (cells.source < UNCONFIRMED))
    is_harmful = world.groups.harm.sum(axis=1) > 0
    cell = cell[is_harmful[cells.group[cell]]]
    day = np.where(rng.random(len(users)) < section.false_flags, 0, NEVER)
    even = rng.integers(0, world.days, size=len(users))
    first = np.maximum(day, even)
    np.minimum.at(first, owners(users, cell), cells.time[cell] + delay[cell].astype(np.int64))
    return first.astype(np.int32)
