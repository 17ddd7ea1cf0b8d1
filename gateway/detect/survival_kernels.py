"""Who is at risk when, and the sums behind the log-rank test of every group.

Ticks are compared with the distinct event times alone, so that each has a *rank*: how many
event times are not after it. Steps are values of a step function by rank.
"""

from __future__ import annotations

from gateway._numba import kernel, part_kernel


@kernel
def find_spans(  # type: ignore[no-untyped-def]
    offsets, group, time, is_target, until, begins, start, leave, event, n_rows
):
    """Fill for each user: has joins before its first target join; first and last tick; event.

    ``n_rows`` is the number of joins before the last tick, which are the first ones.
    """
    for u in range(len(offsets) - 1):
        first, end = offsets[u], offsets[u + 1]
        i = first
        while i < end and not is_target[group[i]]:
            i += 1
        reached = i < end and time[i] <= until[u]
        leave[u] = time[i] if reached else until[u]
        begins[u] = first < end and (i == end or time[first] < time[i])
        start[u] = time[first] if begins[u] else 0
        event[u] = reached and begins[u]
        n = 0
        while first + n < end and time[first + n] < leave[u]:
            n += 1
        n_rows[u] = n


@part_kernel
def _rank(times, begin, shift, tick):  # type: ignore[no-untyped-def]
    """Return how many times are at most ``tick``; cells of 2^shift ticks say where to look."""
    if len(times) == 0 or tick < times[0]:
        return 0
    if tick >= times[len(times) - 1]:
        return len(times)
    cell = (tick - times[0]) >> shift
    low, high = begin[cell], begin[cell + 1]
    while low < high:
        middle = (low + high) >> 1
        if times[middle] <= tick:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def rank_ticks(  # type: ignore[no-untyped-def]
    offsets, time, zero, leave, n_rows, times, begin, shift, joined, left
):
    """Fill the ranks of the joins, ``joined``, and of the users' last ticks, ``left``.

    Ticks count from ``zero`` of their user.
    """
    for u in range(len(offsets) - 1):
        left[u] = _rank(times, begin, shift, leave[u] - zero[u])
        for i in range(offsets[u], offsets[u] + n_rows[u]):
            joined[i] = _rank(times, begin, shift, time[i] - zero[u])


@kernel
def add_memberships(  # type: ignore[no-untyped-def]
    offsets, group, time, leave, event, n_rows, joined, left, cumulative, linear, counts, sums
):
    """Add each membership to its group.

    ``counts``: memberships, and those that end in an event. ``sums``: rise of ``cumulative``
    and of ``linear``, ticks.
    """
    for u in range(len(offsets) - 1):
        for i in range(offsets[u], offsets[u] + n_rows[u]):
            g = group[i]
            counts[g, 0] += 1
            counts[g, 1] += event[u]
            sums[g, 0] += cumulative[left[u]] - cumulative[joined[i]]
            sums[g, 1] += linear[left[u]] - linear[joined[i]]
            sums[g, 2] += leave[u] - time[i]


@kernel
def deal_out(  # type: ignore[no-untyped-def]
    offsets, group, n_rows, joined, left, join_end, leave_end, comer, leaver
):
    """Sort the groups of the memberships by the rank of the join, users by that of leaving.

    By counting: those of rank r end before ``join_end[r]`` and ``leave_end[r]``, which come
    as zeros with one place more than there are ranks.
    """
    for u in range(len(offsets) - 1):
        leave_end[left[u] + 1] += 1
        for i in range(offsets[u], offsets[u] + n_rows[u]):
            join_end[joined[i] + 1] += 1
    for r in range(1, len(join_end)):
        join_end[r] += join_end[r - 1]
        leave_end[r] += leave_end[r - 1]
    # Where a rank begins moves on to where it ends.
    for u in range(len(offsets) - 1):
        leaver[leave_end[left[u]]] = u
        leave_end[left[u]] += 1
        for i in range(offsets[u], offsets[u] + n_rows[u]):
            comer[join_end[joined[i]]] = group[i]
            join_end[joined[i]] += 1


@part_kernel
def _change(state, g, at, change):  # type: ignore[no-untyped-def]
    """One more or fewer in g: what its number squared has come to, its number, since where."""
    members = state[g, 1]
    state[g, 0] += (at - state[g, 2]) * (members * members)
    state[g, 1] = members + change
    state[g, 2] = at


@kernel
def add_squares(  # type: ignore[no-untyped-def]
    offsets, group, n_rows, join_end, leave_end, comer, leaver, quadratic, state
):
    """Sum members squared times the rise of ``quadratic``, into ``state[:, 0]``.

    ``state`` comes as zeros, shape (n_groups, 3): a group's sum, members, and the value of
    ``quadratic`` since which they are so many.
    """
    i = 0
    j = 0
    for r in range(len(quadratic)):
        at = quadratic[r]
        while i < join_end[r]:
            _change(state, comer[i], at, 1.0)
            i += 1
        while j < leave_end[r]:
            u = leaver[j]
            for k in range(offsets[u], offsets[u] + n_rows[u]):
                _change(state, group[k], at, -1.0)
            j += 1
