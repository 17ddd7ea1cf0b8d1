"""Item-item co-membership, which groups share members beyond their size; and friends of friends."""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, lean_kernel, parallel_kernel, part_kernel, prange, prefetch
from gateway.randomness_kernels import philox, uniform
from gateway.simulate.occasion_kernels import UNFEATURED_BY_PYMK, is_membership, occasions_before

# Lets no candidate be passed over by the roundings of the quick comparison.
_HAIR = 1.0 - 1e-9
# Members whose groups are asked for ahead of their turn.
_AHEAD = 8


@inner_kernel
def _count_one(users, cells, u, day):  # type: ignore[no-untyped-def]
    first = users[u].start
    n = 0
    for i in range(first, first + occasions_before(users, cells, u, day)):
        n += is_membership(cells[i])
    return n


@inner_kernel
def _count_some(users, cells, step, day, count, first, end):  # type: ignore[no-untyped-def]
    for m in range(first, end):
        ahead = min(m + _AHEAD, end - 1) * step
        prefetch(users, ahead + _AHEAD * step)
        prefetch(cells, users[ahead].start)
        prefetch(cells, users[ahead].start + np.int64(users[ahead].taken) - 1)
        count[m] = _count_one(users, cells, m * step, day)


@parallel_kernel
def count_memberships(users, cells, step, day, count, chunks):  # type: ignore[no-untyped-def]
    """Count what every ``step``-th user joined before ``day``."""
    n = len(count)
    for chunk in prange(chunks):
        _count_some(users, cells, step, day, count, chunk * n // chunks, (chunk + 1) * n // chunks)


@inner_kernel
def _list_one(users, cells, u, day, row, joined):  # type: ignore[no-untyped-def]
    first = users[u].start
    first_row = row
    for i in range(first, first + occasions_before(users, cells, u, day)):
        if is_membership(cells[i]):
            joined[row] = cells[i].group
            row += 1
    if row > first_row:
        joined[row - 1] = ~joined[row - 1]


@parallel_kernel
def list_memberships(users, cells, step, day, offsets, joined, chunks):  # type: ignore[no-untyped-def]
    """Fill ``joined`` with the groups of every ``step``-th user; the last of each is ~g."""
    n = len(offsets) - 1
    for chunk in prange(chunks):
        for m in range(chunk * n // chunks, (chunk + 1) * n // chunks):
            _list_one(users, cells, m * step, day, offsets[m], joined)


@lean_kernel
def list_members(offsets, joined, fill, member):  # type: ignore[no-untyped-def]
    """Put where each group's members' groups begin into its stretch of ``member``.

    ``fill`` moves to the end of the stretches.
    """
    for m in range(len(offsets) - 1):
        for i in range(offsets[m], offsets[m + 1]):
            g = max(joined[i], ~joined[i])
            member[fill[g]] = offsets[m]
            fill[g] += 1


@inner_kernel
def _count_common(joined, member, first, end, common, touched):  # type: ignore[no-untyped-def]
    """Count the members that each group shares; return how many groups share any."""
    n_touched = 0
    for m in range(first, end):
        prefetch(joined, member[min(m + _AHEAD, end - 1)])
        i = member[m]
        last = False
        while not last:
            last = joined[i] < 0
            h = max(joined[i], ~joined[i])
            # No branch: whether a group was met before is a coin toss for the processor.
            touched[n_touched] = h
            n_touched += common[h] == 0
            common[h] += 1
            i += 1
    return n_touched


@inner_kernel
def _insert(best, who, cosine, h):  # type: ignore[no-untyped-def]
    """Put h into the list of the nearest, if it belongs there."""
    n_nearest = len(best)
    place = n_nearest
    while place > 0 and (
        cosine > best[place - 1] or (cosine == best[place - 1] and h < who[place - 1])
    ):
        place -= 1
    if place == n_nearest:
        return
    for j in range(n_nearest - 1, place, -1):
        best[j] = best[j - 1]
        who[j] = who[j - 1]
    best[place] = cosine
    who[place] = h


@inner_kernel
def _nearest(g, size, touched, common, best, who):  # type: ignore[no-untyped-def]
    """Rank the touched groups by cosine; sets their counts back to zero."""
    best[:] = 0.0
    who[:] = -1
    bar = 0.0
    for h in touched:
        n_gh = np.float64(common[h])
        common[h] = 0
        # Few are near enough to be worth a square root.
        if h == g or n_gh * n_gh < bar * size[h]:
            continue
        _insert(best, who, n_gh / np.sqrt(size[g] * size[h]), h)
        bar = best[-1] * best[-1] * size[g] * _HAIR


@inner_kernel
def _keep(best, who, neighbour, weight):  # type: ignore[no-untyped-def]
    total = 0.0
    for j in range(len(best)):
        total += best[j]
        neighbour[j] = who[j]
        weight[j] = total


@parallel_kernel
def nearest_groups(  # type: ignore[no-untyped-def]
    joined, starts, member, size, chunks, neighbour, weight
):
    """Fill each group's nearest groups by cosine, and their cumulative cosines.

    cos(g, h) = n_gh / sqrt(n_g n_h), n_gh the number of common members. Equal cosines
    stand by id, which is arbitrary but the same in every run.
    """
    n_groups, n_nearest = neighbour.shape
    for chunk in prange(chunks):
        common = np.zeros(n_groups, np.int32)
        touched = np.empty(n_groups + 1, np.int32)
        best = np.empty(n_nearest, np.float64)
        who = np.empty(n_nearest, np.int32)
        for g in range(chunk * n_groups // chunks, (chunk + 1) * n_groups // chunks):
            n = _count_common(joined, member, starts[g], starts[g + 1], common, touched)
            _nearest(g, size, touched[:n], common, best, who)
            _keep(best, who, neighbour[g], weight[g])


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
