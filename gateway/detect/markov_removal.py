"""Removal effect: how many fewer users would reach a target if g led nowhere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse
from threadpoolctl import threadpool_limits

from gateway.arrays import Float64
from gateway.config.detectors import MarkovRemovalOptions
from gateway.detect.chain import build_chain, solve_forward, solve_visits
from gateway.detect.detection import Detection
from gateway.detect.findings import Findings, count_by_group
from gateway.detect.measure import Measure, Quantity
from gateway.log.join_log import JoinLog
from gateway.score import build_prefixes
from gateway.targets import TargetSet

__all__ = ["MARKOV_REMOVAL", "MarkovRemovalOptions", "detect_markov_removal", "mean_returns"]


_EFFECT = Quantity(
    "removal effect",
    "share of the paths to a target that would be lost if the group led nowhere",
    unit="share",
    no_effect=0.0,
)
MARKOV_REMOVAL = Measure(
    detector="markov_removal",
    estimate=_EFFECT,
    score=_EFFECT,
    joiners="joiners at risk",
    events="joiners who join a target later",
)


def detect_markov_removal(
    joins: JoinLog, targets: TargetSet, *, options: MarkovRemovalOptions | None = None
) -> Detection:
    r"""Rank groups by their removal effect in the absorbing chain of joins.

    States: the start, the groups, and two that absorb, the first target join and the end.
    Let h_i be the probability of reaching a target from i, and N the fundamental matrix,
    N_ij the mean number of visits to j from i. From the start, g is ever visited with
    probability N_sg / N_gg, and then reaches a target with h_g. If g led to the end
    instead, the share of paths that reach a target would fall by

    RE_g = (N_sg / N_gg) h_g / h_s,

    so no chain has to be solved anew for each group. Score and estimate are RE_g; there is
    no interval and no test, and nothing is flagged. Joins of one tick are averaged over
    their orders (``Chain``).

    *When it misleads.* RE_g grows with the size of a group: whatever many people join
    stands on many paths to anything. A first-order chain forgets everything but the last
    join; and a path that ends with the log counts as ended.

    Cost: N_s and h by iteration, O(transitions) a step; N_gg by one dense inverse up to
    ``exact_groups``, O(groups^3), else O(transitions).

    Parameters
    ----------
    joins, targets
        The log and the target set.
    options
        Choices; by default ``MarkovRemovalOptions()``.

    Returns
    -------
    Detection
        ``n_events`` counts the joiners with a target join later; extra columns
        ``visited`` (N_sg / N_gg) and ``hitting`` (h_g).

    References
    ----------
    Anderl, Becker, von Wangenheim, Schumann (2016), "Mapping the customer journey", Int.
    J. Res. Mark. 33(3), for the removal effect; Kemeny, Snell (1960), "Finite Markov
    chains", theorems 3.2.4 and 3.5.7, for N.
    """
    options = options or MarkovRemovalOptions()
    chain, rows = build_chain(joins, targets), build_prefixes(joins, targets, seed=None)
    moves, starts, gain = chain.probabilities()
    hitting, visits = solve_forward(moves, gain), solve_visits(moves, starts)
    overall = float(starts @ hitting) + chain.direct / chain.n_paths
    returns = mean_returns(moves, visits, exact=joins.n_groups <= options.exact_groups)
    visited = visits / returns
    effect = visited * hitting / overall if overall > 0.0 else np.zeros(joins.n_groups)
    unknown = np.full(joins.n_groups, np.nan)
    found = Findings(
        score=effect,
        estimate=effect,
        ci_low=unknown,
        ci_high=unknown,
        n_joiners=count_by_group(rows.group, joins.n_groups),
        n_events=count_by_group(rows.group[rows.label == 1], joins.n_groups),
        extra={"visited": visited, "hitting": hitting},
    )
    return found.rank(MARKOV_REMOVAL, joins, targets, min_joiners=options.min_joiners)


def mean_returns(moves: sparse.csr_array, visits: Float64, *, exact: bool) -> Float64:
    """Return N_gg, the mean number of visits to g of a path that starts in g.

    Parameters
    ----------
    moves
        Transition probabilities between groups, no group to itself.
    visits
        N_sg.
    exact
        Whether to invert I - moves. Otherwise N_gg = 1 + (Q^2)_gg + the rest, where the
        first return by way of one other group is exact, and a path that goes on from its
        third step is taken to visit g as often as paths visit g in general: the rest is
        (Q^3 m)_g N_sg / sum(N_s), m the mean number of joins still to come.
    """
    size = moves.shape[0]
    if exact:
        with threadpool_limits(limits=1, user_api="blas"):
            return np.asarray(np.linalg.inv(np.eye(size) - moves.toarray()).diagonal())
    at_once = np.asarray((moves * sparse.csr_array(moves.T)).sum(axis=1))
    still = solve_forward(moves, np.ones(size))
    later = moves @ (moves @ (moves @ still))
    share: npt.NDArray[np.float64] = visits / visits.sum()
    return np.asarray(1.0 + at_once + later * share)
