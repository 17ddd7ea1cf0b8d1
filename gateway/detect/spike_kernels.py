"""Inner loops of the spike detector."""

from __future__ import annotations

import numpy as np

from gateway._numba import kernel, parallel_kernel, prange

__all__ = ["add_by_group", "cell_moments", "own_history_z"]


@kernel
def cell_moments(cell, x, count, mean, spread):  # type: ignore[no-untyped-def]
    """Mean and sum of squared deviations of x in each cell (Welford 1962)."""
    for i in range(len(x)):
        c = cell[i]
        count[c] += 1
        d = x[i] - mean[c]
        mean[c] += d / count[c]
        spread[c] += d * (x[i] - mean[c])


@parallel_kernel
def own_history_z(offsets, starts_block, jump, fewest, z):  # type: ignore[no-untyped-def]
    """Distance of a jump from the median of the user's earlier jumps, in scaled MADs.

    Earlier means in an earlier block. Zero where there are fewer than ``fewest`` or
    where they do not vary.
    """
    for u in prange(len(offsets) - 1):
        past = 0
        for i in range(offsets[u], offsets[u + 1]):
            if starts_block[i]:
                past = i - offsets[u]
            z[i] = 0.0
            if past >= fewest:
                history = jump[offsets[u] : offsets[u] + past]
                centre = np.median(history)
                mad = 1.4826 * np.median(np.abs(history - centre))
                if mad > 0.0:
                    z[i] = (jump[i] - centre) / mad


@kernel
def add_by_group(group, spike, jump, label, expected, counts, sums):  # type: ignore[no-untyped-def]
    """Add up, by group: joiners, spikes, resolved, outcomes; jumps, expectation, variance."""
    for i in range(len(group)):
        g = group[i]
        counts[g, 0] += 1
        counts[g, 1] += spike[i]
        sums[g, 0] += jump[i]
        if label[i] >= 0:
            counts[g, 2] += 1
            counts[g, 3] += label[i]
            sums[g, 1] += expected[i]
            sums[g, 2] += expected[i] * (1.0 - expected[i])
