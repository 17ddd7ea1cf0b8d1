"""The platform's loops over users: clocks, one day of joins, and the invitations sent.

A user is advanced by one thread only, and what it sees of the others ends last night:
the log has the same bits for any number of threads.
"""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, parallel_kernel, prange, prefetch
from gateway.simulate.flight_kernels import ask_for, fly
from gateway.simulate.invitations_kernels import bulk_size, receiver_of
from gateway.simulate.occasion_kernels import is_membership, next_clock

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


@parallel_kernel
def advance_day(  # type: ignore[no-untyped-def]
    stage, policies, due, who, seats, invited, day, seed, clock_stream, join_stream, send_stream
):
    """Let those whose occasion is due today take it, and note how many people they invite."""
    n, chunks = len(who), len(seats)
    for chunk in prange(chunks):
        fly(
            stage, policies, due, who, seats[chunk], invited, chunk * n // chunks, (chunk + 1) * n // chunks,
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
        ask_for(stage, who[min(j + _NEAR, last)])
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
