"""Cutting each user's joins at the first target join, and labelling what is left."""

from __future__ import annotations

import numpy as np

from gateway._numba import parallel_kernel, prange

# Tick of a target join that never comes.
NEVER = np.iinfo(np.int64).max


@parallel_kernel
def cut_at_target(offsets, group, time, is_target, first_target, count):  # type: ignore[no-untyped-def]
    """Fill the tick of each user's first target join, and the number of joins before it."""
    for u in prange(len(offsets) - 1):
        first_target[u] = NEVER
        end = offsets[u + 1]
        for i in range(offsets[u], offsets[u + 1]):
            if is_target[group[i]]:
                first_target[u] = time[i]
                end = i
                break
        while end > offsets[u] and time[end - 1] == first_target[u]:
            end -= 1
        count[u] = end - offsets[u]


@parallel_kernel
def lay_out(  # type: ignore[no-untyped-def]
    offsets,
    group,
    time,
    first_target,
    until,
    horizon,
    first,
    row_group,
    row_time,
    starts,
    ends,
    label,
):
    """Write the rows of each user; ``horizon`` below zero stands for none."""
    for u in prange(len(offsets) - 1):
        n = first[u + 1] - first[u]
        for j in range(n):
            i = offsets[u] + j
            row = first[u] + j
            row_group[row] = group[i]
            row_time[row] = time[i]
            starts[row] = j == 0 or time[i] != time[i - 1]
            ends[row] = j == n - 1 or time[i] != time[i + 1]
            reached = np.int64(time[i]) + horizon
            if horizon < 0:
                label[row] = first_target[u] != NEVER
            elif reached > until[u]:
                label[row] = -1
            else:
                label[row] = first_target[u] <= reached
