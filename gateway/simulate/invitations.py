"""The log of invitations: who invited whom to what, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.arrays import Int32, Int64
from gateway.log.join_log import numbered_names
from gateway.randomness import Stream
from gateway.simulate.invitations_kernels import Mail, count_sent, draw_receivers, mark_taken
from gateway.simulate.tables import LETTER, Policies, Stage, Table, owners


@dataclass(frozen=True, eq=False)
class InvitationLog:
    """Invitations in the order in which they were sent."""

    letters: Table  # a row for each (see ``tables.LETTER``)
    taken: npt.NDArray[np.bool_]  # shape (count,): whether it led to a join
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

    def super_inviters(self, n_users: int, *, share: float = 0.01) -> npt.NDArray[np.bool_]:
        """Return the top ``share`` of users by invitations sent, bool, shape (n_users,).

        Users who tie with the last of them are among them; who sent none never is.
        """
        sent = np.bincount(self.sender, minlength=n_users)
        least = np.partition(sent, -max(1, int(share * n_users)))[-max(1, int(share * n_users))]
        return np.asarray((sent >= least) & (sent > 0))


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
