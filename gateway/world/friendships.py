"""Friendships: degrees with a power-law tail, homophily, and triangles.

A degree-corrected block model (Karrer, Newman 2011) whose blocks are country and main
interest, and on top of it introductions that close triangles (Peixoto 2022). The graph
is what exists before anyone joins, and is never changed; friendships that come later
(PYMK) belong to whoever simulates them, in a table of their own, so that a new friend moves
nobody else's row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import Enum
from itertools import count
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.arrays import Float64, Int32, Int64
from gateway.config.platform import WorldSection
from gateway.randomness import Purpose, Stream, generator
from gateway.world.friendships_kernels import (
    count_ends,
    count_union,
    draw_introductions,
    draw_pairs,
    join_rows,
    list_ends,
    rename,
    sort_rows,
)
from gateway.world.model import Friendships, Users

# Nobody is expected to have more than so many times the mean number of friends. Facebook's
# limit of 5,000 stood at 26 times the mean of 190 (Ugander et al. 2011, "The anatomy of the
# Facebook social graph", arXiv:1111.4503).
CUT = 25.0
# Rounds of drawing what repeats left missing. Each leaves a small share of the one before,
# unless blocks are nearly complete.
ROUNDS = 20
# A round costs a copy of the graph. What is missing below this share of all edges is left
# to the next way of drawing; the last way leaves nothing.
NEGLIGIBLE = 1e-3
# Chunks of users in which pairs are sorted into rows. Any number gives the same rows.
CHUNKS = 8

# Seed, stream and number of a round, and the shift of its systematic sample.
RoundKey = tuple[int, int, int, float]


class Way(Enum):
    """How friends find each other."""

    BLOCK = "within the same country and main interest"
    COUNTRY = "within the same country"
    ANYWHERE = "among all"
    INTRODUCTION = "through a common friend"


class Places(NamedTuple):
    """Users in the order of their blocks, and how to find one by weight."""

    order: Int32  # shape (n_users,): the user at each place
    total: Float64  # shape (n_users + 1,): running total of the weights
    guide: Int32  # shape (n_users,): where to begin to look for a point of the total
    block: npt.NDArray[np.uint16]  # shape (n_users,): block of each place
    # For each way of drawing a pair and each block of the first: the first place and the end of
    # where the second is sought, int64, shape (n_blocks,).
    scope: dict[Way, tuple[Int64, Int64]]


def draw_friendships(
    section: WorldSection, users: Users, *, seed: int, chunks: int = CHUNKS
) -> Friendships:
    """Draw the undirected friend graph of a world.

    Users have weights from a Pareto distribution with exponent ``friend_tail``, cut off.
    Each begins a share of the friendships that is in proportion to the weight, with
    somebody drawn by weight among those of the same country and main interest, of the same
    country, or all. The last ``friend_clustering`` of the friendships are introductions:
    everybody, in proportion to the number of friends, draws four of them, puts them in
    order of their numbers of friends, and introduces the first two or the last two to each
    other. Who are friends already are drawn again.

    Parameters
    ----------
    section
        ``mean_friends``, ``friend_tail``, ``friend_homophily``, ``friend_country`` and
        ``friend_clustering``.
    users
        Of whom only country and interest have an influence.
    seed
        Seed of the world.
    chunks
        Of users, into which the work is cut; it changes no result.

    Returns
    -------
    Friendships
        With ``mean_friends`` x users / 2 edges, rounded, and fewer only where pairs run
        out. The same bits for any number of threads.

    Notes
    -----
    Expected degrees are proportional to the weights, and pairs to their product (Karrer,
    Newman 2011, Phys. Rev. E 83, 016107; numbers of edges are fixed here, Poisson there).
    Introductions keep that: the introducer's friends are equally likely among the four,
    and each of the four is one of the two with chance 1/2. Who has two or three friends
    introduces any two of them.

    With s the share of edges within a scope beyond chance, Newman's assortativity
    coefficient (2003, Phys. Rev. E 67, 026126, eq. 2) by country is s, and by block hardly
    more. Two steps within nested scopes are one step within the wider one, so the ends of
    a wedge have s^2; pairs are drawn with what makes the mixture come out as configured.

    Every introduction closes a triangle. To first order in c, the share of introductions,
    the local clustering of a user with k friends is 3 c / (k - 1): lower for users with
    many friends, as in real networks.

    It misleads in worlds of a few hundred users, where heavy users know their whole block:
    homophily and the tail fall short. Circles smaller than a block are not modelled, so
    users with hundreds of friends have too few triangles. Holme, Kim (2002, Phys. Rev. E
    65, 026107) close triangles while a graph grows, Pfeiffer et al. (2012,
    arXiv:1202.4805) with expected degrees kept, Peixoto (2022, Phys. Rev. X 12, 011004)
    on top of a block model.
    """
    n, mean = len(users), section.mean_friends
    graph = _nobody_knows_anybody(n)
    n_edges = min(round(n * mean / 2), n * (n - 1) // 2)
    if n_edges == 0:
        return graph
    rng = generator(seed, Purpose.FRIENDSHIPS)
    places = _place_by_block(users, _draw_weights(rng, n, mean, section.friend_tail))
    keys = _draw_keys(rng, seed=seed)
    for way, upto, few in _plan(section, n_edges):
        graph = _befriend(graph, places, way, upto, few, keys, chunks)
    return _rename(graph, places.order)


def _nobody_knows_anybody(n_users: int) -> Friendships:
    return Friendships(offsets=np.zeros(n_users + 1, np.int64), friend=np.empty(0, np.int32))


def _plan(section: WorldSection, n_edges: int) -> list[tuple[Way, int, int]]:
    """In which order edges are drawn, up to how many in all, and how many may be missing.

    What one way leaves is up to the next; what introductions leave is drawn among all.
    """
    closed = section.friend_clustering
    within_block = section.friend_homophily
    within_country = within_block + (1 - within_block) * section.friend_country
    paired = round(n_edges * (1 - closed))
    few = int(n_edges * NEGLIGIBLE)
    return [
        (Way.BLOCK, round(paired * _before_closure(within_block, closed)), few),
        (Way.COUNTRY, round(paired * _before_closure(within_country, closed)), few),
        (Way.ANYWHERE, paired, few),
        (Way.INTRODUCTION, n_edges, few),
        (Way.ANYWHERE, n_edges, 0),
    ]


def _before_closure(share: float, closed: float) -> float:
    """Return s with (1 - closed) s + closed s^2 = share: a closed wedge is two steps long."""
    return 2 * share / (1 - closed + math.sqrt((1 - closed) ** 2 + 4 * closed * share))


def _draw_weights(rng: np.random.Generator, n_users: int, mean: float, tail: float) -> Float64:
    """Expected numbers of friends: p(x) ~ x^-tail from a lowest number up to a highest.

    The highest is ``CUT`` times the mean, or less in a small world: two users of
    sqrt(mean x users) each would be expected to be friends once (Boguna, Pastor-Satorras,
    Vespignani 2004, Eur. Phys. J. B 38, 205), and nobody can be that more than once.
    """
    high = max(mean, min(CUT * mean, math.sqrt(mean * n_users)))
    low = _lowest(mean, high, tail)
    shape = tail - 1
    share = rng.random(n_users)
    share *= -math.expm1(shape * math.log(low / high))
    return low * np.power(1 - share, -1 / shape)


def _lowest(mean: float, high: float, tail: float) -> float:
    """Return where a Pareto variable cut off at ``high`` has to begin to have the mean."""
    low, upper = 0.0, mean
    for _ in range(50):
        middle = (low + upper) / 2
        if _pareto_mean(middle, high, tail) < mean:
            low = middle
        else:
            upper = middle
    return (low + upper) / 2


def _pareto_mean(low: float, high: float, tail: float) -> float:
    """Mean of p(x) ~ x^-tail on [low, high], tail > 2."""
    shape, ratio = tail - 1, math.log(low / high)
    return low * shape / (shape - 1) * math.expm1((shape - 1) * ratio) / math.expm1(shape * ratio)


def _place_by_block(users: Users, weight: Float64) -> Places:
    """Put users into the order of their blocks; a country's blocks stand together."""
    n_topics = users.interest.shape[1]
    block = users.country * np.uint16(n_topics) + users.interest.argmax(axis=1).astype(np.uint16)
    order = np.argsort(block, kind="stable").astype(np.int32)
    total = np.concatenate([[0.0], np.cumsum(weight[order])])
    steps = np.arange(len(order)) * (total[-1] / len(order))
    guide = np.searchsorted(total, steps, side="right") - 1
    code = np.arange(256 * n_topics)
    first = _offsets(np.bincount(block, minlength=len(code)))
    country = code - code % n_topics
    scope = {
        Way.BLOCK: (first[code], first[code + 1]),
        Way.COUNTRY: (first[country], first[country + n_topics]),
        Way.ANYWHERE: (np.zeros_like(code), np.full_like(code, len(order))),
    }
    return Places(order, total, guide.astype(np.int32), block[order], scope)


def _draw_keys(rng: np.random.Generator, *, seed: int) -> Iterator[RoundKey]:
    """Yield the key of each round, one after the other."""
    for number in count(1):
        yield seed, int(Stream.FRIENDSHIPS), number, rng.random()


def _befriend(
    graph: Friendships,
    places: Places,
    way: Way,
    upto: int,
    few: int,
    keys: Iterator[RoundKey],
    chunks: int,
) -> Friendships:
    """Draw edges one way until there are ``upto`` or only a few are missing."""
    for _ in range(ROUNDS):
        missing = upto - len(graph.friend) // 2
        if missing <= few:
            break
        grown = _join(graph, *_draw_round(graph, places, way, missing, next(keys)), chunks)
        if len(grown.friend) == len(graph.friend):
            break
        graph = grown
    return graph


def _draw_round(
    graph: Friendships, places: Places, way: Way, n_pairs: int, key: RoundKey
) -> tuple[Int32, Int32]:
    """Draw pairs who are not friends yet, some of them perhaps twice; -1 for none found."""
    first, second = np.full(n_pairs, -1, np.int32), np.full(n_pairs, -1, np.int32)
    rows = graph.offsets, graph.friend
    if way != Way.INTRODUCTION:
        low, high = places.scope[way]
        weights = places.total, places.guide, places.block
        draw_pairs(*key, *weights, low, high, *rows, first, second)
    elif len(graph.friend) > 0:
        draw_introductions(*key, *rows, first, second)
    return first, second


def _join(graph: Friendships, first: Int32, second: Int32, chunks: int) -> Friendships:
    """Add pairs to a graph, each in both directions; repeats and pairs with -1 vanish."""
    n_users = len(graph.offsets) - 1
    cuts = np.arange(chunks + 1) * n_users // chunks
    degree = np.zeros(n_users, np.int64)
    count_ends(first, second, cuts, degree)
    offsets = _offsets(degree)
    other = np.empty(offsets[-1], np.int32)
    list_ends(first, second, cuts, offsets[:-1].copy(), other)
    sort_rows(offsets, other)
    count_union(graph.offsets, graph.friend, offsets, other, degree)
    joined = Friendships(_offsets(degree), np.empty(degree.sum(), np.int32))
    join_rows(graph.offsets, graph.friend, offsets, other, joined.offsets, joined.friend)
    return joined


def _rename(graph: Friendships, order: Int32) -> Friendships:
    """Return the graph with users instead of places."""
    place = np.empty_like(order)
    place[order] = np.arange(len(order), dtype=order.dtype)
    offsets = _offsets(np.diff(graph.offsets)[place])
    friend = np.empty_like(graph.friend)
    rename(graph.offsets, graph.friend, order, place, offsets, friend)
    return Friendships(offsets, friend)


def _offsets(counts: Int64) -> Int64:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
