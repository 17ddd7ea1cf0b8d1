"""P(target later | joined g): how many of a group's joiners go on to a target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import hypergeom

from gateway.detect.detection import Detection
from gateway.detect.findings import Findings, add_up, count_by_group
from gateway.detect.shrinkage import ratio, shrink_shares
from gateway.joins import JoinLog
from gateway.joins_io import Duration, ticks_in
from gateway.partitioned import AnyLog, over_pieces
from gateway.score import build_prefixes
from gateway.targets import TargetSet

__all__ = ["FrequentistOptions", "detect_frequentist"]


@dataclass(frozen=True)
class FrequentistOptions:
    """Choices of the frequentist detector.

    Parameters
    ----------
    min_joiners
        A group with fewer resolved joiners at risk is not ranked.
    alpha
        False-discovery rate of the flags.
    """

    min_joiners: int = 20
    alpha: float = 0.05


def detect_frequentist(
    joins: AnyLog,
    targets: TargetSet,
    *,
    options: FrequentistOptions | None = None,
    horizon: Duration | None = None,
) -> Detection:
    r"""Rank groups by the shrunken share of joiners who join a target later.

    n_g counts the users who joined g strictly before their first target join and were
    observed for the whole horizon after it, k_g those of them who joined a target within
    the horizon. A tie, g and the first target in one tick, is neither before nor after and
    is left out, as is everybody who joined g after a target. Score = (k_g + a) /
    (n_g + a + b) with an empirical-Bayes beta prior; the interval is the posterior's. Lift
    = (k_g / n_g) / (K / N), where N and K are the sums over all joins at risk.

    The p-value is Fisher's, one-sided: P(Hypergeometric(N, K, n_g) >= k_g), exact where the
    groups' labels could be permuted over the joins at risk.

    *When it misleads.* Joins differ in more than their group: an early joiner has longer
    to go on without a horizon, an active user joins more of everything, and whoever is
    inclined to the targets joins other things first. All of it counts as the group's
    doing, so the p-value does not hold its level where joiners differ at all. It is the
    simple definition whose AUC of .64 to .83 the published descendant reports.

    Cost: O(joins).

    Parameters
    ----------
    joins, targets
        The log, in memory or in parts on disk, and the target set.
    options
        Choices; by default ``FrequentistOptions()``.
    horizon
        Ticks within which a target join counts; None for any later one, whatever the
        follow-up.

    Returns
    -------
    Detection
        ``estimate`` is k_g / n_g, ``n_spiking`` is k_g; extra column ``lift``.

    References
    ----------
    Fisher (1935), "The logic of inductive inference", J. R. Stat. Soc. 98(1). Kleinman
    (1973), see ``beta_prior``. Benjamini, Hochberg (1995), J. R. Stat. Soc. B 57(1).
    """
    options = options or FrequentistOptions()
    ticks = None if horizon is None else ticks_in(horizon, joins.tick, what="horizon")
    n, k = add_up(over_pieces(joins, _counts, targets, ticks))
    ranked = ~targets.mask & (n >= options.min_joiners)
    shares = shrink_shares(k, n, among=ranked)
    found = Findings(
        score=shares.mean,
        estimate=ratio(k, n),
        ci_low=shares.low,
        ci_high=shares.high,
        n_joiners=n,
        n_spiking=k,
        p_value=_fisher(k, n),
        extra={"lift": ratio(k * n.sum(), n * k.sum())},
    )
    return found.rank(
        "frequentist", joins, targets, min_joiners=options.min_joiners, alpha=options.alpha
    )


def _counts(
    joins: JoinLog, targets: TargetSet, horizon: int | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return n_g and k_g; they add up over users."""
    rows = build_prefixes(joins, targets, horizon=horizon)
    return (
        count_by_group(rows.group[rows.resolved], joins.n_groups),
        count_by_group(rows.group[rows.label == 1], joins.n_groups),
    )


def _fisher(k: npt.NDArray[np.int64], n: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Upper tail of k given all margins; 1 for an empty group."""
    return np.asarray(hypergeom.sf(k - 1, n.sum(), k.sum(), n))
