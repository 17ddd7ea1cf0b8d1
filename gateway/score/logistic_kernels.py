"""Loss, gradient and scores of the all-prefix logistic regression in O(joins).

For user u with rows i = 1, 2, ... the logit of the prefix that ends at row i is
z_i = b + w[g_1] + ... + w[g_i], a running sum forward. The weight w[g_j] stands in every
logit from row j on, so its gradient is the running sum of residuals *backward* from the
user's end to j. No prefix is ever written out.
"""

from __future__ import annotations

import numpy as np

from gateway._numba import kernel, parallel_kernel, prange

# Below the largest float by more than the next factor, which is at most 2.
_NEARLY_FULL = 1e300

__all__ = ["count_later_rows", "loss_and_gradient", "prefix_logits"]


@parallel_kernel
def loss_and_gradient(  # type: ignore[no-untyped-def]
    offsets, group, trains, label, takes_part, w, b, bounds, residual, gradient, totals
):
    """Add up loss, intercept gradient (``totals``) and gradient, chunk by chunk of users.

    Each chunk has a row of its own in ``gradient`` and ``totals``: the caller adds the
    rows in order, so that the sum does not depend on the number of threads.
    """
    for chunk in prange(len(bounds) - 1):
        loss = 0.0
        slope = 0.0
        product = 1.0  # of 1 + e: one logarithm for many rows
        for u in range(bounds[chunk], bounds[chunk + 1]):
            if not takes_part[u]:
                continue
            z = b
            for i in range(offsets[u], offsets[u + 1]):
                z += w[group[i]]
                residual[i] = 0.0
                if trains[i]:
                    # log(1 + exp(z)) = max(z, 0) + log(1 + e), e = exp(-|z|) <= 1.
                    e = np.exp(-abs(z))
                    loss += max(z, 0.0) - label[i] * z
                    product *= 1.0 + e
                    residual[i] = (1.0 if z >= 0.0 else e) / (1.0 + e) - label[i]
                    if product > _NEARLY_FULL:
                        loss += np.log(product)
                        product = 1.0
            r = 0.0
            for i in range(offsets[u + 1] - 1, offsets[u] - 1, -1):
                r += residual[i]
                gradient[chunk, group[i]] += r
            slope += r
        totals[chunk, 0] = loss + np.log(product)
        totals[chunk, 1] = slope


@kernel
def count_later_rows(offsets, group, trains, takes_part, count):  # type: ignore[no-untyped-def]
    """Count for each group the training rows whose prefix contains it."""
    for u in range(len(offsets) - 1):
        if not takes_part[u]:
            continue
        n = 0
        for i in range(offsets[u + 1] - 1, offsets[u] - 1, -1):
            n += trains[i]
            count[group[i]] += n


@parallel_kernel
def prefix_logits(  # type: ignore[no-untyped-def]
    offsets, group, starts_block, ends_block, takes_part, w, b, before, after, at_end
):
    """Fill the logits before a row's block, after its join alone, and at its block's end."""
    for u in prange(len(offsets) - 1):
        if takes_part[u]:
            z_end = b
            z_start = b
            first = offsets[u]
            for i in range(offsets[u], offsets[u + 1]):
                if starts_block[i]:
                    z_start = z_end
                    first = i
                before[i] = z_start
                after[i] = z_start + w[group[i]]
                z_end += w[group[i]]
                if ends_block[i]:
                    for j in range(first, i + 1):
                        at_end[j] = z_end
