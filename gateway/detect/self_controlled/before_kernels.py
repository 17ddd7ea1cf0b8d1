"""Slots just after a join against those just before it, and those against earlier ones.

Letters: of n events in the slots of both sides, A fall into the later ones. Slots are weighted, w =
exp(eta), and hold one event at most. a and b are the chances of so many events later and
earlier if every slot had its own with odds proportional to its weight: given n their product
is the conditional distribution of A, whatever the factor of the odds.
"""

from __future__ import annotations

import math

import numpy as np

from gateway._numba import inner_kernel, parallel_kernel, prange


@inner_kernel
def _begin_before(first, tick, fresh, length, wanted):  # type: ignore[no-untyped-def]
    """Return the row with which the whole ticks before ``tick`` with so many slots begin."""
    found = 0.0
    row = tick
    while row > first and found < wanted:
        row -= 1
        found += length[row]
        while not fresh[row]:
            row -= 1
            found += length[row]
    return row


@inner_kernel
def _end_after(tick, end, fresh, length, wanted):  # type: ignore[no-untyped-def]
    """Return the row before which the whole ticks from ``tick`` on with so many slots end."""
    found = 0.0
    row = tick
    while row < end and found < wanted:
        found += length[row]
        row += 1
        while row < end and not fresh[row]:
            found += length[row]
            row += 1
    return row


@inner_kernel
def _fill_chances(begin, end, n, odds, weight, length, a):  # type: ignore[no-untyped-def]
    """Fill the chances of 0 to n events in the slots of some rows."""
    for k in range(n + 1):
        a[k] = 0.0
    a[0] = 1.0
    for row in range(begin, end):
        if length[row] > 0.0:
            x = odds * weight[row]
            p = x / (1.0 + x)
            for k in range(n, 0, -1):
                a[k] = a[k] * (1.0 - p) + a[k - 1] * p
            a[0] *= 1.0 - p


@inner_kernel
def _add_moments(g, beta, n, observed, a, b, out):  # type: ignore[no-untyped-def]
    """Add A and its conditional mean and variance with the effect of g taken away."""
    top = -np.inf
    for k in range(n + 1):
        if a[k] * b[n - k] > 0.0:
            top = max(top, math.log(a[k] * b[n - k]) - beta * k)
    total = 0.0
    mean = 0.0
    square = 0.0
    for k in range(n + 1):
        if a[k] * b[n - k] > 0.0:
            p = math.exp(math.log(a[k] * b[n - k]) - beta * k - top)
            total += p
            mean += p * k
            square += p * k * k
    mean /= total
    variance = square / total - mean * mean
    if variance > 1e-12:
        out[0, g] += observed
        out[1, g] += mean
        out[2, g] += variance
        out[3, g] += (observed - mean) ** 2


@inner_kernel
def _fill_sides(  # type: ignore[no-untyped-def]
    begin, i, j, end, length, events, weight, a, b
):
    """Fill a of rows j to end and b of rows begin to i; return n and the events from j on."""
    n = 0
    observed = 0
    slots = 0.0
    mass = 0.0
    for row in range(begin, end):
        if (row < i or row >= j) and length[row] > 0.0:
            slots += 1.0
            mass += weight[row]
            n += events[row]
            if row >= j:
                observed += events[row]
    if n == 0 or n >= slots or mass <= 0.0:
        return 0, 0
    odds = n / (mass * (1.0 - n / slots))
    _fill_chances(j, end, n, odds, weight, length, a)
    _fill_chances(begin, i, n, odds, weight, length, b)
    return n, observed


@inner_kernel
def _add_cases(  # type: ignore[no-untyped-def]
    begin, end, offsets, group, fresh, length, events, until, weight, beta, near, far, a, b, out,
    earlier,
):  # fmt: skip
    for c in range(begin, end):
        first, last = offsets[c], offsets[c + 1]
        i = first
        while i < last:
            j = i + 1
            while j < last and not fresh[j]:
                j += 1
            wanted = False
            for row in range(i, j):
                wanted = wanted or group[row] < len(beta)
            if wanted:
                start = _begin_before(first, i, fresh, length, near)
                n, observed = _fill_sides(
                    _begin_before(first, start, fresh, length, far), start, start, i, length,
                    events, weight, a, b,
                )  # fmt: skip
                if n > 0:
                    for row in range(i, j):
                        if group[row] < len(beta):
                            _add_moments(group[row], 0.0, n, observed, a, b, earlier)
                known = -1
                for row in range(i, j):
                    g = group[row]
                    if g < len(beta):
                        stop = last if len(until) == 0 else first + until[row]
                        if stop != known:
                            known = stop
                            n, observed = _fill_sides(
                                start, i, j, _end_after(j, stop, fresh, length, far), length,
                                events, weight, a, b,
                            )  # fmt: skip
                        if n > 0:
                            _add_moments(g, beta[g], n, observed, a, b, out)
            i = j


@parallel_kernel
def add_near(  # type: ignore[no-untyped-def]
    bounds, offsets, group, fresh, length, events, until, weight, beta, near, far, room, out,
    earlier,
):  # fmt: skip
    """Add up, in a row for each range of cases: A, its mean, its variance, squared residuals.

    ``out`` holds the ``far`` slots after a join against the ``near`` slots before it,
    ``earlier`` those near slots against the far slots before them.
    """
    for part in prange(len(bounds) - 1):
        out[part] = 0.0
        earlier[part] = 0.0
        _add_cases(
            bounds[part], bounds[part + 1], offsets, group, fresh, length, events, until, weight,
            beta, near, far, room[part, 0], room[part, 1], out[part], earlier[part],
        )  # fmt: skip
