"""Interventions as values, and as the arrays that the kernels read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gateway.arrays import Int64, Mask
from gateway.config.interventions import (
    DemotionSection,
    GysjSeedFilterSection,
    InterventionSection,
    InviteCapSection,
    InviteFrictionSection,
    OnGroupsSection,
)
from gateway.errors import GatewayError, Problem, shown, unknown
from gateway.simulate.tables import Policies
from gateway.world import World
from gateway.world.model import NEVER

Groups = Mask


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
    """From ``start`` on a ``share`` of invitations to members of the groups is dropped.

    With ``senders`` (bool, shape (n_users,)) only of those that they send; several such
    frictions of one run limit the senders of any of them.
    """

    start: int
    groups: Groups
    share: float = 0.5
    senders: Mask | None = None


@dataclass(frozen=True, eq=False)
class InviteCap:
    """From ``start`` on nobody invites more than ``most`` people at once."""

    start: int
    most: int


@dataclass(frozen=True, eq=False)
class EdgeFilter:
    """Nothing of some pairs is recommended: the second group from the first, from day 0 on.

    ``seed`` and ``group`` are dense ids, shape (n_edges,).
    """

    seed: Int64
    group: Int64
    start: int = 0


Intervention = GysjSeedFilter | Demotion | InviteFriction | InviteCap | EdgeFilter


_SECTIONS: dict[str, type[InterventionSection]] = {
    "gysj_seed_filter": GysjSeedFilterSection, "demotion": DemotionSection,
    "invite_friction": InviteFrictionSection, "invite_cap": InviteCapSection,
}  # fmt: skip


def interventions_of(
    world: World, given: Iterable[Intervention | Mapping[str, Any]]
) -> tuple[Intervention, ...]:
    """Return interventions as values.

    Parameters
    ----------
    given
        Values, or mappings as a config's ``[[interventions]]``: ``{"kind": "demotion",
        "start": 200, "roles": ["planted"], "share": 0.5}``. Their groups are given by
        ``roles`` or ``names``.

    Raises
    ------
    GatewayError
        If a mapping breaks a rule, or a name is that of no group.
    """
    return tuple(_read(world, one) if isinstance(one, Mapping) else one for one in given)


def _read(world: World, given: Mapping[str, Any]) -> Intervention:
    kind = given.get("kind")
    if kind not in _SECTIONS:
        raise unknown("kind", f"must be one of {', '.join(_SECTIONS)}", kind, _SECTIONS)
    section = _SECTIONS[kind](**given)
    groups = np.zeros(len(world.groups), np.bool_)
    if isinstance(section, OnGroupsSection):
        if section.top is not None or not (section.roles or section.names):
            raise GatewayError(f"{kind} must say its groups by roles or names, and no top of them")
        names = section.names or world.names(*(section.roles or ()))
        at = pc.index_in(pa.array(names, pa.string()), value_set=world.group_names).to_pylist()
        if None in at:
            name, there = names[at.index(None)], world.group_names.to_pylist()
            raise unknown("names", "must be of groups of the world", name, there)
        groups[at] = True
    return as_intervention(section, groups, first=world.section.start)


def as_intervention(
    section: InterventionSection,
    groups: Mask,
    *,
    first: dt.date,
    super_inviters: Mask | None = None,
) -> Intervention:
    """Return an intervention as the simulator takes it; ``first`` is the date of day 0.

    ``super_inviters`` (bool, shape (n_users,)) are those of a platform that has lived.
    """
    given = section.start
    start = (given - first).days if isinstance(given, dt.date) else int(given)
    if isinstance(section, InviteCapSection):
        return InviteCap(start, section.most)
    if isinstance(section, GysjSeedFilterSection):
        return GysjSeedFilter(start, groups)
    if isinstance(section, DemotionSection):
        return Demotion(start, groups, section.share)
    if section.senders == "all":
        return InviteFriction(start, groups, section.share)
    if super_inviters is None:
        rule = "must be all: who invites most is known of a platform that has lived"
        raise GatewayError(str(Problem("senders", rule, shown(section.senders))))
    return InviteFriction(start, groups, section.share, super_inviters)


def as_policies(interventions: tuple[Intervention, ...], *, n_groups: int, days: int) -> Policies:
    """Return interventions as arrays, one row for each stretch of days without a start.

    Where several of a kind meet in a group the strongest holds, from the day on which it
    starts: a setting does not add up. So a list of groups may be cut into several
    interventions, or given twice, and nothing changes; nor does the order matter.
    """
    starts = sorted({max(0, one.start) for one in interventions if one.start < days} - {0})
    first = [0, *starts]
    edges = [e.seed * n_groups + e.group for e in interventions if isinstance(e, EdgeFilter)]
    policies = Policies(
        step=np.searchsorted(first, np.arange(days), side="right").astype(np.int32) - 1,
        seed_filter=np.zeros((len(first), n_groups), np.bool_),
        demotion=np.zeros((len(first), n_groups)),
        friction=np.zeros((len(first), n_groups)),
        sender_friction=np.zeros((len(first), n_groups)),
        invite_cap=np.full(len(first), NEVER, np.int64),
        edge=np.unique(np.concatenate([np.zeros(0, np.int64), *edges])),
    )
    for one in interventions:
        _act(policies, one, np.asarray(first) >= one.start)
    return policies


def _act(policies: Policies, one: Intervention, steps: Mask) -> None:
    """Let one intervention act in the given steps."""
    if isinstance(one, InviteCap):
        policies.invite_cap[steps] = np.minimum(policies.invite_cap[steps], one.most)
        return
    if isinstance(one, EdgeFilter):
        return
    cells = np.outer(steps, one.groups)
    if isinstance(one, GysjSeedFilter):
        policies.seed_filter[cells] = True
        return
    share = policies.demotion if isinstance(one, Demotion) else policies.friction
    if isinstance(one, InviteFriction) and one.senders is not None:
        share = policies.sender_friction
    share[cells] = np.maximum(share[cells], one.share)
