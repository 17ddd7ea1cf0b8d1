"""Sums of the spike detector that go on from block to block."""

from __future__ import annotations

from gateway._numba import kernel

__all__ = ["go_on_by_group", "go_on_in_cells"]


@kernel
def go_on_in_cells(cell, x, count, mean, spread):  # type: ignore[no-untyped-def]
    """Add rows to mean and sum of squared deviations of x in each cell (Welford 1962)."""
    for i in range(len(x)):
        c = cell[i]
        count[c] += 1
        d = x[i] - mean[c]
        mean[c] += d / count[c]
        spread[c] += d * (x[i] - mean[c])


@kernel
def go_on_by_group(group, spike, jump, label, expected, counts, sums):  # type: ignore[no-untyped-def]
    """Add rows, by group: joiners, spikes, resolved, outcomes; jumps, expectation, variance."""
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
