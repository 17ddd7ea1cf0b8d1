"""What the machine can do at most: bytes in a row, random reads, and a plain loop of both.

Letters: a, b, c the arrays of STREAM's triad (McCalpin 1995, "Memory bandwidth and machine
balance in current high performance computers", IEEE TCCA newsletter).
"""

from __future__ import annotations

import numpy as np

from gateway._numba import kernel, parallel_kernel, prange

__all__ = ["gather", "plain_loop", "triad"]


@parallel_kernel
def triad(a, b, c, factor, bounds):  # type: ignore[no-untyped-def]
    """Fill a = b + factor c: two reads and a write of eight bytes each."""
    for chunk in prange(len(bounds) - 1):
        for i in range(bounds[chunk], bounds[chunk + 1]):
            a[i] = b[i] + factor * c[i]


@parallel_kernel
def gather(table, index, bounds, total):  # type: ignore[no-untyped-def]
    """Add up the table's cells at random places, chunk by chunk.

    Four running sums: no read has to wait for the one before it.
    """
    for chunk in prange(len(bounds) - 1):
        s0 = 0.0
        s1 = 0.0
        s2 = 0.0
        s3 = 0.0
        end = bounds[chunk + 1] - (bounds[chunk + 1] - bounds[chunk]) % 4
        for i in range(bounds[chunk], end, 4):
            s0 += table[index[i]]
            s1 += table[index[i + 1]]
            s2 += table[index[i + 2]]
            s3 += table[index[i + 3]]
        total[chunk] = s0 + s1 + s2 + s3


@kernel
def plain_loop(table, index):  # type: ignore[no-untyped-def]
    """Return the sum of exp(-|table|) over random places: read, exponential, add; one thread."""
    total = 0.0
    for i in range(len(index)):
        total += np.exp(-abs(table[index[i]]))
    return total
