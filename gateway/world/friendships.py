"""Friendships: heavy-tailed degrees, half of them among people of a kind."""

from __future__ import annotations

import numpy as np

from gateway.config.schema import WorldSection
from gateway.randomness import Purpose, generator
from gateway.world.model import Float64, Friendships, Int64, Users

__all__ = ["draw_friendships"]

# Tail exponent of the expected degrees, 1 + shape of the Pareto draw below; cut at
# CUT times the median so that no user is a friend of a visible share of everyone.
PARETO_SHAPE = 2.0
CUT = 50.0


def draw_friendships(section: WorldSection, users: Users, *, seed: int) -> Friendships:
    """Draw an undirected graph in the manner of a degree-corrected block model.

    Karrer, Newman (2011), "Stochastic blockmodels and community structure in networks",
    Phys. Rev. E 83, 016107. The first end of each edge is drawn by weight; the second,
    with probability ``friend_homophily``, by weight within the first one's block (same
    country and main interest), else by weight among everybody. Repeats and self-loops
    are dropped, so that the mean degree falls a little short of ``mean_friends``.
    """
    rng = generator(seed, Purpose.FRIENDSHIPS)
    n_edges = int(section.users * section.mean_friends / 2)
    weight = np.minimum(rng.pareto(PARETO_SHAPE, size=len(users)) + 1.0, CUT)
    block = users.country.astype(np.int64) * section.topics + users.interest.argmax(axis=1)
    order = np.argsort(block, kind="stable")
    cumulative = np.concatenate([[0.0], np.cumsum(weight[order])])
    first = order[_pick(cumulative, rng.random(n_edges), 0, len(users))]
    low = np.searchsorted(block[order], block[first], side="left")
    high = np.searchsorted(block[order], block[first], side="right")
    anywhere = rng.random(n_edges) >= section.friend_homophily
    low, high = np.where(anywhere, 0, low), np.where(anywhere, len(users), high)
    second = order[_pick(cumulative, rng.random(n_edges), low, high)]
    return _compress(first, second, len(users))


def _pick(cumulative: Float64, share: Float64, low: Int64 | int, high: Int64 | int) -> Int64:
    """Return positions in [low, high) drawn by weight from uniform ``share``."""
    point = cumulative[low] + share * (cumulative[high] - cumulative[low])
    found = np.searchsorted(cumulative, point, side="right") - 1
    return np.clip(found, low, np.asarray(high) - 1)


def _compress(first: Int64, second: Int64, n_users: int) -> Friendships:
    """Undirected edges to compressed rows without self-loops and repeats."""
    proper = first != second
    a, b = first[proper], second[proper]
    key = np.unique(np.concatenate([a * n_users + b, b * n_users + a]))
    offsets = np.searchsorted(key, np.arange(n_users + 1) * n_users)
    return Friendships(offsets=offsets.astype(np.int64), friend=(key % n_users).astype(np.int32))
