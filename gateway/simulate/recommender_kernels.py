"""Item-item co-membership: which groups share members beyond their size."""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, lean_kernel, parallel_kernel, prange, prefetch
from gateway.simulate.occasion_kernels import is_membership, occasions_before

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
