"""Conditional likelihood of events among slots, stratum by stratum.

Letters: a stratum has slots s, of which n are events; w_s = exp(eta_s). Given n, the events
are a conditional Poisson sample, P(y | n) = prod w_s^y_s / e_n(w), e_n the elementary
symmetric polynomial. With any t > 0 and p_s = w_s t / (1 + w_s t), e_n(w) is P(N = n)
prod (1 + w_s t) / t^n, N a sum of independent Bernoulli(p_s). With t such that N has the mean
n no number is too small or too large, and all of them are sums of positive ones.
"""

from __future__ import annotations

import math

import numpy as np

from gateway._numba import inner_kernel, lean_kernel, making_kernel, parallel_kernel, prange

_FAR = 30.0
_STEPS = 80
_CLOSE = 1e-10
# Any t gives the same chances; near the mean the numbers are of a like size.
_NEAR = 0.1


@inner_kernel
def _weigh(first, end, n, eta, close, p):  # type: ignore[no-untyped-def]
    """Fill p of a stratum's slots; return sum log(1 + w t) - n log t, w = exp(eta).

    The mean of N is nearer to n than ``close`` times n.
    """
    top = eta[first]
    for i in range(first + 1, end):
        top = max(top, eta[i])
    m = end - first
    for s in range(m):
        p[s] = math.exp(eta[first + s] - top)
    total = 0.0
    for s in range(m):
        total += p[s]
    low, high = -60.0, 760.0
    a = math.log(n / total)
    for _ in range(_STEPS):
        t = math.exp(a)
        mean = 0.0
        spread = 0.0
        for s in range(m):
            q = p[s] * t / (1.0 + p[s] * t)
            mean += q
            spread += q * (1.0 - q)
        if mean < n:
            low = a
        else:
            high = a
        if abs(mean - n) < close * n:
            break
        new = a + (n - mean) / spread if spread > 0.0 else 0.5 * (low + high)
        a = new if low < new < high else 0.5 * (low + high)
    t = math.exp(a)
    loss = n * (top - a)
    for s in range(m):
        loss += math.log1p(p[s] * t)
        p[s] = p[s] * t / (1.0 + p[s] * t)
    return loss


@inner_kernel
def _convolve(sums, k, p):  # type: ignore[no-untyped-def]
    """Let a sum's distribution over 0 to k take in one more Bernoulli(p)."""
    for j in range(k, 0, -1):
        sums[j] = sums[j] * (1.0 - p) + sums[j - 1] * p
    sums[0] *= 1.0 - p


@inner_kernel
def _fill_shares(first, end, eta, chance):  # type: ignore[no-untyped-def]
    """Fill the chances of a stratum with one event, the shares of the weights; log e_1(w)."""
    top = eta[first]
    for i in range(first + 1, end):
        top = max(top, eta[i])
    total = 0.0
    for i in range(first, end):
        chance[i] = math.exp(eta[i] - top)
        total += chance[i]
    for i in range(first, end):
        chance[i] /= total
    return top + math.log(total)


@inner_kernel
def _fill_stratum(first, end, n, eta, most, p, forward, back, chance):  # type: ignore[no-untyped-def]
    """Fill P(event) of a stratum's slots given n events; return log e_n(w)."""
    m = end - first
    if n == 1:
        return _fill_shares(first, end, eta, chance)
    exact = m * (n + 1) <= most
    loss = _weigh(first, end, n, eta, _NEAR if exact else _CLOSE, p)
    if not exact:
        for s in range(m):
            chance[first + s] = p[s]
        return loss
    width = n + 1
    forward[:width] = 0.0
    forward[0] = 1.0
    for s in range(m - 1):
        for k in range(width):
            forward[(s + 1) * width + k] = forward[s * width + k]
        _convolve(forward[(s + 1) * width :], n, p[s])
    back[:width] = 0.0
    back[0] = 1.0
    whole = 0.0
    for s in range(m - 1, -1, -1):
        without = 0.0
        for k in range(n):
            without += forward[s * width + k] * back[n - 1 - k]
        if s == m - 1:
            whole = p[s] * without + (1.0 - p[s]) * forward[s * width + n]
        chance[first + s] = p[s] * without / whole
        _convolve(back, n, p[s])
    return loss + math.log(whole)


@making_kernel
def _fill_strata(begin, stop, offsets, n, eta, most, longest, chance, total):  # type: ignore[no-untyped-def]
    p, forward, back = np.empty(longest), np.empty(most), np.empty(most + 1)
    for c in range(begin, stop):
        total[c] = _fill_stratum(
            offsets[c], offsets[c + 1], n[c], eta, most, p, forward, back, chance
        )


@parallel_kernel
def fill_chances(bounds, offsets, n, eta, most, longest, chance, total):  # type: ignore[no-untyped-def]
    """Fill the chance of each slot to be an event given its stratum's n, and log e_n(w).

    Forward and backward sums cost m n steps; where they would take more than ``most``
    numbers, p_s stands for the chance (Hajek 1964: it is off by the order of one over
    sum p (1 - p)) and log e_n lacks log P(N = n).
    """
    for chunk in prange(len(bounds) - 1):
        _fill_strata(
            bounds[chunk], bounds[chunk + 1], offsets, n, eta, most, longest, chance, total
        )


@lean_kernel
def count_masses(pair_offsets, pair_n, starts):  # type: ignore[no-untyped-def]
    """Fill where the masses of each pair begin: it has one for 0 to min(x, n) events."""
    for i in range(len(pair_n)):
        x = pair_offsets[i + 1] - pair_offsets[i]
        starts[i + 1] = starts[i] + min(x, pair_n[i]) + 1


@inner_kernel
def _fill_pair(  # type: ignore[no-untyped-def]
    slots, first, end, n, beta, eta, most, chance, p, own, other, taken, mass
):
    """Fill P(k of the n events are among the slots of a pair) where its beta is zero."""
    waning = math.exp(-beta)
    if len(slots) == 1:
        odds = waning * chance[slots[0]]
        mass[1] = odds / (1.0 - chance[slots[0]] + odds)
        mass[0] = 1.0 - mass[1]
        return
    m = end - first
    exact = m * (n + 1) <= most
    _weigh(first, end, n, eta, _NEAR if exact else _CLOSE, p)
    x = len(mass) - 1
    own[: x + 1] = 0.0
    own[0] = 1.0
    scale = 1.0
    for i in range(len(slots)):
        s = slots[i] - first
        odds = waning * p[s]
        _convolve(own, x, odds / (1.0 - p[s] + odds))
        taken[s] = True
    if not exact:
        for k in range(x + 1):
            mass[k] = own[k]
    else:
        other[: n + 1] = 0.0
        other[0] = 1.0
        for s in range(m):
            if not taken[s]:
                _convolve(other, n, p[s])
        scale = 0.0
        for k in range(x + 1):
            mass[k] = own[k] * other[n - k]
            scale += mass[k]
    for i in range(len(slots)):
        taken[slots[i] - first] = False
    for k in range(x + 1):
        mass[k] /= scale


@making_kernel
def _fill_some(  # type: ignore[no-untyped-def]
    begin, stop, pair_offsets, pair_slot, pair_stratum, pair_beta, offsets, n, eta, most,
    longest, chance, starts, mass,
):  # fmt: skip
    p, taken = np.empty(longest), np.zeros(longest, np.bool_)
    own, other = np.empty(longest + 1), np.empty(longest + 1)
    for i in range(begin, stop):
        c = pair_stratum[i]
        _fill_pair(
            pair_slot[pair_offsets[i] : pair_offsets[i + 1]], offsets[c], offsets[c + 1], n[c],
            pair_beta[i], eta, most, chance, p, own, other, taken, mass[starts[i] : starts[i + 1]],
        )  # fmt: skip


@parallel_kernel
def fill_masses(  # type: ignore[no-untyped-def]
    bounds, pair_offsets, pair_slot, pair_stratum, pair_beta, offsets, n, eta, most, longest,
    chance, starts, mass,
):  # fmt: skip
    """Fill for each pair of group and stratum how many events are among its slots.

    P(k) without an effect of the group, those of the others as in eta: e_k of the weights of
    its slots without its beta, times e_(n-k) of the others', made to sum to one.
    """
    for chunk in prange(len(bounds) - 1):
        _fill_some(
            bounds[chunk], bounds[chunk + 1], pair_offsets, pair_slot, pair_stratum, pair_beta,
            offsets, n, eta, most, longest, chance, starts, mass,
        )  # fmt: skip


@inner_kernel
def _cumulants(theta, first, end, starts, mass):  # type: ignore[no-untyped-def]
    """Return K(theta) of the sum of the pairs' counts, and its first two derivatives."""
    k0 = 0.0
    k1 = 0.0
    k2 = 0.0
    step = math.exp(-abs(theta))
    for i in range(first, end):
        low, high = starts[i], starts[i + 1] - 1
        total = 0.0
        mean = 0.0
        square = 0.0
        weight = 1.0
        for j in range(high - low + 1):
            # From the end where the tilted mass is largest.
            k = high - low - j if theta > 0.0 else j
            part = mass[low + k] * weight
            total += part
            mean += k * part
            square += k * k * part
            weight *= step
        mean /= total
        k0 += math.log(total) + (theta * (high - low) if theta > 0.0 else 0.0)
        k1 += mean
        k2 += max(square / total - mean * mean, 0.0)
    return k0, k1, k2


@inner_kernel
def _solve_mean(A, first, end, starts, mass):  # type: ignore[no-untyped-def]
    """Return theta with K'(theta) = A: Newton, kept inside a shrinking bracket."""
    low, high, theta = -_FAR, _FAR, 0.0
    for _ in range(_STEPS):
        _, k1, k2 = _cumulants(theta, first, end, starts, mass)
        if k1 < A:
            low = theta
        else:
            high = theta
        new = theta + (A - k1) / k2 if k2 > 0.0 else _FAR
        if not low < new < high:
            new = 0.5 * (low + high)
        if abs(new - theta) < _CLOSE:
            return new
        theta = new
    return theta


@inner_kernel
def _solve_group(first, end, A, bar, starts, mass, out):  # type: ignore[no-untyped-def]
    _, out[0], out[1] = _cumulants(0.0, first, end, starts, mass)
    k0, out[5], out[6] = _cumulants(bar, first, end, starts, mass)
    if out[1] <= 0.0:
        return
    least = 0.0
    most = 0.0
    least_log = 0.0
    most_log = 0.0
    for i in range(first, end):
        low, high = starts[i], starts[i + 1] - 1
        while mass[low] <= 0.0:
            low += 1
        while mass[high] <= 0.0:
            high -= 1
        least += low - starts[i]
        most += high - starts[i]
        least_log += math.log(mass[low])
        most_log += math.log(mass[high])
    if A <= least:
        out[2], out[3] = -np.inf, -least_log
    elif A >= most:
        out[2], out[3] = np.inf, -most_log
    else:
        theta = _solve_mean(A, first, end, starts, mass)
        top, _, out[7] = _cumulants(theta, first, end, starts, mass)
        out[2], out[3] = theta, theta * A - top
    out[4] = max(out[3] - (bar * A - k0), 0.0)


@parallel_kernel
def solve_effects(offsets, observed, bar, starts, mass, out):  # type: ignore[no-untyped-def]
    """Fill what each group says of theta, A the events among its slots; eight columns.

    K'(0), K''(0), theta hat, l(hat), l(hat) - l(bar), K'(bar), K''(bar), K''(hat), where
    l(theta) = theta A - K(theta) is the log-likelihood; at an infinite theta hat its limit.
    """
    for g in prange(len(offsets) - 1):
        if offsets[g + 1] > offsets[g]:
            _solve_group(offsets[g], offsets[g + 1], observed[g], bar, starts, mass, out[g])


@inner_kernel
def _limit(side, A, theta, top, drop, first, end, starts, mass):  # type: ignore[no-untyped-def]
    """Return where l falls by ``drop`` below its top, on one side of theta hat."""
    near = theta if abs(theta) < np.inf else -side * _FAR
    far = near
    step = 0.5
    while abs(far) <= 2.0 * _FAR:
        far = near + side * step
        k0, _, _ = _cumulants(far, first, end, starts, mass)
        if top - (far * A - k0) >= drop:
            break
        near, step = far, step * 2.0
    if abs(far) > 2.0 * _FAR:
        return side * np.inf
    for _ in range(_STEPS):
        middle = 0.5 * (near + far)
        k0, _, _ = _cumulants(middle, first, end, starts, mass)
        if top - (middle * A - k0) >= drop:
            far = middle
        else:
            near = middle
        if abs(far - near) < 1e-7:
            break
    return 0.5 * (near + far)


@parallel_kernel
def find_limits(offsets, observed, starts, mass, theta, gain, drop, low, high):  # type: ignore[no-untyped-def]
    """Fill the ends of the likelihood interval of theta for each group with a drop."""
    for g in prange(len(offsets) - 1):
        if drop[g] > 0.0:
            first, end, A, top = offsets[g], offsets[g + 1], observed[g], gain[g]
            if theta[g] > -np.inf:
                low[g] = _limit(-1.0, A, theta[g], top, drop[g], first, end, starts, mass)
            if theta[g] < np.inf:
                high[g] = _limit(1.0, A, theta[g], top, drop[g], first, end, starts, mass)
