"""The platform's loops over users: clocks, one day of joins, and the invitations sent.

A user is advanced by one thread only, and what it sees of the others ends last night:
the log has the same bits for any number of threads.
"""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, lean_kernel, parallel_kernel, part_kernel, prange, prefetch
from gateway.simulate.log_kernels import bulk_size, receiver_of
from gateway.simulate.occasion_kernels import UNFEATURED_BY_PYMI, is_membership, next_clock
from gateway.simulate.prefetch_kernels import ask_for, fly
from gateway.simulate.tables import NO_DAY

# Users ahead of the one at work whose record, and whose other rows, are asked for.
_FAR, _NEAR = 12, 4


@inner_kernel
def _start_clock(me, cells, due, u, arrival, gap_shape, seed, stream):  # type: ignore[no-untyped-def]
    for i in range(me.start, me.start + np.int64(me.occasions)):
        cells[i].group = -1
        cells[i].via = -1
        cells[i].time = NO_DAY
    if me.occasions > 0:
        end = np.int64(me.departure)
        n = np.int64(me.occasions)
        clock = next_clock(seed, stream, u, 0, np.float64(arrival), n, end, gap_shape)
        me.clock = clock
        due[u] = min(np.int64(clock), end - 1)


@parallel_kernel
def wind_up(users, cells, due, arrival, gap_shape, seed, stream):  # type: ignore[no-untyped-def]
    """Set every user's clock to the first occasion, and mark all cells as not written."""
    for v in prange(len(arrival)):
        # With a sign: as the loop counts, all that is called would be compiled once more.
        u = np.int64(v)
        _start_clock(users[u], cells, due, u, arrival[u], gap_shape, seed, stream)


@part_kernel
def _list_due(due, day, who, first, end):  # type: ignore[no-untyped-def]
    """Put the users from ``first`` on who are due into ``who``; return the end of the list."""
    n = first
    for u in range(first, end):
        # No branch: who is due is a surprise to the processor.
        who[n] = u
        n += due[u] == day
    return n


@part_kernel
def _keep_senders(who, first, end):  # type: ignore[no-untyped-def]
    """Move those who invite somebody to the front, in order; return their number."""
    n = first
    for i in range(first, end):
        u = who[i]
        who[n] = u
        n += u >= 0
    return n - first


@inner_kernel
def _spend_day(  # type: ignore[no-untyped-def]
    stage, policies, due, who, seats, first, end, day, seed, clock_stream, join_stream, send_stream
):
    listed = _list_due(due, day, who, first, end)
    fly(
        stage, policies, due, who, seats, first, listed, day, seed, clock_stream, join_stream,
        send_stream,
    )  # fmt: skip
    return _keep_senders(who, first, listed)


@parallel_kernel
def advance_day(  # type: ignore[no-untyped-def]
    stage, policies, due, who, seats, n_senders, day, seed, clock_stream, join_stream, send_stream
):
    """Let those whose occasion is due today take it.

    Each chunk of users has a row of ``seats`` and its own stretch of ``who``, one place for
    each of them, which it leaves with those who invite somebody in front: ``n_senders``.
    """
    n, chunks = len(due), len(seats)
    for chunk in prange(chunks):
        n_senders[chunk] = _spend_day(
            stage, policies, due, who, seats[chunk], chunk * n // chunks,
            (chunk + 1) * n // chunks, day, seed, clock_stream, join_stream, send_stream,
        )  # fmt: skip


@part_kernel
def _deliver(users, letter):  # type: ignore[no-untyped-def]
    """Put a letter into its inbox; one from ~sender only where PYMI features the receiver."""
    me, sender = users[letter.receiver], letter.sender
    if sender < 0:
        if me.holdouts & UNFEATURED_BY_PYMI:
            return
        sender = ~sender
    me.inviter = sender
    me.invited_to = letter.group


@part_kernel
def _send(stage, u, cap, day, bag, n_sent, seed, send_stream, stream):  # type: ignore[no-untyped-def]
    """Put what user u sends today into the bag, which delivers what is in it when full."""
    me = stage.users[u]
    if me.degree == 0:
        return n_sent
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
            letter = bag[n_sent % len(bag)]
            if n_sent >= len(bag):
                _deliver(stage.users, letter)
            v, if_featured = receiver_of(stage, me, u, day, occasion, i, seed, stream)
            letter.receiver, letter.group = v, cell.group
            letter.sender = ~u if if_featured else u
            prefetch(stage.users, np.int64(letter.receiver))
            n_sent += 1
    return n_sent


@part_kernel
def _gather(who, n_senders):  # type: ignore[no-untyped-def]
    """Move the senders of all chunks to the front; return their number."""
    n, chunks, last = len(who), len(n_senders), 0
    for chunk in range(chunks):
        first = chunk * n // chunks
        for i in range(first, first + n_senders[chunk]):
            who[last] = who[i]
            last += 1
    return last


@lean_kernel
def send_invitations(  # type: ignore[no-untyped-def]
    stage, policies, who, n_senders, bag, day, seed, send_stream, stream
):
    """Put today's invitations, each to a random friend, into the inboxes.

    Serial, in order of senders (as ``advance_day`` left them): a later invitation replaces an
    earlier one in an inbox. Letters wait in ``bag`` until the inbox that they go to has come.
    """
    cap = policies.invite_cap[policies.step[day]]
    last = _gather(who, n_senders) - 1
    n_sent = 0
    for j in range(last + 1):
        prefetch(stage.users, who[min(j + _FAR, last)])
        ask_for(stage, who[min(j + _NEAR, last)])
        n_sent = _send(stage, who[j], cap, day, bag, n_sent, seed, send_stream, stream)
    for i in range(max(n_sent - len(bag), 0), n_sent):
        _deliver(stage.users, bag[i % len(bag)])
