"""Friends of friends."""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel
from gateway.randomness_kernels import philox, uniform

__all__ = ["add_friends_of_friends"]


@inner_kernel
def _are_friends(users, friend, found, u, v):  # type: ignore[no-untyped-def]
    first = users[u].friends
    for i in range(first, first + users[u].degree):
        if friend[i] == v:
            return True
    for i in range(np.int64(users[u].found)):
        if found[u, i] == v:
            return True
    return False


@inner_kernel
def _add(me, found, found_day, u, v, day):  # type: ignore[no-untyped-def]
    found[u, me.found] = v
    found_day[u, me.found] = day
    me.found += 1


@inner_kernel
def _one_of(friend, me, x):  # type: ignore[no-untyped-def]
    """One of the friends at the start."""
    n = np.int64(me.degree)
    return np.int64(friend[me.friends + min(np.int64(x * n), n - 1)])


@inner_kernel
def add_friends_of_friends(  # type: ignore[no-untyped-def]
    users, friend, found, found_day, held_out, share, day, seed, stream
):
    """Let a share of users find one friend of a friend each; in order of users.

    A friendship that either side has no room for is not made.
    """
    room = found.shape[1]
    for u in range(len(users)):
        me = users[u]
        if held_out[u] or me.degree == 0 or me.found >= room:
            continue
        w0, w1, w2, _ = philox(seed, stream, u, day, 0)
        if uniform(w0) >= share:
            continue
        v = _one_of(friend, users[_one_of(friend, me, uniform(w1))], uniform(w2))
        if v == u or users[v].found >= room or _are_friends(users, friend, found, u, v):
            continue
        _add(me, found, found_day, u, v, day)
        _add(users[v], found, found_day, v, u, day)
