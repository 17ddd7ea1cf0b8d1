"""The world as a value: users, friendships, groups and their planted roles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.arrays import Float32, Float64, Int32, Int64, Mask
from gateway.config.interventions import GroupRole
from gateway.config.platform import WorldSection
from gateway.config.schema import Config
from gateway.errors import GatewayError, Problem
from gateway.log.join_log import numbered_names
from gateway.log.messages import did_you_mean, shown

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
    """Experiment arms drawn at random: True = held out. bool, shape (n_users,) each.

    Parameters
    ----------
    gysj
        Is not shown the unit.
    pymi, pymk
        Is not shown whom to invite or to befriend.
    pymi_featured, pymk_featured
        Is not shown to others as somebody to invite or to befriend.
    """

    gysj: npt.NDArray[np.bool_]
    pymi: npt.NDArray[np.bool_]
    pymk: npt.NDArray[np.bool_]
    pymi_featured: npt.NDArray[np.bool_]
    pymk_featured: npt.NDArray[np.bool_]


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
    departure
        int32, shape (n_users,): first day after the user's last.
    occasions
        int32, shape (n_users,): how many times the user thinks of joining a group.
    drift_start
        int32, shape (n_users,): day on which the taste begins to drift towards harm for
        outside reasons; ``NEVER`` for most.
    invite_chance
        float32, shape (n_users,), in [0, 1]: probability that a join is followed by
        invitations, before PYMI.
    arms
        Who is held out of which product.
    """

    interest: Float32
    country: npt.NDArray[np.uint8]
    arrival: Int32
    departure: Int32
    occasions: Int32
    drift_start: Int32
    invite_chance: Float32
    arms: Arms

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
        float32, shape (n_groups, n_topics + 1): what the group is about, each row sums
        to 1. The last topic is the travellers': nobody has it among their interests.
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
        float64, shape (n_groups,): what the mechanism is planted with, zero for groups that
        are no gateways. influence: beta. recommender: share of targets among what is
        recommended from it. inviter: probability that its operator's invitation is met.
    operator
        int32, shape (n_groups,): user who invites the members of an inviter gateway, or -1.
    """

    mix: Float32
    topic: npt.NDArray[np.int16]
    appeal: Float64
    country: npt.NDArray[np.uint8]
    created: Int32
    harm: Float64
    role: npt.NDArray[np.uint8]
    strength: Float64
    operator: Int32

    def __len__(self) -> int:
        return len(self.topic)

    def acting(self, role: Role) -> Float64:
        """Return the strengths of the groups of one role, zero elsewhere, shape (n_groups,)."""
        return np.where(self.role == role, self.strength, 0.0)


def groups_in_roles(role: npt.NDArray[np.uint8], names: Sequence[str]) -> Mask:
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
                rule = f"must be one of {', '.join(known)}"
                hint = did_you_mean(str(role), known)
                raise GatewayError(str(Problem("role", rule, shown(role), hint=hint)))
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
