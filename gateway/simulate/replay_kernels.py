"""Replays: one user's future without one join, everybody else frozen.

The same ``decide`` on the same random numbers; only the user's own log is a scratch copy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gateway._numba import inner_kernel, parallel_kernel, prange
from gateway.randomness_kernels import philox, uniform
from gateway.simulate.attempt_kernels import begin, decide
from gateway.simulate.log_kernels import latest_letter
from gateway.simulate.occasion_kernels import (
    INVITATION,
    MEMBER,
    RECOMMENDATION,
    add_influence,
    is_membership,
    source_row,
    write,
)
from gateway.simulate.tables import Inbox


class Scratch(NamedTuple):
    """A user's log that may differ from the factual one, and the state before each occasion."""

    cells: np.ndarray
    boost: np.ndarray
    since: np.ndarray
    looked: np.ndarray  # the last invitation looked at
    memory: np.ndarray  # the own occasion that an attempt would remember, or -1


@inner_kernel
def decide_again(  # type: ignore[no-untyped-def]
    stage, policies, mail, own, n, u, day, boost, since, looked, barred, seed, stream
):
    """Return (answer, last invitation looked at) of occasion n on the scratch log."""
    letter = latest_letter(mail, u, looked, day)
    inbox = Inbox(np.int64(-1), np.int64(-1))
    if letter >= 0:
        sent = mail.letters[letter]
        inbox = Inbox(np.int64(sent.group), np.int64(sent.sender))
    at = begin(stage, stage.users[u], 0, n, u, day, boost, since, barred, inbox)
    answer = decide(stage, policies, own, at, seed, stream)
    return answer, (letter if answer.looked else looked)


@inner_kernel
def _differs(one, other):  # type: ignore[no-untyped-def]
    return one.group != other.group or one.source != other.source


@inner_kernel
def _copy(cell, original):  # type: ignore[no-untyped-def]
    cell.group, cell.source = original.group, original.source


@inner_kernel
def _moved(stage, answer, day, boost, since):  # type: ignore[no-untyped-def]
    """Return (influence on a user, since which day) after an occasion's answer."""
    if answer.outcome == MEMBER:
        beta = stage.groups[answer.group].influence
        if beta != 0.0:
            return add_influence(stage.half_life, boost, since, day, beta), day
    return boost, since


@inner_kernel
def _relive(stage, policies, mail, scratch, is_target, u, seed, stream):  # type: ignore[no-untyped-def]
    """Replay user u whole; note the state before each occasion.

    Returns how many occasions differ from the factual ones, and how many targets u joins.
    """
    boost, since, looked, wrong, hits = 0.0, np.int64(0), np.int64(-1), 0, 0
    base = stage.users[u].start
    for n in range(np.int64(stage.users[u].taken)):
        fact = stage.cells[base + n]
        day = np.int64(fact.time)
        scratch.boost[n], scratch.since[n], scratch.looked[n] = boost, since, looked
        answer, looked = decide_again(
            stage, policies, mail, scratch.cells, n, u, day, boost, since, looked, -1, seed, stream
        )
        write(scratch.cells[n], day, answer)
        wrong += _differs(scratch.cells[n], fact)
        if answer.outcome == MEMBER:
            hits += is_target[answer.group]
        boost, since = _moved(stage, answer, day, boost, since)
    return wrong, hits


@inner_kernel
def _note_memories(stage, memory, u, seed, stream):  # type: ignore[no-untyped-def]
    """Fill ``memory[n, attempt]`` with the own occasion that an attempt would remember, or -1."""
    for n in range(np.int64(stage.users[u].taken)):
        for attempt in range(stage.attempts):
            w0, w1, _, _ = philox(seed, stream, u, n, attempt)
            how = stage.source[source_row(stage.source, uniform(w0))].mechanism
            remembers = n > 0 and (how == RECOMMENDATION or how == INVITATION)
            memory[n, attempt] = min(np.int64(uniform(w1) * n), n - 1) if remembers else -1


@inner_kernel
def _without(  # type: ignore[no-untyped-def]
    stage, policies, mail, scratch, is_target, u, skip, seed, stream
):
    """Target joins after occasion ``skip`` in u's future without its join.

    Until an answer differs from the factual one, only the occasions that remember ``skip``
    are decided again: to all others the join makes no difference, unless it moved the
    user's taste or shields it from invitations.
    """
    own = scratch.cells
    base = stage.users[u].start
    barred = np.int64(stage.cells[base + skip].group)
    # A later step never lifts an earlier one: the last step has every friction.
    friction = max(policies.friction[-1, barred], policies.sender_friction[-1, barred])
    differs = stage.groups[barred].influence != 0.0 or friction > 0.0
    boost, since, looked = scratch.boost[skip], scratch.since[skip], scratch.looked[skip]
    hits = 0
    own[skip].group = -1
    for n in range(skip + 1, np.int64(stage.users[u].taken)):
        decided = differs
        for attempt in range(stage.attempts):
            decided = decided or scratch.memory[n, attempt] == skip
        if not decided:
            hits += is_membership(own[n]) and is_target[own[n].group]
            continue
        if not differs:
            boost, since, looked = scratch.boost[n], scratch.since[n], scratch.looked[n]
        fact = stage.cells[base + n]
        day = np.int64(fact.time)
        answer, looked = decide_again(
            stage, policies, mail, own, n, u, day, boost, since, looked, barred, seed, stream
        )
        write(own[n], day, answer)
        differs = differs or _differs(own[n], fact)
        if answer.outcome == MEMBER:
            hits += is_target[answer.group]
        boost, since = _moved(stage, answer, day, boost, since)
    return hits


@inner_kernel
def _replay_user(  # type: ignore[no-untyped-def]
    stage, policies, mail, scratch, is_target, u, seed, stream, sums
):
    """Add up what each join of user u did; return the occasions that the factual replay missed."""
    wrong, _ = _relive(stage, policies, mail, scratch, is_target, u, seed, stream)
    _note_memories(stage, scratch.memory, u, seed, stream)
    base, n_done = stage.users[u].start, np.int64(stage.users[u].taken)
    later = 0
    for skip in range(n_done - 1, -1, -1):
        fact = stage.cells[base + skip]
        if not is_membership(fact):
            continue
        g = fact.group
        if is_target[g]:
            later += 1
            continue
        for n in range(skip, n_done):
            _copy(scratch.cells[n], stage.cells[base + n])
        lost = later - _without(stage, policies, mail, scratch, is_target, u, skip, seed, stream)
        scratch.cells[skip].group = g
        sums[g, 0] += 1
        sums[g, 1] += lost
        sums[g, 2] += lost * lost
    return wrong


@inner_kernel
def _of_chunk(scratch, chunk):  # type: ignore[no-untyped-def]
    return Scratch(
        scratch.cells[chunk], scratch.boost[chunk], scratch.since[chunk], scratch.looked[chunk],
        scratch.memory[chunk],
    )  # fmt: skip


@inner_kernel
def _replay_users(  # type: ignore[no-untyped-def]
    stage, policies, mail, scratch, is_target, chunk, chunks, seed, stream, sums
):
    own, n_users, wrong = _of_chunk(scratch, chunk), len(stage.users), 0
    for u in range(chunk * n_users // chunks, (chunk + 1) * n_users // chunks):
        wrong += _replay_user(stage, policies, mail, own, is_target, u, seed, stream, sums)
    return wrong


@parallel_kernel
def direct_effects(  # type: ignore[no-untyped-def]
    stage, policies, mail, scratch, is_target, seed, stream, sums, wrong
):
    """Add up, by group: joins replayed, sum and sum of squares of later target joins lost.

    ``sums`` and ``scratch`` have a row of their own for each chunk of users; whole numbers,
    so that any order of addition gives the same. ``wrong`` counts factual occasions that a
    replay without any change did not reproduce: it must stay zero.
    """
    chunks = len(sums)
    for chunk in prange(chunks):
        wrong[chunk] = _replay_users(
            stage, policies, mail, scratch, is_target, np.int64(chunk), chunks, seed, stream,
            sums[chunk],
        )  # fmt: skip


@parallel_kernel
def relive_users(  # type: ignore[no-untyped-def]
    stage, policies, mail, scratch, is_target, users, seed, stream, hits
):
    """Fill how many targets some users would join under the policies, everybody else frozen."""
    n, chunks = len(users), len(scratch.cells)
    for chunk in prange(chunks):
        own = _of_chunk(scratch, np.int64(chunk))
        for i in range(chunk * n // chunks, (chunk + 1) * n // chunks):
            _, hits[i] = _relive(
                stage, policies, mail, own, is_target, np.int64(users[i]), seed, stream
            )
