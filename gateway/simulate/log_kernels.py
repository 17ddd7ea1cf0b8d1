"""What the cells hold, counted and listed: members of groups, and the log of joins."""

from __future__ import annotations

import numpy as np

from gateway._numba import inner_kernel, parallel_kernel, prange
from gateway.simulate.occasion_kernels import INVITATION, RECOMMENDATION, is_membership

__all__ = ["count_joins", "count_members", "list_joins"]


@inner_kernel
def count_members(users, cells, count):  # type: ignore[no-untyped-def]
    """Count the members of each group."""
    for u in range(len(users)):
        first = users[u].start
        for i in range(first, first + np.int64(users[u].taken)):
            if is_membership(cells[i]):
                count[cells[i].group] += 1


@inner_kernel
def count_joins(stage, offsets):  # type: ignore[no-untyped-def]
    """Fill the offsets of the log: joins of user u are ``offsets[u]:offsets[u + 1]``."""
    for u in range(len(stage.users)):
        first = stage.users[u].start
        n = 0
        for i in range(first, first + np.int64(stage.users[u].taken)):
            n += is_membership(stage.cells[i])
        offsets[u + 1] = offsets[u] + n


@inner_kernel
def _origin(stage, first, cell):  # type: ignore[no-untyped-def]
    """Return (inviter, seed group) of a user's join, -1 for none (see ``tables.CELL``)."""
    via = np.int64(cell.via)
    how = stage.source[cell.source].mechanism
    if how == RECOMMENDATION:
        return np.int64(-1), np.int64(stage.cells[first + via].group)
    if how == INVITATION and via < -1:
        seed = np.int64(stage.cells[first - 2 - via].group)
        return np.int64(stage.groups[seed].operator), seed
    return via, np.int64(-1)


@inner_kernel
def _list_user(  # type: ignore[no-untyped-def]
    stage, codes, u, first_row, group, time, source, inviter, seed_group
):
    """Write the joins of user u from ``first_row`` on; those of one day by group."""
    first = stage.users[u].start
    row = first_row
    for i in range(first, first + np.int64(stage.users[u].taken)):
        cell = stage.cells[i]
        if not is_membership(cell):
            continue
        at = row
        while at > first_row and time[at - 1] == cell.time and group[at - 1] > cell.group:
            group[at], time[at], source[at] = group[at - 1], time[at - 1], source[at - 1]
            inviter[at], seed_group[at] = inviter[at - 1], seed_group[at - 1]
            at -= 1
        group[at], time[at], source[at] = cell.group, cell.time, codes[cell.source]
        inviter[at], seed_group[at] = _origin(stage, first, cell)
        row += 1


@parallel_kernel
def list_joins(  # type: ignore[no-untyped-def]
    stage, codes, offsets, group, time, source, inviter, seed_group, chunks
):
    """Fill the columns of the log."""
    n_users = len(stage.users)
    for chunk in prange(chunks):
        for u in range(chunk * n_users // chunks, (chunk + 1) * n_users // chunks):
            _list_user(stage, codes, u, offsets[u], group, time, source, inviter, seed_group)
