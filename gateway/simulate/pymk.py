"""People You May Know: friendships that come about through friends of friends."""

from __future__ import annotations

from gateway.randomness import Stream
from gateway.simulate.occasion_kernels import Stage
from gateway.simulate.pymk_kernels import add_friends_of_friends
from gateway.world import World

__all__ = ["SPARE_FRIENDS", "find_friends"]

# Room for friends found by PYMK, for each user.
SPARE_FRIENDS = 8


def find_friends(world: World, stage: Stage, day: int) -> None:
    """Add friendships between two refits; users of the holdout arm are not shown anybody.

    Somebody of that arm can still be found by another: the arm is about what one is shown.
    """
    section = world.config.simulation
    if section.pymk_share > 0:
        add_friends_of_friends(
            stage.users, stage.friend, stage.found, stage.found_day, world.users.arms.pymk,
            section.pymk_share, day, world.seed, int(Stream.PYMK),
        )  # fmt: skip
