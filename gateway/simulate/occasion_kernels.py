"""What an occasion looks at and leaves: clocks, tastes, shelves, friends, memberships.

Letters as in docs/explanation/simulator.md: u user, g group, k topic, theta interest, m mix.
``me`` is the record of user u, ``it`` that of group g (see ``tables``).
"""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, part_kernel
from gateway.randomness_kernels import gamma, philox, uniform52
from gateway.simulate.tables import NO_DAY

NOTHING, REQUEST, MEMBER = 0, 1, 2
# Added to the source of a cell whose request was not confirmed.
UNCONFIRMED = 128
RECOMMENDATION, FRIENDS, INVITATION = 0, 1, 2
# Bits of ``holdouts``. Interventions pass over the spared; friction by sender is of the limited.
HELD_FROM_GYSJ, HELD_FROM_PYMI, UNFEATURED_BY_PYMI, UNFEATURED_BY_PYMK = 1, 2, 4, 8
SPARED, LIMITED = 64, 128
# First draw of an occasion's time for what comes after its gap.
_DRAW_REST = 1 << 20


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
def taste_total(interest, u, harm, travels):  # type: ignore[no-untyped-def]
    """Taste of user u for all topics."""
    total = np.float64(interest[u, 0]) * harm
    for k in range(1, interest.shape[1]):
        total += np.float64(interest[u, k])
    return total + travels


@part_kernel
def topic_at(interest, u, harm, travels, point):  # type: ignore[no-untyped-def]
    """Return the first topic whose cumulative taste exceeds ``point``."""
    last = interest.shape[1]
    k = 0
    below = np.float64(interest[u, 0]) * harm
    while below <= point and k < last:
        k += 1
        below += _taste(interest, u, k, harm, travels)
    return k


@part_kernel
def accepts(interest, it, u, harm, travels, total, x):  # type: ignore[no-untyped-def]
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
def is_member(cells, base, n, g):  # type: ignore[no-untyped-def]
    """Whether one of n occasions from ``base`` on led to a membership of g."""
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
def some_friend(stage, me, u, day, x, weight):  # type: ignore[no-untyped-def]
    """One of u's friends as of ``day``, -1 for somebody without.

    A friend found by PYMK counts as ``weight`` of those at the start.
    """
    own, found, at = np.int64(me.degree), np.int64(me.found), np.int64(0)
    if found > 0:
        at = np.int64(stage.last_find[u])
        while found > 0 and stage.finds[at].day > day:
            at = np.int64(stage.finds[at].before)
            found -= 1
    total = own + weight * found
    if total <= 0.0:
        return np.int64(-1)
    point = x * total
    if point < own:
        return np.int64(stage.friend[me.friends + min(np.int64(point), own - 1)])
    for _ in range(found - 1 - min(np.int64((point - own) / weight), found - 1)):
        at = np.int64(stage.finds[at].before)
    return np.int64(stage.finds[at].friend)


@inner_kernel
def friction_of(friction, cells, base, n):  # type: ignore[no-untyped-def]
    """Chance that an invitation is dropped: the largest over the user's groups."""
    share = 0.0
    for i in range(base, base + n):
        g = cells[i].group
        if g >= 0 and cells[i].source < UNCONFIRMED and friction[g] > share:
            share = friction[g]
    return share


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


@inner_kernel
def write(cell, day, answer):  # type: ignore[no-untyped-def]
    """Write an occasion's answer into its cell."""
    cell.group = answer.group
    cell.via = answer.via
    cell.time = day
    cell.source = 0
    if answer.outcome != NOTHING:
        cell.source = answer.row + (0 if answer.outcome == MEMBER else UNCONFIRMED)
