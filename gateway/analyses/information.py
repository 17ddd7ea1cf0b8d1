"""How much a log can show: whom it holds, and what could be found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv
from scipy.stats import binom

from gateway.arrays import Int64
from gateway.detect import Claim, Detection
from gateway.detect.detection import add_up
from gateway.log.join_log import JoinLog
from gateway.log.messages import percent
from gateway.log.work import over_parts
from gateway.score import build_prefixes
from gateway.targets import TargetSet

POWER = 0.8


@dataclass(frozen=True)
class Information:
    """What a log holds for a detector, and what could be found in it."""

    # Joins of target groups; users with one.
    n_target_joins: int
    n_cases: int
    n_preceded: int  # cases who joined another group in an earlier tick than their first target
    # Groups that are no targets; those of them with enough joiners; those ranked.
    n_candidates: int
    n_enough: int
    n_ranked: int
    # What the detector asks for, and what the largest candidate has.
    min_joiners: int
    most_joiners: int
    # Share of joins before a target join after which one follows (within the horizon); NaN where
    # no join's outcome is known.
    base_rate: float
    # Joiners with a known outcome: the median over ranked groups, and the most.
    n_typical: int
    n_largest: int
    # Least ratio to the base rate that such a group is found with, see ``detectable_ratio``.
    ratio_typical: float
    ratio_largest: float
    tick: str  # what the log counts in
    # In ticks: None for no horizon; the log's own length.
    horizon: int | None
    length: int
    claims: Claim  # what kind of evidence the detector gives

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
    horizon
        Ticks within which a target join counts; None for any later one.
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
