"""What invitations were sent, to whom, and which of them led to a join.

All of it follows from the cells and from draws that can be made again: a platform that lives
keeps of the invitations only the latest one of each user.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gateway._numba import inner_kernel, parallel_kernel, prange
from gateway.randomness_kernels import philox, uniform
from gateway.simulate.occasion_kernels import (
    HELD_FROM_PYMI,
    INVITATION,
    UNFEATURED_BY_PYMI,
    is_membership,
    some_friend,
)


class Mail(NamedTuple):
    """Invitations by receiver: those to u are ``letter[offsets[u]:offsets[u + 1]]``, by time."""

    offsets: np.ndarray
    letter: np.ndarray
    letters: np.ndarray
    first: np.ndarray  # first letter of each day


@inner_kernel
def bulk_size(stage, me, u, occasion, seed, stream):  # type: ignore[no-untyped-def]
    """How many people user u invites to the group that it just joined; mostly nobody."""
    w0, w1, _, _ = philox(seed, stream, u, occasion, 0)
    factor = 1.0 if me.holdouts & HELD_FROM_PYMI else stage.pymi_factor
    if uniform(w0) >= np.float64(me.invite_chance) * factor:
        return np.int64(0)
    return min(np.int64(uniform(w1) ** (-1.0 / stage.invite_tail)), np.int64(stage.bulk))


@inner_kernel
def receiver_of(stage, me, u, day, occasion, i, seed, stream):  # type: ignore[no-untyped-def]
    """Return (friend to whom an occasion sends invitation i, whether only if PYMI features it).

    Who sends has a friend at the start.
    """
    w0, w1, _, _ = philox(seed, stream, u, occasion, i)
    friend = some_friend(stage, me, u, day, uniform(w0), stage.found_weight)
    return friend, uniform(w1) * stage.pymi_featuring >= 1.0


@inner_kernel
def _count_user(stage, policies, u, seed, stream, count):  # type: ignore[no-untyped-def]
    me = stage.users[u]
    if me.degree == 0:
        return
    for occasion in range(np.int64(me.taken)):
        cell = stage.cells[me.start + occasion]
        if is_membership(cell):
            cap = policies.invite_cap[policies.step[cell.time]]
            count[me.start + occasion] = min(bulk_size(stage, me, u, occasion, seed, stream), cap)


@parallel_kernel
def count_sent(stage, policies, seed, stream, count):  # type: ignore[no-untyped-def]
    """Fill how many invitations each cell sent; zeros before."""
    for v in prange(len(stage.users)):
        # With a sign: as the loop counts, all that is called would be compiled once more.
        _count_user(stage, policies, np.int64(v), seed, stream, count)


@inner_kernel
def _draw_bulk(stage, u, cell, first, end, seed, stream, receiver):  # type: ignore[no-untyped-def]
    me, day = stage.users[u], np.int64(stage.cells[cell].time)
    for i in range(end - first):
        v, if_featured = receiver_of(stage, me, u, day, cell - me.start, i, seed, stream)
        unfeatured = stage.users[v].holdouts & UNFEATURED_BY_PYMI
        receiver[first + i] = -1 if if_featured and unfeatured else v


@parallel_kernel
def draw_receivers(stage, owner, cell, offsets, seed, stream, receiver):  # type: ignore[no-untyped-def]
    """Fill who got the invitations ``offsets[j]`` to ``offsets[j + 1]`` of ``cell[j]``, or -1."""
    for j in prange(len(cell)):
        first, end = offsets[j], offsets[j + 1]
        _draw_bulk(stage, owner[j], cell[j], first, end, seed, stream, receiver)


@inner_kernel
def latest_letter(mail, u, looked, day):  # type: ignore[no-untyped-def]
    """The latest invitation to u before ``day`` and after the last one looked at, or -1."""
    low, high = mail.offsets[u], mail.offsets[u + 1]
    first, end = low, mail.first[day]
    while low < high:
        middle = (low + high) // 2
        if mail.letter[middle] < end:
            low = middle + 1
        else:
            high = middle
    if low == first or mail.letter[low - 1] <= looked:
        return np.int64(-1)
    return np.int64(mail.letter[low - 1])


@inner_kernel
def _mark_user(stage, mail, u, taken):  # type: ignore[no-untyped-def]
    first = stage.users[u].start
    for i in range(first, first + np.int64(stage.users[u].taken)):
        cell = stage.cells[i]
        if not is_membership(cell) or stage.source[cell.source].mechanism != INVITATION:
            continue
        # Else an operator invited: no letter of anybody's.
        if cell.via >= 0:
            letter = latest_letter(mail, u, -1, np.int64(cell.time))
            if letter >= 0:
                taken[letter] = True


@parallel_kernel
def mark_taken(stage, mail, taken):  # type: ignore[no-untyped-def]
    """Set ``taken`` of the invitations that led to a join.

    An inbox holds the latest invitation: who joined by one, joined by that.
    """
    for v in prange(len(stage.users)):
        _mark_user(stage, mail, np.int64(v), taken)
