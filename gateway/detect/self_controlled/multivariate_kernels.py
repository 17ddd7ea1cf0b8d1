"""Conditional likelihood of all groups at once, in O(rows of the cases) per evaluation.

Case c has intervals i with length L_i, y_i events, n of them in all. With eta_i the running
sum of beta over the groups it is exposed to,

    -log L = sum_c [ n log sum_i L_i exp(eta_i) - sum_i y_i eta_i ],

and with pi_i = L_i exp(eta_i) / sum L exp(eta), the derivative by the beta of a group
joined at row j is the running sum, *backward* from the case's end to j, of n pi_i - y_i.
"""

from __future__ import annotations

import numpy as np

from gateway._numba import kernel, parallel_kernel, prange

__all__ = ["fill_pairs", "loss_and_gradient"]


@kernel
def _forward(  # type: ignore[no-untyped-def]
    first, end, group, sign, length, first_length, beta, eta, rate
):
    """Fill eta and L exp(eta - top) of a case's rows; return (their sum, top)."""
    z = 0.0
    top = 0.0
    for i in range(first, end):
        z += sign[i] * beta[group[i]]
        eta[i] = z
        if z > top and length[i] > 0.0:
            top = z
    total = first_length * np.exp(-top)
    for i in range(first, end):
        rate[i] = 0.0
        if length[i] > 0.0:
            rate[i] = length[i] * np.exp(eta[i] - top)
            total += rate[i]
    return total, top


@kernel
def _events_of(first, end, events, first_events):  # type: ignore[no-untyped-def]
    n = first_events
    for i in range(first, end):
        n += events[i]
    return n


@kernel
def _add_case(  # type: ignore[no-untyped-def]
    first, end, group, sign, length, events, first_length, n, beta, eta, rate, gradient
):
    """Add a case's part to the gradient and return its part of the loss."""
    total, top = _forward(first, end, group, sign, length, first_length, beta, eta, rate)
    if total <= 0.0:
        return 0.0
    loss = n * (np.log(total) + top)
    r = 0.0
    for i in range(end - 1, first - 1, -1):
        if events[i] > 0.0:
            loss -= events[i] * eta[i]
        r += n * rate[i] / total - events[i]
        gradient[group[i]] += sign[i] * r
    return loss


@parallel_kernel
def loss_and_gradient(  # type: ignore[no-untyped-def]
    offsets, group, sign, length, events, first_length, first_events, takes_part, beta,
    bounds, eta, rate, gradient, totals,
):  # fmt: skip
    """Add up loss and gradient, each chunk of cases into a row of its own."""
    for chunk in prange(len(bounds) - 1):
        loss = 0.0
        for c in range(bounds[chunk], bounds[chunk + 1]):
            first, end = offsets[c], offsets[c + 1]
            n = _events_of(first, end, events, first_events[c])
            if takes_part[c] and n > 0.0:
                loss += _add_case(
                    first, end, group, sign, length, events, first_length[c], n, beta,
                    eta, rate, gradient[chunk],
                )  # fmt: skip
        totals[chunk] = loss


@kernel
def _fill_case(  # type: ignore[no-untyped-def]
    first, end, group, sign, partner, length, events, first_length, n, beta, eta, rate,
    after, count, share,
):  # fmt: skip
    total, _ = _forward(first, end, group, sign, length, first_length, beta, eta, rate)
    if total <= 0.0:
        return
    seen = 0.0
    exposed = 0.0
    for i in range(end - 1, first - 1, -1):
        seen += events[i]
        exposed += rate[i] / total
        after[i] = seen
        rate[i] = min(exposed, 1.0)
    for i in range(first, end):
        if sign[i] > 0:
            p = rate[i]
            if partner[i] >= 0:
                after[i] -= after[partner[i]]
                p -= rate[partner[i]]
            # Without the group's own effect, all others as fitted.
            odds = p * np.exp(-beta[group[i]])
            share[i] = odds / (1.0 - p + odds) if p > 0.0 else 0.0
            count[i] = n


@parallel_kernel
def fill_pairs(  # type: ignore[no-untyped-def]
    offsets, group, sign, partner, length, events, first_length, first_events, beta,
    eta, rate, after, count, share,
):  # fmt: skip
    """Fill for each beginning of an exposure the events after it, all events, and the share.

    The share is the probability that an event of this case falls into the exposed time if
    this group had no effect and the others had their beta.
    """
    for c in prange(len(offsets) - 1):
        first, end = offsets[c], offsets[c + 1]
        n = _events_of(first, end, events, first_events[c])
        _fill_case(
            first, end, group, sign, partner, length, events, first_length[c], n, beta,
            eta, rate, after, count, share,
        )  # fmt: skip
