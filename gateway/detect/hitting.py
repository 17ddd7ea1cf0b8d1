"""How near a group is to the targets on the paths of users: hitting and walking back."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from gateway.arrays import Float64
from gateway.config.detectors import HittingOptions
from gateway.detect.chain import Chain, build_chain, solve_forward, solve_visits
from gateway.detect.detection import Detection
from gateway.detect.findings import Findings, count_by_group
from gateway.detect.measure import Measure, Quantity
from gateway.log.join_log import JoinLog
from gateway.score import build_prefixes
from gateway.targets import TargetSet

__all__ = ["HITTING", "HittingOptions", "detect_by_hitting"]


_NEARNESS = Quantity(
    "hitting probability or PageRank",
    "probability that a path leads from the group to a target, or how often a walk back from "
    "the targets comes by it",
)
HITTING = Measure(
    detector="hitting",
    estimate=_NEARNESS,
    score=_NEARNESS,
    joiners="joiners at risk",
    events="joiners who join a target later",
)


def detect_by_hitting(
    joins: JoinLog, targets: TargetSet, *, options: HittingOptions | None = None
) -> Detection:
    """Rank groups by the chance that the chain of joins leads from them to a target.

    On the absorbing chain of ``Chain``, h = Q h + r, with Q the transitions between groups
    and r those to the first target join: h_g is the probability of ever reaching a target
    from g. Or, the other way round, a random walk begins at the first target join, goes
    from each join to one that came just before it, in proportion to how often it did, and
    begins anew with probability 1 - damping or where a path has its start: its stationary
    share at g is the personalised PageRank of g. No interval, no test, nothing flagged.

    *When it misleads.* h of a small group rests on few transitions and is not shrunken;
    PageRank grows with the size of a group. Both follow the flow, and what is inclined to
    the targets flows there by itself.

    Cost: O(transitions) a step of the iteration, some tens to hundreds of steps.

    Parameters
    ----------
    joins, targets
        The log and the target set.
    options
        Choices; by default ``HittingOptions()``.

    Returns
    -------
    Detection
        Score and estimate are the chosen measure, ``n_events`` counts joiners with a target
        join later; extra columns ``hitting`` and ``pagerank``.

    References
    ----------
    Kemeny, Snell (1960), "Finite Markov chains", theorem 3.5.7. Haveliwala (2002),
    "Topic-sensitive PageRank", WWW.
    """
    options = options or HittingOptions()
    chain, rows = build_chain(joins, targets), build_prefixes(joins, targets, seed=None)
    moves, _, gain = chain.probabilities()
    hitting = solve_forward(moves, gain)
    pagerank = _walk_back(chain, damping=options.damping)
    score = hitting if options.measure == "hitting" else pagerank
    unknown = np.full(joins.n_groups, np.nan)
    found = Findings(
        score=score,
        estimate=score,
        ci_low=unknown,
        ci_high=unknown,
        n_joiners=count_by_group(rows.group, joins.n_groups),
        n_events=count_by_group(rows.group[rows.label == 1], joins.n_groups),
        extra={"hitting": hitting, "pagerank": pagerank},
    )
    return found.rank(HITTING, joins, targets, min_joiners=options.min_joiners)


def _walk_back(chain: Chain, *, damping: float) -> Float64:
    """Personalised PageRank of the groups on the reversed chain, restarting at the target.

    Visits per restart, x = d P^T x + d b, and the target's own one of each restart; every
    step from the target and every start of a path is a restart. Their shares sum to 1 with
    that of the target.
    """
    arrivals = np.asarray(chain.moves.sum(axis=0)) + chain.starts
    scale = np.divide(1.0, arrivals, out=np.zeros(len(arrivals)), where=arrivals > 0)
    back = sparse.csr_array(sparse.diags_array(damping * scale) @ chain.moves.T)
    reached = float(chain.to_target.sum()) + chain.direct
    if reached == 0.0:
        return np.zeros(len(scale))
    visits = solve_visits(back, damping * chain.to_target / reached)
    return np.asarray(visits / (1.0 + visits.sum()))
