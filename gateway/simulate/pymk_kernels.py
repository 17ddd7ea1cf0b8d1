"""Friends of friends."""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, lean_kernel, parallel_kernel, part_kernel, prange, prefetch
from gateway.randomness_kernels import philox, uniform
from gateway.simulate.occasion_kernels import UNFEATURED_BY_PYMK

# Users ahead of the one at work whose record, and whose friends, are asked for.
_FAR, _NEAR = 12, 6


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


@part_kernel
def _which(me, x):  # type: ignore[no-untyped-def]
    """Number of one of the friends at the start."""
    n = np.int64(me.degree)
    return min(np.int64(x * n), n - 1)


@part_kernel
def _list_asked(held_out, share, who, first, end, day, seed, stream):  # type: ignore[no-untyped-def]
    """Put the users who are shown somebody into ``who`` from ``first`` on; return the end."""
    n = first
    for u in range(first, end):
        w0, _, _, _ = philox(seed, stream, u, day, 0)
        who[n] = u
        n += (uniform(w0) < share) & (not held_out[u])
    return n


@inner_kernel
def _ask(users, friend, held_out, share, who, whom, first, end, day, seed, stream):  # type: ignore[no-untyped-def]
    """Find a friend of a friend for each of a stretch of users; return how many are asked."""
    last = _list_asked(held_out, share, who, first, end, day, seed, stream)
    for i in range(first, last):
        prefetch(users, who[i])
    # Link by link, each asked for before it is looked at.
    for i in range(first, last):
        me = users[who[i]]
        _, w1, _, _ = philox(seed, stream, who[i], day, 0)
        whom[i] = me.friends + _which(me, uniform(w1)) if me.degree > 0 else -1
        prefetch(friend, max(whom[i], 0))
    for i in range(first, last):
        if whom[i] >= 0:
            whom[i] = friend[whom[i]]
            prefetch(users, whom[i])
    for i in range(first, last):
        if whom[i] >= 0:
            _, _, w2, _ = philox(seed, stream, who[i], day, 0)
            whom[i] = users[whom[i]].friends + _which(users[whom[i]], uniform(w2))
            prefetch(friend, whom[i])
    for i in range(first, last):
        if whom[i] >= 0:
            whom[i] = friend[whom[i]]
    return last - first


@parallel_kernel
def ask_friends(  # type: ignore[no-untyped-def]
    users, friend, held_out, share, who, whom, n_asked, day, seed, stream
):
    """Note who is shown somebody, and whom: a friend of a friend, -1 for who has no friends.

    Each chunk of users has its own stretch of ``who`` and ``whom``, a place for each of them,
    and fills ``n_asked`` from its beginning.
    """
    n, chunks = len(who), len(n_asked)
    for chunk in prange(chunks):
        n_asked[chunk] = _ask(
            users, friend, held_out, share, who, whom, chunk * n // chunks,
            (chunk + 1) * n // chunks, day, seed, stream,
        )  # fmt: skip


@part_kernel
def _befriend(users, friend, finds, last_find, n_finds, room, u, v, day):  # type: ignore[no-untyped-def]
    """Make u and v friends where both have room and v may be shown; return the number of finds."""
    me = users[u]
    if v < 0 or v == u or me.found >= room or users[v].found >= room:
        return n_finds
    if users[v].holdouts & UNFEATURED_BY_PYMK:
        return n_finds
    if _are_friends(users, friend, finds, last_find, u, v):
        return n_finds
    _add(me, finds, last_find, n_finds, u, v, day)
    _add(users[v], finds, last_find, n_finds + 1, v, u, day)
    return n_finds + 2


@lean_kernel
def add_friends(  # type: ignore[no-untyped-def]
    users, friend, finds, last_find, n_finds, room, who, whom, n_asked, day
):
    """Make friends of those whom ``ask_friends`` noted; in order of users.

    A friendship that either side has no room for is not made. ``n_finds`` rows of ``finds``
    are taken; ``last_find`` is the last one of each user.
    """
    n, chunks = len(who), len(n_asked)
    for chunk in range(chunks):
        first = chunk * n // chunks
        last = first + n_asked[chunk] - 1
        for i in range(first, last + 1):
            ahead = min(i + _FAR, last)
            prefetch(users, who[ahead])
            prefetch(users, max(whom[ahead], 0))
            prefetch(last_find, who[ahead])
            prefetch(friend, users[who[min(i + _NEAR, last)]].friends)
            n_finds = _befriend(
                users, friend, finds, last_find, n_finds, room, who[i], whom[i], day
            )
