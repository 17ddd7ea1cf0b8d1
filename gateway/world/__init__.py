"""What exists before anyone joins: users, friendships, groups, planted roles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.config.platform import WorldSection
from gateway.config.schema import Config, ExperimentSection, TargetsSection
from gateway.errors import ConfigError, GatewayError, Problem
from gateway.provenance import memory_bytes
from gateway.world.friendships import draw_friendships
from gateway.world.groups import draw_groups
from gateway.world.model import GATEWAYS, LOOK_ALIKES, Arms, Friendships, Groups, Role, Users, World
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
        When the config describes a real log instead of a world, or a world beyond the memory,
        or a setting is unknown or out of its range.

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
