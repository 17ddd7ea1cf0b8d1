"""What exists before anyone joins: users, friendships, groups, planted roles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.config.platform import WorldSection
from gateway.config.schema import Config, ExperimentSection, TargetsSection
from gateway.errors import ConfigError, GatewayError, Problem
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


def draw_world(
    config: Config | Mapping[str, Any] | None = None, *, seed: int | None = None, **world: Any
) -> World:
    """Draw a world: users, friendships, groups and what is planted among them.

    Each part has a generator of its own, made from an explicit spawn key: changing the
    friendships changes no group, and adding a role moves no user.

    Parameters
    ----------
    config
        A config with a ``[world]`` section; or the sections of one as a mapping, of which
        ``world`` alone is needed.
    seed
        Seed of every draw; by default the config's, else 1.
    world
        Instead of a config: settings of its ``[world]``, such as ``users=5_000``,
        ``days=360``, ``roles={"influence": 10}``. The target groups are then all that are
        planted as such.

    Returns
    -------
    World
        ``gateway.simulate`` takes it; ``names("target")`` and the like name what is planted.

    Raises
    ------
    GatewayError
        When the config describes a real log instead of a world, or a setting is unknown or out
        of its range.

    Examples
    --------
    >>> world = draw_world(users=200, groups=60, days=90, arrival_days=30, seed=2,
    ...                    roles={"targets": 5, "influence": 3, "homophily": 2, "hub": 1})
    >>> world
    <World: 200 users and 60 groups, 90 days, seed 2>
    >>> len(world.names("influence")), len(world.names("look_alikes"))
    (3, 3)
    """
    if not isinstance(config, Config):
        return _draw_by_settings(config, seed, world)
    if world:
        rule = "go without a config, which says all of them"
        raise GatewayError(str(Problem("settings of a world", rule, ", ".join(world))))
    if seed is not None:
        experiment = ExperimentSection(name=config.experiment.name, seed=seed)
        config = config.model_copy(update={"experiment": experiment})
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


def _draw_by_settings(sections: Any, seed: int | None, world: dict[str, Any]) -> World:
    """Draw a world without a whole config: of one section, or of a mapping of some."""
    if sections is not None and not isinstance(sections, Mapping):
        rule = "must be a config or a mapping of its sections"
        raise GatewayError(str(Problem("config", rule, type(sections).__name__)))
    if sections is not None and world:
        rule = "go without a config: put them into its world"
        raise GatewayError(str(Problem("settings of a world", rule, ", ".join(world))))
    given: dict[str, Any] = dict(sections or {"world": WorldSection(**world)})
    given["experiment"] = {"name": "world", "seed": 1} | dict(given.get("experiment", {}))
    if seed is not None:
        given["experiment"]["seed"] = seed
    if "targets" in given:
        return draw_world(Config.model_validate(given))
    # Which groups are planted as targets is known when they are drawn; nothing drawn depends
    # on the target set.
    drawn = draw_world(Config.model_validate({**given, "targets": {"groups": ["?"]}}))
    targets = TargetsSection(groups=tuple(drawn.names("target")))
    return replace(drawn, config=drawn.config.model_copy(update={"targets": targets}))
