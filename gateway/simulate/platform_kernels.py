"""The platform's inner loops: occasions in time, and one day of joins.

Everything random is Philox: key (seed, stream), counter (user, occasion, draw).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gateway._numba import kernel, parallel_kernel, prange
from gateway.randomness_kernels import philox, uniform, uniform52

__all__ = [
    "MECHANISM_FRIENDS",
    "MECHANISM_INTENT",
    "MECHANISM_RECOMMENDATION",
    "Scenery",
    "State",
    "advance_day",
    "draw_days",
]

MECHANISM_INTENT = 0
MECHANISM_RECOMMENDATION = 1
MECHANISM_FRIENDS = 2
_NOBODY = np.int32(-1)


class Scenery(NamedTuple):
    """What does not change while users join. Letters as in docs/simulator.md."""

    interest: np.ndarray  # theta[u, k]
    user_country: np.ndarray
    friend_offsets: np.ndarray
    friend: np.ndarray
    mix: np.ndarray  # m[g, k]
    created: np.ndarray
    strength: np.ndarray  # beta[g]
    shelf: np.ndarray  # cumulative topic x appeal by [country, topic, group]
    cut_recommendation: float  # mechanism by one uniform: below this, recommendation;
    cut_friends: float  # else below this, friends; else intent
    attempts: int


class State(NamedTuple):
    """What changes. User u owns the cells ``start[u]`` to ``start[u + 1]``."""

    start: np.ndarray
    group: np.ndarray
    time: np.ndarray
    mechanism: np.ndarray
    seed_group: np.ndarray
    joined: np.ndarray  # groups joined so far
    seen: np.ndarray  # groups joined before the day began: all that others can see
    boost: np.ndarray  # sum of beta over the gateways joined


@parallel_kernel
def draw_days(seed, stream, start, arrival, n_days, day):  # type: ignore[no-untyped-def]
    """Fill ``day`` with each user's occasions, uniform from arrival to the end, sorted."""
    for u in prange(len(arrival)):
        for i in range(start[u], start[u + 1]):
            high, low, _, _ = philox(seed, stream, u, i - start[u], 0)
            span = n_days - arrival[u]
            day[i] = arrival[u] + np.int32(uniform52(high, low) * span)
        day[start[u] : start[u + 1]].sort()


@kernel
def _search(cumulative, x):  # type: ignore[no-untyped-def]
    """Return the first position whose cumulative weight exceeds x."""
    low, high = 0, len(cumulative) - 1
    while low < high:
        middle = (low + high) // 2
        if cumulative[middle] > x:
            high = middle
        else:
            low = middle + 1
    return low


@kernel
def _taste(scenery, state, u, k):  # type: ignore[no-untyped-def]
    """Return w[u, k], unnormalised: theta, times exp(boost) for the gateways' harm topic."""
    w = np.float64(scenery.interest[u, k])
    return w * np.exp(state.boost[u]) if k == 0 else w


@kernel
def _taste_total(scenery, state, u):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(scenery.interest.shape[1]):
        total += _taste(scenery, state, u, k)
    return total


@kernel
def _pick_by_intent(scenery, state, u, x_topic, x_group):  # type: ignore[no-untyped-def]
    """Draw a topic by taste, then a group of that topic by appeal, as seen from u's country."""
    point = x_topic * _taste_total(scenery, state, u)
    n_topics = scenery.interest.shape[1]
    k = 0
    below = _taste(scenery, state, u, 0)
    while below <= point and k < n_topics - 1:
        k += 1
        below += _taste(scenery, state, u, k)
    row = scenery.shelf[scenery.user_country[u], k]
    return np.int32(_search(row, x_group * row[-1]))


@kernel
def _pick_of(state, u, n, x):  # type: ignore[no-untyped-def]
    """Return one of the first n groups of user u."""
    return state.group[state.start[u] + min(np.int64(x * n), n - 1)]


@kernel
def _accepts(scenery, state, u, g, x):  # type: ignore[no-untyped-def]
    """Whether u joins a group that was put before it: 1 - exp(-K <m_g, w_u>)."""
    n_topics = scenery.interest.shape[1]
    match = 0.0
    for k in range(n_topics):
        match += scenery.mix[g, k] * _taste(scenery, state, u, k)
    affinity = n_topics * match / _taste_total(scenery, state, u)
    return x < 1.0 - np.exp(-affinity)


@kernel
def _is_member(state, u, g):  # type: ignore[no-untyped-def]
    first = state.start[u]
    for i in range(first, first + state.joined[u]):
        if state.group[i] == g:
            return True
    return False


@kernel
def _propose(scenery, state, neighbour, weight, u, x):  # type: ignore[no-untyped-def]
    """Return (group, mechanism, seed group, needs acceptance) for four uniforms x.

    A mechanism that has nothing to offer (no groups yet, no friends, no refit so far)
    gives way to intent.
    """
    x_mechanism, x_first, x_second, _ = x
    if x_mechanism < scenery.cut_recommendation:
        if state.joined[u] > 0:
            seed_group = _pick_of(state, u, state.joined[u], x_first)
            total = weight[seed_group, -1]
            if total > 0.0:
                g = neighbour[seed_group, _search(weight[seed_group], x_second * total)]
                return g, MECHANISM_RECOMMENDATION, seed_group, True
    elif x_mechanism < scenery.cut_friends:
        n_friends = scenery.friend_offsets[u + 1] - scenery.friend_offsets[u]
        if n_friends > 0:
            which = min(np.int64(x_first * n_friends), n_friends - 1)
            f = scenery.friend[scenery.friend_offsets[u] + which]
            if state.seen[f] > 0:
                g = _pick_of(state, f, state.seen[f], x_second)
                return g, MECHANISM_FRIENDS, _NOBODY, True
    return _pick_by_intent(scenery, state, u, x_first, x_second), MECHANISM_INTENT, _NOBODY, False


@kernel
def _join(scenery, state, u, g, day, mechanism, seed_group):  # type: ignore[no-untyped-def]
    cell = state.start[u] + state.joined[u]
    state.group[cell] = g
    state.time[cell] = day
    state.mechanism[cell] = mechanism
    state.seed_group[cell] = seed_group
    state.joined[u] += 1
    state.boost[u] += scenery.strength[g]


@kernel
def _take_occasion(  # type: ignore[no-untyped-def]
    scenery, state, neighbour, weight, seed, stream, u, occasion, day
):
    """Look at up to ``attempts`` groups; join the first that fits."""
    for attempt in range(scenery.attempts):
        w0, w1, w2, w3 = philox(seed, stream, u, occasion, attempt)
        x = (uniform(w0), uniform(w1), uniform(w2), uniform(w3))
        g, mechanism, seed_group, offered = _propose(scenery, state, neighbour, weight, u, x)
        if scenery.created[g] > day or _is_member(state, u, g):
            continue
        if offered and not _accepts(scenery, state, u, g, x[3]):
            continue
        _join(scenery, state, u, g, day, mechanism, seed_group)
        return


@parallel_kernel
def advance_day(  # type: ignore[no-untyped-def]
    scenery, state, neighbour, weight, seed, stream, day, visitor, first, last
):
    """Let everybody who has occasions today take them; all see the others as of last night.

    ``visitor[v]`` is a user with occasions today, ``first[v]`` to ``last[v]`` their
    numbers. A user is advanced by one thread only, and reads of others stop at ``seen``,
    which the caller moves on afterwards.
    """
    for v in prange(len(visitor)):
        for occasion in range(first[v], last[v]):
            _take_occasion(
                scenery, state, neighbour, weight, seed, stream, visitor[v], occasion, day
            )
