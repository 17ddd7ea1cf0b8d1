"""Sums of the calibrator's logistic regression, many rows side by side."""

from __future__ import annotations

from gateway._numba import inner_kernel, parallel_kernel, prange
from gateway.score.prefix_loss_kernels import MOST_LOGIT, exponential


@inner_kernel
def _add_lanes(z, label, slope, intercept, lanes):  # type: ignore[no-untyped-def]
    for j in range(len(z)):
        x = z[j]
        t = slope * x + intercept
        e = exponential(-min(abs(t), MOST_LOGIT))
        q = 1.0 / (1.0 + e)
        on = 1.0 if label[j] >= 0 else 0.0
        r = on * ((1.0 if t >= 0.0 else e) * q - label[j])
        h = on * e * q * q
        lanes[0, j] += r * x
        lanes[1, j] += r
        lanes[2, j] += h * x * x
        lanes[3, j] += h * x
        lanes[4, j] += h


@inner_kernel
def _chunk_sums(z, label, slope, intercept, lanes, sums):  # type: ignore[no-untyped-def]
    for k in range(5):
        for j in range(lanes.shape[1]):
            lanes[k, j] = 0.0
    room = lanes.shape[1]
    for first in range(0, len(z), room):
        end = min(first + room, len(z))
        _add_lanes(z[first:end], label[first:end], slope, intercept, lanes)
    for k in range(5):
        sums[k] = 0.0
        for j in range(room):
            sums[k] += lanes[k, j]


@parallel_kernel
def line_sums(z, label, bounds, slope, intercept, lanes, sums):  # type: ignore[no-untyped-def]
    """Fill, chunk by chunk: gradient (slope, intercept) and Hessian (ss, si, ii)."""
    for c in prange(len(bounds) - 1):
        first, end = bounds[c], bounds[c + 1]
        _chunk_sums(z[first:end], label[first:end], slope, intercept, lanes[c], sums[c])
