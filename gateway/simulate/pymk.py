"""People You May Know: friendships that come about through friends of friends."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gateway.randomness import Stream
from gateway.simulate.pymk_kernels import add_friends, ask_friends
from gateway.simulate.tables import Stage
from gateway.world import World

# Most friends that a user finds by PYMK.
SPARE_FRIENDS = 8
# Work is cut into a fixed number of chunks of users, whatever the number of threads.
CHUNKS = 256


def find_friends(world: World, stage: Stage, day: int) -> None:
    """Add friendships between two refits.

    Users of one holdout arm are not shown anybody, users of the other are shown to nobody; the
    arms are drawn apart.
    """
    section = world.config.simulation
    # Without any friendship there are no friends of friends.
    if section.pymk_share > 0 and len(stage.friend) > 0:
        n = len(stage.users)
        who, whom = np.empty(n, np.int32), np.empty(n, np.int64)
        n_asked = np.zeros(CHUNKS, np.int64)
        ask_friends(
            stage.users, stage.friend, world.users.arms.pymk, section.pymk_share, who, whom,
            n_asked, day, world.seed, int(Stream.PYMK),
        )  # fmt: skip
        add_friends(
            stage.users, stage.friend, stage.finds, stage.last_find, int(stage.users.found.sum()),
            SPARE_FRIENDS, who, whom, n_asked, day,
        )  # fmt: skip


def count_friends_found(stage: Stage) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return how many friends each user was shown, and to how many it was shown.

    int32, shape (n_users,) each; only what led to a friendship is kept. Finds are written in
    pairs: first the row of who was shown somebody, then the row of who was shown.
    """
    n_users, n_finds = len(stage.users), int(stage.users.found.sum())
    friend = np.ascontiguousarray(stage.finds.friend[:n_finds])
    featured, shown = (
        np.bincount(friend[side::2], minlength=n_users).astype(np.int32) for side in (0, 1)
    )
    return shown, featured
