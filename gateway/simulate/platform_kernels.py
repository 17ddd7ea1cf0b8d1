"""The platform's loops over users: clocks, one day of joins, and the invitations sent.

A user is advanced by one thread only, and what it sees of the others ends last night:
the log has the same bits for any number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gateway._numba import kernel, parallel_kernel, prange
from gateway.randomness_kernels import philox, uniform
from gateway.simulate.occasion_kernels import (
    MEMBER,
    NOTHING,
    UNCONFIRMED,
    Inbox,
    decide,
    heat,
    next_clock,
)

__all__ = ["Senders", "State", "advance_day", "count_invitations", "send_invitations", "wind_up"]


class State(NamedTuple):
    """What changes. User u's occasions are cells ``start[u]`` to ``start[u + 1]``."""

    start: np.ndarray
    group: np.ndarray  # requested group, -1 for an unused occasion
    time: np.ndarray  # day, NEVER before it has come
    source: np.ndarray  # row of the source table, + UNCONFIRMED
    seed_cell: np.ndarray
    inviter: np.ndarray
    sent: np.ndarray  # invitations sent on joining
    taken: np.ndarray  # by user: occasions so far
    clock: np.ndarray  # by user: time of the next occasion
    due: np.ndarray  # by user: its day, NEVER after the last
    boost: np.ndarray  # by user: influence so far,
    since: np.ndarray  # as of this day
    inbox: np.ndarray  # by user: latest invitation not looked at, -1 for none
    exposed: np.ndarray  # by user: first day a GYSJ unit was shown, or NEVER
    sends: np.ndarray  # by user: last day it sent invitations


class Senders(NamedTuple):
    """Who invites: probability per join, and how many at a time."""

    chance: np.ndarray
    tail: float  # bulk size is the whole part of a Pareto draw of this exponent
    largest: int


@kernel
def _start_clock(state, u, arrival, departure, gap_shape, seed, stream):  # type: ignore[no-untyped-def]
    n = state.start[u + 1] - state.start[u]
    if n > 0:
        clock = next_clock(seed, stream, u, 0, np.float64(arrival), n, departure, gap_shape)
        state.clock[u] = clock
        state.due[u] = min(np.int64(clock), np.int64(departure) - 1)


@parallel_kernel
def wind_up(state, arrival, departure, gap_shape, seed, stream):  # type: ignore[no-untyped-def]
    """Set every user's clock to the first occasion."""
    for u in prange(len(arrival)):
        _start_clock(state, u, arrival[u], departure[u], gap_shape, seed, stream)


@kernel
def _bulk(senders, seed, stream, u, occasion):  # type: ignore[no-untyped-def]
    """How many people user u invites to the group that it just joined; mostly nobody."""
    w0, w1, _, _ = philox(seed, stream, u, occasion, 0)
    if uniform(w0) >= senders.chance[u]:
        return 0
    return min(np.int64(uniform(w1) ** (-1.0 / senders.tail)), np.int64(senders.largest))


@kernel
def _record(scenery, state, senders, u, n, day, answer, send_seed, send_stream):  # type: ignore[no-untyped-def]
    """Write an occasion's answer into the log."""
    cell = state.start[u] + n
    state.group[cell] = answer.group
    state.time[cell] = day
    if answer.outcome == NOTHING:
        return
    state.source[cell] = answer.row + (0 if answer.outcome == MEMBER else UNCONFIRMED)
    state.seed_cell[cell] = answer.seed_cell
    state.inviter[cell] = answer.inviter
    if answer.outcome == MEMBER:
        beta = scenery.influence[answer.group]
        if beta != 0.0:
            old = state.boost[u]
            if scenery.half_life > 0.0:
                old = old * 0.5 ** ((day - state.since[u]) / scenery.half_life)
            state.boost[u] = old + beta
            state.since[u] = day
        bulk = _bulk(senders, send_seed, send_stream, u, n)
        if bulk > 0:
            state.sent[cell] = bulk
            state.sends[u] = day


@kernel
def _visit(  # type: ignore[no-untyped-def]
    scenery, labels, policies, others, state, senders, log_group, log_sender, log_taken,
    u, day, seed, clock_stream, join_stream, send_stream,
):  # fmt: skip
    """Let user u take the occasion that is due, and wind the clock to the next."""
    n = state.taken[u]
    harm, travels = heat(scenery, u, day, state.boost[u], state.since[u])
    letter = state.inbox[u]
    inbox = Inbox(np.int64(-1), np.int64(-1))
    if letter >= 0:
        inbox = Inbox(np.int64(log_group[letter]), np.int64(log_sender[letter]))
    answer = decide(
        scenery, labels, policies, others, state.group, state.source, state.start[u], n, u, day,
        harm, travels, -1, inbox, seed, join_stream,
    )  # fmt: skip
    _record(scenery, state, senders, u, n, day, answer, seed, send_stream)
    if answer.looked:
        state.inbox[u] = -1
        log_taken[letter] = answer.took
    if answer.exposed and state.exposed[u] > day:
        state.exposed[u] = day
    n += 1
    state.taken[u] = n
    remaining = state.start[u + 1] - state.start[u] - n
    end = scenery.departure[u]
    clock = state.clock[u]
    if remaining > 0:
        clock = next_clock(seed, clock_stream, u, n, clock, remaining, end, scenery.gap_shape)
    state.clock[u] = clock
    state.due[u] = min(np.int64(clock), np.int64(end) - 1) if remaining > 0 else 2**31 - 1


@parallel_kernel
def advance_day(  # type: ignore[no-untyped-def]
    scenery, labels, policies, others, state, senders, log_group, log_sender, log_taken,
    day, seed, clock_stream, join_stream, send_stream, chunks,
):  # fmt: skip
    """Let everybody whose occasion is due today take it."""
    n_users = len(scenery.country)
    for chunk in prange(chunks):
        for u in range(chunk * n_users // chunks, (chunk + 1) * n_users // chunks):
            while state.due[u] == day:
                _visit(
                    scenery, labels, policies, others, state, senders, log_group, log_sender,
                    log_taken, u, day, seed, clock_stream, join_stream, send_stream,
                )  # fmt: skip


@kernel
def _invited_today(policies, state, cell, day):  # type: ignore[no-untyped-def]
    """How many invitations the join in this cell sends, after a cap."""
    if state.time[cell] != day:
        return 0
    return min(np.int64(state.sent[cell]), policies.invite_cap[policies.step[day]])


@kernel
def count_invitations(scenery, policies, state, day):  # type: ignore[no-untyped-def]
    """Return how many invitations today's joins send at most."""
    total = 0
    for u in range(len(scenery.country)):
        if state.sends[u] == day:
            last = state.start[u] + state.taken[u]
            for cell in range(state.start[u], last):
                total += _invited_today(policies, state, cell, day)
    return total


@kernel
def send_invitations(  # type: ignore[no-untyped-def]
    scenery, policies, state, day, seed, stream, n_log, sender, receiver, group, time
):
    """Log today's invitations, each to a random friend, and put them into the inboxes.

    Serial, in order of senders: a later invitation replaces an earlier one in an inbox.
    """
    for u in range(len(scenery.country)):
        if state.sends[u] != day:
            continue
        first = scenery.friend_offsets[u]
        n_friends = scenery.friend_offsets[u + 1] - first
        if n_friends == 0:
            continue
        base = state.start[u]
        for n in range(state.taken[u]):
            for i in range(_invited_today(policies, state, base + n, day)):
                w0, _, _, _ = philox(seed, stream, u, n, i)
                which = min(np.int64(uniform(w0) * n_friends), n_friends - 1)
                to = scenery.friend[first + which]
                sender[n_log] = u
                receiver[n_log] = to
                group[n_log] = state.group[base + n]
                time[n_log] = day
                state.inbox[to] = n_log
                n_log += 1
    return n_log
