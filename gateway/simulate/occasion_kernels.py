"""One occasion of one user: what is looked at, what is requested, what is confirmed.

``decide`` changes nothing: the simulation writes its answer into the log, the replay of
``replay_kernels`` into a scratch copy. All randomness is Philox, key (seed, stream),
counter (user, occasion, draw), so that both draw the same numbers.

Letters as in docs/simulator.md: u user, g group, k topic, theta interest, m mix.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gateway._numba import kernel
from gateway.randomness_kernels import gamma, philox, uniform, uniform52
from gateway.world.model import NEVER

__all__ = [
    "FRIENDS",
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
    "Others",
    "Policies",
    "Scenery",
    "decide",
    "heat",
    "next_clock",
    "occasions_before",
    "search",
]

NOTHING, REQUEST, MEMBER = 0, 1, 2
# Added to the source of a cell whose request was not confirmed.
UNCONFIRMED = 128
RECOMMENDATION, FRIENDS, INVITATION = 0, 1, 2
_GYSJ = 0
# Draws of one occasion beyond its attempts.
_DRAW_CONFIRM = 1 << 20
_DRAW_OPERATOR = 1 << 21
_DRAW_FRICTION = 1 << 22
# First draw of an occasion's time for what comes after its gap.
_DRAW_REST = 1 << 20


class Scenery(NamedTuple):
    """What does not change while users join."""

    interest: np.ndarray  # theta[u, k]; the last column is the travellers' topic
    country: np.ndarray
    departure: np.ndarray  # first day after the user's last
    drift_start: np.ndarray  # day on which the user's taste begins to drift, or NEVER
    drift_days: float
    drift_strength: float
    travel_taste: float
    friend_offsets: np.ndarray
    friend: np.ndarray
    mix: np.ndarray  # m[g, k]
    created: np.ndarray
    influence: np.ndarray  # beta[g]
    half_life: float  # of that influence, in days; 0 = it lasts
    inviting: np.ndarray  # probability that an occasion remembers g's operator
    operator: np.ndarray  # who invites the members of g into targets
    shelf: np.ndarray  # cumulative topic x appeal by [country, topic, group]
    target_shelf: np.ndarray  # cumulative appeal of planted targets by [country, group]
    source_end: np.ndarray
    mechanism: np.ndarray
    confirm: np.ndarray
    gysj_holdout: np.ndarray
    attempts: int
    refit_days: int
    gap_shape: float  # of the gaps between a user's occasions


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


class Others(NamedTuple):
    """What a user sees of the others: user v's occasions are cells start[v] to start[v + 1].

    ``time`` is NEVER until an occasion has come; cells of today are passed over, so that
    it does not matter which of them are written already.
    """

    start: np.ndarray
    group: np.ndarray
    source: np.ndarray
    time: np.ndarray
    extra_count: np.ndarray  # friends found by PYMK: how many,
    extra_friend: np.ndarray  # who [user, i],
    extra_day: np.ndarray  # and since when [user, i]
    neighbour: np.ndarray  # recommender [refit, group, i]
    weight: np.ndarray  # cumulative


class Inbox(NamedTuple):
    """The latest invitation that the user has not looked at; group -1 for none."""

    group: np.int64
    sender: np.int64


class Answer(NamedTuple):
    """What came of an occasion."""

    outcome: int
    group: np.int64
    row: np.int64  # of the source table
    seed_cell: np.int64  # number of the own occasion whose group seeded it, or -1
    inviter: np.int64
    exposed: bool  # a GYSJ unit was shown
    looked: bool  # the invitation in the inbox was looked at
    took: bool  # and led to a join


@kernel
def search(cumulative, x):  # type: ignore[no-untyped-def]
    """Return the first position whose cumulative weight exceeds x."""
    low, high = 0, len(cumulative) - 1
    while low < high:
        middle = (low + high) // 2
        if cumulative[middle] > x:
            high = middle
        else:
            low = middle + 1
    return low


@kernel
def occasions_before(others, v, day):  # type: ignore[no-untyped-def]
    """Return how many occasions user v had before ``day``."""
    first = others.start[v]
    low, high = first, others.start[v + 1]
    while low < high:
        middle = (low + high) // 2
        if others.time[middle] < day:
            low = middle + 1
        else:
            high = middle
    return low - first


@kernel
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


@kernel
def _drift(scenery, u, day):  # type: ignore[no-untyped-def]
    """How far the user's taste has drifted for outside reasons, 0 to 1."""
    start = scenery.drift_start[u]
    if day < start:
        return 0.0
    return min(1.0, (day - start + 1.0) / scenery.drift_days)


@kernel
def heat(scenery, u, day, boost, since):  # type: ignore[no-untyped-def]
    """Return (factor on the taste for harm, taste for the travellers' topic)."""
    if scenery.half_life > 0.0 and boost != 0.0:
        boost = boost * 0.5 ** ((day - since) / scenery.half_life)
    drift = _drift(scenery, u, day)
    travels = scenery.travel_taste if 0.0 < drift < 1.0 else 0.0
    return np.exp(boost + scenery.drift_strength * drift), travels


@kernel
def _taste(scenery, u, k, harm, travels):  # type: ignore[no-untyped-def]
    """w[u, k]: theta, times the factor for the gateways' harm topic; the travellers' own."""
    if k == 0:
        return np.float64(scenery.interest[u, 0]) * harm
    if k == scenery.interest.shape[1]:
        return travels
    return np.float64(scenery.interest[u, k])


@kernel
def _taste_total(scenery, u, harm, travels):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(scenery.interest.shape[1] + 1):
        total += _taste(scenery, u, k, harm, travels)
    return total


@kernel
def _by_intent(scenery, u, harm, travels, x_topic, x_group):  # type: ignore[no-untyped-def]
    """Draw a topic by taste, then a group of that topic by appeal, as seen from u's country."""
    point = x_topic * _taste_total(scenery, u, harm, travels)
    last = scenery.interest.shape[1]
    k = 0
    below = _taste(scenery, u, 0, harm, travels)
    while below <= point and k < last:
        k += 1
        below += _taste(scenery, u, k, harm, travels)
    row = scenery.shelf[scenery.country[u], k]
    if row[-1] <= 0.0:
        return -1
    return search(row, x_group * row[-1])


@kernel
def _accepts(scenery, u, g, harm, travels, x):  # type: ignore[no-untyped-def]
    """Whether u joins a group put before it: 1 - exp(-K <m_g, w_u>)."""
    n_topics = scenery.interest.shape[1]
    match = 0.0
    for k in range(n_topics + 1):
        match += scenery.mix[g, k] * _taste(scenery, u, k, harm, travels)
    affinity = n_topics * match / _taste_total(scenery, u, harm, travels)
    return x < 1.0 - np.exp(-affinity)


@kernel
def _is_member(group, source, base, n, g):  # type: ignore[no-untyped-def]
    for i in range(base, base + n):
        if group[i] == g and source[i] < UNCONFIRMED:
            return True
    return False


@kernel
def _remember(group, source, base, n, x):  # type: ignore[no-untyped-def]
    """Pick one of the user's n occasions so far; return (its number, group or -1).

    An occasion, not a group: what else the user joined does not shift the pick, so that a
    replay without one join differs only where that join mattered.
    """
    if n == 0:
        return -1, -1
    i = min(np.int64(x * n), n - 1)
    if group[base + i] < 0 or source[base + i] >= UNCONFIRMED:
        return i, -1
    return i, np.int64(group[base + i])


@kernel
def _recommended(scenery, labels, policies, others, seed_group, day, x):  # type: ignore[no-untyped-def]
    """A group recommended from a current group, -1 where there is none to show."""
    if seed_group < 0 or policies.seed_filter[policies.step[day], seed_group]:
        return -1
    refit = day // scenery.refit_days
    weight = others.weight[refit, seed_group]
    if weight[-1] <= 0.0:
        return -1
    g = np.int64(others.neighbour[refit, seed_group, search(weight, x * weight[-1])])
    return -1 if labels.non_rec[g] <= day else g


@kernel
def _of_a_friend(scenery, labels, others, u, day, x_friend, x_group):  # type: ignore[no-untyped-def]
    """A group that a friend joined before today, -1 where there is none to show."""
    own = scenery.friend_offsets[u + 1] - scenery.friend_offsets[u]
    extra = 0
    while extra < others.extra_count[u] and others.extra_day[u, extra] <= day:
        extra += 1
    if own + extra == 0:
        return -1
    i = min(np.int64(x_friend * (own + extra)), own + extra - 1)
    f = (
        scenery.friend[scenery.friend_offsets[u] + i]
        if i < own
        else others.extra_friend[u, i - own]
    )
    n = occasions_before(others, f, day)
    _, g = _remember(others.group, others.source, others.start[f], n, x_group)
    return -1 if g >= 0 and labels.non_amp[g] <= day else g


@kernel
def _passes(labels, policies, g, day, x):  # type: ignore[no-untyped-def]
    """Whether a group still reaches the user when moderation or a policy demotes it."""
    share = 1.0 - policies.demotion[policies.step[day], g]
    if labels.demoted[g] <= day:
        share *= 1.0 - labels.demotion
    return share >= 1.0 or x < share


@kernel
def _friction(policies, group, source, base, n, day):  # type: ignore[no-untyped-def]
    """Chance that an invitation is dropped: the largest over the user's groups."""
    share = 0.0
    step = policies.step[day]
    for i in range(base, base + n):
        g = group[i]
        if g >= 0 and source[i] < UNCONFIRMED and policies.friction[step, g] > share:
            share = policies.friction[step, g]
    return share


@kernel
def decide(  # type: ignore[no-untyped-def]
    scenery, labels, policies, others, group, source, base, n, u, day, harm, travels, barred,
    inbox, seed, stream,
):  # fmt: skip
    """Return what comes of occasion number n of user u.

    ``group`` and ``source`` hold the user's own occasions from ``base`` on. ``barred`` is
    a group that does not exist for this user (-1 for none). Up to ``attempts`` groups are
    looked at; the first that fits is requested.
    """
    exposed = False
    looked = False
    for attempt in range(scenery.attempts):
        w0, w1, w2, w3 = philox(seed, stream, u, n, attempt)
        x1, x2, x3 = uniform(w1), uniform(w2), uniform(w3)
        row = search(scenery.source_end, uniform(w0))
        how = scenery.mechanism[row]
        g, seed_cell, inviter, from_inbox = np.int64(-1), np.int64(-1), np.int64(-1), False
        if how == RECOMMENDATION:
            if row == _GYSJ and scenery.gysj_holdout[u]:
                continue
            seed_cell, seed_group = _remember(group, source, base, n, x1)
            g = _recommended(scenery, labels, policies, others, seed_group, day, x2)
            exposed = exposed or (row == _GYSJ and g >= 0)
        elif how == FRIENDS:
            g = _of_a_friend(scenery, labels, others, u, day, x1, x2)
        elif how == INVITATION:
            v0, _, _, _ = philox(seed, stream, u, n, _DRAW_OPERATOR + attempt)
            cell, host = _remember(group, source, base, n, x1)
            if host >= 0 and uniform(v0) < scenery.inviting[host]:
                shelf = scenery.target_shelf[scenery.country[u]]
                g = search(shelf, x2 * shelf[-1]) if shelf[-1] > 0.0 else -1
                seed_cell, inviter = np.int64(cell), np.int64(scenery.operator[host])
            elif inbox.group >= 0 and not looked:
                g, inviter = np.int64(inbox.group), np.int64(inbox.sender)
                from_inbox, looked = True, True
            if g >= 0:
                v0, _, _, _ = philox(seed, stream, u, n, _DRAW_FRICTION + attempt)
                if uniform(v0) < _friction(policies, group, source, base, n, day):
                    g = -1
        else:
            g = _by_intent(scenery, u, harm, travels, x1, x2)
        if g < 0 or g == barred or scenery.created[g] > day:
            continue
        if _is_member(group, source, base, n, g):
            continue
        if how == RECOMMENDATION or how == FRIENDS:
            v0, _, _, _ = philox(seed, stream, u, n, _DRAW_CONFIRM + 1 + attempt)
            if not _passes(labels, policies, g, day, uniform(v0)):
                continue
        if how <= INVITATION and not _accepts(scenery, u, g, harm, travels, x3):
            continue
        v0, _, _, _ = philox(seed, stream, u, n, _DRAW_CONFIRM)
        outcome = MEMBER if uniform(v0) < scenery.confirm[row] else REQUEST
        took = from_inbox and outcome == MEMBER
        return Answer(outcome, g, row, seed_cell, inviter, exposed, looked, took)
    return Answer(NOTHING, -1, -1, -1, -1, exposed, looked, False)
