"""One rate ratio for each group, from pairs: Newton, saddlepoint tail, likelihood interval.

Letters: of a pair, A of n events fall into the exposed time, with share F of the mass if
the group has no effect; theta = log rate ratio. A is binomial with odds F e^theta / (1 - F).
K(theta) = sum n log(1 - F + F e^theta) is the cumulant function of sum A at theta = 0, and
l(theta) = theta sum A - K(theta) the conditional log-likelihood, up to a constant.
"""

from __future__ import annotations

import math

import numpy as np

from gateway._numba import kernel, parallel_kernel, prange

__all__ = ["find_limits", "solve_ratios"]

# exp(40) is beyond any rate ratio; there the likelihood is flat.
_FAR = 40.0
_STEPS = 60
_CLOSE = 1e-10


@kernel
def _cumulants(theta, first, end, n, F):  # type: ignore[no-untyped-def]
    """Return K and its first two derivatives at theta."""
    k0 = 0.0
    k1 = 0.0
    k2 = 0.0
    e = math.exp(theta)
    for i in range(first, end):
        if n[i] > 0.0 and F[i] > 0.0:
            q = 1.0 - F[i] + F[i] * e
            p = F[i] * e / q
            k0 += n[i] * math.log(q)
            k1 += n[i] * p
            k2 += n[i] * p * (1.0 - p)
    return k0, k1, k2


@kernel
def _solve_mean(A, low, high, first, end, n, F):  # type: ignore[no-untyped-def]
    """Return theta with K'(theta) = A: Newton, kept inside a shrinking bracket."""
    theta = 0.0
    for _ in range(_STEPS):
        _, k1, k2 = _cumulants(theta, first, end, n, F)
        if k1 < A:
            low = theta
        else:
            high = theta
        step = (A - k1) / k2 if k2 > 0.0 else _FAR
        new = theta + step
        if not low < new < high:
            new = 0.5 * (low + high)
        if abs(new - theta) < _CLOSE:
            return new
        theta = new
    return theta


@kernel
def _best(A, least, most, first, end, n, F):  # type: ignore[no-untyped-def]
    """Return (theta hat, largest l - l(0)); theta is infinite where A is extreme."""
    if A <= least:
        top = 0.0
        for i in range(first, end):
            if n[i] > 0.0 and 0.0 < F[i] < 1.0:
                top -= n[i] * math.log(1.0 - F[i])
        return -np.inf, top
    if A >= most:
        top = 0.0
        for i in range(first, end):
            if n[i] > 0.0 and F[i] > 0.0:
                top -= n[i] * math.log(F[i])
        return np.inf, top
    theta = _solve_mean(A, -_FAR, _FAR, first, end, n, F)
    k0, _, _ = _cumulants(theta, first, end, n, F)
    return theta, max(theta * A - k0, 0.0)


@kernel
def _solve_group(first, end, A, n, F, out):  # type: ignore[no-untyped-def]
    total = 0.0
    least = 0.0
    most = 0.0
    clustered = 0.0
    for i in range(first, end):
        total += A[i]
        clustered += (A[i] - n[i] * F[i]) ** 2
        if F[i] > 0.0:
            most += n[i]
        if F[i] >= 1.0:
            least += n[i]
    _, expected, variance = _cumulants(0.0, first, end, n, F)
    out[0], out[1], out[2], out[3] = total, expected, variance, clustered
    if variance > 0.0:
        theta, top = _best(total, least, most, first, end, n, F)
        out[4], out[5] = theta, top
        if abs(theta) < np.inf:
            _, _, out[6] = _cumulants(theta, first, end, n, F)


@parallel_kernel
def solve_ratios(offsets, after, events, share, out):  # type: ignore[no-untyped-def]
    """Fill for each group: A, E, V, clustered V, theta hat, l(hat) - l(0), K''(hat)."""
    for g in prange(len(offsets) - 1):
        _solve_group(offsets[g], offsets[g + 1], after, events, share, out[g])


@kernel
def _limit(side, A, theta, top, drop, first, end, n, F):  # type: ignore[no-untyped-def]
    """Return where l falls by ``drop`` below its top, on one side of theta hat."""
    near = theta
    if abs(theta) == np.inf:
        near = -side * _FAR
    far = near
    step = 0.5
    while abs(far) <= 2.0 * _FAR:
        far = near + side * step
        k0, _, _ = _cumulants(far, first, end, n, F)
        if top - (far * A - k0) >= drop:
            break
        near, step = far, step * 2.0
    if abs(far) > 2.0 * _FAR:
        return side * np.inf
    for _ in range(_STEPS):
        middle = 0.5 * (near + far)
        k0, _, _ = _cumulants(middle, first, end, n, F)
        if top - (middle * A - k0) >= drop:
            far = middle
        else:
            near = middle
        if abs(far - near) < 1e-6:
            break
    return 0.5 * (near + far)


@parallel_kernel
def find_limits(  # type: ignore[no-untyped-def]
    offsets, events, share, observed, theta, gain, informative, drop, low, high
):
    """Fill the ends of the likelihood interval of theta for each informative group."""
    for g in prange(len(offsets) - 1):
        if informative[g]:
            first, end, A, top = offsets[g], offsets[g + 1], observed[g], gain[g]
            if theta[g] > -np.inf:
                low[g] = _limit(-1.0, A, theta[g], top, drop[g], first, end, events, share)
            if theta[g] < np.inf:
                high[g] = _limit(1.0, A, theta[g], top, drop[g], first, end, events, share)
