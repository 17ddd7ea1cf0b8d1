"""One occasion of one user: what is looked at, what is requested, what is confirmed.

``decide`` changes nothing: the simulation writes its answer into the log, the replay of
``replay_kernels`` into a scratch copy. All randomness is Philox, key (seed, stream),
counter (user, occasion, draw), so that both draw the same numbers.

Letters as in docs/simulator.md: u user, g group, k topic, theta interest, m mix. ``me`` is
the record of user u, ``it`` that of group g (see ``tables``).

Arguments are few on purpose: an array costs seven words in every call that is not inlined.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gateway._numba import inner_kernel, part_kernel
from gateway.randomness_kernels import gamma, philox, uniform, uniform52
from gateway.simulate.tables import NO_DAY, Table
from gateway.world.model import NEVER

__all__ = [
    "FRIENDS",
    "HELD_FROM_GYSJ",
    "HELD_FROM_PYMI",
    "INVITATION",
    "MEMBER",
    "NEVER",
    "NOTHING",
    "RECOMMENDATION",
    "REQUEST",
    "UNCONFIRMED",
    "Answer",
    "Inbox",
    "Labels",
    "Look",
    "Occasion",
    "Policies",
    "Stage",
    "add_influence",
    "attempt_once",
    "begin",
    "decide",
    "draw_look",
    "is_membership",
    "next_clock",
    "occasions_before",
    "recommended",
    "refit_of",
    "remember",
    "searched_topic",
    "shelf_of",
    "some_friend",
    "source_row",
    "take_from",
    "write",
]

NOTHING, REQUEST, MEMBER = 0, 1, 2
# Added to the source of a cell whose request was not confirmed.
UNCONFIRMED = 128
RECOMMENDATION, FRIENDS, INVITATION = 0, 1, 2
_GYSJ = 0
# Bits of ``holdouts``.
HELD_FROM_GYSJ, HELD_FROM_PYMI = 1, 2
# Draws of one occasion beyond its attempts.
_DRAW_CONFIRM = 1 << 20
_DRAW_OPERATOR = 1 << 21
_DRAW_FRICTION = 1 << 22
# First draw of an occasion's time for what comes after its gap.
_DRAW_REST = 1 << 20


class Labels(NamedTuple):
    """What moderation has said of each group: the day from which it holds."""

    non_rec: np.ndarray
    non_amp: np.ndarray
    demoted: np.ndarray
    demotion: float


class Policies(NamedTuple):
    """Interventions by step: from one start to the next nothing of them changes."""

    step: np.ndarray  # of each day
    seed_filter: np.ndarray  # [step, group]: nothing is recommended from it
    demotion: np.ndarray  # [step, group]: chance that the group is passed over
    friction: np.ndarray  # [step, group]: chance that a member's invitation is dropped
    invite_cap: np.ndarray  # [step]: most people invited at once


class Stage(NamedTuple):
    """All that the kernels read and write, in the rows of ``tables``.

    What a user sees of the others ends last night: cells of today are passed over, so that
    it does not matter which of them are written already.
    """

    users: Table
    cells: Table
    groups: Table
    interest: np.ndarray  # theta[u, k]; the travellers' topic is one more
    friend: np.ndarray
    finds: Table  # friends found by PYMK,
    last_find: np.ndarray  # and each user's last one
    neighbour: np.ndarray  # recommender [refit, group, i]; the last refit alone while it lives
    weight: np.ndarray  # cumulative
    source: Table
    shelf: Table  # topic x appeal,
    shelf_start: np.ndarray  # by country and topic; after the topics, planted targets
    drift_days: float
    drift_strength: float
    travel_taste: float
    half_life: float  # of influence, in days; 0 = it lasts
    demotion: float  # by moderation
    pymi_factor: float
    invite_tail: float  # bulk size is the whole part of a Pareto draw of this exponent
    bulk: int
    attempts: int
    refit_days: int
    gap_shape: float  # of the gaps between a user's occasions
    filters: bool  # whether any intervention filters seeds,
    demotes: bool  # demotes groups,
    shields: bool  # or shields members from invitations


class Inbox(NamedTuple):
    """The latest invitation that the user has not looked at; group -1 for none."""

    group: np.int64
    sender: np.int64


class Occasion(NamedTuple):
    """What is the same for every attempt of an occasion."""

    base: np.int64  # first of the user's own occasions
    n: np.int64  # their number so far
    u: np.int64
    day: np.int64
    harm: float  # factor on the taste for harm
    travels: float  # taste for the travellers' topic
    total: float  # taste for all topics
    barred: np.int64  # a group that does not exist for this user, -1 for none
    inbox: Inbox


class Look(NamedTuple):
    """The draws of one attempt."""

    attempt: np.int64
    row: np.int64  # of the source table
    how: np.int64  # its mechanism
    x1: float
    x2: float
    x3: float


class Answer(NamedTuple):
    """What came of an occasion."""

    outcome: int
    group: np.int64
    row: np.int64  # of the source table
    via: np.int64  # as in a cell
    exposed: bool  # a GYSJ unit was shown
    looked: bool  # the invitation in the inbox was looked at
    took: bool  # and led to a join


@part_kernel
def take_from(shelf, first, end, x):  # type: ignore[no-untyped-def]
    """Return the first group of a shelf whose cumulative weight exceeds x times the total.

    Indexed search (Devroye 1986, III.2.4): the guide of the place that x points to names
    the first item that can be meant; from there one or two steps are expected.
    """
    if first == end:
        return np.int64(-1)
    point = x * shelf[end - 1].end
    i = first + np.int64(shelf[first + np.int64(x * (end - first))].guide)
    while i < end - 1 and shelf[i].end <= point:
        i += 1
    return np.int64(shelf[i].group)


@part_kernel
def source_row(source, x):  # type: ignore[no-untyped-def]
    """Return the first row of the source table that ends beyond x."""
    row = source[np.int64(x * len(source))].guide
    while row < len(source) - 1 and source[row].end <= x:
        row += 1
    return row


@part_kernel
def occasions_before(users, cells, v, day):  # type: ignore[no-untyped-def]
    """Return how many occasions user v had before ``day``."""
    first = users[v].start
    low, high = first, first + np.int64(users[v].taken)
    # While the platform lives hardly anybody had an occasion today.
    if low < high and cells[high - 1].time < day:
        return high - first
    while low < high:
        middle = (low + high) // 2
        if cells[middle].time < day:
            low = middle + 1
        else:
            high = middle
    return low - first


@inner_kernel
def next_clock(seed, stream, u, occasion, clock, remaining, end, gap_shape):  # type: ignore[no-untyped-def]
    """Return the time of the next of ``remaining`` points in (clock, end).

    Gaps are gamma of one shape a, given that all points fit: Dirichlet spacings, whose next
    is a Beta(a, a r) share of what is left of the interval (Devroye 1986, Non-Uniform Random
    Variate Generation, XI.4). So sorted points need no sort. With a = 1 they are uniform,
    and the share is 1 - U^(1/r) (V.3).
    """
    if gap_shape == 1.0:
        high, low, _, _ = philox(seed, stream, u, occasion, 0)
        return clock + (end - clock) * (1.0 - uniform52(high, low) ** (1.0 / remaining))
    gap = gamma(seed, stream, u, occasion, 0, gap_shape)
    rest = gamma(seed, stream, u, occasion, _DRAW_REST, gap_shape * remaining)
    return clock + (end - clock) * (gap / (gap + rest))


@inner_kernel
def add_influence(half_life, boost, since, day, beta):  # type: ignore[no-untyped-def]
    """Return the influence on a user after a join of a gateway, faded until ``day``."""
    if half_life > 0.0:
        boost = boost * 0.5 ** ((day - since) / half_life)
    return boost + beta


@part_kernel
def heat(stage, me, day, boost, since):  # type: ignore[no-untyped-def]
    """Return (factor on the taste for harm, taste for the travellers' topic)."""
    if stage.half_life > 0.0 and boost != 0.0:
        boost = boost * 0.5 ** ((day - since) / stage.half_life)
    drift = 0.0
    start = np.int64(me.drift_start)
    if day >= start and start != NO_DAY:
        drift = min(1.0, (day - start + 1.0) / stage.drift_days)
    travels = stage.travel_taste if 0.0 < drift < 1.0 else 0.0
    return np.exp(boost + stage.drift_strength * drift), travels


@part_kernel
def _taste(interest, u, k, harm, travels):  # type: ignore[no-untyped-def]
    """w[u, k]: theta, times the factor for the gateways' harm topic; the travellers' own."""
    if k == 0:
        return np.float64(interest[u, 0]) * harm
    if k == interest.shape[1]:
        return travels
    return np.float64(interest[u, k])


@part_kernel
def _taste_total(interest, u, harm, travels):  # type: ignore[no-untyped-def]
    total = np.float64(interest[u, 0]) * harm
    for k in range(1, interest.shape[1]):
        total += np.float64(interest[u, k])
    return total + travels


@part_kernel
def _topic(interest, u, harm, travels, point):  # type: ignore[no-untyped-def]
    """Return the first topic whose cumulative taste exceeds ``point``."""
    last = interest.shape[1]
    k = 0
    below = np.float64(interest[u, 0]) * harm
    while below <= point and k < last:
        k += 1
        below += _taste(interest, u, k, harm, travels)
    return k


@part_kernel
def _accepts(interest, it, u, harm, travels, total, x):  # type: ignore[no-untyped-def]
    """Whether u joins a group put before it: 1 - exp(-K <m_g, w_u>)."""
    match = it.mix0 * _taste(interest, u, it.topic0, harm, travels)
    match += it.mix1 * _taste(interest, u, it.topic1, harm, travels)
    match += it.mix2 * _taste(interest, u, it.topic2, harm, travels)
    affinity = interest.shape[1] * match / total
    return x < 1.0 - np.exp(-affinity)


@part_kernel
def is_membership(cell):  # type: ignore[no-untyped-def]
    """Whether an occasion led to a membership."""
    return cell.group >= 0 and cell.source < UNCONFIRMED


@part_kernel
def _is_member(cells, base, n, g):  # type: ignore[no-untyped-def]
    for i in range(base, base + n):
        if cells[i].group == g and cells[i].source < UNCONFIRMED:
            return True
    return False


@part_kernel
def remember(cells, base, n, x):  # type: ignore[no-untyped-def]
    """Pick one of the user's n occasions so far; return (its number, group or -1).

    An occasion, not a group: what else the user joined does not shift the pick, so that a
    replay without one join differs only where that join mattered.
    """
    if n == 0:
        return np.int64(-1), np.int64(-1)
    i = min(np.int64(x * n), np.int64(n - 1))
    if cells[base + i].source >= UNCONFIRMED:
        return i, np.int64(-1)
    return i, np.int64(cells[base + i].group)


@part_kernel
def recommended(neighbour, weight, refit, seed_group, x):  # type: ignore[no-untyped-def]
    """A group recommended from a current group, -1 where there is none to show."""
    last = weight.shape[2] - 1
    total = np.float64(weight[refit, seed_group, last])
    if total <= 0.0:
        return np.int64(-1)
    i = 0
    while i < last and weight[refit, seed_group, i] <= x * total:
        i += 1
    return np.int64(neighbour[refit, seed_group, i])


@part_kernel
def some_friend(stage, me, u, day, x):  # type: ignore[no-untyped-def]
    """One of u's friends as of ``day``, -1 for somebody without."""
    own, found, at = np.int64(me.degree), np.int64(me.found), np.int64(0)
    if found > 0:
        at = np.int64(stage.last_find[u])
        while found > 0 and stage.finds[at].day > day:
            at = np.int64(stage.finds[at].before)
            found -= 1
    if own + found == 0:
        return np.int64(-1)
    i = min(np.int64(x * (own + found)), own + found - 1)
    if i < own:
        return np.int64(stage.friend[me.friends + i])
    for _ in range(own + found - 1 - i):
        at = np.int64(stage.finds[at].before)
    return np.int64(stage.finds[at].friend)


@inner_kernel
def _friction(policies, cells, base, n, day):  # type: ignore[no-untyped-def]
    """Chance that an invitation is dropped: the largest over the user's groups."""
    share = 0.0
    step = policies.step[day]
    for i in range(base, base + n):
        g = cells[i].group
        if g >= 0 and cells[i].source < UNCONFIRMED and policies.friction[step, g] > share:
            share = policies.friction[step, g]
    return share


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
    total = _taste_total(stage.interest, u, harm, travels)
    return Occasion(
        np.int64(base), np.int64(n), np.int64(u), np.int64(day), harm, travels, total,
        np.int64(barred), inbox,
    )  # fmt: skip


@part_kernel
def shelf_of(stage, me, k):  # type: ignore[no-untyped-def]
    """Number of the shelf of u's country that holds topic k.

    After the topics come the travellers' and the targets' shelf.
    """
    return np.int64(me.country) * (stage.interest.shape[1] + 2) + k


@part_kernel
def refit_of(stage, day):  # type: ignore[no-untyped-def]
    """Layer of the recommender on a day."""
    return min(day // stage.refit_days, len(stage.neighbour) - 1)


@part_kernel
def _shown(stage, policies, own, at, me, look):  # type: ignore[no-untyped-def]
    """Return (group recommended or -1, via)."""
    via, seed_group = remember(own, at.base, at.n, look.x1)
    if seed_group < 0 or (stage.filters and policies.seed_filter[policies.step[at.day], seed_group]):
        return np.int64(-1), via
    g = recommended(stage.neighbour, stage.weight, refit_of(stage, at.day), seed_group, look.x2)
    if g >= 0 and stage.groups[g].non_rec <= at.day:
        g = np.int64(-1)
    return g, via


@part_kernel
def _of_friends(stage, at, me, look):  # type: ignore[no-untyped-def]
    """A group of a friend, -1 where there is none to show."""
    f = some_friend(stage, me, at.u, at.day, look.x1)
    if f < 0:
        return np.int64(-1)
    n = occasions_before(stage.users, stage.cells, f, at.day)
    _, g = remember(stage.cells, stage.users[f].start, n, look.x2)
    if g >= 0 and stage.groups[g].non_amp <= at.day:
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
    if g >= 0 and stage.shields:
        friction = _friction(policies, own, at.base, at.n, at.day)
        if friction > 0.0:
            v0, _, _, _ = philox(seed, stream, at.u, at.n, _DRAW_FRICTION + look.attempt)
            if uniform(v0) < friction:
                g = np.int64(-1)
    return g, via, from_inbox


@part_kernel
def _passed_over(stage, policies, it, g, at, look, seed, stream):  # type: ignore[no-untyped-def]
    """Whether a demoted group is passed over."""
    share = 1.0
    if stage.demotes:
        share -= policies.demotion[policies.step[at.day], g]
    if it.demoted <= at.day:
        share *= 1.0 - stage.demotion
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
    if it.created > at.day or _is_member(own, at.base, at.n, g):
        return False
    if look.how <= FRIENDS and _passed_over(stage, policies, it, g, at, look, seed, stream):
        return False
    return look.how > INVITATION or _accepts(
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
            g, via = _shown(stage, policies, own, at, me, look)
            exposed = exposed or (look.row == _GYSJ and g >= 0)
    elif look.how == FRIENDS:
        g = _of_friends(stage, at, me, look)
    elif look.how == INVITATION:
        g, via, from_inbox = _invited(
            stage, policies, own, at, me, look, looked, seed, stream
        )
        looked = looked or from_inbox
    else:
        g = _searched(stage, at, me, look)
    if not _fits(stage, policies, own, at, look, g, seed, stream):
        none = np.int64(-1)
        return Answer(NOTHING, none, none, none, exposed, looked, False)
    v0, _, _, _ = philox(seed, stream, at.u, at.n, _DRAW_CONFIRM)
    outcome = MEMBER if uniform(v0) < stage.source[look.row].confirm else REQUEST
    return Answer(outcome, g, look.row, via, exposed, looked, from_inbox and outcome == MEMBER)


@part_kernel
def _searched(stage, at, me, look):  # type: ignore[no-untyped-def]
    """A group found by topic and appeal."""
    k = shelf_of(stage, me, searched_topic(stage, at, look))
    return take_from(stage.shelf, stage.shelf_start[k], stage.shelf_start[k + 1], look.x2)


@part_kernel
def searched_topic(stage, at, look):  # type: ignore[no-untyped-def]
    """The topic for which an attempt searches."""
    return _topic(stage.interest, at.u, at.harm, at.travels, look.x1 * at.total)


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


@inner_kernel
def write(cell, day, answer):  # type: ignore[no-untyped-def]
    """Write an occasion's answer into its cell."""
    cell.group = answer.group
    cell.via = answer.via
    cell.time = day
    cell.source = 0
    if answer.outcome != NOTHING:
        cell.source = answer.row + (0 if answer.outcome == MEMBER else UNCONFIRMED)
