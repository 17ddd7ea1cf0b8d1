"""A world as the arrays that the kernels read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gateway.simulate.occasion_kernels import Scenery
from gateway.simulate.platform_kernels import Senders
from gateway.simulate.sources import SOURCE_TABLE, Mechanism, confirmation, cumulative_weights
from gateway.world import Role, World

__all__ = ["Scenery", "build_scenery", "build_senders"]

Float64 = npt.NDArray[np.float64]


def build_scenery(world: World) -> Scenery:
    """Return what does not change while users join."""
    section, groups, users = world.config.simulation, world.groups, world.users
    shares = {
        Mechanism.RECOMMENDATION: section.recommendation,
        Mechanism.FRIENDS: section.friends,
        Mechanism.INVITATION: section.invitation,
        Mechanism.INTENT: section.intent,
    }
    confirmed = confirmation() if section.confirmation else np.ones(len(SOURCE_TABLE))
    return Scenery(
        interest=users.interest,
        country=users.country,
        departure=users.departure,
        drift_start=users.drift_start,
        drift_days=world.section.drift_days,
        drift_strength=world.section.drift_strength,
        travel_taste=world.section.travel_taste,
        friend_offsets=world.friendships.offsets,
        friend=world.friendships.friend,
        mix=groups.mix,
        created=groups.created,
        influence=groups.acting(Role.INFLUENCE),
        half_life=world.section.roles.influence_half_life,
        inviting=groups.acting(Role.INVITER),
        operator=groups.operator,
        shelf=_shelf(world, groups.mix),
        target_shelf=_target_shelf(world),
        source_end=cumulative_weights(shares, section.sources.model_dump()),
        mechanism=np.array([row.mechanism for row in SOURCE_TABLE], np.uint8),
        confirm=confirmed,
        gysj_holdout=users.arms.gysj,
        attempts=section.attempts,
        refit_days=section.refit_days,
        gap_shape=world.section.gap_shape,
    )


def build_senders(world: World) -> Senders:
    """Return who invites how much; PYMI raises the chance of those who have it."""
    section = world.config.simulation
    factor = np.where(world.users.arms.pymi, 1.0, section.pymi_factor)
    chance = np.minimum(world.users.invite_chance * factor, 1.0)
    return Senders(chance.astype(np.float64), world.section.invite_tail, section.bulk)


def _reach(world: World) -> Float64:
    """How much of a group's appeal reaches users of a country, shape (n_countries, n_groups)."""
    foreign = world.groups.country[None, :] != np.arange(len(world.countries))[:, None]
    return np.where(foreign, 1 - world.section.home_bias, 1.0) * world.groups.appeal


def _shelf(world: World, mix: npt.NDArray[np.float32]) -> Float64:
    """Cumulative weight of each group on the shelf of a topic, as seen from a country.

    Shape (n_countries, n_topics + 1, n_groups): mix times appeal, times 1 - home_bias for
    groups of another country.
    """
    return np.cumsum(mix.T[None, :, :] * _reach(world)[:, None, :], axis=2, dtype=np.float64)


def _target_shelf(world: World) -> Float64:
    """Cumulative appeal of planted targets of the first kind, by country."""
    is_near = (world.groups.role == Role.TARGET) & (world.groups.topic == 0)
    return np.cumsum(_reach(world) * is_near, axis=1)
