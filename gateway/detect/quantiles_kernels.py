"""Counting and picking for exact quantiles without a sort."""

from __future__ import annotations

from gateway._numba import inner_kernel, parallel_kernel, prange

__all__ = ["count_bins", "extremes", "pick_bins"]


@inner_kernel
def _extremes(x, ends):  # type: ignore[no-untyped-def]
    low = x[0]
    high = x[0]
    for i in range(len(x)):
        low = min(low, x[i])
        high = max(high, x[i])
    ends[0] = low
    ends[1] = high


@parallel_kernel
def extremes(x, bounds, ends):  # type: ignore[no-untyped-def]
    """Fill the least and the largest value of each chunk; no chunk is empty."""
    for c in prange(len(bounds) - 1):
        _extremes(x[bounds[c] : bounds[c + 1]], ends[c])


@inner_kernel
def _count(x, low, scale, count):  # type: ignore[no-untyped-def]
    for k in range(len(count)):
        count[k] = 0
    for i in range(len(x)):
        count[int((x[i] - low) * scale)] += 1


@parallel_kernel
def count_bins(x, bounds, low, scale, count):  # type: ignore[no-untyped-def]
    """Count the values of each chunk in bins of equal width: rounding keeps their order."""
    for c in prange(len(bounds) - 1):
        _count(x[bounds[c] : bounds[c + 1]], low, scale, count[c])


@inner_kernel
def _pick(x, low, scale, wanted, first, found):  # type: ignore[no-untyped-def]
    n = first
    for i in range(len(x)):
        if wanted[int((x[i] - low) * scale)]:
            found[n] = x[i]
            n += 1


@parallel_kernel
def pick_bins(x, bounds, low, scale, wanted, first, found):  # type: ignore[no-untyped-def]
    """Write the values in wanted bins, each chunk's from ``first`` on."""
    for c in prange(len(bounds) - 1):
        _pick(x[bounds[c] : bounds[c + 1]], low, scale, wanted, first[c], found)
