"""Philox 4x32-10: a random number is a function of what it is for; and digests of names.

Salmon, Moraes, Dror, Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3",
SC'11, doi:10.1145/2063384.2063405, section 3.3 and table 2. There is no state: the
key is (seed, stream), the counter is (user, event, draw), so a draw is the same for
any number of threads, any order of work, and whatever other draws were made.

Names are digested by BLAKE2b, many short texts in one go, with a key, eight bytes of digest:
Aumasson, Neves, Wilcox-O'Hearn, Winnerlein (2013), "BLAKE2: simpler, smaller, fast as MD5",
ACNS 2013; RFC 7693, sections 3.1 to 3.3, whose letters stand there: h the state, v the
working vector, m a block of the message, t the bytes so far. The key fills the first
block, which is the same for all texts and worked out once for many.
"""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, making_kernel, parallel_kernel, prange

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


# Names by their digests -----------------------------------------------------------------

_IV = np.array(
    [
        0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
        0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
    ],
    np.uint64,
)  # fmt: skip
_SIGMA = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    ],
    np.int64,
)
_ROUNDS = 12
_BLOCK = 128
_BYTE = np.uint64(8)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_NONE = np.uint64(0)
# Parameters: one lane, a key of eight bytes, a digest of eight.
_PARAMETERS = np.uint64(0x01010808)


@inner_kernel
def _turn(x, bits):  # type: ignore[no-untyped-def]
    return (x >> np.uint64(bits)) | (x << np.uint64(64 - bits))


@inner_kernel
def _mix(a, b, c, d, x, y):  # type: ignore[no-untyped-def]
    a = a + b + x
    d = _turn(d ^ a, 32)
    c = c + d
    b = _turn(b ^ c, 24)
    a = a + b + y
    d = _turn(d ^ a, 16)
    c = c + d
    b = _turn(b ^ c, 63)
    return a, b, c, d


@inner_kernel
def _compress(h, m, t, last):  # type: ignore[no-untyped-def]
    """Work a block into the state; ``last`` has all bits set at the last block, else none."""
    v0, v1, v2, v3, v4, v5, v6, v7 = h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7]
    v8, v9, v10, v11 = _IV[0], _IV[1], _IV[2], _IV[3]
    v12, v13, v14, v15 = _IV[4] ^ np.uint64(t), _IV[5], _IV[6] ^ last, _IV[7]
    for r in range(_ROUNDS):
        s = _SIGMA[r]
        v0, v4, v8, v12 = _mix(v0, v4, v8, v12, m[s[0]], m[s[1]])
        v1, v5, v9, v13 = _mix(v1, v5, v9, v13, m[s[2]], m[s[3]])
        v2, v6, v10, v14 = _mix(v2, v6, v10, v14, m[s[4]], m[s[5]])
        v3, v7, v11, v15 = _mix(v3, v7, v11, v15, m[s[6]], m[s[7]])
        v0, v5, v10, v15 = _mix(v0, v5, v10, v15, m[s[8]], m[s[9]])
        v1, v6, v11, v12 = _mix(v1, v6, v11, v12, m[s[10]], m[s[11]])
        v2, v7, v8, v13 = _mix(v2, v7, v8, v13, m[s[12]], m[s[13]])
        v3, v4, v9, v14 = _mix(v3, v4, v9, v14, m[s[14]], m[s[15]])
    h[0] ^= v0 ^ v8
    h[1] ^= v1 ^ v9
    h[2] ^= v2 ^ v10
    h[3] ^= v3 ^ v11
    h[4] ^= v4 ^ v12
    h[5] ^= v5 ^ v13
    h[6] ^= v6 ^ v14
    h[7] ^= v7 ^ v15


@making_kernel
def _start(key, last, m, h):  # type: ignore[no-untyped-def]
    """Fill the state after the block of the key, which is the last one of an empty text."""
    m[:] = _NONE
    m[0] = key
    h[:] = _IV
    h[0] ^= _PARAMETERS
    _compress(h, m, _BLOCK, last)


@inner_kernel
def _load(text, begin, end, m):  # type: ignore[no-untyped-def]
    """Fill a block with bytes, the rest with zeros."""
    for k in range(16):
        m[k] = _NONE
    for i in range(end - begin):
        m[i >> 3] |= np.uint64(text[begin + i]) << (_BYTE * np.uint64(i & 7))


@making_kernel
def _hash_range(begin, stop, offsets, text, key, out):  # type: ignore[no-untyped-def]
    m, h = np.empty(16, np.uint64), np.empty(8, np.uint64)
    _start(key, _ALL, m, h)
    empty = h[0]
    _start(key, _NONE, m, h)
    started = h.copy()
    for i in range(begin, stop):
        first, end = offsets[i], offsets[i + 1]
        if first == end:
            out[i] = empty
            continue
        h[:] = started
        at = first
        while at < end:
            to = min(at + _BLOCK, end)
            _load(text, at, to, m)
            _compress(h, m, _BLOCK + to - first, _ALL if to == end else _NONE)
            at = to
        out[i] = h[0]


@parallel_kernel
def hash_texts(bounds, offsets, text, key, out):  # type: ignore[no-untyped-def]
    """Fill the digest of each text, a number of 64 bits read from its lowest byte on.

    Text i is ``text[offsets[i]:offsets[i + 1]]``.
    """
    for part in prange(len(bounds) - 1):
        _hash_range(bounds[part], bounds[part + 1], offsets, text, key, out)
