"""What the cells hold, counted and listed: members of groups, and the log of joins."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gateway._numba import inner_kernel, lean_kernel, parallel_kernel, prange
from gateway.simulate.occasion_kernels import INVITATION, RECOMMENDATION, is_membership
from gateway.simulate.tables import Table


class Occasions(NamedTuple):
    """Every user's occasions, and what it takes to tell where a join came from."""

    cells: Table
    start: np.ndarray  # first cell of each user, and the end
    taken: np.ndarray  # occasions of each user
    mechanism: np.ndarray  # of each row of the source table
    operator: np.ndarray  # of each group


@inner_kernel
def _count_stretch(cells, first, end, count):  # type: ignore[no-untyped-def]
    for i in range(first, end):
        # Cells that nobody has come to hold no group. No branch: what is a membership is a
        # surprise to the processor.
        count[max(np.int64(cells[i].group), 0)] += is_membership(cells[i])


@parallel_kernel
def count_members(cells, count):  # type: ignore[no-untyped-def]
    """Count the members of each group in as many stretches of the cells as ``count`` has rows."""
    n, stretches = len(cells), len(count)
    for row in prange(stretches):
        _count_stretch(cells, row * n // stretches, (row + 1) * n // stretches, count[row])


@lean_kernel
def count_joins(occasions, offsets):  # type: ignore[no-untyped-def]
    """Fill the offsets of the log: joins of user u are ``offsets[u]:offsets[u + 1]``."""
    for u in range(len(occasions.taken)):
        first = occasions.start[u]
        n = 0
        for i in range(first, first + np.int64(occasions.taken[u])):
            n += is_membership(occasions.cells[i])
        offsets[u + 1] = offsets[u] + n


@inner_kernel
def _origin(occasions, first, cell):  # type: ignore[no-untyped-def]
    """Return (inviter, seed group) of a user's join, -1 for none (see ``tables.CELL``)."""
    via = np.int64(cell.via)
    how = occasions.mechanism[cell.source]
    if how == RECOMMENDATION:
        return np.int64(-1), np.int64(occasions.cells[first + via].group)
    if how == INVITATION and via < -1:
        seed = np.int64(occasions.cells[first - 2 - via].group)
        return np.int64(occasions.operator[seed]), seed
    return via, np.int64(-1)


@inner_kernel
def _list_user(  # type: ignore[no-untyped-def]
    occasions, codes, u, first_row, group, time, source, inviter, seed_group
):
    """Write the joins of user u from ``first_row`` on; those of one day by group."""
    first = occasions.start[u]
    row = first_row
    for i in range(first, first + np.int64(occasions.taken[u])):
        cell = occasions.cells[i]
        if not is_membership(cell):
            continue
        at = row
        while at > first_row and time[at - 1] == cell.time and group[at - 1] > cell.group:
            group[at], time[at], source[at] = group[at - 1], time[at - 1], source[at - 1]
            inviter[at], seed_group[at] = inviter[at - 1], seed_group[at - 1]
            at -= 1
        group[at], time[at], source[at] = cell.group, cell.time, codes[cell.source]
        inviter[at], seed_group[at] = _origin(occasions, first, cell)
        row += 1


@parallel_kernel
def list_joins(  # type: ignore[no-untyped-def]
    occasions, codes, offsets, first, end, group, time, source, inviter, seed_group, chunks
):
    """Fill the columns of the log for the users from ``first`` to ``end``."""
    n = end - first
    for chunk in prange(chunks):
        for u in range(first + chunk * n // chunks, first + (chunk + 1) * n // chunks):
            _list_user(occasions, codes, u, offsets[u], group, time, source, inviter, seed_group)
