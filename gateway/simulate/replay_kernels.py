"""Replays: one user's future without one join, everybody else frozen.

The same ``decide`` on the same random numbers; only the user's own log is a scratch copy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gateway._numba import kernel, parallel_kernel, prange
from gateway.randomness_kernels import philox, uniform
from gateway.simulate.occasion_kernels import (
    INVITATION,
    MEMBER,
    NEVER,
    NOTHING,
    RECOMMENDATION,
    UNCONFIRMED,
    Inbox,
    decide,
    heat,
    occasions_before,
    search,
)

__all__ = ["Mail", "direct_effects"]


class Mail(NamedTuple):
    """Invitations by receiver: those to u are ``letter[offsets[u]:offsets[u + 1]]``, by time."""

    offsets: np.ndarray
    letter: np.ndarray
    sender: np.ndarray
    group: np.ndarray
    time: np.ndarray


@kernel
def _add_influence(scenery, boost, since, day, beta):  # type: ignore[no-untyped-def]
    if scenery.half_life > 0.0:
        boost = boost * 0.5 ** ((day - since) / scenery.half_life)
    return boost + beta


@kernel
def _latest(mail, u, looked, day):  # type: ignore[no-untyped-def]
    """The latest invitation to u before ``day`` and after the last one looked at, or -1."""
    latest = -1
    for i in range(mail.offsets[u], mail.offsets[u + 1]):
        letter = mail.letter[i]
        if mail.time[letter] >= day:
            break
        latest = letter
    return latest if latest > looked else -1


@kernel
def _decide_again(  # type: ignore[no-untyped-def]
    scenery, labels, policies, others, mail, group, source, n, u, day, boost, since, looked,
    barred, seed, stream,
):  # fmt: skip
    """Return (answer, last invitation looked at) of occasion n on the scratch log."""
    harm, travels = heat(scenery, u, day, boost, since)
    letter = _latest(mail, u, looked, day)
    inbox = Inbox(np.int64(-1), np.int64(-1))
    if letter >= 0:
        inbox = Inbox(np.int64(mail.group[letter]), np.int64(mail.sender[letter]))
    answer = decide(
        scenery, labels, policies, others, group, source, 0, n, u, day, harm, travels, barred,
        inbox, seed, stream,
    )  # fmt: skip
    return answer, (letter if answer.looked else looked)


@kernel
def _write(answer, n, group, source):  # type: ignore[no-untyped-def]
    """Write an answer into the scratch log as the simulation writes it into the log."""
    group[n] = answer.group
    source[n] = 0
    if answer.outcome != NOTHING:
        source[n] = answer.row + (0 if answer.outcome == MEMBER else UNCONFIRMED)


@kernel
def _n_done(others, u):  # type: ignore[no-untyped-def]
    return occasions_before(others, u, NEVER)


@kernel
def _factual(  # type: ignore[no-untyped-def]
    scenery, labels, policies, others, mail, u, group, source, boost_at, since_at, looked_at,
    seed, stream,
):  # fmt: skip
    """Replay user u whole; note the state before each occasion. Returns occasions differing."""
    boost, since, looked, wrong = 0.0, 0, -1, 0
    base = others.start[u]
    for n in range(_n_done(others, u)):
        day = np.int64(others.time[base + n])
        boost_at[n], since_at[n], looked_at[n] = boost, since, looked
        answer, looked = _decide_again(
            scenery, labels, policies, others, mail, group, source, n, u, day, boost, since,
            looked, -1, seed, stream,
        )  # fmt: skip
        _write(answer, n, group, source)
        wrong += group[n] != others.group[base + n] or source[n] != others.source[base + n]
        if answer.outcome == MEMBER and scenery.influence[answer.group] != 0.0:
            beta = scenery.influence[answer.group]
            boost, since = _add_influence(scenery, boost, since, day, beta), day
    return wrong


@kernel
def _note_memories(scenery, u, n_done, memory, seed, stream):  # type: ignore[no-untyped-def]
    """Fill ``memory[n, attempt]`` with the own occasion that an attempt would remember, or -1."""
    for n in range(n_done):
        for attempt in range(scenery.attempts):
            w0, w1, _, _ = philox(seed, stream, u, n, attempt)
            how = scenery.mechanism[search(scenery.source_end, uniform(w0))]
            remembers = n > 0 and (how == RECOMMENDATION or how == INVITATION)
            memory[n, attempt] = min(np.int64(uniform(w1) * n), n - 1) if remembers else -1


@kernel
def _without(  # type: ignore[no-untyped-def]
    scenery, labels, policies, others, mail, is_target, u, skip, n_done, group, source,
    boost_at, since_at, looked_at, memory, seed, stream,
):  # fmt: skip
    """Target joins after occasion ``skip`` in u's future without its join.

    Until an answer differs from the factual one, only the occasions that remember ``skip``
    are decided again: to all others the join makes no difference, unless it moved the
    user's taste or shields it from invitations.
    """
    base = others.start[u]
    barred = np.int64(others.group[base + skip])
    beta = scenery.influence[barred]
    # A later step never lifts an earlier one: the last step has every friction.
    differs = beta != 0.0 or policies.friction[-1, barred] > 0.0
    boost, since, looked = boost_at[skip], since_at[skip], looked_at[skip]
    hits = 0
    group[skip] = -1
    for n in range(skip + 1, n_done):
        decided = differs
        for attempt in range(scenery.attempts):
            decided = decided or memory[n, attempt] == skip
        if not decided:
            hits += source[n] < UNCONFIRMED and group[n] >= 0 and is_target[group[n]]
            continue
        if not differs:
            boost, since, looked = boost_at[n], since_at[n], looked_at[n]
        day = np.int64(others.time[base + n])
        answer, looked = _decide_again(
            scenery, labels, policies, others, mail, group, source, n, u, day, boost, since,
            looked, barred, seed, stream,
        )  # fmt: skip
        _write(answer, n, group, source)
        changed = group[n] != others.group[base + n] or source[n] != others.source[base + n]
        if changed and not differs:
            differs = True
        if answer.outcome == MEMBER:
            hits += is_target[answer.group]
            if scenery.influence[answer.group] != 0.0:
                beta = scenery.influence[answer.group]
                boost, since = _add_influence(scenery, boost, since, day, beta), day
    return hits


@parallel_kernel
def direct_effects(  # type: ignore[no-untyped-def]
    scenery, labels, policies, others, mail, is_target, longest, seed, stream, sums, wrong
):
    """Add up, by group: joins replayed, sum and sum of squares of later target joins lost.

    ``sums`` has a row of its own for each chunk of users; whole numbers, so that any order
    of addition gives the same. ``wrong`` counts factual occasions that a replay without
    any change did not reproduce: it must stay zero.
    """
    chunks = len(sums)
    n_users = len(scenery.country)
    for chunk in prange(chunks):
        group, source = np.empty(longest, np.int32), np.empty(longest, np.uint8)
        boost_at, since_at = np.empty(longest, np.float64), np.empty(longest, np.int64)
        looked_at = np.empty(longest, np.int64)
        memory = np.empty((longest, scenery.attempts), np.int64)
        for u in range(chunk * n_users // chunks, (chunk + 1) * n_users // chunks):
            base = others.start[u]
            n_done = _n_done(others, u)
            wrong[chunk] += _factual(
                scenery, labels, policies, others, mail, u, group, source, boost_at, since_at,
                looked_at, seed, stream,
            )  # fmt: skip
            _note_memories(scenery, u, n_done, memory, seed, stream)
            later = 0
            for skip in range(n_done - 1, -1, -1):
                g = others.group[base + skip]
                if g < 0 or others.source[base + skip] >= UNCONFIRMED:
                    continue
                if is_target[g]:
                    later += 1
                    continue
                for n in range(skip, n_done):
                    group[n], source[n] = others.group[base + n], others.source[base + n]
                lost = later - _without(
                    scenery, labels, policies, others, mail, is_target, u, skip, n_done, group,
                    source, boost_at, since_at, looked_at, memory, seed, stream,
                )  # fmt: skip
                group[skip] = g
                sums[chunk, g, 0] += 1
                sums[chunk, g, 1] += lost
                sums[chunk, g, 2] += lost * lost
