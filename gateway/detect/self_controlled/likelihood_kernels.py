"""The self-controlled likelihood of all groups at once, and of each group alone.

Letters: of a case with m rows and n events, row k has the length L, y events, and the
weight w = L exp(eta), eta the effects of the groups it is exposed to, of its position and
of its piece of the calendar. e_j(w) is the elementary symmetric polynomial of order j.
Given n, the events fall on the rows with the probability

    prod w^y / e_n(w)   where a row holds one event at most,   prod (w / sum w)^y   if not.

For each group the rows of the tick of its own join (``begin`` to ``after``) are left out.
Of the other rows ``inside`` those from ``after`` to ``until`` are exposed to it, the rest
not; A of the events fall inside. theta is its own log ratio, at which A has the cumulant
function K, K(0) = 0 without an effect.

What is in the making of a case stays in the cache, in ``scratch`` rows of each chunk.
"""

from __future__ import annotations

import math

import numpy as np

from gateway._numba import inner_kernel, kernel, parallel_kernel, prange
from gateway.score.prefix_loss_kernels import MOST_LOGIT, exponential


@inner_kernel
def _weigh(first, m, group, fresh, stratum, length, until, beta, table, eta, w, drop):  # type: ignore[no-untyped-def]
    """Fill eta and L exp(eta - top) of a case's rows; return (their sum, top)."""
    ends = len(until) > 0
    if ends:
        for k in range(m + 1):
            drop[k] = 0.0
    z = 0.0
    joined = 0.0
    top = -np.inf
    for k in range(m):
        i = first + k
        if fresh[i]:
            z += joined
            joined = 0.0
            if ends:
                z -= drop[k]
        eta[k] = z + table[stratum[i]]
        if length[i] > 0.0 and eta[k] > top:
            top = eta[k]
        joined += beta[group[i]]
        if ends:
            drop[until[i]] += beta[group[i]]
    # In loops of their own: the first works on several rows at once.
    for k in range(m):
        w[k] = length[first + k] * exponential(max(min(eta[k] - top, 0.0), -MOST_LOGIT))
    total = 0.0
    for k in range(m):
        total += w[k]
    return total, top


@inner_kernel
def _scale(m, n, total, w):  # type: ignore[no-untyped-def]
    """Let the weights of a case sum to n: its polynomials are below exp(n)."""
    factor = n / total
    for k in range(m):
        w[k] *= factor


@inner_kernel
def _fill_before(m, n, w, F):  # type: ignore[no-untyped-def]
    """Fill F[k, j] = e_j of the rows before k."""
    F[0] = 1.0
    for j in range(1, n + 1):
        F[j] = 0.0
    for k in range(m):
        here = k * (n + 1)
        there = here + n + 1
        F[there] = 1.0
        for j in range(1, n + 1):
            F[there + j] = F[here + j] + w[k] * F[here + j - 1]


@inner_kernel
def _fill_from(m, n, w, B):  # type: ignore[no-untyped-def]
    """Fill B[k, j] = e_j of the rows from k on."""
    end = m * (n + 1)
    B[end] = 1.0
    for j in range(1, n + 1):
        B[end + j] = 0.0
    for k in range(m - 1, -1, -1):
        here = k * (n + 1)
        there = here + n + 1
        B[here] = 1.0
        for j in range(1, n + 1):
            B[here + j] = B[there + j] + w[k] * B[there + j - 1]


@inner_kernel
def _expect(m, n, exact, total, w, F, b):  # type: ignore[no-untyped-def]
    """Turn the weights of a case into expected events; return log e_n, or log of sum^n."""
    _scale(m, n, total, w)
    if not exact or n < 2:
        return n * math.log(total)
    _fill_before(m, n, w, F)
    whole = F[m * (n + 1) + n]
    b[0] = 1.0
    for j in range(1, n):
        b[j] = 0.0
    for k in range(m - 1, -1, -1):
        here = k * (n + 1)
        without = 0.0
        for j in range(n):
            without += F[here + j] * b[n - 1 - j]
        x = w[k]
        for j in range(n - 1, 0, -1):
            b[j] += x * b[j - 1]
        w[k] = x * without / whole
    return n * math.log(total / n) + math.log(whole)


@inner_kernel
def _add_case(  # type: ignore[no-untyped-def]
    first, m, n, group, fresh, stratum, length, events, until, exact, beta, table,
    eta, w, rest, drop, F, b, gradient, background,
):  # fmt: skip
    """Add a case's part to the gradients and return its part of the loss."""
    total, top = _weigh(first, m, group, fresh, stratum, length, until, beta, table, eta, w, drop)
    loss = _expect(m, n, exact, total, w, F, b) + n * top
    ends = len(until) > 0
    r = 0.0
    after = 0.0
    rest[m] = 0.0
    for k in range(m - 1, -1, -1):
        i = first + k
        if events[i] > 0:
            loss -= events[i] * eta[k]
        surplus = w[k] - events[i]
        background[stratum[i]] += surplus
        r += surplus
        gradient[group[i]] += after
        if ends:
            gradient[group[i]] -= rest[until[i]]
            rest[k] = r
        if fresh[i]:
            after = r
    return loss


@inner_kernel
def _add_cases(  # type: ignore[no-untyped-def]
    begin, stop, offsets, n, group, fresh, stratum, length, events, until, exact, beta, table,
    eta, w, rest, drop, F, b, gradient, background,
):  # fmt: skip
    loss = 0.0
    for c in range(begin, stop):
        loss += _add_case(
            offsets[c], offsets[c + 1] - offsets[c], n[c], group, fresh, stratum, length, events,
            until, exact, beta, table, eta, w, rest, drop, F, b, gradient, background,
        )  # fmt: skip
    return loss


@parallel_kernel
def add_loss(  # type: ignore[no-untyped-def]
    bounds, offsets, n, group, fresh, stratum, length, events, until, exact, beta, table,
    rows, polynomials, losses, gradient, background,
):  # fmt: skip
    """Fill loss and gradients by beta and by the background, of each chunk in its own row."""
    for chunk in prange(len(bounds) - 1):
        gradient[chunk] = 0.0
        background[chunk] = 0.0
        losses[chunk] = _add_cases(
            bounds[chunk], bounds[chunk + 1], offsets, n, group, fresh, stratum, length, events,
            until, exact, beta, table, rows[chunk, 0], rows[chunk, 1], rows[chunk, 2],
            rows[chunk, 3], polynomials[chunk, 0], polynomials[chunk, 1], gradient[chunk],
            background[chunk],
        )  # fmt: skip


@kernel
def fill_weights(offsets, group, fresh, stratum, length, until, beta, table, eta, drop, w):  # type: ignore[no-untyped-def]
    """Fill L exp(eta) of all rows, divided by the largest exp(eta) of the case."""
    for c in range(len(offsets) - 1):
        first, m = offsets[c], offsets[c + 1] - offsets[c]
        _weigh(
            first, m, group, fresh, stratum, length, until, beta, table, eta,
            w[first : first + m], drop,
        )  # fmt: skip


# Each group alone ------------------------------------------------------------------------


@inner_kernel
def _fill_shares(begin, after, until, m, n, left, w, F, B, inside, share):  # type: ignore[no-untyped-def]
    """Fill e_k(inside) e_{left - k}(outside), up to a factor the probability that A = k."""
    if until == m:
        for k in range(left + 1):
            share[k] = B[after * (n + 1) + k] * F[begin * (n + 1) + left - k]
        return
    inside[0] = 1.0
    for k in range(1, left + 1):
        inside[k] = 0.0
    for row in range(after, until):
        for k in range(left, 0, -1):
            inside[k] += w[row] * inside[k - 1]
    for k in range(left + 1):
        outside = 0.0
        for j in range(left - k + 1):
            outside += F[begin * (n + 1) + j] * B[until * (n + 1) + left - k - j]
        share[k] = inside[k] * outside


@inner_kernel
def _moments(least, most, share, x):  # type: ignore[no-untyped-def]
    """Return log sum, mean and variance of A with probabilities share[k] x^k."""
    # From the side of the larger powers, so that none overflows.
    begin, step, ratio = (least, 1, x) if x <= 1.0 else (most, -1, 1.0 / x)
    s0 = 0.0
    s1 = 0.0
    s2 = 0.0
    power = 1.0
    for d in range(most - least + 1):
        p = share[begin + step * d] * power
        s0 += p
        s1 += p * d
        s2 += p * d * d
        power *= ratio
    if not s0 > 0.0:
        return -np.inf, float(begin), 0.0
    mean = s1 / s0
    return math.log(s0) + begin * math.log(x), begin + step * mean, s2 / s0 - mean * mean


@inner_kernel
def _binomial(left, s_in, s_out, x):  # type: ignore[no-untyped-def]
    """Return the same of a binomial A: events that do not mind each other."""
    odds = s_in * x
    p = odds / (s_out + odds)
    return left * math.log(s_out + odds), left * p, left * p * (1.0 - p)


@inner_kernel
def _add_pair(  # type: ignore[no-untyped-def]
    g, exact, A, left, least, most, s_in, s_out, share, ratio, waning, fixed, sums
):
    fixed[g, 0] += A
    fixed[g, 1] += least
    fixed[g, 2] += most
    fixed[g, 3] += 1.0
    if exact:
        base, _, _ = _moments(least, most, share, waning[g])
    else:
        base, _, _ = _binomial(left, s_in, s_out, waning[g])
    for t in range(len(ratio)):
        x = ratio[t, g] * waning[g]
        if exact:
            k0, k1, k2 = _moments(least, most, share, x)
        else:
            k0, k1, k2 = _binomial(left, s_in, s_out, x)
        sums[t, g, 0] += k0 - base
        sums[t, g, 1] += k1
        sums[t, g, 2] += k2
        sums[t, g, 3] += (A - k1) ** 2
        sums[t, g, 4] += k2 * (left - 1)


@inner_kernel
def _add_own_of_case(  # type: ignore[no-untyped-def]
    first, m, n, group, fresh, stratum, length, events, until, exact, beta, table, ratio, waning,
    eta, w, upto, drop, seen, slots, F, B, inside, share, fixed, sums,
):  # fmt: skip
    total, _ = _weigh(first, m, group, fresh, stratum, length, until, beta, table, eta, w, drop)
    _scale(m, n, total, w)
    exact = exact and n > 1
    if exact:
        _fill_before(m, n, w, F)
        _fill_from(m, n, w, B)
    upto[0] = seen[0] = slots[0] = 0.0
    for k in range(m):
        upto[k + 1] = upto[k] + w[k]
        seen[k + 1] = seen[k] + events[first + k]
        slots[k + 1] = slots[k] + (1.0 if length[first + k] > 0.0 else 0.0)
    begin = 0
    while begin < m:
        after = begin + 1
        while after < m and not fresh[first + after]:
            after += 1
        left = n - int(seen[after] - seen[begin])
        for k in range(begin, after):
            g = group[first + k]
            end = until[first + k] if len(until) > 0 else m
            n_in = slots[end] - slots[after]
            n_out = slots[begin] + slots[m] - slots[end]
            if g == len(beta) - 1 or left <= 0 or n_in <= 0.0 or n_out <= 0.0:
                continue
            least, most = 0, left
            s_in = max(upto[end] - upto[after], 0.0)
            s_out = max(upto[begin] + upto[m] - upto[end], 0.0)
            if exact:
                least = max(0, left - int(n_out))
                most = min(left, int(n_in))
                if least < most:
                    _fill_shares(begin, after, end, m, n, left, w, F, B, inside, share)
            if least < most and s_in > 0.0 and s_out > 0.0:
                _add_pair(
                    g, exact, seen[end] - seen[after], left, least, most, s_in, s_out, share,
                    ratio, waning, fixed, sums,
                )  # fmt: skip
        begin = after


@inner_kernel
def _add_own_of_cases(  # type: ignore[no-untyped-def]
    begin, stop, offsets, n, group, fresh, stratum, length, events, until, exact, beta, table,
    ratio, waning, rows, polynomials, fixed, sums,
):  # fmt: skip
    eta, w, upto, drop, seen, slots = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    F, B, inside, share = polynomials[0], polynomials[1], polynomials[2], polynomials[3]
    for c in range(begin, stop):
        _add_own_of_case(
            offsets[c], offsets[c + 1] - offsets[c], n[c], group, fresh, stratum, length, events,
            until, exact, beta, table, ratio, waning, eta, w, upto, drop, seen, slots, F, B,
            inside, share, fixed, sums,
        )  # fmt: skip


@parallel_kernel
def add_own(  # type: ignore[no-untyped-def]
    bounds, offsets, n, group, fresh, stratum, length, events, until, exact, beta, table, ratio,
    waning, rows, polynomials, fixed, sums,
):  # fmt: skip
    """Add up what the cases say of each group, its own tick left out, at several theta.

    ``ratio`` is exp(theta), ``waning`` exp(-beta). ``fixed``: A, its least and its largest
    value, and the number of cases. ``sums``, for each theta: K, K', K'', sum of (A - K')^2
    and of K'' x (events - 1) over the cases.
    """
    for chunk in prange(len(bounds) - 1):
        fixed[chunk] = 0.0
        sums[chunk] = 0.0
        _add_own_of_cases(
            bounds[chunk], bounds[chunk + 1], offsets, n, group, fresh, stratum, length, events,
            until, exact, beta, table, ratio, waning, rows[chunk], polynomials[chunk],
            fixed[chunk], sums[chunk],
        )  # fmt: skip


# The background --------------------------------------------------------------------------


@inner_kernel
def _add_background_of_case(  # type: ignore[no-untyped-def]
    first, m, n, group, fresh, stratum, length, until, exact, beta, table, n_pieces, n_positions,
    eta, w, drop, F, b, upto, whole, cross, own,
):  # fmt: skip
    total, _ = _weigh(first, m, group, fresh, stratum, length, until, beta, table, eta, w, drop)
    _expect(m, n, exact, total, w, F, b)
    d = len(whole)
    for a in range(d):
        upto[a] = 0.0
    for k in range(m):
        v = w[k] * (1.0 - w[k]) if exact and n > 1 else w[k]
        here, there = k * d, (k + 1) * d
        for a in range(d):
            upto[there + a] = upto[here + a]
        p = stratum[first + k] // n_pieces
        q = n_positions + stratum[first + k] % n_pieces
        upto[there + p] += v
        upto[there + q] += v
        own[p, p] += v
        own[q, q] += v
        own[p, q] += v
        own[q, p] += v
    end = m * d
    V = 0.0
    for a in range(n_positions):
        V += upto[end + a]
    if V <= 0.0:
        return
    for a in range(d):
        x = upto[end + a] / V
        if x > 0.0:
            for e in range(d):
                own[a, e] -= x * upto[end + e]
    begin = 0
    while begin < m:
        after = begin + 1
        while after < m and not fresh[first + after]:
            after += 1
        for k in range(begin, after):
            g = group[first + k]
            if g == len(beta) - 1:
                continue
            stop = until[first + k] if len(until) > 0 else m
            inside = 0.0
            both = 0.0
            for a in range(n_positions):
                x = upto[stop * d + a] - upto[after * d + a]
                inside += x
                both += upto[end + a] - upto[after * d + a] + upto[begin * d + a]
            if inside > 0.0 and both > inside:
                f = inside / both
                for a in range(d):
                    x = upto[stop * d + a] - upto[after * d + a]
                    y = upto[end + a] - upto[after * d + a] + upto[begin * d + a]
                    cross[g, a] += x - f * y
        begin = after


@inner_kernel
def _add_background_of_cases(  # type: ignore[no-untyped-def]
    begin, stop, offsets, n, group, fresh, stratum, length, until, exact, beta, table, n_pieces,
    n_positions, rows, polynomials, upto, whole, cross, own,
):  # fmt: skip
    eta, w, drop, F, b = rows[0], rows[1], rows[2], polynomials[0], polynomials[1]
    for c in range(begin, stop):
        _add_background_of_case(
            offsets[c], offsets[c + 1] - offsets[c], n[c], group, fresh, stratum, length, until,
            exact, beta, table, n_pieces, n_positions, eta, w, drop, F, b, upto, whole, cross, own,
        )  # fmt: skip


@parallel_kernel
def add_background(  # type: ignore[no-untyped-def]
    bounds, offsets, n, group, fresh, stratum, length, until, exact, beta, table, n_pieces,
    n_positions, rows, polynomials, upto, whole, cross, own,
):  # fmt: skip
    """Add up the information about the background, and what it shares with each group.

    Columns: the bins of the position, then the pieces of the calendar. The covariance of
    the events of two rows is v (of one row) less v v' / sum v, v the variance of each: of
    conditional Bernoulli sampling to first order (Hajek 1964), of a multinomial exactly.
    """
    for chunk in prange(len(bounds) - 1):
        cross[chunk] = 0.0
        own[chunk] = 0.0
        _add_background_of_cases(
            bounds[chunk], bounds[chunk + 1], offsets, n, group, fresh, stratum, length, until,
            exact, beta, table, n_pieces, n_positions, rows[chunk], polynomials[chunk],
            upto[chunk], whole[chunk], cross[chunk], own[chunk],
        )  # fmt: skip
