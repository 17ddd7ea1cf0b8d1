"""Interventions as values, and as the arrays that the kernels read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.simulate.occasion_kernels import NEVER, Policies

__all__ = [
    "Demotion",
    "GysjSeedFilter",
    "Intervention",
    "InviteCap",
    "InviteFriction",
    "as_policies",
]

Groups = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class GysjSeedFilter:
    """From ``start`` on nothing is recommended from the groups (bool, shape (n_groups,))."""

    start: int
    groups: Groups


@dataclass(frozen=True, eq=False)
class Demotion:
    """From ``start`` on the groups reach users less by ``share`` in feeds and recommendations."""

    start: int
    groups: Groups
    share: float = 0.5


@dataclass(frozen=True, eq=False)
class InviteFriction:
    """From ``start`` on a ``share`` of invitations to members of the groups is dropped."""

    start: int
    groups: Groups
    share: float = 0.5


@dataclass(frozen=True, eq=False)
class InviteCap:
    """From ``start`` on nobody invites more than ``most`` people at once."""

    start: int
    most: int


Intervention = GysjSeedFilter | Demotion | InviteFriction | InviteCap


def as_policies(interventions: tuple[Intervention, ...], n_groups: int) -> Policies:
    """Return interventions as arrays; the last one of a kind wins where two meet."""
    seed_filter, demotion, friction = np.full((3, n_groups), NEVER, np.int32)
    demotion_share, friction_share, cap_day, cap = 0.0, 0.0, NEVER, 0
    for one in interventions:
        if isinstance(one, GysjSeedFilter):
            seed_filter[one.groups] = one.start
        elif isinstance(one, Demotion):
            demotion[one.groups], demotion_share = one.start, one.share
        elif isinstance(one, InviteFriction):
            friction[one.groups], friction_share = one.start, one.share
        else:
            cap_day, cap = one.start, one.most
    return Policies(seed_filter, demotion, demotion_share, friction, friction_share, cap_day, cap)
