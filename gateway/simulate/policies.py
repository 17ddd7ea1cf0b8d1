"""Interventions as values, and as the arrays that the kernels read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.simulate.occasion_kernels import NEVER
from gateway.simulate.tables import Policies

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


def as_policies(interventions: tuple[Intervention, ...], *, n_groups: int, days: int) -> Policies:
    """Return interventions as arrays, one row for each stretch of days without a start.

    Where several of a kind meet in a group the strongest holds, from the day on which it
    starts: a setting does not add up. So a list of groups may be cut into several
    interventions, or given twice, and nothing changes; nor does the order matter.
    """
    starts = sorted({max(0, one.start) for one in interventions if one.start < days} - {0})
    first = [0, *starts]
    policies = Policies(
        step=np.searchsorted(first, np.arange(days), side="right").astype(np.int32) - 1,
        seed_filter=np.zeros((len(first), n_groups), np.bool_),
        demotion=np.zeros((len(first), n_groups)),
        friction=np.zeros((len(first), n_groups)),
        invite_cap=np.full(len(first), NEVER, np.int64),
    )
    for one in interventions:
        _act(policies, one, np.asarray(first) >= one.start)
    return policies


def _act(policies: Policies, one: Intervention, steps: npt.NDArray[np.bool_]) -> None:
    """Let one intervention act in the given steps."""
    if isinstance(one, InviteCap):
        policies.invite_cap[steps] = np.minimum(policies.invite_cap[steps], one.most)
        return
    cells = np.outer(steps, one.groups)
    if isinstance(one, GysjSeedFilter):
        policies.seed_filter[cells] = True
        return
    share = policies.demotion if isinstance(one, Demotion) else policies.friction
    share[cells] = np.maximum(share[cells], one.share)
