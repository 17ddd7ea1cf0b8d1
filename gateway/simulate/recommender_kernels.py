"""Item-item co-membership: which groups share members beyond their size."""

from __future__ import annotations

import numpy as np

from gateway._numba import parallel_kernel, prange

__all__ = ["nearest_groups"]


@parallel_kernel
def nearest_groups(  # type: ignore[no-untyped-def]
    start, count, group, member_offsets, member, chunks, neighbour, weight
):
    """Fill each group's nearest groups by cosine, and their cumulative cosines.

    cos(g, h) = n_gh / sqrt(n_g n_h), n_gh the number of common members. Equal cosines
    stand by id, which is arbitrary but the same in every run.
    """
    n_groups, n_nearest = neighbour.shape
    for chunk in prange(chunks):
        common = np.zeros(n_groups, np.int64)
        touched = np.empty(n_groups, np.int32)
        for g in range(chunk * n_groups // chunks, (chunk + 1) * n_groups // chunks):
            n_touched = 0
            for m in range(member_offsets[g], member_offsets[g + 1]):
                u = member[m]
                for i in range(start[u], start[u] + count[u]):
                    h = group[i]
                    if common[h] == 0:
                        touched[n_touched] = h
                        n_touched += 1
                    common[h] += 1
            n_g = member_offsets[g + 1] - member_offsets[g]
            best = np.zeros(n_nearest, np.float64)
            who = np.full(n_nearest, -1, np.int32)
            for t in range(n_touched):
                h = touched[t]
                n_gh = common[h]
                common[h] = 0
                if h == g:
                    continue
                n_h = member_offsets[h + 1] - member_offsets[h]
                cosine = n_gh / np.sqrt(np.float64(n_g) * np.float64(n_h))
                place = n_nearest
                while place > 0 and (
                    cosine > best[place - 1] or (cosine == best[place - 1] and h < who[place - 1])
                ):
                    place -= 1
                if place < n_nearest:
                    for j in range(n_nearest - 1, place, -1):
                        best[j] = best[j - 1]
                        who[j] = who[j - 1]
                    best[place] = cosine
                    who[place] = h
            total = 0.0
            for j in range(n_nearest):
                total += best[j]
                neighbour[g, j] = who[j]
                weight[g, j] = total
