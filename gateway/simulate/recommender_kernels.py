"""Item-item co-membership: which groups share members beyond their size."""

from __future__ import annotations

import numpy as np

from gateway._numba import kernel, parallel_kernel, prange
from gateway.simulate.occasion_kernels import UNCONFIRMED

__all__ = ["count_members", "list_members", "nearest_groups"]


@kernel
def count_members(state, step, count):  # type: ignore[no-untyped-def]
    """Count the members of each group among every ``step``-th user."""
    for u in range(0, len(state.taken), step):
        for i in range(state.start[u], state.start[u] + state.taken[u]):
            if state.group[i] >= 0 and state.source[i] < UNCONFIRMED:
                count[state.group[i]] += 1


@kernel
def list_members(state, step, fill, member):  # type: ignore[no-untyped-def]
    """Put each group's members into its stretch of ``member``; ``fill`` moves to its end."""
    for u in range(0, len(state.taken), step):
        for i in range(state.start[u], state.start[u] + state.taken[u]):
            g = state.group[i]
            if g >= 0 and state.source[i] < UNCONFIRMED:
                member[fill[g]] = u
                fill[g] += 1


@parallel_kernel
def nearest_groups(state, offsets, member, chunks, neighbour, weight):  # type: ignore[no-untyped-def]
    """Fill each group's nearest groups by cosine, and their cumulative cosines.

    cos(g, h) = n_gh / sqrt(n_g n_h), n_gh the number of common members. Equal cosines
    stand by id, which is arbitrary but the same in every run.
    """
    n_groups, n_nearest = neighbour.shape
    for chunk in prange(chunks):
        common = np.zeros(n_groups, np.int64)
        touched = np.empty(n_groups, np.int32)
        best = np.empty(n_nearest, np.float64)
        who = np.empty(n_nearest, np.int32)
        for g in range(chunk * n_groups // chunks, (chunk + 1) * n_groups // chunks):
            n_touched = 0
            for m in range(offsets[g], offsets[g + 1]):
                u = member[m]
                for i in range(state.start[u], state.start[u] + state.taken[u]):
                    h = state.group[i]
                    if h < 0 or state.source[i] >= UNCONFIRMED:
                        continue
                    if common[h] == 0:
                        touched[n_touched] = h
                        n_touched += 1
                    common[h] += 1
            n_g = np.float64(offsets[g + 1] - offsets[g])
            best[:] = 0.0
            who[:] = -1
            for t in range(n_touched):
                h = touched[t]
                n_gh = common[h]
                common[h] = 0
                if h == g:
                    continue
                cosine = n_gh / np.sqrt(n_g * np.float64(offsets[h + 1] - offsets[h]))
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
