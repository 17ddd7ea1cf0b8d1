"""Counting and picking for exact quantiles without a sort."""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, parallel_kernel, prange


@inner_kernel
def _bin(x, low, scale, bins):  # type: ignore[no-untyped-def]
    """Bin of equal width: rounding keeps the values' order. What is beyond is in the last ones."""
    t = (x - low) * scale
    t = t if t > 0.0 else 0.0
    return np.uint32(t if t < bins - 1.0 else bins - 1.0)


@inner_kernel
def _count(x, low, scale, count):  # type: ignore[no-untyped-def]
    for k in range(len(count)):
        count[k] = 0
    for i in range(len(x)):
        count[_bin(x[i], low, scale, len(count))] += 1


@parallel_kernel
def count_bins(x, bounds, low, scale, count):  # type: ignore[no-untyped-def]
    """Count the values of each chunk in bins."""
    for c in prange(len(bounds) - 1):
        _count(x[bounds[c] : bounds[c + 1]], low, scale, count[c])


@inner_kernel
def _pick(x, low, scale, wanted, found):  # type: ignore[no-untyped-def]
    n = np.uint64(0)
    room = np.uint64(len(found))
    for i in range(len(x)):
        if n == room:
            break
        # Written before it is known whether it stays: nobody could guess that.
        found[n] = x[i]
        n += np.uint64(wanted[_bin(x[i], low, scale, len(wanted))])


@parallel_kernel
def pick_bins(x, bounds, low, scale, wanted, first, found):  # type: ignore[no-untyped-def]
    """Write the values in wanted bins, each chunk's from ``first`` on."""
    for c in prange(len(bounds) - 1):
        _pick(x[bounds[c] : bounds[c + 1]], low, scale, wanted, found[first[c] : first[c + 1]])
