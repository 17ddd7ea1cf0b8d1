"""Philox 4x32-10: a random number is a function of what it is for.

Salmon, Moraes, Dror, Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3",
SC'11, doi:10.1145/2063384.2063405, section 3.3 and table 2. There is no state: the
key is (seed, stream), the counter is (user, event, draw), so a draw is the same for
any number of threads, any order of work, and whatever other draws were made.
"""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel

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
_TURN = 2.0 * np.pi


@inner_kernel
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


@inner_kernel
def uniform(word):  # type: ignore[no-untyped-def]
    """Return the 32-bit word as a float in (0, 1), in steps of 2**-32."""
    return (np.float64(word) + _HALF) * _STEP32


@inner_kernel
def uniform52(high, low):  # type: ignore[no-untyped-def]
    """Return two 32-bit words as a float in (0, 1), with 52 bits.

    52, not 53: the float that lies half a step below 1 must exist.
    """
    bits = (high << _SHIFT_HIGH) ^ (low >> _SHIFT_LOW)
    return (np.float64(bits) + _HALF) * _STEP52


@inner_kernel
def _gamma_from_one(seed, stream, user, event, draw, shape):  # type: ignore[no-untyped-def]
    """Return a gamma variate of shape 1 or more; uses draws from ``draw`` on.

    Letters as in Marsaglia, Tsang (2000), section 3.
    """
    d = shape - 1.0 / 3.0
    c = 1.0 / np.sqrt(9.0 * d)
    while True:
        w0, w1, w2, w3 = philox(seed, stream, user, event, draw)
        draw += 1
        # A normal variate (Box, Muller 1958) and a uniform one.
        x = np.sqrt(-2.0 * np.log(uniform(w0))) * np.cos(_TURN * uniform(w1))
        v = (1.0 + c * x) ** 3
        if v > 0.0 and np.log(uniform52(w2, w3)) < 0.5 * x * x + d - d * v + d * np.log(v):
            return d * v


@inner_kernel
def gamma(seed, stream, user, event, draw, shape):  # type: ignore[no-untyped-def]
    """Return a gamma variate of scale 1; uses draws from ``draw`` on, three at most on average.

    Marsaglia, Tsang (2000), "A simple method for generating gamma variables", ACM Trans.
    Math. Softw. 26, 363; below shape 1 by their section 6: G(a) = G(a + 1) U^(1/a).
    """
    if shape >= 1.0:
        return _gamma_from_one(seed, stream, user, event, draw, shape)
    high, low, _, _ = philox(seed, stream, user, event, draw)
    power = uniform52(high, low) ** (1.0 / shape)
    return power * _gamma_from_one(seed, stream, user, event, draw + 1, shape + 1.0)
