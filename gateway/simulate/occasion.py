"""A world as the tables that the kernels read and write."""

from __future__ import annotations

import numpy as np

from gateway.arrays import Float32, Float64, Int64
from gateway.simulate.occasion_kernels import (
    HELD_FROM_GYSJ,
    HELD_FROM_PYMI,
    UNFEATURED_BY_PYMI,
    UNFEATURED_BY_PYMK,
)
from gateway.simulate.recommender import SPARE_FRIENDS, Recommender
from gateway.simulate.sources import SOURCE_TABLE, Mechanism, confirmation, cumulative_weights
from gateway.simulate.tables import (
    CELL,
    FIND,
    GROUP,
    NO_DAY,
    SHELF,
    SOURCE,
    USER,
    Labels,
    Policies,
    Stage,
    Table,
    empty_table,
)
from gateway.world import Role, World
from gateway.world.model import NEVER

# Topics that a group's mix may hold.
MOST_TOPICS = 3


def build_stage(
    world: World, recommender: Recommender, labels: Labels, policies: Policies
) -> Stage:
    """Return the tables of a world in which nobody has joined anything yet.

    Raises
    ------
    ValueError
        If a group holds more than three topics.
    """
    section = world.config.simulation
    shelf, shelf_start = _shelves(world)
    found = SPARE_FRIENDS * len(world.users) if section.pymk_share > 0 else 0
    return Stage(
        users=_users(world),
        cells=empty_table(int(world.users.occasions.sum(dtype=np.int64)), CELL),
        groups=_groups(world, labels),
        interest=world.users.interest,
        friend=world.friendships.friend,
        finds=empty_table(found, FIND),
        last_find=np.full(len(world.users), -1, np.int32),
        neighbour=recommender.neighbour,
        weight=recommender.weight,
        source=_sources(world),
        shelf=shelf,
        shelf_start=shelf_start,
        drift_days=world.section.drift_days,
        drift_strength=world.section.drift_strength,
        travel_taste=world.section.travel_taste,
        half_life=world.section.roles.influence_half_life,
        non_rec_reduction=world.config.moderation.non_rec_reduction,
        non_amp_reduction=world.config.moderation.non_amp_reduction,
        pymi_factor=section.pymi_factor,
        pymi_featuring=section.pymi_featuring,
        found_weight=section.found_weight,
        invite_tail=world.section.invite_tail,
        bulk=section.bulk,
        attempts=section.attempts,
        refit_days=section.refit_days,
        gap_shape=world.section.gap_shape,
        filters=bool(policies.seed_filter.any()) or len(policies.edge) > 0,
        demotes=bool(policies.demotion.any()),
        shields=bool(policies.friction.any() or policies.sender_friction.any()),
    )


def _users(world: World) -> Table:
    users, friendships = world.users, world.friendships
    table = empty_table(len(users), USER)
    ends = np.cumsum(users.occasions, dtype=np.int64)
    table.start = ends - users.occasions
    table.friends = friendships.offsets[:-1]
    table.degree = np.diff(friendships.offsets)
    table.inviter, table.invited_to = -1, -1
    table.invite_chance = users.invite_chance
    table.occasions = users.occasions
    table.exposed = NO_DAY
    table.departure = users.departure
    table.drift_start = np.where(users.drift_start == NEVER, NO_DAY, users.drift_start)
    table.country = users.country
    table.holdouts = (
        HELD_FROM_GYSJ * users.arms.gysj
        + HELD_FROM_PYMI * users.arms.pymi
        + UNFEATURED_BY_PYMI * users.arms.pymi_featured
        + UNFEATURED_BY_PYMK * users.arms.pymk_featured
    )
    return table


def _groups(world: World, labels: Labels) -> Table:
    groups = world.groups
    table = empty_table(len(groups), GROUP)
    table.influence = groups.acting(Role.INFLUENCE)
    table.inviting = groups.acting(Role.INVITER)
    table.created = groups.created
    table.operator = groups.operator
    for i, (topic, share) in enumerate(_topics(groups.mix)):
        table[f"topic{i}"], table[f"mix{i}"] = topic, share
    put_labels(table, labels)
    return table


def put_labels(table: Table, labels: Labels) -> None:
    """Write moderation's labels into the table of groups."""
    table.non_rec, table.non_amp = labels.non_rec, labels.non_amp
    table.demoted, table.demotion = labels.demoted, labels.demotion


def _topics(mix: Float32) -> list[tuple[Int64, Float32]]:
    """Topics that each group holds, least first, with their shares; zero for one not held."""
    held = mix > 0
    if held.sum(axis=1).max(initial=0) > MOST_TOPICS:
        raise ValueError(f"a group may hold {MOST_TOPICS} topics; one holds {held.sum(1).max()}")
    # The topics held come first, in order.
    order = np.argsort(~held, axis=1, kind="stable")
    row = np.arange(len(mix))
    return [(order[:, i], mix[row, order[:, i]]) for i in range(min(MOST_TOPICS, mix.shape[1]))]


def _sources(world: World) -> Table:
    section = world.config.simulation
    shares = {
        Mechanism.RECOMMENDATION: section.recommendation,
        Mechanism.FRIENDS: section.friends,
        Mechanism.INVITATION: section.invitation,
        Mechanism.INTENT: section.intent,
    }
    table = empty_table(len(SOURCE_TABLE), SOURCE)
    table.end = cumulative_weights(shares, section.sources.model_dump())
    table.confirm = confirmation() if section.confirmation else 1.0
    table.mechanism = [row.mechanism for row in SOURCE_TABLE]
    table.guide = _guide(table.end)
    return table


def _guide(end: Float64) -> Int64:
    """For each of as many even parts as there are items, the first item that reaches into it.

    A hair early, so that rounding where parts meet cannot lead past an item.
    """
    parts = np.arange(len(end)) / len(end) * end[-1] * (1 - 1e-9)
    return np.asarray(np.searchsorted(end, parts, side="right"), np.int64)


def _shelves(world: World) -> tuple[Table, Int64]:
    """Groups by country and topic with the cumulative weight that a search there gives them.

    The weight is mix times appeal, times 1 - home_bias for groups of another country. After
    its topics a country has a shelf of planted targets of the first kind, by appeal.
    """
    groups = world.groups
    is_near = (groups.role == Role.TARGET) & (groups.topic == 0)
    columns = [(np.flatnonzero(share), share[share != 0]) for share in (*groups.mix.T, is_near)]
    sizes = [len(at) for at, _ in columns] * len(world.countries)
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    shelf = empty_table(int(start[-1]), SHELF)
    for c in range(len(world.countries)):
        away = np.where(groups.country != c, 1 - world.section.home_bias, 1.0) * groups.appeal
        for k, (at, share) in enumerate(columns):
            i = c * len(columns) + k
            _fill_shelf(shelf[start[i] : start[i + 1]].view(np.recarray), at, share * away[at])
    return shelf, start


def _fill_shelf(shelf: Table, at: Int64, weight: Float64) -> None:
    if len(at):
        shelf.end, shelf.group = np.cumsum(weight), at
        shelf.guide = _guide(shelf.end)
