"""Rows of a large log into canonical order: counted, dealt out to users, sorted there.

No comparison crosses users, and a user's rows are few: the work is two passes over the
rows, and threads share it by users.
"""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, kernel, parallel_kernel, prange

__all__ = ["close_gaps", "count_by_user", "deal_out", "sort_users"]

# Above this many rows of a user the library's sort is faster.
_FEW = 48
_LOW = np.int64(0xFFFFFFFF)
_WORD = np.int64(32)


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
def _deal(low, high, user, group, time, cursor, group_out, time_out):  # type: ignore[no-untyped-def]
    for i in range(len(user)):
        u = user[i]
        if low <= u < high:
            place = cursor[u]
            group_out[place] = group[i]
            time_out[place] = time[i]
            cursor[u] = place + 1


@parallel_kernel
def deal_out(bounds, user, group, time, cursor, group_out, time_out):  # type: ignore[no-untyped-def]
    """Put each row where its user's rows go, in the order of the rows.

    ``cursor`` holds where the next row of each user goes. Each range of users between
    ``bounds`` is dealt out by itself.
    """
    for part in prange(len(bounds) - 1):
        _deal(bounds[part], bounds[part + 1], user, group, time, cursor, group_out, time_out)


@inner_kernel
def _insert(key, count):  # type: ignore[no-untyped-def]
    """Sort the first few keys by insertion."""
    for i in range(1, count):
        k = key[i]
        j = i - 1
        while j >= 0 and key[j] > k:
            key[j + 1] = key[j]
            j -= 1
        key[j + 1] = k


@kernel
def _sort(key, count):  # type: ignore[no-untyped-def]
    if count <= _FEW:
        _insert(key, count)
    else:
        key[:count] = np.sort(key[:count])


@kernel
def _sort_user(first, end, group, time, least, key):  # type: ignore[no-untyped-def]
    """Sort a user's rows by time, then group, each group once; return how many stay."""
    n = end - first
    for k in range(n):
        key[k] = (np.int64(group[first + k]) << _WORD) | (np.int64(time[first + k]) - least)
    _sort(key, n)
    kept = 0
    for k in range(n):
        g = key[k] >> _WORD
        if k == 0 or g != (key[k - 1] >> _WORD):
            time[first + kept] = (key[k] & _LOW) + least
            group[first + kept] = g
            kept += 1
    for k in range(kept):
        key[k] = (np.int64(time[first + k]) << _WORD) | np.int64(group[first + k])
    _sort(key, kept)
    for k in range(kept):
        time[first + k] = key[k] >> _WORD
        group[first + k] = key[k] & _LOW
    return kept


@kernel
def _sort_range(begin, stop, offsets, group, time, least, kept):  # type: ignore[no-untyped-def]
    longest = 0
    for u in range(begin, stop):
        longest = max(longest, offsets[u + 1] - offsets[u])
    key = np.empty(longest, np.int64)
    for u in range(begin, stop):
        kept[u] = _sort_user(offsets[u], offsets[u + 1], group, time, least, key)


@parallel_kernel
def sort_users(bounds, offsets, group, time, least, kept):  # type: ignore[no-untyped-def]
    """Sort the rows of each user in place; fill how many stay when repeats have gone.

    Of several rows of a user and a group the earliest stays. ``least`` is the first time.
    """
    for part in prange(len(bounds) - 1):
        _sort_range(bounds[part], bounds[part + 1], offsets, group, time, least, kept)


@kernel
def close_gaps(offsets, kept, column):  # type: ignore[no-untyped-def]
    """Move the rows that stay up to each other, in place."""
    place = 0
    for u in range(len(kept)):
        for i in range(offsets[u], offsets[u] + kept[u]):
            column[place] = column[i]
            place += 1
