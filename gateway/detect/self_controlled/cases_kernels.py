"""Some users' joins of some groups, and the time of a case cut where they lie."""

from __future__ import annotations

from gateway._numba import inner_kernel, parallel_kernel, prange

__all__ = ["count_wanted", "cut_time", "take_wanted"]


@inner_kernel
def _count(begin, stop, users, offsets, group, wanted, count):  # type: ignore[no-untyped-def]
    for k in range(begin, stop):
        u = users[k]
        n = 0
        for i in range(offsets[u], offsets[u + 1]):
            if wanted[group[i]]:
                n += 1
        count[k] = n


@parallel_kernel
def count_wanted(bounds, users, offsets, group, wanted, count):  # type: ignore[no-untyped-def]
    """Fill how many of each user's joins are of a wanted group."""
    for part in prange(len(bounds) - 1):
        _count(bounds[part], bounds[part + 1], users, offsets, group, wanted, count)


@inner_kernel
def _take(  # type: ignore[no-untyped-def]
    begin, stop, users, offsets, group, time, wanted, starts, group_out, time_out
):
    for k in range(begin, stop):
        u = users[k]
        at = starts[k]
        for i in range(offsets[u], offsets[u + 1]):
            if at < starts[k + 1] and wanted[group[i]]:
                group_out[at] = group[i]
                time_out[at] = time[i]
                at += 1


@parallel_kernel
def take_wanted(  # type: ignore[no-untyped-def]
    bounds, users, offsets, group, time, wanted, starts, group_out, time_out
):
    """Fill group and tick of the first ``starts[k + 1] - starts[k]`` wanted joins of users[k]."""
    for part in prange(len(bounds) - 1):
        _take(
            bounds[part], bounds[part + 1], users, offsets, group, time, wanted, starts,
            group_out, time_out,
        )  # fmt: skip


@inner_kernel
def _mass_before(x, piece, edges, mass, slope):  # type: ignore[no-untyped-def]
    """Return the baseline's mass before tick x, and its piece; ``piece`` is none after it."""
    last = len(edges) - 1
    if x >= edges[last]:
        return mass[last], piece
    if x <= edges[0]:
        return mass[0], piece
    while edges[piece + 1] <= x:
        piece += 1
    return slope[piece] * (float(x) - float(edges[piece])) + mass[piece], piece


@inner_kernel
def _cut_case(  # type: ignore[no-untyped-def]
    c, row, end, time, sign, first, last, event, end_event, event_time, edges, mass, slope,
    length, events, first_length, first_events, tied,
):  # fmt: skip
    owner = -1
    piece = 0
    begin = first
    going = True
    while going:
        going = row < end
        until = last
        joined = False
        after = row
        if going:
            while after < end and time[after] == time[row]:
                joined = joined or sign[after] > 0
                length[after] = 0.0
                events[after] = 0.0
                after += 1
            # The tick of a join is nobody's time; that at which an exposure ends is of the
            # time before.
            until = time[row] - 1 if joined else time[row]
        low, piece = _mass_before(begin, piece, edges, mass, slope)
        high, piece = _mass_before(until + 1, piece, edges, mass, slope)
        n = 0
        while event < end_event and event_time[event] <= until:
            n += 1
            event += 1
        if owner < 0:
            first_length[c] = max(high - low, 0.0)
            first_events[c] = n
        else:
            length[owner] = max(high - low, 0.0)
            events[owner] = n
        if going:
            while joined and event < end_event and event_time[event] == time[row]:
                tied[c] += 1
                event += 1
            begin = time[row] + 1
            owner = after - 1
            row = after


@inner_kernel
def _cut_cases(  # type: ignore[no-untyped-def]
    begin, stop, offsets, time, sign, first, last, event_offsets, event_time, edges, mass,
    slope, length, events, first_length, first_events, tied,
):  # fmt: skip
    for c in range(begin, stop):
        _cut_case(
            c, offsets[c], offsets[c + 1], time, sign, first[c], last[c], event_offsets[c],
            event_offsets[c + 1], event_time, edges, mass, slope, length, events, first_length,
            first_events, tied,
        )  # fmt: skip


@parallel_kernel
def cut_time(  # type: ignore[no-untyped-def]
    bounds, offsets, time, sign, first, last, event_offsets, event_time, edges, mass, slope,
    length, events, first_length, first_events, tied,
):  # fmt: skip
    """Fill mass and events after each row and before each case's first; count tied events.

    Of rows at the same tick the last has what follows. ``slope`` is the mass of a tick in
    each piece of the baseline.
    """
    for part in prange(len(bounds) - 1):
        _cut_cases(
            bounds[part], bounds[part + 1], offsets, time, sign, first, last, event_offsets,
            event_time, edges, mass, slope, length, events, first_length, first_events, tied,
        )  # fmt: skip
