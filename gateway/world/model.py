"""The world as a value: users, friendships, groups and their planted roles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.arrays import Float32, Float64, Int32, Int64, Mask, UInt8
from gateway.config.interventions import GroupRole
from gateway.config.platform import WorldSection
from gateway.config.schema import Config
from gateway.errors import unknown
from gateway.log.join_log import numbered_names

# A day that does not come: a drift that never begins, a cell not written yet, a label not given.
NEVER = 2**31 - 1


class Role(IntEnum):
    """What a group was planted as: the truth that detectors are measured against."""

    ORDINARY = 0
    TARGET = 1
    INFLUENCE = 2
    HOMOPHILY = 3
    HUB = 4
    RECOMMENDER = 5
    INVITER = 6
    FELLOW_TRAVELLER = 7


# The gateways, each named after its mechanism.
GATEWAYS = (Role.INFLUENCE, Role.RECOMMENDER, Role.INVITER)
# What must not be taken for one.
LOOK_ALIKES = (Role.HOMOPHILY, Role.HUB, Role.FELLOW_TRAVELLER)


@dataclass(frozen=True, eq=False)
class Arms:
    """Experiment arms drawn at random: True = held out. bool, shape (n_users,) each."""

    gysj: Mask  # is not shown the unit
    # Is not shown whom to invite or to befriend.
    pymi: Mask
    pymk: Mask
    # Is not shown to others as somebody to invite or to befriend.
    pymi_featured: Mask
    pymk_featured: Mask


@dataclass(frozen=True, eq=False)
class Users:
    """Users before they join anything."""

    interest: Float32  # shape (n_users, n_topics): shares of interest, each row sums to 1
    country: UInt8  # shape (n_users,): index into ``World.countries``
    arrival: Int32  # shape (n_users,): first day on the platform
    departure: Int32  # shape (n_users,): first day after the user's last
    occasions: Int32  # shape (n_users,): how many times the user thinks of joining a group
    # Shape (n_users,): day on which the taste begins to drift towards harm for outside reasons;
    # ``NEVER`` for most.
    drift_start: Int32
    # Shape (n_users,), in [0, 1]: probability that a join is followed by invitations, before
    # PYMI.
    invite_chance: Float32
    arms: Arms  # who is held out of which product

    def __len__(self) -> int:
        return len(self.country)


@dataclass(frozen=True, eq=False)
class Friendships:
    """Undirected friendships in compressed rows: friends of u are ``friend[offsets[u]:...]``."""

    offsets: Int64  # shape (n_users + 1,)
    friend: Int32  # shape (2 * n_edges,): sorted within each user, no self-loops, no repeats


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups before anyone joins them."""

    # Shape (n_groups, n_topics + 1): what the group is about, each row sums to 1. The last topic
    # is the travellers': nobody has it among their interests.
    mix: Float32
    topic: npt.NDArray[np.int16]  # shape (n_groups,): the main topic
    appeal: Float64  # shape (n_groups,): relative popularity, positive
    country: UInt8  # shape (n_groups,): index into ``World.countries``
    created: Int32  # shape (n_groups,): first day on which it can be joined
    harm: Float64  # shape (n_groups, n_kinds): strikes per member and month
    role: UInt8  # shape (n_groups,): a ``Role``
    # Shape (n_groups,): what the mechanism is planted with, zero for groups that are no gateways.
    # influence: beta. recommender: share of targets among what is recommended from it. inviter:
    # probability that its operator's invitation is met.
    strength: Float64
    # Shape (n_groups,): user who invites the members of an inviter gateway, or -1.
    operator: Int32

    def __len__(self) -> int:
        return len(self.topic)

    def acting(self, role: Role) -> Float64:
        """Return the strengths of the groups of one role, zero elsewhere, shape (n_groups,)."""
        return np.where(self.role == role, self.strength, 0.0)


def groups_in_roles(role: UInt8, names: Sequence[str]) -> Mask:
    """Return the groups that were planted in any of the roles, by the config's names."""
    several = {"planted": GATEWAYS, "look_alikes": LOOK_ALIKES}
    wanted = [r for name in names for r in several.get(name) or (Role[name.upper()],)]
    return np.isin(role, wanted)


@dataclass(frozen=True, eq=False, repr=False)
class World:
    """Everything that exists before the first join, and the config that drew it."""

    config: Config
    section: WorldSection
    countries: tuple[str, ...]
    kinds: tuple[str, ...]
    users: Users
    friendships: Friendships
    groups: Groups

    def __repr__(self) -> str:
        size = f"{len(self.users):,} users and {len(self.groups):,} groups"
        return f"<World: {size}, {self.days:,} days, seed {self.seed}>"

    @property
    def group_names(self) -> pa.StringArray:
        """Names of the groups in its log, shape (n_groups,)."""
        return numbered_names("g", np.arange(len(self.groups), dtype=np.int32))

    def names(self, *roles: str) -> list[str]:
        """Return the names of the groups that were planted in any of the roles.

        Parameters
        ----------
        roles
            Such as ``"target"``, ``"influence"``, ``"homophily"``; ``"planted"`` for every kind
            of gateway, ``"look_alikes"`` for what must not be taken for one.

        Raises
        ------
        GatewayError
            If there is no such role.
        """
        known = get_args(GroupRole)
        for role in roles:
            if role not in known:
                raise unknown("role", f"must be one of {', '.join(known)}", role, known)
        mask = groups_in_roles(self.groups.role, roles)
        names: list[str] = self.group_names.filter(pa.array(mask)).to_pylist()
        return names

    @property
    def seed(self) -> int:
        """Seed of every draw."""
        return self.config.experiment.seed

    @property
    def days(self) -> int:
        """Length of the observation in days."""
        return self.section.days


def topic_shares(section: WorldSection) -> Float64:
    """Return the share of each ordinary topic, shape (topics - len(kinds),), sum 1.

    Zipf's law: the i-th is i^-topic_skew as common as the first. The same shares are the
    mean of users' interests and the chances of a group's topic: supply follows demand.
    """
    rank = np.arange(1, section.topics - len(section.kinds) + 1, dtype=np.float64)
    weight = rank**-section.topic_skew
    return np.asarray(weight / weight.sum())
