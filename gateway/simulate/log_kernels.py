"""What the cells hold, counted and listed: members of groups, joins, and invitations sent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gateway._numba import inner_kernel, lean_kernel, parallel_kernel, prange
from gateway.randomness_kernels import philox, uniform
from gateway.simulate.occasion_kernels import (
    HELD_FROM_PYMI,
    INVITATION,
    RECOMMENDATION,
    UNFEATURED_BY_PYMI,
    is_membership,
    some_friend,
)
from gateway.simulate.tables import Table


class Occasions(NamedTuple):
    """Every user's occasions, and what it takes to tell where a join came from."""

    cells: Table
    start: np.ndarray  # first cell of each user, and the end
    taken: np.ndarray  # occasions of each user
    mechanism: np.ndarray  # of each row of the source table
    operator: np.ndarray  # of each group


@inner_kernel
def _count_stretch(cells, first, end, count):  # type: ignore[no-untyped-def]
    for i in range(first, end):
        # Cells that nobody has come to hold no group. No branch: what is a membership is a
        # surprise to the processor.
        count[max(np.int64(cells[i].group), 0)] += is_membership(cells[i])


@parallel_kernel
def count_members(cells, count):  # type: ignore[no-untyped-def]
    """Count the members of each group in as many stretches of the cells as ``count`` has rows."""
    n, stretches = len(cells), len(count)
    for row in prange(stretches):
        _count_stretch(cells, row * n // stretches, (row + 1) * n // stretches, count[row])


@lean_kernel
def count_joins(occasions, offsets):  # type: ignore[no-untyped-def]
    """Fill the offsets of the log: joins of user u are ``offsets[u]:offsets[u + 1]``."""
    for u in range(len(occasions.taken)):
        first = occasions.start[u]
        n = 0
        for i in range(first, first + np.int64(occasions.taken[u])):
            n += is_membership(occasions.cells[i])
        offsets[u + 1] = offsets[u] + n


@inner_kernel
def _origin(occasions, first, cell):  # type: ignore[no-untyped-def]
    """Return (inviter, seed group) of a user's join, -1 for none (see ``tables.CELL``)."""
    via = np.int64(cell.via)
    how = occasions.mechanism[cell.source]
    if how == RECOMMENDATION:
        return np.int64(-1), np.int64(occasions.cells[first + via].group)
    if how == INVITATION and via < -1:
        seed = np.int64(occasions.cells[first - 2 - via].group)
        return np.int64(occasions.operator[seed]), seed
    return via, np.int64(-1)


@inner_kernel
def _list_user(  # type: ignore[no-untyped-def]
    occasions, codes, u, first_row, group, time, source, inviter, seed_group
):
    """Write the joins of user u from ``first_row`` on; those of one day by group."""
    first = occasions.start[u]
    row = first_row
    for i in range(first, first + np.int64(occasions.taken[u])):
        cell = occasions.cells[i]
        if not is_membership(cell):
            continue
        at = row
        while at > first_row and time[at - 1] == cell.time and group[at - 1] > cell.group:
            group[at], time[at], source[at] = group[at - 1], time[at - 1], source[at - 1]
            inviter[at], seed_group[at] = inviter[at - 1], seed_group[at - 1]
            at -= 1
        group[at], time[at], source[at] = cell.group, cell.time, codes[cell.source]
        inviter[at], seed_group[at] = _origin(occasions, first, cell)
        row += 1


@parallel_kernel
def list_joins(  # type: ignore[no-untyped-def]
    occasions, codes, offsets, first, end, group, time, source, inviter, seed_group, chunks
):
    """Fill the columns of the log for the users from ``first`` to ``end``."""
    n = end - first
    for chunk in prange(chunks):
        for u in range(first + chunk * n // chunks, first + (chunk + 1) * n // chunks):
            _list_user(occasions, codes, u, offsets[u], group, time, source, inviter, seed_group)


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
