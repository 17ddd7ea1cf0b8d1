"""How much a log can show: whom it holds, what could be found, on what the evidence agrees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import betaincinv
from scipy.stats import binom

from gateway.arrays import Int64
from gateway.detect import DETECTORS, Claim, Detection, measure_of
from gateway.detect.findings import add_up
from gateway.detect.measure import words_of
from gateway.log.join_log import JoinLog
from gateway.log.messages import percent
from gateway.log.work import over_parts
from gateway.score import build_prefixes
from gateway.targets import TargetSet

__all__ = [
    "MEANING",
    "POWER",
    "Information",
    "Verdict",
    "detectable_ratio",
    "information_of",
    "nothing_ranked",
    "speaker_for",
    "verdict_of",
]

POWER = 0.8


@dataclass(frozen=True)
class Information:
    """What a log holds for a detector, and what could be found in it.

    Parameters
    ----------
    n_target_joins, n_cases
        Joins of target groups; users with one.
    n_preceded
        Cases who joined another group in an earlier tick than their first target.
    n_candidates, n_enough, n_ranked
        Groups that are no targets; those of them with enough joiners; those ranked.
    min_joiners, most_joiners
        What the detector asks for, and what the largest candidate has.
    base_rate
        Share of joins before a target join after which one follows (within the horizon);
        NaN where no join's outcome is known.
    n_typical, n_largest
        Joiners with a known outcome: the median over ranked groups, and the most.
    ratio_typical, ratio_largest
        Least ratio to the base rate that such a group is found with, see
        ``detectable_ratio``.
    tick
        What the log counts in.
    horizon, length
        In ticks: None for no horizon; the log's own length.
    claims
        What kind of evidence the detector gives.
    """

    n_target_joins: int
    n_cases: int
    n_preceded: int
    n_candidates: int
    n_enough: int
    n_ranked: int
    min_joiners: int
    most_joiners: int
    base_rate: float
    n_typical: int
    n_largest: int
    ratio_typical: float
    ratio_largest: float
    tick: str
    horizon: int | None
    length: int
    claims: Claim

    @property
    def lines(self) -> tuple[str, ...]:
        """The same in sentences, for whoever reads a ranking."""
        said = [
            f"{self.n_target_joins:,} target joins by {self.n_cases:,} users; "
            f"{self.n_preceded:,} of these users joined another group {_EARLIER[self.tick]}",
            self._enough(),
        ]
        if self.horizon is not None and self.horizon >= self.length:
            said.append(
                f"the horizon ({self.horizon:,} {_UNITS[self.tick]}s) is not shorter than the log "
                f"({self.length:,}): no join is followed up for all of it"
            )
        elif self.n_ranked and self.base_rate < 1.0:  # NaN and 1: nobody to be compared with
            said.append(self._least())
        return tuple(said)

    def _enough(self) -> str:
        asked = f"the {self.min_joiners:,} joiners that a ranked group needs"
        if not self.n_enough:
            return (
                f"none of {self.n_candidates:,} groups has {asked}; the largest has "
                f"{self.most_joiners:,}: nothing is ranked, and nothing is shown either way"
            )
        said = f"{self.n_enough:,} of {self.n_candidates:,} groups have {asked}"
        if self.n_ranked == self.n_enough:
            return said
        n_silent = self.n_enough - self.n_ranked
        return f"{said}; {n_silent:,} of them cannot be ranked: {_WHY[self.claims]}"

    def _least(self) -> str:
        said = (
            f"{percent(self.base_rate)} of joins are followed by a target join (the base "
            f"rate); a group would be found with power {POWER:g} {_from(self.ratio_typical)} at "
            f"{self.n_typical:,} joiners (the median), and {_from(self.ratio_largest)} at "
            f"{self.n_largest:,} (the largest)"
        )
        if self.claims == "change":
            said += ", by association; a change within the same users takes more to be found"
        return said


_UNITS = {"day": "day", "second": "second", "integer": "tick"}
_EARLIER = {
    "day": "on an earlier day", "second": "in an earlier second", "integer": "at an earlier tick",
}  # fmt: skip
_WHY: dict[Claim, str] = {
    "association": "no joiner of theirs can be compared",
    "change": "no joiner of theirs was seen both before and after the join while a target could "
    "be joined",
    "trace": "too few joins came through them by users who join a target",
}


def _from(ratio: float) -> str:
    return "at no ratio" if np.isnan(ratio) else f"from {ratio:.3g} times that rate"


def nothing_ranked(found: Detection, *, min_joiners: int) -> str | None:
    """Return why a detector ranks no group; None where it ranks some."""
    if (found.rank > 0).any():
        return None
    why = _WHY[found.measure.claims]
    if not (found.n_joiners[found.candidate] >= min_joiners).any():
        why = f"none has {min_joiners:,} joiners"
    return f"{found.detector} ranks no group: {why}"


def information_of(
    joins: JoinLog,
    targets: TargetSet,
    found: Detection,
    *,
    horizon: int | None,
    min_joiners: int,
    alpha: float,
) -> Information:
    """Return what a log holds for a detector.

    Parameters
    ----------
    joins, targets
        The log, in memory or in parts on disk, and the target set.
    found
        What the detector found in it.
    horizon
        Ticks within which a target join counts; None for any later one.
    min_joiners, alpha
        The detector's options.
    """
    counts, resolved = add_up(over_parts(joins, _counts, targets, horizon))
    n_target_joins, n_cases, n_preceded, n_followed = counts.tolist()
    ranked = found.rank > 0
    total, n_ranked = int(resolved.sum()), int(ranked.sum())
    sizes = found.n_joiners[found.candidate]
    base_rate = n_followed / total if total else np.nan
    n = resolved[ranked]
    typical, largest = (int(np.median(n)), int(n.max())) if n_ranked else (0, 0)
    least = [
        detectable_ratio(count, base_rate, alpha=alpha, tests=max(1, n_ranked))
        for count in (typical, largest)
    ]
    first, last = joins.span
    return Information(
        n_target_joins=n_target_joins,
        n_cases=n_cases,
        n_preceded=n_preceded,
        n_candidates=int(found.candidate.sum()),
        n_enough=int(np.count_nonzero(sizes >= min_joiners)),
        n_ranked=n_ranked,
        min_joiners=min_joiners,
        most_joiners=int(sizes.max(initial=0)),
        base_rate=base_rate,
        n_typical=typical,
        n_largest=largest,
        ratio_typical=least[0],
        ratio_largest=least[1],
        tick=joins.tick,
        horizon=horizon,
        length=last - first,
        claims=found.measure.claims,
    )


def _counts(joins: JoinLog, targets: TargetSet, horizon: int | None) -> tuple[Int64, Int64]:
    """Return target joins, cases, cases with an earlier join and outcomes; trials by group."""
    row = np.flatnonzero(targets.mask[joins.group])
    user = np.searchsorted(joins.offsets, row, side="right") - 1
    cases, first = np.unique(user, return_index=True)
    preceded = joins.time[joins.offsets[cases]] < joins.time[row[first]]
    rows = build_prefixes(joins, targets, horizon=horizon, seed=None)
    followed = np.count_nonzero(rows.label == 1)
    counts = np.array([len(row), len(cases), np.count_nonzero(preceded), followed])
    return counts, np.bincount(rows.group[rows.resolved], minlength=joins.n_groups)


def detectable_ratio(
    n: int, base_rate: float, *, alpha: float, tests: int, power: float = POWER
) -> float:
    r"""Return the least ratio to the base rate at which a group is found.

    Of n joiners, k go on to a target. The exact one-sided binomial test rejects from the
    smallest c with P(Bin(n, p) >= c) <= alpha / m: what Benjamini and Hochberg's procedure
    asks of a group that alone among m is a gateway (with others it asks less). The least
    share q with P(Bin(n, q) >= c) = power is the quantile of Beta(c, n - c + 1), as in
    Clopper and Pearson's interval. Joiners count as independent, and association as an
    effect: to be told from the same users' own rate takes more.

    Parameters
    ----------
    n
        Joiners with a known outcome.
    base_rate
        p, in (0, 1).
    alpha
        False-discovery rate.
    tests
        m, at least 1.
    power
        In (0, 1).

    Returns
    -------
    float
        q / p; NaN where even n of n would not be significant, or p is not in (0, 1).

    References
    ----------
    Clopper, Pearson (1934), Biometrika 26(4). Benjamini, Hochberg (1995), J. R. Stat. Soc.
    B 57(1).

    Examples
    --------
    With 20 joiners and a base rate of 5 %, six or more are significant at .001:

    >>> round(detectable_ratio(20, 0.05, alpha=0.05, tests=50), 2)
    7.33
    """
    if n < 1 or not 0.0 < base_rate < 1.0:
        return float("nan")
    least = int(binom.isf(alpha / tests, n, base_rate)) + 1
    if least > n:
        return float("nan")
    return float(betaincinv(least, n - least + 1, power)) / base_rate


MEANING = (
    "association: joiners go on to targets more often than others; comparison with themselves: "
    "the rate of target joins rises after joining, compared with the same users before; neither "
    "is proof"
)
"""What the words of a verdict mean."""


@dataclass(frozen=True)
class Verdict:
    """Which groups a detector of association and one of change flag.

    Parameters
    ----------
    association_by, change_by
        The two detectors.
    association
        Groups flagged by the first: their joiners go on to targets more often than others.
    change
        Groups flagged by the second: the rate of target joins rises after joining, compared
        with the same users before.
    untested
        Those of ``association`` for which no change could be tested.
    """

    association_by: str
    change_by: str
    association: tuple[str, ...]
    change: tuple[str, ...]
    untested: tuple[str, ...]

    @property
    def both(self) -> tuple[str, ...]:
        """Groups of both, in the order of ``association``."""
        change = set(self.change)
        return tuple(group for group in self.association if group in change)

    @property
    def agreement(self) -> str:
        """What the two detectors agree and disagree on, in one line."""
        one, other = words_of(self.association_by), words_of(self.change_by)
        n, m, both = len(self.association), len(self.change), len(self.both)
        return (
            f"{one} flags {n:,}, {other} flags {m:,}: {both:,} by both, "
            f"{n - both:,} by {one} alone, {m - both:,} by {other} alone"
        )

    @property
    def text(self) -> str:
        """The verdict in plain words."""
        n, both = len(self.association), len(self.both)
        said = f"association: {_groups(n)}"
        if n and len(self.untested) == n:
            said += "; none of these could be compared with themselves"
        elif n:
            survive = "none survives" if not both else f"{both:,} survive{'s' if both == 1 else ''}"
            said += f"; of these {survive} comparison with themselves"
            if self.untested:
                said += f" ({len(self.untested):,} could not be compared)"
        if alone := len(self.change) - both:
            said += f"; a change without association: {_groups(alone)}"
        return said


def _groups(count: int) -> str:
    return f"{count:,} group{'' if count == 1 else 's'}" if count else "no group"


def verdict_of(gateways: pa.Table) -> Verdict | None:
    """Return the verdict over stored findings; None unless both kinds of evidence are there.

    Of several detectors that claim the same, the first of the registry that holds its level
    speaks; one that tests nothing never does.

    Parameters
    ----------
    gateways
        As ``Detection.to_arrow`` of each detector, one below the other.
    """
    ran = set(gateways["detector"].unique().to_pylist())
    association_by, change_by = (speaker_for(ran, claim) for claim in ("association", "change"))
    if association_by is None or change_by is None:
        return None
    association, change = (
        gateways.filter(pc.equal(gateways["detector"], name))
        for name in (association_by, change_by)
    )
    flagged, changed = (
        tuple(table.filter(table["flagged"])["group"].to_pylist())
        for table in (association, change)
    )
    tested = set(change.filter(pc.is_valid(change["p_value"]))["group"].to_pylist())
    untested = tuple(group for group in flagged if group not in tested)
    return Verdict(association_by, change_by, flagged, changed, untested)


def speaker_for(ran: set[str], claims: Claim) -> str | None:
    """Return the detector that speaks for a claim: of those that ran, the first that may."""
    measures = [measure_of(name) for name in DETECTORS if name in ran]
    able = [measure for measure in measures if measure.test and measure.claims == claims]
    able.sort(key=lambda measure: not measure.holds_level)
    return able[0].detector if able else None
