"""Friends of friends."""

from __future__ import annotations

import numpy as np

from gateway._numba import kernel
from gateway.randomness_kernels import philox, uniform

__all__ = ["add_friends_of_friends"]


@kernel
def _are_friends(offsets, friend, extra_count, extra_friend, u, v):  # type: ignore[no-untyped-def]
    for i in range(offsets[u], offsets[u + 1]):
        if friend[i] == v:
            return True
    for i in range(extra_count[u]):
        if extra_friend[u, i] == v:
            return True
    return False


@kernel
def _add(extra_count, extra_friend, extra_day, u, v, day):  # type: ignore[no-untyped-def]
    extra_friend[u, extra_count[u]] = v
    extra_day[u, extra_count[u]] = day
    extra_count[u] += 1


@kernel
def add_friends_of_friends(  # type: ignore[no-untyped-def]
    offsets, friend, extra_count, extra_friend, extra_day, held_out, share, day, seed, stream
):
    """Let a share of users find one friend of a friend each; in order of users.

    A friendship that either side has no room for is not made.
    """
    room = extra_friend.shape[1]
    for u in range(len(held_out)):
        n_u = offsets[u + 1] - offsets[u]
        if held_out[u] or n_u == 0 or extra_count[u] >= room:
            continue
        w0, w1, w2, _ = philox(seed, stream, u, day, 0)
        if uniform(w0) >= share:
            continue
        f = friend[offsets[u] + min(np.int64(uniform(w1) * n_u), n_u - 1)]
        n_f = offsets[f + 1] - offsets[f]
        v = friend[offsets[f] + min(np.int64(uniform(w2) * n_f), n_f - 1)]
        if v == u or extra_count[v] >= room:
            continue
        if _are_friends(offsets, friend, extra_count, extra_friend, u, v):
            continue
        _add(extra_count, extra_friend, extra_day, u, v, day)
        _add(extra_count, extra_friend, extra_day, v, u, day)
