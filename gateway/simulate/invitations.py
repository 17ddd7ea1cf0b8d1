"""The log of invitations: who invited whom to what, and what came of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.joins import numbered_names
from gateway.randomness import Stream
from gateway.simulate.occasion_kernels import Policies, Stage
from gateway.simulate.platform_kernels import send_invitations
from gateway.simulate.replay_kernels import Mail
from gateway.simulate.tables import LETTER, Table

__all__ = ["InvitationLog"]

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

_FIRST_CAPACITY = 1024


class InvitationLog:
    """Invitations in the order in which they were sent; room for them grows by a quarter.

    ``letters`` has a row for each (see ``tables.LETTER``), ``taken`` says whether it led to a
    join; entries from ``count`` on are not used yet. ``first`` is the first one of each day.
    """

    def __init__(self, days: int) -> None:
        self.count = 0
        self._room = np.zeros(_FIRST_CAPACITY, LETTER)
        self.letters: Table = self._room.view(np.recarray)
        self.taken = np.zeros(_FIRST_CAPACITY, np.bool_)
        self.first = np.zeros(days + 1, np.int64)

    @property
    def sender(self) -> Int32:
        """Users who invited, int32, shape (count,)."""
        return np.asarray(self.letters.sender[: self.count])

    @property
    def receiver(self) -> Int32:
        """Users who were invited, int32, shape (count,)."""
        return np.asarray(self.letters.receiver[: self.count])

    @property
    def group(self) -> Int32:
        """Groups to which they were invited, int32, shape (count,)."""
        return np.asarray(self.letters.group[: self.count])

    @property
    def time(self) -> Int32:
        """Days on which they were invited, int32, shape (count,)."""
        return np.repeat(np.arange(len(self.first) - 1, dtype=np.int32), np.diff(self.first))

    def send(
        self, stage: Stage, policies: Policies, who: Int64, invited: Int64, day: int, *, seed: int
    ) -> None:
        """Send what the joins of a day send.

        Parameters
        ----------
        who, invited
            Users who had an occasion today, ascending, and how many people each invites.
        """
        self._make_room(int(invited.sum()))
        self.count = int(
            send_invitations(
                stage, policies, self.letters, self.count, who[invited > 0], day, seed,
                int(Stream.SENDING), int(Stream.RECEIVERS),
            )
        )  # fmt: skip
        self.first[day + 1 :] = self.count

    def _make_room(self, more: int) -> None:
        if self.count + more <= len(self.letters):
            return
        capacity = max(len(self.letters) * 5 // 4, self.count + more)
        # In place: nobody holds a view of the room while the platform lives.
        self._room.resize(capacity, refcheck=False)
        self.taken.resize(capacity, refcheck=False)
        self.letters = self._room.view(np.recarray)

    def mail(self, n_users: int) -> Mail:
        """Return the invitations by receiver, each receiver's in the order sent."""
        counts = np.bincount(self.receiver, minlength=n_users)
        return Mail(
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            letter=np.argsort(self.receiver, kind="stable"),
            letters=self.letters,
            first=self.first,
        )

    def to_arrow(self) -> pa.Table:
        """Return sender, receiver, group, time and whether it was accepted."""
        return pa.table(
            {
                "sender": numbered_names("u", self.sender),
                "receiver": numbered_names("u", self.receiver),
                "group": numbered_names("g", self.group),
                "time": pa.array(self.time),
                "accepted": pa.array(self.taken[: self.count]),
            }
        )

    def super_inviters(self, n_users: int, *, share: float = 0.01) -> npt.NDArray[np.bool_]:
        """Return the top ``share`` of users by invitations sent, bool, shape (n_users,).

        Users who tie with the last of them are among them; who sent none never is.
        """
        sent = np.bincount(self.sender, minlength=n_users)
        least = np.partition(sent, -max(1, int(share * n_users)))[-max(1, int(share * n_users))]
        return np.asarray((sent >= least) & (sent > 0))
