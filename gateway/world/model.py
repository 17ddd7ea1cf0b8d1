"""The world as a value: users, friendships, groups and their planted roles."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from gateway.config.schema import Config, WorldSection

__all__ = ["Friendships", "Groups", "Role", "Users", "World"]

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


class Role(IntEnum):
    """What a group was planted as: the truth that detectors are measured against."""

    ORDINARY = 0
    TARGET = 1
    INFLUENCE = 2
    HOMOPHILY = 3
    HUB = 4


@dataclass(frozen=True, eq=False)
class Users:
    """Users before they join anything.

    Parameters
    ----------
    interest
        float32, shape (n_users, n_topics): shares of interest, each row sums to 1.
    country
        uint8, shape (n_users,): index into ``World.countries``.
    arrival
        int32, shape (n_users,): first day on the platform.
    occasions
        int32, shape (n_users,): how many times the user thinks of joining a group.
    """

    interest: Float32
    country: npt.NDArray[np.uint8]
    arrival: Int32
    occasions: Int32

    def __len__(self) -> int:
        return len(self.country)


@dataclass(frozen=True, eq=False)
class Friendships:
    """Undirected friendships in compressed rows: friends of u are ``friend[offsets[u]:...]``.

    Parameters
    ----------
    offsets
        int64, shape (n_users + 1,).
    friend
        int32, shape (2 * n_edges,): sorted within each user, no self-loops, no repeats.
    """

    offsets: Int64
    friend: Int32


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups before anyone joins them.

    Parameters
    ----------
    mix
        float32, shape (n_groups, n_topics): what the group is about, each row sums to 1.
    topic
        int16, shape (n_groups,): the main topic.
    appeal
        float64, shape (n_groups,): relative popularity, positive.
    country
        uint8, shape (n_groups,): index into ``World.countries``.
    created
        int32, shape (n_groups,): first day on which it can be joined.
    harm
        float64, shape (n_groups, n_kinds): strikes per member and month.
    role
        uint8, shape (n_groups,): a ``Role``.
    strength
        float64, shape (n_groups,): planted beta; zero unless the role is influence.
    """

    mix: Float32
    topic: npt.NDArray[np.int16]
    appeal: Float64
    country: npt.NDArray[np.uint8]
    created: Int32
    harm: Float64
    role: npt.NDArray[np.uint8]
    strength: Float64

    def __len__(self) -> int:
        return len(self.topic)


@dataclass(frozen=True, eq=False)
class World:
    """Everything that exists before the first join, and the config that drew it."""

    config: Config
    section: WorldSection
    countries: tuple[str, ...]
    kinds: tuple[str, ...]
    users: Users
    friendships: Friendships
    groups: Groups

    @property
    def seed(self) -> int:
        """Seed of every draw."""
        return self.config.experiment.seed

    @property
    def days(self) -> int:
        """Length of the observation in days."""
        return self.section.days
