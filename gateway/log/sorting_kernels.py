"""Rows of a large log into canonical order: counted, dealt out to users, sorted there.

No comparison crosses users, and a user's rows are few: the work is two passes over the
rows, and threads share it by users. Where a log has more columns than three, the number of
each row goes along; ``row`` is empty where it does not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gateway._numba import inner_kernel, kernel, making_kernel, parallel_kernel, prange

# Above this many rows of a user the library's sort is faster.
_FEW = 48
_LOW = np.int64(0xFFFFFFFF)
_WORD = np.int64(32)


class Ties(NamedTuple):
    """Columns that have their say between equal rows, in this order; empty where there is none."""

    source: np.ndarray
    confirmed: np.ndarray
    inviter: np.ndarray
    seed_group: np.ndarray
    left: np.ndarray


@kernel
def count_by_user(user, count):  # type: ignore[no-untyped-def]
    """Add each user's rows to its count; return whether users stand in ascending order."""
    ascending = True
    before = 0
    for i in range(len(user)):
        count[user[i]] += 1
        if user[i] < before:
            ascending = False
        before = user[i]
    return ascending


@inner_kernel
def _deal(low, high, user, group, time, cursor, group_out, time_out, row_out):  # type: ignore[no-untyped-def]
    for i in range(len(user)):
        u = user[i]
        if low <= u < high:
            place = cursor[u]
            group_out[place] = group[i]
            time_out[place] = time[i]
            if len(row_out) > 0:
                row_out[place] = i
            cursor[u] = place + 1


@parallel_kernel
def deal_out(bounds, user, group, time, cursor, group_out, time_out, row_out):  # type: ignore[no-untyped-def]
    """Put each row where its user's rows go, in the order of the rows.

    ``cursor`` holds where the next row of each user goes. Each range of users between
    ``bounds`` is dealt out by itself.
    """
    for part in prange(len(bounds) - 1):
        low, high = bounds[part], bounds[part + 1]
        _deal(low, high, user, group, time, cursor, group_out, time_out, row_out)


@inner_kernel
def _insert(key, row, count):  # type: ignore[no-untyped-def]
    """Sort the first few keys by insertion, and the rows with them."""
    for i in range(1, count):
        k = key[i]
        r = row[i]
        j = i - 1
        while j >= 0 and key[j] > k:
            key[j + 1] = key[j]
            row[j + 1] = row[j]
            j -= 1
        key[j + 1] = k
        row[j + 1] = r


@making_kernel
def _sort(key, row, count, numbered):  # type: ignore[no-untyped-def]
    if count <= _FEW:
        _insert(key, row, count)
    elif numbered:
        order = np.argsort(key[:count])
        key[:count] = key[:count][order]
        row[:count] = row[:count][order]
    else:
        key[:count] = np.sort(key[:count])


@inner_kernel
def _is_less(a, b, ties):  # type: ignore[no-untyped-def]
    """Whether row a stands before row b by its further columns, where the log has them."""
    if len(ties.source) > 0 and ties.source[a] != ties.source[b]:
        return ties.source[a] < ties.source[b]
    if len(ties.confirmed) > 0 and ties.confirmed[a] != ties.confirmed[b]:
        return ties.confirmed[a] < ties.confirmed[b]
    if len(ties.inviter) > 0 and ties.inviter[a] != ties.inviter[b]:
        return ties.inviter[a] < ties.inviter[b]
    if len(ties.seed_group) > 0 and ties.seed_group[a] != ties.seed_group[b]:
        return ties.seed_group[a] < ties.seed_group[b]
    return len(ties.left) > 0 and ties.left[a] < ties.left[b]


@making_kernel
def _sort_user(first, end, group, time, row, least, key, own, ties):  # type: ignore[no-untyped-def]
    """Sort a user's rows by time, then group, each group once; return how many stay."""
    n = end - first
    numbered = len(row) > 0
    for k in range(n):
        key[k] = (np.int64(group[first + k]) << _WORD) | (np.int64(time[first + k]) - least)
        if numbered:
            own[k] = row[first + k]
    _sort(key, own, n, numbered)
    kept = 0
    for k in range(n):
        g = key[k] >> _WORD
        if k == 0 or g != (key[k - 1] >> _WORD):
            if numbered:
                j = k + 1
                best = own[k]
                while j < n and key[j] == key[k]:
                    if _is_less(own[j], best, ties):
                        best = own[j]
                    j += 1
                row[first + kept] = best
            time[first + kept] = (key[k] & _LOW) + least
            group[first + kept] = g
            kept += 1
    for k in range(kept):
        key[k] = (np.int64(time[first + k]) << _WORD) | np.int64(group[first + k])
        if numbered:
            own[k] = row[first + k]
    _sort(key, own, kept, numbered)
    for k in range(kept):
        time[first + k] = key[k] >> _WORD
        group[first + k] = key[k] & _LOW
        if numbered:
            row[first + k] = own[k]
    return kept


@making_kernel
def _sort_range(begin, stop, offsets, group, time, row, least, kept, ties):  # type: ignore[no-untyped-def]
    longest = 0
    for u in range(begin, stop):
        longest = max(longest, offsets[u + 1] - offsets[u])
    key = np.empty(longest, np.int64)
    own = np.zeros(longest, np.uint32)
    for u in range(begin, stop):
        kept[u] = _sort_user(offsets[u], offsets[u + 1], group, time, row, least, key, own, ties)


@parallel_kernel
def sort_users(bounds, offsets, group, time, row, least, kept, ties):  # type: ignore[no-untyped-def]
    """Sort the rows of each user in place; fill how many stay when repeats have gone.

    Of several rows of a user and a group the earliest stays; of several earliest ones the
    least by the further columns, which go by the number of the row and may be empty.
    ``least`` is the first time.
    """
    for part in prange(len(bounds) - 1):
        _sort_range(bounds[part], bounds[part + 1], offsets, group, time, row, least, kept, ties)


@kernel
def close_gaps(offsets, kept, column):  # type: ignore[no-untyped-def]
    """Move the rows that stay up to each other, in place."""
    place = 0
    for u in range(len(kept)):
        for i in range(offsets[u], offsets[u] + kept[u]):
            column[place] = column[i]
            place += 1
