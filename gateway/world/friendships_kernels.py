"""The inner loops of the friend graph: pairs drawn by weight, introductions, and rows.

Users stand in places here, sorted by block, so that those who meet often lie close
together in memory. A graph is given in compressed rows of places, as in ``Friendships``.
Everything random is Philox: key (seed, stream), counter (place, round, draw).
"""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, parallel_kernel, prange
from gateway.randomness_kernels import philox, uniform, uniform52

# A pair that is no new friendship is drawn again at most so many times; what is still
# missing then is drawn in the next round.
ATTEMPTS = 16
# So many of a place's last draws in a round are looked through for repeats. Older ones go
# unseen and are drawn again in the next round; to look through all would cost a square.
RECENT = 64
_NOBODY = np.int32(-1)
# Rows up to this length are sorted by insertion alone.
_SHORT = 32
_GAPS = np.array([66_000, 29_000, 12_900, 5_737, 2_550, 1_132, 701, 301, 132, 57, 23, 10, 4, 1])


@inner_kernel
def _begin(total, u, n, shift):  # type: ignore[no-untyped-def]
    """Return the first of n pairs that is u's: systematic sampling (Madow 1949).

    Pair e belongs to who holds the point (e + shift) / n of the running total, so that
    everybody has the share of the n pairs that is due, rounded up or down.
    """
    return np.int64(np.ceil(total[u] / total[-1] * n - shift))


@inner_kernel
def _place_at(total, guide, point):  # type: ignore[no-untyped-def]
    """Return the place i with total[i] <= point < total[i + 1].

    A guide table (Chen, Asau 1974) starts the search near its end; the search itself
    decides, so that roundings in the table change nothing.
    """
    n = len(guide)
    i = np.int64(guide[min(np.int64(point / total[n] * n), n - 1)])
    while i > 0 and total[i] > point:
        i -= 1
    while i < n - 1 and total[i + 1] <= point:
        i += 1
    return i


@inner_kernel
def _partner_at(x, low, high, total, guide):  # type: ignore[no-untyped-def]
    """Return who of the places from low to high holds the share x of their weight."""
    point = total[low] + x * (total[high] - total[low])
    return np.int32(min(max(_place_at(total, guide, point), low), high - 1))


@inner_kernel
def _are_friends(offsets, friend, u, w):  # type: ignore[no-untyped-def]
    """Whether w stands in u's sorted row."""
    low, high = offsets[u], offsets[u + 1]
    while low < high:
        middle = (low + high) // 2
        if friend[middle] < w:
            low = middle + 1
        else:
            high = middle
    return low < offsets[u + 1] and friend[low] == w


@inner_kernel
def _is_new(u, w, offsets, friend, begin, e, first, second):  # type: ignore[no-untyped-def]
    """Whether u and w are two people, not friends, and none of the pairs begin to e."""
    if u == w or _are_friends(offsets, friend, u, w):
        return False
    for i in range(max(begin, e - RECENT), e):
        if (first[i] == u and second[i] == w) or (first[i] == w and second[i] == u):
            return False
    return True


@inner_kernel
def _draw_partner(
    seed, stream, event, u, low, high, total, guide, offsets, friend, begin, e, first, second
):  # type: ignore[no-untyped-def]
    """Return the other one of u's pair e, drawn by weight among the places low to high."""
    for attempt in range(ATTEMPTS):
        words = philox(seed, stream, u, event, (e - begin) * ATTEMPTS + attempt)
        w = _partner_at(uniform52(words[0], words[1]), low, high, total, guide)
        if _is_new(u, w, offsets, friend, begin, e, first, second):
            return w
    return _NOBODY


@parallel_kernel
def draw_pairs(
    seed, stream, event, shift, total, guide, block, low, high, offsets, friend, first, second
):  # type: ignore[no-untyped-def]
    """Fill ``first`` and ``second`` with pairs who are not friends yet; -1 where none is found.

    total, guide: running total of the weights and its guide table; block: of each place;
    low, high: for each block, the first place and the end of where the other is sought.
    """
    for place in prange(len(block)):
        # Without a sign, as the loop counts, all that is called would be compiled once more.
        u = np.int64(place)
        begin = _begin(total, u, len(first), shift)
        for e in range(begin, _begin(total, u + 1, len(first), shift)):
            w = _draw_partner(
                seed, stream, event, u, low[block[u]], high[block[u]], total, guide,
                offsets, friend, begin, e, first, second,
            )  # fmt: skip
            first[e] = u
            second[e] = w


@inner_kernel
def _pick(word, n):  # type: ignore[no-untyped-def]
    """Return one of 0..n-1."""
    return min(np.int64(uniform(word) * n), n - 1)


@inner_kernel
def _pick_two(words, row):  # type: ignore[no-untyped-def]
    """Return two of a row of at least two, as ``_pick_four`` does."""
    i = _pick(words[0], len(row) - 1)
    j = _pick(words[1], len(row))
    return row[i], row[len(row) - 1 if j == i else j]


@inner_kernel
def _pick_four(words, row):  # type: ignore[no-untyped-def]
    """Return four of a row of at least four, each set of four equally likely.

    Floyd's algorithm (Bentley, Floyd 1987): the next is uniform on 0..d, or d itself when
    that one was taken before, for the last four d.
    """
    d = len(row)
    i = _pick(words[0], d - 3)
    j = _pick(words[1], d - 2)
    j = d - 3 if j == i else j
    k = _pick(words[2], d - 1)
    k = d - 2 if k == i or k == j else k
    l = _pick(words[3], d)
    l = d - 1 if l == i or l == j or l == k else l
    return row[i], row[j], row[k], row[l]


@inner_kernel
def _two_alike(four, upper, offsets):  # type: ignore[no-untyped-def]
    """Of four users, return the two with the most friends or else the two with the fewest.

    Equals stand as they were drawn: the place in ``four`` is the last digit of what is
    sorted.
    """
    p = 4 * (offsets[four[0] + 1] - offsets[four[0]])
    q = 4 * (offsets[four[1] + 1] - offsets[four[1]]) + 1
    r = 4 * (offsets[four[2] + 1] - offsets[four[2]]) + 2
    s = 4 * (offsets[four[3] + 1] - offsets[four[3]]) + 3
    p, q = min(p, q), max(p, q)
    r, s = min(r, s), max(r, s)
    p, r = min(p, r), max(p, r)
    q, s = min(q, s), max(q, s)
    q, r = min(q, r), max(q, r)
    if upper:
        return four[r % 4], four[s % 4]
    return four[p % 4], four[q % 4]


@inner_kernel
def _draw_introduction(seed, stream, event, v, offsets, friend, begin, e, first, second):  # type: ignore[no-untyped-def]
    """Return the two friends of v who become friends as pair e."""
    row = friend[offsets[v] : offsets[v + 1]]
    if len(row) < 2:
        return _NOBODY, _NOBODY
    for attempt in range(0, ATTEMPTS, 2):
        draw = (e - begin) * ATTEMPTS + attempt
        words = philox(seed, stream, v, event, draw)
        if len(row) < 4:
            u, w = _pick_two(words, row)
        else:
            word, _, _, _ = philox(seed, stream, v, event, draw + 1)
            u, w = _two_alike(_pick_four(words, row), uniform(word) < 0.5, offsets)
        if _is_new(u, w, offsets, friend, begin, e, first, second):
            return u, w
    return _NOBODY, _NOBODY


@parallel_kernel
def draw_introductions(seed, stream, event, shift, offsets, friend, first, second):  # type: ignore[no-untyped-def]
    """Fill ``first`` and ``second`` with friends of a friend who are not friends yet, or -1."""
    for place in prange(len(offsets) - 1):
        v = np.int64(place)
        begin = _begin(offsets, v, len(first), shift)
        for e in range(begin, _begin(offsets, v + 1, len(first), shift)):
            u, w = _draw_introduction(
                seed, stream, event, v, offsets, friend, begin, e, first, second
            )
            first[e] = u
            second[e] = w


@parallel_kernel
def count_ends(first, second, cuts, count):  # type: ignore[no-untyped-def]
    """Count the pairs of each place. A chunk owns the places from cuts[c] to cuts[c + 1]."""
    for c in prange(len(cuts) - 1):
        low, high = cuts[c], cuts[c + 1]
        for e in range(len(first)):
            u, w = first[e], second[e]
            if w >= 0:
                if low <= u < high:
                    count[u] += 1
                if low <= w < high:
                    count[w] += 1


@parallel_kernel
def list_ends(first, second, cuts, fill, other):  # type: ignore[no-untyped-def]
    """Put the other end of each place's pairs into its row; ``fill`` moves to the row's end."""
    for c in prange(len(cuts) - 1):
        low, high = cuts[c], cuts[c + 1]
        for e in range(len(first)):
            u, w = first[e], second[e]
            if w >= 0:
                if low <= u < high:
                    other[fill[u]] = w
                    fill[u] += 1
                if low <= w < high:
                    other[fill[w]] = u
                    fill[w] += 1


@inner_kernel
def _sort_row(row):  # type: ignore[no-untyped-def]
    """Sort a row in place by insertion: nearly all are short, and for those nothing is faster.

    A long one is sorted first in steps of so many places (Shell 1959; Ciura 2001).
    """
    for gap in _GAPS:
        if gap > 1 and len(row) <= _SHORT:
            continue
        for i in range(gap, len(row)):
            x = row[i]
            j = i
            while j >= gap and row[j - gap] > x:
                row[j] = row[j - gap]
                j -= gap
            row[j] = x


@parallel_kernel
def sort_rows(offsets, other):  # type: ignore[no-untyped-def]
    """Sort each row."""
    for u in prange(len(offsets) - 1):
        _sort_row(other[offsets[u] : offsets[u + 1]])


@inner_kernel
def _union(one, two, joined, write):  # type: ignore[no-untyped-def]
    """Return the size of the union of two sorted rows; put it into ``joined`` if asked to.

    ``one`` has no repeats, ``two`` may.
    """
    i, j, n = 0, 0, 0
    while i < len(one) or j < len(two):
        if j == len(two) or (i < len(one) and one[i] <= two[j]):
            x = one[i]
            i += 1
        else:
            x = two[j]
        while j < len(two) and two[j] == x:
            j += 1
        if write:
            joined[n] = x
        n += 1
    return n


@parallel_kernel
def count_union(offsets, friend, more_offsets, more, count):  # type: ignore[no-untyped-def]
    """Count the friends of each place in two graphs together."""
    for u in prange(len(count)):
        one = friend[offsets[u] : offsets[u + 1]]
        two = more[more_offsets[u] : more_offsets[u + 1]]
        count[u] = _union(one, two, one, False)


@parallel_kernel
def join_rows(offsets, friend, more_offsets, more, joined_offsets, joined):  # type: ignore[no-untyped-def]
    """Put the friends of each place in two graphs together into its row."""
    for u in prange(len(offsets) - 1):
        one = friend[offsets[u] : offsets[u + 1]]
        two = more[more_offsets[u] : more_offsets[u + 1]]
        _union(one, two, joined[joined_offsets[u] : joined_offsets[u + 1]], True)


@inner_kernel
def _rename_row(row, order, renamed):  # type: ignore[no-untyped-def]
    for i in range(len(row)):
        renamed[i] = order[row[i]]
    _sort_row(renamed)


@parallel_kernel
def rename(offsets, friend, order, place, user_offsets, user_friend):  # type: ignore[no-untyped-def]
    """Turn rows of places into rows of users. order: user of each place; place: its inverse."""
    for u in prange(len(place)):
        row = friend[offsets[place[u]] : offsets[place[u] + 1]]
        _rename_row(row, order, user_friend[user_offsets[u] : user_offsets[u + 1]])
