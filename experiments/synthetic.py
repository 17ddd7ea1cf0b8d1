"""Large logs drawn at random in whole arrays, for measuring time and memory.

Not the simulator: nobody influences anybody. Joins per user are negative binomial (a Poisson
number around a gamma rate), group sizes follow Zipf's law with an offset of ten, times are
even. A tenth of the users have a taste: half of their joins go to every tenth group, and the
targets are among these, so that a classifier has something to learn.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gateway.log.join_log import JoinLog, numbered_names
from gateway.targets import TargetSet

__all__ = ["TICKS", "draw_log", "log_of", "targets_of"]

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

TICKS = 1_000
# One group in so many is to the taste of one user in so many; one of those in fifty a target.
EVERY, TARGETS_AMONG = 10, 50
OFFSET = 10.0
# Shape of the gamma rate: a coefficient of variation of 0.8 beyond chance.
SHAPE = 1.5
# Users drawn at once: with up to 2^24 groups a pair of ids is 40 bits.
BLOCK = 1 << 16
_BITS = 24


def draw_log(users: int, groups: int, joins: int, *, seed: int = 1) -> tuple[Int64, Int32, Int32]:
    """Return offsets, group and time of about ``joins`` joins, in the order of a ``JoinLog``.

    A user joins a group once, so that repeats vanish: with few groups there are fewer joins.
    """
    counts, group, time = [], [], []
    for first in range(0, users, BLOCK):
        rng = np.random.default_rng([seed, first])
        block = _draw_block(rng, min(BLOCK, users - first), groups, joins / users)
        for kept, new in zip((counts, group, time), block, strict=True):
            kept.append(new)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
    return offsets, np.concatenate(group), np.concatenate(time)


def _draw_block(
    rng: np.random.Generator, users: int, groups: int, mean: float
) -> tuple[Int64, Int32, Int32]:
    counts = rng.poisson(rng.gamma(SHAPE, mean / SHAPE, users))
    user = np.repeat(np.arange(users), counts)
    # The inverse of Zipf's distribution function: P(rank < g) = log(1 + g/10) / log(1 + G/10).
    share = rng.random(len(user))
    rank = (OFFSET * np.expm1(share * np.log1p(groups / OFFSET))).astype(np.int64)
    group = _scatter(np.minimum(rank, groups - 1), groups)
    taste = (rng.random(users) < 1 / EVERY)[user] & (rng.random(len(user)) < 0.5)
    group[taste] -= group[taste] % EVERY
    pair = np.unique((user << _BITS) | group)
    user, group = pair >> _BITS, pair & ((1 << _BITS) - 1)
    time = rng.integers(0, TICKS, len(pair))
    # User, tick, group: 16, 10 and 24 bits.
    key = np.sort((((user << 10) | time) << _BITS) | group)
    counts = np.bincount(user, minlength=users)
    group, time = key & ((1 << _BITS) - 1), (key >> _BITS) & 1023
    return counts, group.astype(np.int32), time.astype(np.int32)


def _scatter(rank: Int64, groups: int) -> Int64:
    """Give ranks ids all over the range, one for one: a multiplication modulo the number."""
    step = int(groups * 0.6180339887) | 1
    while np.gcd(step, groups) != 1:
        step += 2
    return rank * step % groups


def log_of(offsets: Int64, group: Int32, time: Int32, *, groups: int) -> JoinLog:
    """Return the log of such arrays, everybody observed throughout."""
    users = len(offsets) - 1
    return JoinLog(
        offsets=offsets, group=group, time=time,
        users=numbered_names("u", np.arange(users)), groups=numbered_names("g", np.arange(groups)),
        tick="integer", origin=0,
        observed_from=np.zeros(users, np.int32),
        observed_until=np.full(users, TICKS - 1, np.int32),
    )  # fmt: skip


def targets_of(groups: int) -> TargetSet:
    """Every five hundredth group."""
    mask = np.arange(groups) % (EVERY * TARGETS_AMONG) == 0
    return TargetSet(mask, "every five hundredth group")
