"""Sums of the calibrator's regression, many rows side by side, and of the expectation's."""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, parallel_kernel, prange
from gateway.score.prefix_loss_kernels import MOST_LOGIT, exponential, sigmoid


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


# The expectation ----------------------------------------------------------------------------


@inner_kernel
def _bin(edges, x):  # type: ignore[no-untyped-def]
    """Number of edges that are not above x: all of them at once, no guess to go wrong."""
    n = 0
    for k in range(len(edges)):
        n += edges[k] <= x
    return n


@inner_kernel
def _block_end(i, end, starts_block):  # type: ignore[no-untyped-def]
    j = i + 1
    while j < end and not starts_block[j]:
        j += 1
    return j


@inner_kernel
def _columns(blocks, size, tick, tenure, edges, at):  # type: ignore[no-untyped-def]
    """Column of each of a row's four bins, behind the one of the logit."""
    column = 1
    for k in range(4):
        x = blocks if k == 0 else size if k == 1 else tick if k == 2 else tenure
        at[k] = column + _bin(edges[k], x)
        column += len(edges[k]) + 1


@inner_kernel
def _add_rows(n, positive, z, theta, at, gradient, hessian):  # type: ignore[no-untyped-def]
    """Add n like rows of a block, of which some have outcome 1."""
    t = theta[0] * z
    for k in range(4):
        t += theta[at[k]]
    p = sigmoid(t)
    r = n * p - positive
    h = n * p * (1.0 - p)
    gradient[0] += r * z
    hessian[0, 0] += h * z * z
    for k in range(4):
        gradient[at[k]] += r
        hessian[0, at[k]] += h * z
        for m in range(k, 4):
            hessian[at[k], at[m]] += h


@inner_kernel
def _expectation_user(  # type: ignore[no-untyped-def]
    first, end, time, starts_block, label, z, line, edges, theta, at, gradient, hessian
):
    """``line``: slope and intercept of the calibrator."""
    i = first
    blocks = 0
    while i < end:
        stop = _block_end(i, end, starts_block)
        n = 0
        positive = 0
        for j in range(i, stop):
            if label[j] >= 0:
                n += 1
                positive += label[j]
        if n > 0:
            x = line[0] * z[i] + line[1]
            _columns(blocks, stop - i, time[i], time[i] - time[first], edges, at)
            _add_rows(n, positive, x, theta, at, gradient, hessian)
        blocks += 1
        i = stop


@inner_kernel
def _expectation_chunk(  # type: ignore[no-untyped-def]
    users, offsets, time, starts_block, label, z, line, edges, theta, at, gradient, hessian
):
    for k in range(len(gradient)):
        gradient[k] = 0.0
        for m in range(len(gradient)):
            hessian[k, m] = 0.0
    for k in range(len(users)):
        u = users[k]
        _expectation_user(
            offsets[u], offsets[u + 1], time, starts_block, label, z, line, edges, theta, at,
            gradient, hessian,
        )  # fmt: skip


@parallel_kernel
def first_outcomes(offsets, ends_block, label, outcome):  # type: ignore[no-untyped-def]
    """Fill the outcome after each user's first block, -1 where there is none."""
    for u in prange(len(offsets) - 1):
        outcome[u] = -1
        if offsets[u] < offsets[u + 1]:
            i = offsets[u]
            while not ends_block[i]:
                i += 1
            outcome[u] = label[i]


@parallel_kernel
def training_outcomes(offsets, ends_block, label, users, outcome):  # type: ignore[no-untyped-def]
    """Fill the outcome of each row that ``users`` are trained on, -1 in all others."""
    for u in prange(len(offsets) - 1):
        for i in range(offsets[u], offsets[u + 1]):
            outcome[i] = label[i] if users[u] and ends_block[i] else -1


@parallel_kernel
def expectation_sums(  # type: ignore[no-untyped-def]
    users, bounds, offsets, time, starts_block, label, z, line, edges, theta, at, gradient, hessian
):
    """Fill, chunk by chunk of users, gradient and upper half of the Hessian of the log-loss."""
    for c in prange(len(bounds) - 1):
        _expectation_chunk(
            users[bounds[c] : bounds[c + 1]], offsets, time, starts_block, label, z, line, edges,
            theta, at[c], gradient[c], hessian[c],
        )  # fmt: skip


@inner_kernel
def _expected_user(first, end, time, starts_block, before, edges, theta, at, clip, expected):  # type: ignore[no-untyped-def]
    i = first
    blocks = 0
    while i < end:
        stop = _block_end(i, end, starts_block)
        p = min(max(before[i], clip), 1.0 - clip)
        _columns(blocks, stop - i, time[i], time[i] - time[first], edges, at)
        t = theta[0] * (np.log(p) - np.log1p(-p))
        for k in range(4):
            t += theta[at[k]]
        e = sigmoid(t)
        for j in range(i, stop):
            expected[j] = e
        blocks += 1
        i = stop


@inner_kernel
def _expected_users(users, offsets, time, starts_block, before, edges, theta, at, clip, expected):  # type: ignore[no-untyped-def]
    for k in range(len(users)):
        u = users[k]
        _expected_user(
            offsets[u], offsets[u + 1], time, starts_block, before, edges, theta, at, clip, expected
        )


@parallel_kernel
def expected_rows(  # type: ignore[no-untyped-def]
    users, bounds, offsets, time, starts_block, before, edges, theta, at, clip, expected
):
    """Fill the expectation of the rows of some users from the probabilities before them."""
    for c in prange(len(bounds) - 1):
        _expected_users(
            users[bounds[c] : bounds[c + 1]], offsets, time, starts_block, before, edges, theta,
            at[c], clip, expected,
        )  # fmt: skip
