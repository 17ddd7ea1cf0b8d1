"""Where every random number comes from.

Two sources, and no other. Inside kernels: Philox, keyed by (seed, stream) and counted
by (user, event, draw). Outside: ``numpy.random.Generator`` objects made from an
explicit spawn key, so that the draws of one purpose never depend on how many another
purpose made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from enum import IntEnum
from itertools import chain

import numpy as np
import pyarrow as pa

from gateway.arrays import UInt64, even_cuts

# Below so many names, a second's worth, a kernel is not worth compiling.
_MANY = 1 << 20
_CHUNKS = 16
_BATCH = 1 << 12


def hash_names(names: Sequence[str] | pa.StringArray, *, seed: int) -> UInt64:
    """Return a hash of each name, uint64, shape (len(names),).

    Parameters
    ----------
    names
        Any text; an array of Arrow's, which holds no null, gives the same numbers sooner.
    seed
        In [0, 2**64).

    References
    ----------
    RFC 7693.
    """
    if isinstance(names, pa.StringArray):
        return _of_array(names, seed)
    return _one_by_one(names, seed)


def _one_by_one(names: Iterable[str], seed: int) -> UInt64:
    key, digests = seed.to_bytes(8, "little"), bytearray()
    for name in names:
        text = name.encode("utf-8", "surrogatepass")
        digests += hashlib.blake2b(text, digest_size=8, key=key).digest()
    return np.frombuffer(digests, dtype="<u8")


def _of_array(names: pa.StringArray, seed: int) -> UInt64:
    # As Python's own texts, of which each takes seven times as many bytes, a few at a time.
    slices = (names.slice(k, _BATCH) for k in range(0, len(names), _BATCH))
    texts = chain.from_iterable(some.to_pylist() for some in slices)
    if len(names) < _MANY:
        return _one_by_one(texts, seed)
    # Late: a few names do without.
    from gateway._numba import is_compiled  # noqa: PLC0415
    from gateway.randomness_kernels import hash_texts  # noqa: PLC0415

    if not is_compiled():
        return _one_by_one(texts, seed)
    _, offsets, text = names.buffers()
    words = np.empty(len(names), np.uint64)
    hash_texts(
        even_cuts(len(names), _CHUNKS),
        np.frombuffer(offsets, np.int32)[names.offset : names.offset + len(names) + 1],
        np.frombuffer(text, np.uint8), np.uint64(seed), words,
    )  # fmt: skip
    return words


class Stream(IntEnum):
    """Philox streams of the simulator: the second word of the key.

    A number is never reused and never changes its meaning: it is part of the model's
    version.
    """

    EVENT_TIMES = 1
    JOINS = 2
    SENDING = 3
    RECEIVERS = 4
    PYMK = 5
    FRIENDSHIPS = 6


class Purpose(IntEnum):
    """Spawn keys of the generators: one for each thing that is drawn outside kernels."""

    USERS = 1
    GROUPS = 2
    ROLES = 3
    FRIENDSHIPS = 4
    STRIKES = 5
    BOOTSTRAP = 6
    INTEREST = 7
    ACTIVITY = 8
    DEPARTURE = 9
    DRIFT = 10
    INVITING = 11
    ARMS = 12
    OPERATORS = 13
    MODERATION = 14
    TOPICS = 15
    APPEAL_TAIL = 16
    SEVERITY = 17
    DETECTION = 18
    DEMOTION = 19
    REPORTS = 20
    PERMUTED_LABELS = 21
    PERMUTED_WITHIN_USERS = 22
    PLACEBO_TARGETS = 23
    PLANTED = 24
    SAMPLED_USERS = 25
    FLAGS = 26
    TRIAL_ARMS = 27


def generator(seed: int, purpose: Purpose, *keys: int) -> np.random.Generator:
    """Return the generator for one purpose.

    ``SeedSequence.spawn`` counts its calls; an explicit spawn key does not, so adding a
    purpose leaves the draws of every other as they were.

    Examples
    --------
    >>> a = generator(7, Purpose.USERS).integers(1000)
    >>> b = generator(7, Purpose.USERS).integers(1000)
    >>> bool(a == b)
    True
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(int(purpose), *keys))
    return np.random.Generator(np.random.PCG64(sequence))


def name_uniforms(names: Sequence[str] | pa.StringArray, *, seed: int) -> np.ndarray:
    """Return a number in [0, 1) for each name, a hash of the name and the seed.

    What is drawn for a user by its name does not depend on the order of the rows, on
    who else is in the log, or on the dense id that the user happens to get.

    Parameters
    ----------
    names
        Names, any text; ten times as fast as an array of Arrow's, which holds no null.
    seed
        Non-negative; another seed gives unrelated numbers.

    Returns
    -------
    numpy.ndarray
        float64, shape (len(names),), in [0, 1): the upper 53 bits of BLAKE2b.
    """
    return (hash_names(names, seed=int(seed)) >> np.uint64(11)) * 2.0**-53
