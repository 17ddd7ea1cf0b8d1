"""The log of invitations: who invited whom to what, and what came of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.joins import numbered_names
from gateway.randomness import Stream
from gateway.simulate.occasion_kernels import Policies, Scenery
from gateway.simulate.platform_kernels import State, count_invitations, send_invitations
from gateway.simulate.replay_kernels import Mail

__all__ = ["InvitationLog"]

_FIRST_CAPACITY = 1024


class InvitationLog:
    """Invitations in the order in which they were sent; it grows by doubling.

    ``sender``, ``receiver``, ``group`` and ``time`` are int32, ``taken`` is bool (whether
    the invitation led to a join); entries from ``count`` on are not used yet.
    """

    def __init__(self) -> None:
        self.count = 0
        self.sender, self.receiver, self.group, self.time = (
            np.empty(_FIRST_CAPACITY, np.int32) for _ in range(4)
        )
        self.taken = np.zeros(_FIRST_CAPACITY, np.bool_)

    def send(
        self, scenery: Scenery, policies: Policies, state: State, day: int, *, seed: int
    ) -> None:
        """Send what the joins of a day send."""
        self._make_room(int(count_invitations(scenery, policies, state, day)))
        self.count = int(
            send_invitations(
                scenery, policies, state, day, seed, int(Stream.RECEIVERS), self.count,
                self.sender, self.receiver, self.group, self.time,
            )
        )  # fmt: skip

    def _make_room(self, more: int) -> None:
        if self.count + more <= len(self.sender):
            return
        capacity = max(2 * len(self.sender), self.count + more)
        for name in ("sender", "receiver", "group", "time", "taken"):
            old = getattr(self, name)
            new = np.zeros(capacity, old.dtype)
            new[: self.count] = old[: self.count]
            setattr(self, name, new)

    def mail(self, n_users: int) -> Mail:
        """Return the invitations by receiver, each receiver's in the order sent."""
        receiver = self.receiver[: self.count]
        counts = np.bincount(receiver, minlength=n_users)
        return Mail(
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            letter=np.argsort(receiver, kind="stable"),
            sender=self.sender,
            group=self.group,
            time=self.time,
        )

    def to_arrow(self) -> pa.Table:
        """Return sender, receiver, group, time and whether it was accepted."""
        used = slice(0, self.count)
        return pa.table(
            {
                "sender": numbered_names("u", self.sender[used]),
                "receiver": numbered_names("u", self.receiver[used]),
                "group": numbered_names("g", self.group[used]),
                "time": pa.array(self.time[used]),
                "accepted": pa.array(self.taken[used]),
            }
        )

    def super_inviters(self, n_users: int, *, share: float = 0.01) -> npt.NDArray[np.bool_]:
        """Return the top ``share`` of users by invitations sent, bool, shape (n_users,).

        Users who tie with the last of them are among them; who sent none never is.
        """
        sent = np.bincount(self.sender[: self.count], minlength=n_users)
        least = np.partition(sent, -max(1, int(share * n_users)))[-max(1, int(share * n_users))]
        return np.asarray((sent >= least) & (sent > 0))
