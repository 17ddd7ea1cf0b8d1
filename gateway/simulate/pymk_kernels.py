"""Friends of friends."""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel
from gateway.randomness_kernels import philox, uniform

__all__ = ["add_friends_of_friends"]


@inner_kernel
def _are_friends(users, friend, finds, last_find, u, v):  # type: ignore[no-untyped-def]
    first = users[u].friends
    for i in range(first, first + users[u].degree):
        if friend[i] == v:
            return True
    at = last_find[u]
    for _ in range(np.int64(users[u].found)):
        if finds[at].friend == v:
            return True
        at = finds[at].before
    return False


@inner_kernel
def _add(me, finds, last_find, n, u, v, day):  # type: ignore[no-untyped-def]
    finds[n].friend = v
    finds[n].before = last_find[u]
    finds[n].day = day
    last_find[u] = n
    me.found += 1


@inner_kernel
def _one_of(friend, me, x):  # type: ignore[no-untyped-def]
    """One of the friends at the start."""
    n = np.int64(me.degree)
    return np.int64(friend[me.friends + min(np.int64(x * n), n - 1)])


@inner_kernel
def add_friends_of_friends(  # type: ignore[no-untyped-def]
    users, friend, finds, last_find, n_finds, room, held_out, share, day, seed, stream
):
    """Let a share of users find one friend of a friend each; in order of users.

    A friendship that either side has no room for is not made. ``n_finds`` rows of ``finds``
    are taken; ``last_find`` is the last one of each user.
    """
    for u in range(len(users)):
        me = users[u]
        if held_out[u] or me.degree == 0 or me.found >= room:
            continue
        w0, w1, w2, _ = philox(seed, stream, u, day, 0)
        if uniform(w0) >= share:
            continue
        v = _one_of(friend, users[_one_of(friend, me, uniform(w1))], uniform(w2))
        if v == u or users[v].found >= room or _are_friends(users, friend, finds, last_find, u, v):
            continue
        _add(me, finds, last_find, n_finds, u, v, day)
        _add(users[v], finds, last_find, n_finds + 1, v, u, day)
        n_finds += 2
