"""Occasions of several users at a time, so that none of them waits for memory alone.

What an attempt looks at lies at the end of a chain: draw, own occasion, group, what is
recommended from it. Each link names the place of the next, and every place is far from the
last. So each thread has a number of users in flight: link by link it asks for the places of
all of them, and only then lets each attempt run, whose rows have come meanwhile.

The asking changes nothing. A user in flight reads and writes what it would alone: its own
record and occasions, and of the others what was there last night.
"""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, part_kernel, prefetch
from gateway.simulate.attempt_kernels import attempt_once, begin, draw_look, searched_topic
from gateway.simulate.log_kernels import bulk_size
from gateway.simulate.occasion_kernels import (
    FRIENDS,
    INVITATION,
    MEMBER,
    NOTHING,
    RECOMMENDATION,
    add_influence,
    next_clock,
    recommended,
    refit_of,
    remember,
    shelf_of,
    some_friend,
    take_from,
    write,
)
from gateway.simulate.tables import LINE, NO_DAY, Inbox, Look, Occasion

# Users ahead of the next to board whose record, and whose other rows, are asked for.
_FAR, _NEAR = 24, 12


@part_kernel
def _ask_for_row(table, row, step):  # type: ignore[no-untyped-def]
    """Ask for a whole row, of which ``step`` items make a line of the cache."""
    items = table[row]
    for i in range(0, len(items), step):
        prefetch(items, i)
    prefetch(items, len(items) - 1)


@part_kernel
def ask_for(stage, u):  # type: ignore[no-untyped-def]
    """Ask for what an occasion of user u is sure to look at."""
    me = stage.users[u]
    _ask_for_row(stage.interest, u, LINE // 4)
    prefetch(stage.friend, me.friends)
    prefetch(stage.last_find, u)
    end = me.start + np.int64(me.taken)
    for i in range(me.start, end, LINE // 12):
        prefetch(stage.cells, i)
    prefetch(stage.cells, end)


@part_kernel
def _board(stage, who, seat, i, end):  # type: ignore[no-untyped-def]
    """Give a seat to the user at place i of ``who``."""
    # Beyond the end the last user is asked for again.
    prefetch(stage.users, who[min(i + _FAR, end - 1)])
    ask_for(stage, who[min(i + _NEAR, end - 1)])
    seat.place = i
    seat.u = who[i]
    seat.attempt = 0
    seat.invites = False


@part_kernel
def _begin(stage, seat, day):  # type: ignore[no-untyped-def]
    """Note what is the same for every attempt of the occasion that is due."""
    me = stage.users[seat.u]
    inbox = Inbox(np.int64(me.invited_to), np.int64(me.inviter))
    n, since = np.int64(me.taken), np.int64(me.since)
    at = begin(stage, me, me.start, n, seat.u, day, me.boost, since, -1, inbox)
    seat.first, seat.n = at.base, at.n
    seat.harm, seat.travels, seat.total = at.harm, at.travels, at.total
    seat.group, seat.sender = at.inbox.group, at.inbox.sender
    seat.exposed = False
    seat.looked = False


@part_kernel
def _occasion(seat, day):  # type: ignore[no-untyped-def]
    return Occasion(
        seat.first, seat.n, seat.u, np.int64(day), seat.harm, seat.travels, seat.total,
        np.int64(-1), Inbox(np.int64(seat.group), np.int64(seat.sender)),
    )  # fmt: skip


@part_kernel
def _look(seat):  # type: ignore[no-untyped-def]
    return Look(
        np.int64(seat.attempt), np.int64(seat.row), np.int64(seat.how), seat.x1, seat.x2, seat.x3
    )


@part_kernel
def _draw(stage, seat, day, seed, stream):  # type: ignore[no-untyped-def]
    """First link: the draws of the attempt, and the place that they name."""
    if seat.attempt == 0:
        _begin(stage, seat, day)
    look = draw_look(stage, seat.u, seat.n, seat.attempt, seed, stream)
    seat.row, seat.how = look.row, look.how
    seat.x1, seat.x2, seat.x3 = look.x1, look.x2, look.x3
    me = stage.users[seat.u]
    if look.how == RECOMMENDATION or look.how == INVITATION:
        prefetch(stage.cells, seat.first + np.int64(look.x1 * seat.n))
    elif look.how == FRIENDS:
        prefetch(stage.friend, me.friends + np.int64(look.x1 * me.degree))
        prefetch(stage.finds, max(np.int64(stage.last_find[seat.u]), 0))
    else:
        k = shelf_of(stage, me, searched_topic(stage, _occasion(seat, day), look))
        first, end = stage.shelf_start[k], stage.shelf_start[k + 1]
        seat.shelf = k
        seat.at = first + np.int64(look.x2 * (end - first))
        prefetch(stage.shelf, seat.at)


@part_kernel
def _second(stage, seat, day):  # type: ignore[no-untyped-def]
    if seat.how == RECOMMENDATION or seat.how == INVITATION:
        _, g = remember(stage.cells, seat.first, seat.n, seat.x1)
        seat.at = g
        if g < 0:
            return
        if seat.how == INVITATION:
            prefetch(stage.groups, g)
        else:
            refit = refit_of(stage, day)
            _ask_for_row(stage.weight[refit], g, LINE // 8)
            _ask_for_row(stage.neighbour[refit], g, LINE // 4)
    elif seat.how == FRIENDS:
        seat.at = some_friend(stage, stage.users[seat.u], seat.u, day, seat.x1, 1.0)
        prefetch(stage.users, max(seat.at, 0))
    elif stage.shelf_start[seat.shelf] < stage.shelf_start[seat.shelf + 1]:
        first = stage.shelf_start[seat.shelf]
        prefetch(stage.shelf, first + np.int64(stage.shelf[seat.at].guide))


@part_kernel
def _third(stage, seat, day):  # type: ignore[no-untyped-def]
    if seat.how == RECOMMENDATION:
        if seat.at >= 0:
            g = recommended(stage.neighbour, stage.weight, refit_of(stage, day), seat.at, seat.x2)
            prefetch(stage.groups, max(g, 0))
    elif seat.how == FRIENDS:
        if seat.at >= 0:
            friend = stage.users[seat.at]
            n = np.int64(friend.taken)
            prefetch(stage.cells, friend.start + n - 1)
            prefetch(stage.cells, friend.start + np.int64(seat.x2 * n))
    elif seat.how == INVITATION:
        prefetch(stage.groups, max(np.int64(seat.group), 0))
    else:
        k = seat.shelf
        g = take_from(stage.shelf, stage.shelf_start[k], stage.shelf_start[k + 1], seat.x2)
        prefetch(stage.groups, max(g, 0))


@part_kernel
def _fourth(stage, seat):  # type: ignore[no-untyped-def]
    if seat.how == FRIENDS and seat.at >= 0:
        friend = stage.users[seat.at]
        _, g = remember(stage.cells, friend.start, np.int64(friend.taken), seat.x2)
        prefetch(stage.groups, max(g, 0))


@part_kernel
def _conclude(  # type: ignore[no-untyped-def]
    stage, policies, due, seat, answer, day, seed, clock_stream, send_stream
):
    """Write what came of an occasion, and wind the clock to the next.

    Returns whether the user invites anybody.
    """
    u, n = seat.u, seat.n
    me = stage.users[u]
    write(stage.cells[seat.first + n], day, answer)
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
    return bulk > 0


@part_kernel
def _attempt(  # type: ignore[no-untyped-def]
    stage, policies, due, who, seat, day, seed, clock_stream, join_stream, send_stream
):
    """Let an attempt run; return whether the user has nothing more to do today."""
    answer = attempt_once(
        stage, policies, stage.cells, _occasion(seat, day), _look(seat), seat.exposed != 0,
        seat.looked != 0, seed, join_stream,
    )  # fmt: skip
    seat.attempt += 1
    if answer.outcome == NOTHING and seat.attempt < stage.attempts:
        seat.exposed, seat.looked = answer.exposed, answer.looked
        return False
    seat.invites |= _conclude(
        stage, policies, due, seat, answer, day, seed, clock_stream, send_stream
    )
    seat.attempt = 0
    if due[seat.u] == day:
        return False
    if not seat.invites:
        who[seat.place] = ~seat.u
    return True


@inner_kernel
def fly(  # type: ignore[no-untyped-def]
    stage, policies, due, who, seats, first, end, day, seed, clock_stream, join_stream, send_stream
):
    """Let the users at ``first`` to ``end`` of ``who`` take the occasions that are due.

    Those who invite nobody become ~u.
    """
    taken, i = 0, first
    while taken < len(seats) and i < end:
        _board(stage, who, seats[taken], i, end)
        taken += 1
        i += 1
    while taken > 0:
        for j in range(taken):
            _draw(stage, seats[j], day, seed, join_stream)
        for j in range(taken):
            _second(stage, seats[j], day)
        for j in range(taken):
            _third(stage, seats[j], day)
        for j in range(taken):
            _fourth(stage, seats[j])
        j = 0
        while j < taken:
            done = _attempt(
                stage, policies, due, who, seats[j], day, seed, clock_stream, join_stream,
                send_stream,
            )  # fmt: skip
            if not done:
                j += 1
            elif i < end:
                _board(stage, who, seats[j], i, end)
                i += 1
                j += 1
            else:
                taken -= 1
                seats[j] = seats[taken]
