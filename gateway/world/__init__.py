"""What exists before anyone joins: users, friendships, groups, planted roles."""

from __future__ import annotations

from gateway.config.schema import Config
from gateway.errors import ConfigError, Problem
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
    "draw_world",
]


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
        When the config describes a real log instead of a world.
    """
    if config.world is None:
        raise ConfigError([Problem("world", "is missing: only a simulated run has a world")])
    section, seed = config.world, config.experiment.seed
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
