"""What exists before anyone joins: users, friendships, groups, planted roles."""

from __future__ import annotations

import math

from gateway.config.platform import WorldSection
from gateway.config.schema import Config
from gateway.errors import ConfigError, Problem
from gateway.provenance import memory_bytes
from gateway.world.friendships import draw_friendships
from gateway.world.groups import draw_groups
from gateway.world.model import (
    GATEWAYS,
    LOOK_ALIKES,
    Arms,
    Friendships,
    Groups,
    Role,
    Users,
    World,
)
from gateway.world.users import draw_users

__all__ = [
    "GATEWAYS",
    "LOOK_ALIKES",
    "Arms",
    "Friendships",
    "Groups",
    "Role",
    "Users",
    "World",
    "check_fits",
    "draw_world",
]


# Bytes that the joins, users, friends and groups of a world take at the least, whatever else:
# a cell of the simulation; arrival, departure, occasions, drift, chance of inviting and arms
# while they are drawn; a friend at both ends; appeal, role, strength and what else is one number.
_PER_JOIN, _PER_USER, _PER_FRIEND, _PER_GROUP = 12, 32, 4, 40


def check_fits(section: WorldSection) -> None:
    """Refuse a world that is larger than the memory, before any of it is drawn.

    Raises
    ------
    ConfigError
        With an estimate of what it takes, from below.
    """
    joins = section.users * _mean_occasions(section)
    per_user = _PER_USER + 4 * section.topics + _PER_FRIEND * section.mean_friends
    needed = _PER_JOIN * joins + section.users * per_user
    needed += section.groups * (_PER_GROUP + 4.0 * (section.topics + 1))
    memory = memory_bytes()
    if needed > memory:
        rule = f"must fit into the memory, {memory / 2**30:,.1f} GiB here"
        got = (
            f"{section.users:,} users, {section.groups:,} groups and about {joins:.2g} joins, "
            f"which take at least {needed / 2**30:,.0f} GiB"
        )
        raise ConfigError([Problem("world", rule, got)])


def _mean_occasions(section: WorldSection) -> float:
    """Return the mean of min(X, c), X lognormal; of a power law the least that there is."""
    if section.activity_law == "power":
        return 1.0
    mean, sigma, cut = section.joins_per_user, section.activity_sigma, section.most_occasions
    if sigma == 0.0:
        return min(mean, cut)
    z = (math.log(cut / mean) + sigma**2 / 2) / sigma
    below, above = (math.erfc(-x / math.sqrt(2)) / 2 for x in (z - sigma, -z))
    return mean * below + cut * above


def draw_world(config: Config) -> World:
    """Draw a world.

    Each part has a generator of its own, made from an explicit spawn key: changing the
    friendships changes no group, and adding a role moves no user.

    Parameters
    ----------
    config
        A config with a ``[world]`` section.

    Raises
    ------
    ConfigError
        When the config describes a real log instead of a world, or one beyond the memory.
    """
    if config.world is None:
        raise ConfigError([Problem("world", "is missing: only a simulated run has a world")])
    section, seed = config.world, config.experiment.seed
    check_fits(section)
    users = draw_users(section, seed=seed)
    return World(
        config=config,
        section=section,
        countries=tuple(section.countries),
        kinds=tuple(section.kinds),
        users=users,
        friendships=draw_friendships(section, users, seed=seed),
        groups=draw_groups(section, seed=seed),
    )
