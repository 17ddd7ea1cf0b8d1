"""What every detector answers: one row per group."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import rankdata

from gateway.arrays import Float64, Int32, Int64, Mask
from gateway.detect.measure import Measure, own_measure
from gateway.detect.significance import (
    benjamini_hochberg,
    binomial_bound,
    clopper_pearson,
    ratio,
    shrink_shares,
)
from gateway.errors import GatewayError, Problem, unknown
from gateway.log.join_log import JoinLog
from gateway.tabular import Tabular, Text, html_table
from gateway.targets import TargetSet, as_targets

if TYPE_CHECKING:
    from matplotlib.axes import Axes


UNRANKED = 0


@dataclass(frozen=True, eq=False, repr=False)
class Detection(Tabular):
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
    warnings
        Checks of the detector's assumptions that failed on this log, a sentence each.
    """

    measure: Measure
    groups: pa.StringArray
    candidate: Mask
    score: Float64
    estimate: Float64
    ci_low: Float64
    ci_high: Float64
    p_value: Float64
    q_value: Float64
    n_joiners: Int64
    n_events: Int64
    flagged: Mask
    rank: Int64
    extra: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

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

    @property
    def top(self) -> list[str]:
        """Names of the ranked groups, best first; equal scores by joiners, then by name."""
        table = self.to_arrow()
        names: list[str] = table.filter(table["rank"].is_valid())["group"].to_pylist()
        return names

    def summary(self, *, top: int = 10) -> Text:
        """Return in words what was found: what was measured, the first groups, what failed.

        Parameters
        ----------
        top
            So many groups, at least 1.
        """
        from gateway.notebook import summary_of  # noqa: PLC0415  (it draws on the layers above)

        return summary_of(self, top=top)

    def plot(self, ax: Axes | None = None, *, top: int = 20) -> Axes:
        """Draw the first groups with their estimates and intervals: a forest plot.

        Parameters
        ----------
        ax
            Where to draw; by default a new figure of pyplot.
        top
            So many groups, at least 1.

        Returns
        -------
        matplotlib.axes.Axes
            What was drawn on.

        Raises
        ------
        GatewayError
            If no group is ranked.
        """
        from gateway.notebook import plot_detection  # noqa: PLC0415  (as above)

        return plot_detection(self, ax, top=top)

    def _repr_html_(self) -> str:
        columns = ["rank", "group", "score", "estimate", "ci_low", "ci_high", "q_value",
                   "n_joiners", "flagged"]  # fmt: skip
        failed = "".join(f"<p>Failed check: {html.escape(text)}</p>" for text in self.warnings)
        table = html_table(self.to_arrow().select(columns))
        return f"<p>{html.escape(repr(self))}</p>{failed}{table}"

    @staticmethod
    def from_scores(
        joins: JoinLog,
        targets: TargetSet | Sequence[str],
        score: npt.ArrayLike | Mapping[str, float],
        *,
        name: str = "own",
        p_value: npt.ArrayLike | None = None,
        min_joiners: int = 20,
        alpha: float = 0.05,
    ) -> Detection:
        """Make a detection of one's own scores, to be measured and drawn as any other.

        Parameters
        ----------
        joins, targets
            The log, and the target set or the names of the target groups.
        score
            One number for each group of the log, in the order of ``joins.groups``; larger is
            more of a gateway, NaN is not ranked. Or a mapping from names of groups (a pandas
            series too) in which groups that are not ranked may be missing.
        name
            What the detector is called.
        p_value
            One for each group, in the same order, NaN where not tested. Groups with a
            Benjamini-Hochberg q-value below ``alpha`` are flagged; without p-values nobody is.
        min_joiners
            Smallest number of joiners of a ranked group.
        alpha
            False-discovery rate of the flags.

        Raises
        ------
        GatewayError
            If there is not one score for each group, or one of no group of the log.

        Examples
        --------
        >>> joins = JoinLog.from_arrays(["ann", "ann", "bo"], ["a", "t", "a"], [1, 2, 1])
        >>> Detection.from_scores(joins, ["t"], {"a": 2.0}, min_joiners=1).top
        ['a']
        """
        chosen = as_targets(joins, targets)
        values = by_group(joins, score, "score")
        p = np.full(joins.n_groups, np.nan) if p_value is None else by_group(
            joins, p_value, "p_value"
        )  # fmt: skip
        none, nobody = np.full(joins.n_groups, np.nan), np.zeros(joins.n_groups, np.int64)
        found = Findings(values, values, none, none, joins.sizes(), nobody, p)
        return found.rank(own_measure(name), joins, chosen, min_joiners=min_joiners, alpha=alpha)


def by_group(joins: JoinLog, given: Any, what: str) -> Float64:
    """Return one number for each group of a log, float64, shape (n_groups,).

    Parameters
    ----------
    given
        Numbers in the order of its groups, or a mapping from their names.
    what
        What they are called in messages.

    Raises
    ------
    GatewayError
        If there is not one for each group, or one of no group of the log.
    """
    if hasattr(given, "keys"):
        named = {str(key): given[key] for key in given.keys()}  # noqa: SIM118  (a pandas series)
        at = pc.index_in(pa.array(list(named), pa.string()), value_set=joins.groups)
        place = at.to_numpy(zero_copy_only=False)
        missing = [name for name, i in zip(named, place, strict=True) if np.isnan(i)]
        if missing:
            there = joins.groups.to_pylist()
            raise unknown(what, "must be of groups of the log", missing[0], there)
        values = np.full(joins.n_groups, np.nan)
        values[place.astype(np.int64)] = list(named.values())
        return values
    try:
        values = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        rule = "must be numbers, one for each group, or a mapping from names of groups"
        raise GatewayError(str(Problem(what, rule, type(given).__name__))) from None
    if values.shape != (joins.n_groups,):
        rule = f"must be one number for each of the log's {joins.n_groups:,} groups"
        raise GatewayError(str(Problem(what, rule, f"shape {values.shape}")))
    return values


def rank_groups(score: Float64, ranked: Mask) -> Int64:
    """Rank the groups of a mask by falling score; equal scores share the best rank.

    Examples
    --------
    >>> rank_groups(np.array([0.2, 0.9, 0.2, 0.5]), np.array([True, True, True, False]))
    array([2, 1, 2, 0])
    """
    rank = np.full(len(score), UNRANKED, dtype=np.int64)
    rank[ranked] = rankdata(-score[ranked], method="min")
    return rank


def count_by_group(group: Int32, n_groups: int) -> Int64:
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

    @classmethod
    def of_shares(
        cls, k: Int64, n: Int64, expected: Float64, *, among: Mask, **extra: Float64
    ) -> Findings:
        """Return findings of k of n joiners, counts as integers, with their exact interval.

        Parameters
        ----------
        expected
            How many of them are expected where nothing is true: what ``binomial_bound`` holds
            k against.
        among
            Groups that give the prior of the score, the shrunken share.
        extra
            Columns of the detector alone.
        """
        low, high = clopper_pearson(k, n)
        score, p = shrink_shares(k, n, among=among), binomial_bound(k, n, expected)
        return cls(score, ratio(k, n), low, high, n, k, p, extra)

    def rank(
        self,
        measure: Measure,
        joins: JoinLog,
        targets: TargetSet,
        *,
        min_joiners: int,
        alpha: float = 0.05,
        flaggable: Mask | None = None,
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
        found = {**vars(self), "p_value": p}
        rank = rank_groups(self.score, ranked)
        return Detection(
            measure, joins.groups, candidate, q_value=q, flagged=flagged, rank=rank, **found
        )


def _of_any(mask: Mask, alias: Int64) -> Mask:
    """Return whether any group of the same alias is in the mask."""
    return np.asarray((np.bincount(alias, mask, minlength=len(mask)) > 0)[alias])
