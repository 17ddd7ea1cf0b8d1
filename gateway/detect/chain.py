"""The absorbing Markov chain of users' joins, and the two detectors that walk on it.

Start, groups, then a target or the end: how many paths a group's removal would lose, and how
near it is to the targets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from gateway.arrays import Float64, Int32, Int64, Mask
from gateway.config.detectors import HittingOptions, MarkovRemovalOptions
from gateway.detect.detection import Detection, Findings, count_by_group, sum_by_group
from gateway.detect.measure import Measure, Quantity
from gateway.log.join_log import JoinLog
from gateway.score import Prefixes, build_prefixes
from gateway.targets import TargetSet

# Sums of probabilities are exact to about 1e-16 a term; iterating further changes nothing.
_PRECISION = 1e-13
_MOST_STEPS = 100_000


@dataclass(frozen=True, eq=False)
class Chain:
    """Counts of transitions between a user's joins, up to the first target join.

    The joins of one tick have no inner order, so their transitions are averaged over all
    orders: from a block of a joins to the next of b each pair counts 1 / (a b), within it
    each ordered pair 1 / a, and each of its joins is the last with 1 / a.
    """

    moves: sparse.csr_array  # sparse, shape (n_groups, n_groups): from one group to another
    starts: Float64  # shape (n_groups,): from the start into a group
    # Shape (n_groups,): from a group to the first target join, or to no further join.
    to_target: Float64
    to_end: Float64
    direct: float  # users whose first join is a target (or in its tick)
    n_paths: float  # all users with a join

    @property
    def visits(self) -> Float64:
        """Joins of each group that are part of a path, shape (n_groups,)."""
        return np.asarray(self.moves.sum(axis=1) + self.to_target + self.to_end)

    def probabilities(self) -> tuple[sparse.csr_array, Float64, Float64]:
        """Return transition probabilities: between groups, from start to them, to a target."""
        visits = self.visits
        scale = np.divide(1.0, visits, out=np.zeros(len(visits)), where=visits > 0)
        moves = sparse.csr_array(sparse.diags_array(scale) @ self.moves)
        return moves, self.starts / self.n_paths, self.to_target * scale


def build_chain(joins: JoinLog, targets: TargetSet, *, rows: Prefixes | None = None) -> Chain:
    """Count the transitions of a log; ``rows``: its prefixes, where they are there already.

    Memory and time are O(joins) but for large tie blocks: a block of a joins has a (a - 1)
    pairs within it.
    """
    rows = build_prefixes(joins, targets, seed=None) if rows is None else rows
    block = np.cumsum(rows.starts_block, dtype=np.int32) - np.int32(1)
    size = np.bincount(block)
    share = 1.0 / size[block]
    has_row = np.diff(rows.offsets) > 0
    is_first, is_last = (_in_block_of(ends[has_row], block, rows)
                         for ends in (rows.offsets[:-1], rows.offsets[1:] - 1))  # fmt: skip
    reached = rows.label == 1
    converts = np.unique(joins.user()[targets.mask[joins.group]])
    return Chain(
        moves=_moves(rows, share, size),
        starts=_weighed(rows, share, is_first),
        to_target=_weighed(rows, share, is_last & reached),
        to_end=_weighed(rows, share, is_last & ~reached),
        direct=float(np.count_nonzero(~has_row[converts])),
        n_paths=float(np.count_nonzero(np.diff(joins.offsets))),
    )


def _in_block_of(at: Int64, block: Int32, rows: Prefixes) -> Mask:
    """Whether each row is in the block of one row of its user, given for users with any."""
    counts = np.diff(rows.offsets)
    return np.asarray(np.repeat(block[at], counts[counts > 0]) == block)


def _weighed(rows: Prefixes, share: Float64, of: Mask) -> Float64:
    return sum_by_group(rows.group[of], share[of], rows.n_groups)


def _moves(rows: Prefixes, share: Float64, size: Int64) -> sparse.csr_array:
    """Transitions from block to next block, and within blocks."""
    group, n = rows.group, rows.n_groups
    if len(size) == 0:
        return sparse.csr_array((n, n))
    first = np.flatnonzero(rows.starts_block).astype(np.int32)
    user = rows.user()[first]
    places = np.append(first, np.int32(len(group)))
    second, last, shape = places[1], places[-2], (len(size) - 1, n)
    # A user's last block is followed by none: its shares count zero.
    follows = np.repeat(user[1:] == user[:-1], size[:-1])
    before = sparse.csr_array((share[:last] * follows, group[:last], places[:-1]), shape=shape)
    after = sparse.csr_array((share[second:], group[second:], places[1:] - second), shape=shape)
    between = before.T @ after
    shared = np.flatnonzero(size > 1)
    members = sparse.csr_array((share, group, places), shape=(len(size), n))[shared]
    ones = members.copy()
    ones.data = np.ones_like(ones.data)
    within = sparse.csr_array(members.T @ ones)
    within.setdiag(0.0)
    moves = sparse.csr_array(between + within)
    moves.eliminate_zeros()
    return moves


def solve_forward(moves: sparse.csr_array, gain: Float64) -> Float64:
    """Solve x = moves x + gain: what is gained in all from each state on."""
    return _iterate(lambda x: np.asarray(moves @ x) + gain, gain)


def solve_visits(moves: sparse.csr_array, starts: Float64) -> Float64:
    """Solve x = moves^T x + starts: the mean number of visits to each state."""
    back = sparse.csr_array(moves.T)
    return _iterate(lambda x: np.asarray(back @ x) + starts, starts)


def _iterate(step: Callable[[Float64], Float64], start: Float64) -> Float64:
    """Add up the Neumann series: every path ends, so what is left shrinks geometrically."""
    x = start
    for _ in range(_MOST_STEPS):
        new = step(x)
        change, x = float(np.abs(new - x).max(initial=0.0)), new
        if change <= _PRECISION * float(np.abs(x).max(initial=0.0)):
            break
    return x


def _findings(score: Float64, rows: Prefixes, **extra: Float64) -> Findings:
    """Return what is the estimate too, without interval or test, with its joiners and events."""
    unknown = np.full(rows.n_groups, np.nan)
    return Findings(
        score=score,
        estimate=score,
        ci_low=unknown,
        ci_high=unknown,
        n_joiners=count_by_group(rows.group, rows.n_groups),
        n_events=count_by_group(rows.group[rows.label == 1], rows.n_groups),
        extra=extra,
    )


# Removal -------------------------------------------------------------------------------------


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
    rows = build_prefixes(joins, targets, seed=None)
    chain = build_chain(joins, targets, rows=rows)
    moves, starts, gain = chain.probabilities()
    hitting, visits = solve_forward(moves, gain), solve_visits(moves, starts)
    overall = float(starts @ hitting) + chain.direct / chain.n_paths
    returns = mean_returns(moves, visits, exact=joins.n_groups <= options.exact_groups)
    visited = visits / returns
    effect = visited * hitting / overall if overall > 0.0 else np.zeros(joins.n_groups)
    found = _findings(effect, rows, visited=visited, hitting=hitting)
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
    share: Float64 = visits / visits.sum()
    return np.asarray(1.0 + at_once + later * share)


# Hitting and walking back --------------------------------------------------------------------

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
    rows = build_prefixes(joins, targets, seed=None)
    chain = build_chain(joins, targets, rows=rows)
    moves, _, gain = chain.probabilities()
    hitting = solve_forward(moves, gain)
    pagerank = _walk_back(chain, damping=options.damping)
    found = _findings(
        hitting if options.measure == "hitting" else pagerank, rows,
        hitting=hitting, pagerank=pagerank,
    )  # fmt: skip
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
