"""One occasion of one user: what is looked at, what is requested, what is confirmed.

``decide`` changes nothing: the simulation writes its answer into the log, the replay of
``replay_kernels`` into a scratch copy. All randomness is Philox, key (seed, stream),
counter (user, occasion, draw), so that both draw the same numbers.

Arguments are few on purpose: an array costs seven words in every call that is not inlined.
"""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, part_kernel
from gateway.randomness_kernels import philox, uniform
from gateway.simulate.occasion_kernels import (
    FRIENDS,
    HELD_FROM_GYSJ,
    INVITATION,
    LIMITED,
    MEMBER,
    NOTHING,
    RECOMMENDATION,
    REQUEST,
    SPARED,
    accepts,
    friction_of,
    heat,
    is_member,
    occasions_before,
    recommended,
    refit_of,
    remember,
    shelf_of,
    some_friend,
    source_row,
    take_from,
    taste_total,
    topic_at,
)
from gateway.simulate.tables import Answer, Look, Occasion

_GYSJ = 0
# Draws of one occasion beyond its attempts.
_DRAW_CONFIRM = 1 << 20
_DRAW_OPERATOR = 1 << 21
_DRAW_FRICTION = 1 << 22
_DRAW_LABEL = 1 << 23


@part_kernel
def draw_look(stage, u, n, attempt, seed, stream):  # type: ignore[no-untyped-def]
    """Draw where user u looks at an attempt of occasion n, and the numbers that decide it."""
    w0, w1, w2, w3 = philox(seed, stream, u, n, attempt)
    row = source_row(stage.source, uniform(w0))
    how = stage.source[row].mechanism
    return Look(np.int64(attempt), row, how, uniform(w1), uniform(w2), uniform(w3))


@part_kernel
def begin(stage, me, base, n, u, day, boost, since, barred, inbox):  # type: ignore[no-untyped-def]
    """Return what is the same for every attempt of occasion n of user u."""
    harm, travels = heat(stage, me, day, boost, since)
    total = taste_total(stage.interest, u, harm, travels)
    return Occasion(
        np.int64(base), np.int64(n), np.int64(u), np.int64(day), harm, travels, total,
        np.int64(barred), inbox,
    )  # fmt: skip


@part_kernel
def searched_topic(stage, at, look):  # type: ignore[no-untyped-def]
    """The topic for which an attempt searches."""
    return topic_at(stage.interest, at.u, at.harm, at.travels, look.x1 * at.total)


@part_kernel
def _searched(stage, at, me, look):  # type: ignore[no-untyped-def]
    """A group found by topic and appeal."""
    k = shelf_of(stage, me, searched_topic(stage, at, look))
    return take_from(stage.shelf, stage.shelf_start[k], stage.shelf_start[k + 1], look.x2)


@part_kernel
def _withheld(share, at, look, seed, stream):  # type: ignore[no-untyped-def]
    """Whether a label keeps back a group that an attempt would show: with chance ``share``."""
    v0, _, _, _ = philox(seed, stream, at.u, at.n, _DRAW_LABEL + look.attempt)
    return uniform(v0) < share


@part_kernel
def _shown(stage, policies, own, at, look, seed, stream):  # type: ignore[no-untyped-def]
    """Return (group recommended or -1, via)."""
    via, seed_group = remember(own, at.base, at.n, look.x1)
    if seed_group < 0:
        return np.int64(-1), via
    filters = stage.filters and not stage.users[at.u].holdouts & SPARED
    if filters and policies.seed_filter[policies.step[at.day], seed_group]:
        return np.int64(-1), via
    g = recommended(stage.neighbour, stage.weight, refit_of(stage, at.day), seed_group, look.x2)
    if filters and g >= 0 and len(policies.edge) > 0:
        key = seed_group * len(stage.groups) + g
        i = np.searchsorted(policies.edge, key)
        if i < len(policies.edge) and policies.edge[i] == key:
            return np.int64(-1), via
    labelled = g >= 0 and stage.groups[g].non_rec <= at.day
    if labelled and _withheld(stage.non_rec_reduction, at, look, seed, stream):
        g = np.int64(-1)
    return g, via


@part_kernel
def _of_friends(stage, at, me, look, seed, stream):  # type: ignore[no-untyped-def]
    """A group of a friend, -1 where there is none to show."""
    f = some_friend(stage, me, at.u, at.day, look.x1, 1.0)
    if f < 0:
        return np.int64(-1)
    n = occasions_before(stage.users, stage.cells, f, at.day)
    _, g = remember(stage.cells, stage.users[f].start, n, look.x2)
    labelled = g >= 0 and stage.groups[g].non_amp <= at.day
    if labelled and _withheld(stage.non_amp_reduction, at, look, seed, stream):
        return np.int64(-1)
    return g


@part_kernel
def _invited(stage, policies, own, at, me, look, looked, seed, stream):  # type: ignore[no-untyped-def]
    """Return (group or -1, via, whether it lay in the inbox)."""
    g, via, from_inbox = np.int64(-1), np.int64(-1), False
    cell, host = remember(own, at.base, at.n, look.x1)
    by_operator = False
    if host >= 0 and stage.groups[host].inviting > 0.0:
        v0, _, _, _ = philox(seed, stream, at.u, at.n, _DRAW_OPERATOR + look.attempt)
        by_operator = uniform(v0) < stage.groups[host].inviting
    if by_operator:
        k = shelf_of(stage, me, stage.interest.shape[1] + 1)
        g = take_from(stage.shelf, stage.shelf_start[k], stage.shelf_start[k + 1], look.x2)
        via = -2 - cell
    elif at.inbox.group >= 0 and not looked:
        g, via, from_inbox = at.inbox.group, at.inbox.sender, True
    if g >= 0 and stage.shields and not me.holdouts & SPARED:
        step = policies.step[at.day]
        friction = friction_of(policies.friction[step], own, at.base, at.n)
        if from_inbox and stage.users[via].holdouts & LIMITED:
            by_sender = friction_of(policies.sender_friction[step], own, at.base, at.n)
            friction = max(friction, by_sender)
        if friction > 0.0:
            v0, _, _, _ = philox(seed, stream, at.u, at.n, _DRAW_FRICTION + look.attempt)
            if uniform(v0) < friction:
                g = np.int64(-1)
    return g, via, from_inbox


@part_kernel
def _passed_over(stage, policies, it, g, at, look, seed, stream):  # type: ignore[no-untyped-def]
    """Whether a demoted group is passed over."""
    share = 1.0
    if stage.demotes and not stage.users[at.u].holdouts & SPARED:
        share -= policies.demotion[policies.step[at.day], g]
    if it.demoted <= at.day:
        share *= 1.0 - it.demotion
    # Only who is demoted needs a draw.
    if share >= 1.0:
        return False
    v0, _, _, _ = philox(seed, stream, at.u, at.n, _DRAW_CONFIRM + 1 + look.attempt)
    return uniform(v0) >= share


@part_kernel
def _fits(stage, policies, own, at, look, g, seed, stream):  # type: ignore[no-untyped-def]
    """Whether user u requests the group that an attempt put before it."""
    if g < 0 or g == at.barred:
        return False
    it = stage.groups[g]
    if it.created > at.day or is_member(own, at.base, at.n, g):
        return False
    if look.how <= FRIENDS and _passed_over(stage, policies, it, g, at, look, seed, stream):
        return False
    return look.how > INVITATION or accepts(
        stage.interest, it, at.u, at.harm, at.travels, at.total, look.x3
    )


@part_kernel
def attempt_once(  # type: ignore[no-untyped-def]
    stage, policies, own, at, look, exposed, looked, seed, stream
):
    """Return what comes of one attempt; ``exposed`` and ``looked`` are of those before it."""
    me = stage.users[at.u]
    g, via, from_inbox = np.int64(-1), np.int64(-1), False
    if look.how == RECOMMENDATION:
        if look.row != _GYSJ or not me.holdouts & HELD_FROM_GYSJ:
            g, via = _shown(stage, policies, own, at, look, seed, stream)
            exposed = exposed or (look.row == _GYSJ and g >= 0)
    elif look.how == FRIENDS:
        g = _of_friends(stage, at, me, look, seed, stream)
    elif look.how == INVITATION:
        g, via, from_inbox = _invited(stage, policies, own, at, me, look, looked, seed, stream)
        looked = looked or from_inbox
    else:
        g = _searched(stage, at, me, look)
    if not _fits(stage, policies, own, at, look, g, seed, stream):
        none = np.int64(-1)
        return Answer(NOTHING, none, none, none, exposed, looked, False)
    v0, _, _, _ = philox(seed, stream, at.u, at.n, _DRAW_CONFIRM)
    outcome = MEMBER if uniform(v0) < stage.source[look.row].confirm else REQUEST
    return Answer(outcome, g, look.row, via, exposed, looked, from_inbox and outcome == MEMBER)


@inner_kernel
def decide(stage, policies, own, at, seed, stream):  # type: ignore[no-untyped-def]
    """Return what comes of an occasion.

    ``own`` holds the user's own occasions from ``at.base`` on. Up to ``attempts`` groups are
    looked at; the first that fits is requested.
    """
    exposed, looked, attempt = False, False, 0
    while True:
        look = draw_look(stage, at.u, at.n, attempt, seed, stream)
        answer = attempt_once(stage, policies, own, at, look, exposed, looked, seed, stream)
        exposed, looked = answer.exposed, answer.looked
        attempt += 1
        if answer.outcome != NOTHING or attempt == stage.attempts:
            return answer
