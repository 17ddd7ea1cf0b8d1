"""What a platform leaves behind: the logs of joins, of requests and of invitations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np
import pyarrow as pa

from gateway.arrays import Int32, Int64, Mask
from gateway.log.join_log import SOURCES, JoinLog, numbered_names
from gateway.randomness import Stream
from gateway.simulate.log_kernels import (
    Mail,
    Occasions,
    count_joins,
    count_members,
    count_sent,
    draw_receivers,
    list_joins,
    mark_taken,
)
from gateway.simulate.occasion_kernels import UNCONFIRMED
from gateway.simulate.sources import source_codes
from gateway.simulate.tables import LETTER, Policies, Stage, Table, last_rows_freed, owners
from gateway.world import World

UNIX_EPOCH = date(1970, 1, 1)
# Work is cut into a fixed number of chunks of users, whatever the number of threads.
CHUNKS = 256
# Stretches of the cells whose members are counted apart; each takes room for every group.
STRETCHES = 4
# Parts of the users whose joins are listed at a time.
PARTS = 16
_SUPER_INVITERS = 0.01


def count_sizes(stage: Stage) -> Int64:
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


def as_table(stage: Stage, cell: Int64, *, owner: Int32) -> pa.Table:
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


@dataclass(frozen=True, eq=False)
class InvitationLog:
    """Invitations in the order in which they were sent."""

    letters: Table  # a row for each (see ``tables.LETTER``)
    taken: Mask  # shape (count,): whether it led to a join
    first: Int64  # shape (days + 1,): the first one of each day

    @property
    def count(self) -> int:
        """Number of invitations."""
        return len(self.letters)

    @property
    def sender(self) -> Int32:
        """Users who invited, int32, shape (count,)."""
        return np.asarray(self.letters.sender)

    @property
    def receiver(self) -> Int32:
        """Users who were invited, int32, shape (count,)."""
        return np.asarray(self.letters.receiver)

    @property
    def group(self) -> Int32:
        """Groups to which they were invited, int32, shape (count,)."""
        return np.asarray(self.letters.group)

    @property
    def time(self) -> Int32:
        """Days on which they were invited, int32, shape (count,)."""
        return np.repeat(np.arange(len(self.first) - 1, dtype=np.int32), np.diff(self.first))

    def mail(self, n_users: int) -> Mail:
        """Return the invitations by receiver, each receiver's in the order sent."""
        return _sort_mail(self.letters, self.first, n_users)

    def to_arrow(self) -> pa.Table:
        """Return sender, receiver, group, time and whether it was accepted."""
        return pa.table(
            {
                "sender": numbered_names("u", self.sender),
                "receiver": numbered_names("u", self.receiver),
                "group": numbered_names("g", self.group),
                "time": pa.array(self.time),
                "accepted": pa.array(self.taken),
            }
        )

    def super_inviters(self, n_users: int) -> Mask:
        """Return the top 1 % of users by invitations sent, bool, shape (n_users,)."""
        return super_inviters(self.sender, n_users)


def super_inviters(sender: Int32, n_users: int) -> Mask:
    """Return the top 1 % of users by invitations sent, bool, shape (n_users,).

    Users who tie with the last of them are among them; who sent none never is.
    """
    sent = np.bincount(sender, minlength=n_users)
    most = max(1, int(_SUPER_INVITERS * n_users))
    return np.asarray((sent >= np.partition(sent, -most)[-most]) & (sent > 0))


def list_invitations(stage: Stage, policies: Policies, *, days: int, seed: int) -> InvitationLog:
    """Return every invitation of a platform that has lived, each drawn again."""
    count = np.zeros(len(stage.cells), np.int32)
    count_sent(stage, policies, seed, int(Stream.SENDING), count)
    cell = np.flatnonzero(count)
    # A night's invitations go out in the order of senders, as cells stand.
    cell = cell[np.argsort(stage.cells.time[cell], kind="stable")]
    sent, owner = count[cell], owners(stage.users, cell)
    offsets = np.concatenate([[0], np.cumsum(sent, dtype=np.int64)])
    letters = np.empty(offsets[-1], LETTER).view(np.recarray)
    letters.sender = np.repeat(owner, sent)
    letters.group = np.repeat(stage.cells.group[cell], sent)
    draw_receivers(stage, owner, cell, offsets, seed, int(Stream.RECEIVERS), letters.receiver)
    first = offsets[np.searchsorted(stage.cells.time[cell], np.arange(days + 1))]
    got = letters.receiver >= 0
    if not got.all():
        letters = letters[got].view(np.recarray)
        first = np.concatenate([[0], np.cumsum(got)])[first]
    taken = np.zeros(len(letters), np.bool_)
    mark_taken(stage, _sort_mail(letters, first, len(stage.users)), taken)
    return InvitationLog(letters, taken, first)


def _sort_mail(letters: Table, first: Int64, n_users: int) -> Mail:
    counts = np.bincount(letters.receiver, minlength=n_users)
    return Mail(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        letter=np.argsort(letters.receiver, kind="stable"),
        letters=letters,
        first=first,
    )
