"""Philox 4x32-10: a random number is a function of what it is for.

Salmon, Moraes, Dror, Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3",
SC'11, doi:10.1145/2063384.2063405, section 3.3 and table 2. There is no state: the
key is (seed, stream), the counter is (user, event, draw), so a draw is the same for
any number of threads, any order of work, and whatever other draws were made.
"""

from __future__ import annotations

import numpy as np

from gateway._numba import kernel

__all__ = ["philox", "uniform", "uniform52"]

# Everything is uint64 holding a 32-bit word: numba turns a mix of signed and unsigned
# integers into floats, and a product of two 32-bit words just fits.
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)
_W1 = np.uint64(0xBB67AE85)
_HALF = 0.5
_STEP32 = 2.0**-32
_STEP52 = 2.0**-52
_SHIFT_HIGH = np.uint64(20)
_SHIFT_LOW = np.uint64(12)


@kernel
def philox(seed, stream, user, event, draw):  # type: ignore[no-untyped-def]
    """Return four independent 32-bit words, as uint64, for one (key, counter)."""
    k0 = np.uint64(seed) & _LOW
    k1 = np.uint64(stream) & _LOW
    c0 = np.uint64(user) & _LOW
    c1 = np.uint64(event) & _LOW
    c2 = np.uint64(draw) & _LOW
    c3 = np.uint64(draw) >> _SHIFT
    for _ in range(10):
        p0 = _M0 * c0
        p1 = _M1 * c2
        c0 = (p1 >> _SHIFT) ^ c1 ^ k0
        c1 = p1 & _LOW
        c2 = (p0 >> _SHIFT) ^ c3 ^ k1
        c3 = p0 & _LOW
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@kernel
def uniform(word):  # type: ignore[no-untyped-def]
    """Return the 32-bit word as a float in (0, 1), in steps of 2**-32."""
    return (np.float64(word) + _HALF) * _STEP32


@kernel
def uniform52(high, low):  # type: ignore[no-untyped-def]
    """Return two 32-bit words as a float in (0, 1), with 52 bits.

    52, not 53: the float that lies half a step below 1 must exist.
    """
    bits = (high << _SHIFT_HIGH) ^ (low >> _SHIFT_LOW)
    return (np.float64(bits) + _HALF) * _STEP52
