"""What a platform leaves behind: the log of joins, and that of requests."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.log.join_log import SOURCES, JoinLog, numbered_names
from gateway.simulate.log_kernels import Occasions, count_joins, count_members, list_joins
from gateway.simulate.occasion_kernels import UNCONFIRMED
from gateway.simulate.sources import source_codes
from gateway.simulate.tables import Stage, Table, last_rows_freed
from gateway.world import World

UNIX_EPOCH = date(1970, 1, 1)
# Work is cut into a fixed number of chunks of users, whatever the number of threads.
CHUNKS = 256
# Stretches of the cells whose members are counted apart; each takes room for every group.
STRETCHES = 4
# Parts of the users whose joins are listed at a time.
PARTS = 16


def count_sizes(stage: Stage) -> npt.NDArray[np.int64]:
    """Return the number of members of each group as it stands, shape (n_groups,)."""
    sizes = np.zeros((STRETCHES, len(stage.groups)), np.int64)
    count_members(stage.cells, sizes)
    return np.asarray(sizes.sum(axis=0))


def occasions_of(stage: Stage) -> Occasions:
    """Return what the log of joins is made from; only the cells are shared with the stage."""
    return Occasions(
        cells=stage.cells,
        start=np.append(stage.users.start, len(stage.cells)),
        taken=stage.users.taken.copy(),
        mechanism=stage.source.mechanism.copy(),
        operator=stage.groups.operator.copy(),
    )


def as_log(world: World, occasions: Occasions, *, spent: bool = False) -> JoinLog:
    """Return the confirmed joins as a log, ties in canonical order.

    With ``spent`` the cells give back their room as the log takes it: nothing may hold them.
    """
    users = numbered_names("u", np.arange(len(world.users), dtype=np.int32))
    offsets = np.zeros(len(world.users) + 1, np.int64)
    count_joins(occasions, offsets)
    n_joins = int(offsets[-1])
    group, time, inviter, seed_group = (np.empty(n_joins, np.int32) for _ in range(4))
    source = np.empty(n_joins, np.uint8)
    cuts = np.arange(PARTS + 1) * len(world.users) // PARTS
    # From the end: memory can be cut off there.
    for first, end in reversed(list(pairwise(cuts))):
        list_joins(
            occasions, source_codes(), offsets, first, end, group, time, source, inviter,
            seed_group, CHUNKS,
        )  # fmt: skip
        n_kept = int(occasions.start[first])
        if spent and n_kept > 0:
            kept = last_rows_freed(occasions.cells, n_kept)
            occasions = occasions._replace(cells=kept)
    return JoinLog(
        offsets=offsets,
        group=group,
        time=time,
        users=users,
        groups=numbered_names("g", np.arange(len(world.groups), dtype=np.int32)),
        tick="day",
        origin=(world.section.start - UNIX_EPOCH).days,
        observed_from=world.users.arrival,
        observed_until=world.users.departure - np.int32(1),
        source=source,
        inviter=inviter,
        seed_group=seed_group,
    )


def as_table(
    stage: Stage, cell: npt.NDArray[np.int64], *, owner: npt.NDArray[np.int32]
) -> pa.Table:
    """Return the requests of some cells: user, group, time, source, confirmed."""
    cells: Table = stage.cells[cell].view(np.recarray)
    row = cells.source & np.uint8(UNCONFIRMED - 1)
    names = pa.array([SOURCES[code] for code in source_codes()], pa.string())
    return pa.table(
        {
            "user": numbered_names("u", owner),
            "group": numbered_names("g", cells.group),
            "time": pa.array(cells.time.astype(np.int32)),
            "source": pa.DictionaryArray.from_arrays(pa.array(row.astype(np.int8)), names),
            "confirmed": pa.array(cells.source < UNCONFIRMED),
        }
    )
