"""Conditional likelihood of all groups at once, in O(rows of the cases) per evaluation.

Case c has intervals i with length L_i, y_i events, n of them in all. With eta_i the running
sum of beta over the groups it is exposed to,

    -log L = sum_c [ n log sum_i L_i exp(eta_i) - sum_i y_i eta_i ],

and with pi_i = L_i exp(eta_i) / sum L exp(eta), the derivative by the beta of a group
joined at row j is the running sum, *backward* from the case's end to j, of n pi_i - y_i.

Rows are read once, in order, and what is in the making of a case stays in the cache:
``eta`` and ``rate`` hold one case at a time, of each chunk of cases in a row of their own.
"""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, kernel, parallel_kernel, prange

__all__ = ["add_by_group", "count_events", "fill_information", "fill_pairs", "invert_effects",
           "loss_and_gradient"]  # fmt: skip


@inner_kernel
def _forward(  # type: ignore[no-untyped-def]
    first, end, group, sign, length, first_length, beta, chunk, eta, rate
):
    """Fill eta and L exp(eta - top) of a case's rows; return (their sum, top)."""
    z = 0.0
    top = 0.0
    for i in range(first, end):
        z += sign[i] * beta[group[i]]
        eta[chunk, i - first] = z
        if z > top and length[i] > 0.0:
            top = z
    total = first_length * np.exp(-top)
    for i in range(first, end):
        rate[chunk, i - first] = 0.0
        if length[i] > 0.0:
            rate[chunk, i - first] = length[i] * np.exp(eta[chunk, i - first] - top)
            total += rate[chunk, i - first]
    return total, top


@inner_kernel
def _add_case(  # type: ignore[no-untyped-def]
    first, end, group, sign, length, events, first_length, n, beta, chunk, eta, rate, gradient
):
    """Add a case's part to the gradient and return its part of the loss."""
    total, top = _forward(first, end, group, sign, length, first_length, beta, chunk, eta, rate)
    if total <= 0.0:
        return 0.0
    # In a loop of its own: these divisions do not wait for each other.
    for i in range(first, end):
        rate[chunk, i - first] = n * rate[chunk, i - first] / total - events[i]
    loss = n * (np.log(total) + top)
    r = 0.0
    for i in range(end - 1, first - 1, -1):
        if events[i] > 0.0:
            loss -= events[i] * eta[chunk, i - first]
        r += rate[chunk, i - first]
        gradient[chunk, group[i]] += sign[i] * r
    return loss


@inner_kernel
def _add_chunk(  # type: ignore[no-untyped-def]
    chunk, begin, stop, offsets, group, sign, length, events, first_length, n, beta, eta, rate,
    gradient, totals,
):  # fmt: skip
    loss = 0.0
    for c in range(begin, stop):
        if n[c] > 0.0:
            loss += _add_case(
                offsets[c], offsets[c + 1], group, sign, length, events, first_length[c], n[c],
                beta, chunk, eta, rate, gradient,
            )  # fmt: skip
    totals[chunk] = loss


@parallel_kernel
def loss_and_gradient(  # type: ignore[no-untyped-def]
    bounds, offsets, group, sign, length, events, first_length, n, beta, eta, rate, gradient,
    totals,
):  # fmt: skip
    """Add up loss and gradient, each chunk of cases into a row of its own."""
    for chunk in prange(len(bounds) - 1):
        gradient[chunk] = 0.0
        _add_chunk(
            chunk, bounds[chunk], bounds[chunk + 1], offsets, group, sign, length, events,
            first_length, n, beta, eta, rate, gradient, totals,
        )  # fmt: skip


@parallel_kernel
def count_events(offsets, events, first_events, bounds, n):  # type: ignore[no-untyped-def]
    """Fill the number of events of each case."""
    for chunk in prange(len(bounds) - 1):
        for c in range(bounds[chunk], bounds[chunk + 1]):
            n[c] = _events_of(offsets[c], offsets[c + 1], events, first_events[c])


@inner_kernel
def _events_of(first, end, events, first_events):  # type: ignore[no-untyped-def]
    n = first_events
    for i in range(first, end):
        n += events[i]
    return n


@inner_kernel
def _add_up_rates(  # type: ignore[no-untyped-def]
    first, end, group, sign, length, first_length, beta, chunk, eta, rate
):
    """Fill for each row the probability that an event falls behind it; return whether any can."""
    total, _ = _forward(first, end, group, sign, length, first_length, beta, chunk, eta, rate)
    if total <= 0.0:
        return False
    exposed = 0.0
    for k in range(end - first - 1, -1, -1):
        exposed += rate[chunk, k] / total
        rate[chunk, k] = min(exposed, 1.0)
    return True


@inner_kernel
def _share_without(i, first, partner, chunk, rate, waning):  # type: ignore[no-untyped-def]
    """Return the share of an exposure if its own group had no effect, all others as fitted.

    ``waning`` is exp(-beta) of the group.
    """
    p = rate[chunk, i - first]
    if len(partner) > 0 and partner[i] >= 0:
        p -= rate[chunk, partner[i] - first]
    odds = p * waning
    return odds / (1.0 - p + odds) if p > 0.0 else 0.0


@inner_kernel
def _fill_case(  # type: ignore[no-untyped-def]
    first, end, group, sign, partner, length, events, first_length, n, beta, waning, chunk,
    eta, rate, after, count, share,
):  # fmt: skip
    if not _add_up_rates(first, end, group, sign, length, first_length, beta, chunk, eta, rate):
        return
    seen = 0.0
    for i in range(end - 1, first - 1, -1):
        seen += events[i]
        after[i] = seen
    for i in range(first, end):
        if sign[i] > 0:
            if len(partner) > 0 and partner[i] >= 0:
                after[i] -= after[partner[i]]
            share[i] = _share_without(i, first, partner, chunk, rate, waning[group[i]])
            count[i] = n


@inner_kernel
def _fill_cases(  # type: ignore[no-untyped-def]
    begin, stop, offsets, group, sign, partner, length, events, first_length, n, beta, waning,
    chunk, eta, rate, after, count, share,
):  # fmt: skip
    for c in range(begin, stop):
        _fill_case(
            offsets[c], offsets[c + 1], group, sign, partner, length, events, first_length[c],
            n[c], beta, waning, chunk, eta, rate, after, count, share,
        )  # fmt: skip


@parallel_kernel
def fill_pairs(  # type: ignore[no-untyped-def]
    bounds, offsets, group, sign, partner, length, events, first_length, n, beta, waning,
    eta, rate, after, count, share,
):  # fmt: skip
    """Fill for each beginning of an exposure the events after it, all events, and the share.

    The share is the probability that an event of this case falls into the exposed time if
    this group had no effect and the others had their beta.
    """
    for chunk in prange(len(bounds) - 1):
        _fill_cases(
            bounds[chunk], bounds[chunk + 1], offsets, group, sign, partner, length, events,
            first_length, n, beta, waning, chunk, eta, rate, after, count, share,
        )  # fmt: skip


@kernel
def invert_effects(beta, waning):  # type: ignore[no-untyped-def]
    """Fill exp(-beta) of each group."""
    for g in range(len(beta)):
        waning[g] = np.exp(-beta[g])


@inner_kernel
def _inform_case(  # type: ignore[no-untyped-def]
    first, end, group, sign, partner, length, first_length, n, beta, waning, ratio, chunk,
    eta, rate, at, each,
):  # fmt: skip
    if not _add_up_rates(first, end, group, sign, length, first_length, beta, chunk, eta, rate):
        each[at : at + end - first] = 0.0
        return
    for i in range(first, end):
        each[at + i - first] = 0.0
        if sign[i] > 0:
            share = _share_without(i, first, partner, chunk, rate, waning[group[i]])
            odds = share * ratio[group[i]]
            exposed = odds / (1.0 - share + odds)
            each[at + i - first] = n * exposed * (1.0 - exposed)


@inner_kernel
def _inform_cases(  # type: ignore[no-untyped-def]
    begin, stop, start, offsets, group, sign, partner, length, first_length, n, beta, waning,
    ratio, chunk, eta, rate, each,
):  # fmt: skip
    for c in range(begin, stop):
        _inform_case(
            offsets[c], offsets[c + 1], group, sign, partner, length, first_length[c], n[c],
            beta, waning, ratio, chunk, eta, rate, offsets[c] - start, each,
        )  # fmt: skip


@parallel_kernel
def fill_information(  # type: ignore[no-untyped-def]
    bounds, offsets, group, sign, partner, length, first_length, n, beta, waning, ratio, eta,
    rate, each,
):  # fmt: skip
    """Fill what each exposure tells of its group: the variance of the events that it counts.

    Of the cases from the first of ``bounds`` to the last; ``ratio`` is exp(beta).
    """
    start = offsets[bounds[0]]
    for chunk in prange(len(bounds) - 1):
        _inform_cases(
            bounds[chunk], bounds[chunk + 1], start, offsets, group, sign, partner, length,
            first_length, n, beta, waning, ratio, chunk, eta, rate, each,
        )  # fmt: skip


@kernel
def add_by_group(group, each, total):  # type: ignore[no-untyped-def]
    """Add up what rows tell by group, in their order."""
    for i in range(len(group)):
        total[group[i]] += each[i]
