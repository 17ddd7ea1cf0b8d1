"""The platform's loops over users: clocks, one day of joins, and the invitations sent.

A user is advanced by one thread only, and what it sees of the others ends last night:
the log has the same bits for any number of threads.
"""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, parallel_kernel, prange, prefetch
from gateway.simulate.invitations_kernels import bulk_size, receiver_of
from gateway.simulate.occasion_kernels import (
    MEMBER,
    Inbox,
    add_influence,
    decide,
    heat,
    is_membership,
    next_clock,
    write,
)
from gateway.simulate.tables import NO_DAY

__all__ = ["advance_day", "send_invitations", "wind_up"]

# Users ahead of the one at work whose record, and whose other rows, are asked for.
_FAR, _NEAR = 12, 4


@inner_kernel
def _start_clock(me, due, u, arrival, gap_shape, seed, stream):  # type: ignore[no-untyped-def]
    if me.occasions > 0:
        end = np.int64(me.departure)
        n = np.int64(me.occasions)
        clock = next_clock(seed, stream, u, 0, np.float64(arrival), n, end, gap_shape)
        me.clock = clock
        due[u] = min(np.int64(clock), end - 1)


@parallel_kernel
def wind_up(users, due, arrival, gap_shape, seed, stream):  # type: ignore[no-untyped-def]
    """Set every user's clock to the first occasion."""
    for u in prange(len(arrival)):
        _start_clock(users[u], due, u, arrival[u], gap_shape, seed, stream)


@inner_kernel
def _visit(  # type: ignore[no-untyped-def]
    stage, policies, due, u, day, seed, clock_stream, join_stream, send_stream
):
    """Let user u take the occasion that is due, and wind the clock to the next.

    Returns how many people it invites.
    """
    me = stage.users[u]
    n, base = np.int64(me.taken), me.start
    harm, travels = heat(stage, me, day, me.boost, np.int64(me.since))
    inbox = Inbox(np.int64(me.invited_to), np.int64(me.inviter))
    answer = decide(
        stage, policies, stage.cells, base, n, u, day, harm, travels, -1, inbox, seed, join_stream
    )
    write(stage.cells[base + n], day, answer)
    bulk = np.int64(0)
    if answer.outcome == MEMBER:
        beta = stage.groups[answer.group].influence
        if beta != 0.0:
            me.boost = add_influence(stage.half_life, me.boost, np.int64(me.since), day, beta)
            me.since = day
        bulk = min(
            bulk_size(stage, me, u, n, seed, send_stream), policies.invite_cap[policies.step[day]]
        )
    if answer.looked:
        me.invited_to = -1
    if answer.exposed and me.exposed > day:
        me.exposed = day
    n += 1
    me.taken = n
    remaining, end = np.int64(me.occasions) - n, np.int64(me.departure)
    due[u] = NO_DAY
    if remaining > 0:
        me.clock = next_clock(seed, clock_stream, u, n, me.clock, remaining, end, stage.gap_shape)
        due[u] = min(np.int64(me.clock), end - 1)
    return bulk


@inner_kernel
def _ask_for(stage, u):  # type: ignore[no-untyped-def]
    """Ask for what an occasion of user u is sure to look at."""
    me = stage.users[u]
    # A row of interests can lie on two lines.
    prefetch(stage.interest, u)
    prefetch(stage.interest, u + 1)
    prefetch(stage.friend, me.friends)
    prefetch(stage.cells, me.start)
    prefetch(stage.cells, me.start + np.int64(me.taken))


@inner_kernel
def _spend_day(  # type: ignore[no-untyped-def]
    stage, policies, due, who, invited, first, end, day, seed, clock_stream, join_stream,
    send_stream,
):  # fmt: skip
    for i in range(first, end):
        # Beyond the end of a chunk the last user is asked for again.
        prefetch(stage.users, who[min(i + _FAR, end - 1)])
        _ask_for(stage, who[min(i + _NEAR, end - 1)])
        u = who[i]
        invited[i] = 0
        while due[u] == day:
            invited[i] += _visit(
                stage, policies, due, u, day, seed, clock_stream, join_stream, send_stream
            )


@parallel_kernel
def advance_day(  # type: ignore[no-untyped-def]
    stage, policies, due, who, invited, day, seed, clock_stream, join_stream, send_stream, chunks
):
    """Let those whose occasion is due today take it, and note how many people they invite."""
    n = len(who)
    for chunk in prange(chunks):
        _spend_day(
            stage, policies, due, who, invited, chunk * n // chunks, (chunk + 1) * n // chunks,
            day, seed, clock_stream, join_stream, send_stream,
        )  # fmt: skip


@inner_kernel
def send_invitations(stage, policies, who, day, seed, send_stream, stream):  # type: ignore[no-untyped-def]
    """Put today's invitations, each to a random friend, into the inboxes.

    Serial, in order of senders: a later invitation replaces an earlier one in an inbox.
    """
    cap = policies.invite_cap[policies.step[day]]
    last = len(who) - 1
    for j in range(len(who)):
        prefetch(stage.users, who[min(j + _FAR, last)])
        _ask_for(stage, who[min(j + _NEAR, last)])
        u = who[j]
        me = stage.users[u]
        if me.degree == 0:
            continue
        n = np.int64(me.taken)
        while n > 0 and stage.cells[me.start + n - 1].time == day:
            n -= 1
        for occasion in range(n, np.int64(me.taken)):
            cell = stage.cells[me.start + occasion]
            # What it invited is drawn again: cheaper than a place for it in every cell.
            bulk = np.int64(0)
            if is_membership(cell):
                bulk = bulk_size(stage, me, u, occasion, seed, send_stream)
            for i in range(min(bulk, cap)):
                to = receiver_of(stage, me, u, occasion, i, seed, stream)
                stage.users[to].inviter = u
                stage.users[to].invited_to = cell.group
