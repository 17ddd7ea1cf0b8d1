"""What users had joined before they joined a group, added up by group."""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, parallel_kernel, prange


@inner_kernel
def _add_users(begin, stop, offsets, group, time, target, ticks, upto, found, seen):  # type: ignore[no-untyped-def]
    for u in range(begin, stop):
        first, end = offsets[u], offsets[u + 1]
        before = 0
        row = first
        place = 0
        while row < end:
            tick = time[row]
            place += np.searchsorted(ticks[place:], tick)
            here = 0
            while row < end and time[row] == tick:
                found[group[row]] += before
                seen[group[row]] += upto[place]
                if target[group[row]]:
                    here += 1
                row += 1
            before += here


@parallel_kernel
def add_joins_before(  # type: ignore[no-untyped-def]
    bounds, offsets, group, time, target, ticks, upto, found, seen
):
    """Add up, in a row for each range of users, target joins in ticks before each join.

    ``found`` those of the joiner, ``seen`` those of all users: ``upto[k]`` are before
    ``ticks[k]``, the ticks at which there are any.
    """
    for part in prange(len(bounds) - 1):
        _add_users(
            bounds[part], bounds[part + 1], offsets, group, time, target, ticks, upto,
            found[part], seen[part],
        )  # fmt: skip
