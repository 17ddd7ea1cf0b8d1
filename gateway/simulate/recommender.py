"""What the platform shows: groups that share members with a current group, and people."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gateway.arrays import Float64, Int32
from gateway.randomness import Stream
from gateway.simulate.recommender_kernels import (
    add_friends,
    ask_friends,
    count_memberships,
    list_members,
    list_memberships,
    nearest_groups,
)
from gateway.simulate.tables import NO_DAY, Stage, Table
from gateway.world import Role, World

# Work is cut into a fixed number of chunks, whatever the number of threads.
CHUNKS = 64


class Recommender(NamedTuple):
    """Nearest groups of each group, one layer for each refit."""

    # Shape (n_refits, n_groups, n_nearest): nearest first, -1 where there are fewer. Layer 0 is
    # the platform before its first refit.
    neighbour: Int32
    weight: Float64  # same shape: cumulative cosines; the last is the total


def no_recommender(n_refits: int, n_groups: int, n_nearest: int) -> Recommender:
    """Return layers that know nothing."""
    shape = (n_refits, n_groups, n_nearest)
    return Recommender(np.full(shape, -1, np.int32), np.zeros(shape))


def fit_recommender(
    recommender: Recommender,
    layer: int,
    users: Table,
    cells: Table,
    *,
    before: int = NO_DAY,
    sample: int = 2**31,
) -> None:
    """Fit one layer on the memberships as they stood when day ``before`` began.

    Sarwar et al. (2001), "Item-based collaborative filtering recommendation algorithms",
    WWW'01. Costs the sum over users of their squared number of groups, so that at most
    about ``sample`` of them are looked at: every second, third, ... one (ids carry no
    meaning).
    """
    step = -(-len(users) // sample)
    count = np.zeros(-(-len(users) // step), np.int64)
    count_memberships(users, cells, step, before, count, CHUNKS)
    offsets = np.concatenate([[0], np.cumsum(count)])
    joined = np.empty(offsets[-1], np.int32)
    list_memberships(users, cells, step, before, offsets, joined, CHUNKS)
    size = np.bincount(np.maximum(joined, ~joined), minlength=recommender.neighbour.shape[1])
    starts = np.concatenate([[0], np.cumsum(size)])
    member = np.empty(len(joined), np.int64)
    list_members(offsets, joined, starts[:-1].copy(), member)
    filled = recommender.neighbour[layer], recommender.weight[layer]
    nearest_groups(joined, starts, member, size.astype(np.float64), CHUNKS, *filled)


def refit_recommender(
    recommender: Recommender, layer: int, world: World, users: Table, cells: Table, *, day: int
) -> None:
    """Fit one layer as the platform does before ``day``, recommender gateways included.

    Where nobody looks at recommendations none are made: the layer stays as it is.
    """
    section = world.config.simulation
    if section.recommendation > 0:
        sample = section.recommender_sample
        fit_recommender(recommender, layer, users, cells, before=day, sample=sample)
        _steer(recommender, layer, world)


def fit_all_layers(world: World, users: Table, cells: Table) -> Recommender:
    """Return the layers of a platform that has lived: what it was before each refit and after.

    A platform that lives keeps the last layer only; the cells tell all of them.
    """
    section = world.config.simulation
    n_refits = (world.days - 1) // section.refit_days + 1
    recommender = no_recommender(n_refits, len(world.groups), section.neighbours)
    for layer in range(1, n_refits):
        refit_recommender(recommender, layer, world, users, cells, day=layer * section.refit_days)
    return recommender


def _steer(recommender: Recommender, layer: int, world: World) -> None:
    """Let recommender gateways show targets: the planted share of what is shown from them.

    The last half of their list becomes the most appealing targets of the first kind in
    their country; the others keep their proportions.
    """
    groups = world.groups
    n_nearest = recommender.neighbour.shape[2]
    for g in np.flatnonzero(groups.role == Role.RECOMMENDER):
        is_near = (groups.role == Role.TARGET) & (groups.topic == 0)
        targets = np.flatnonzero(is_near & (groups.country == groups.country[g]))
        targets = targets[np.argsort(-groups.appeal[targets], kind="stable")][: n_nearest // 2]
        if len(targets) == 0:
            continue
        keep = n_nearest - len(targets)
        steps = np.diff(recommender.weight[layer, g], prepend=0.0)[:keep]
        share = groups.strength[g] if steps.sum() > 0 else 1.0
        total = max(float(steps.sum()), 1.0)
        steps = steps * (1 - share) * (total / steps.sum()) if steps.sum() > 0 else steps
        planted = np.full(len(targets), share * total / len(targets))
        recommender.neighbour[layer, g, keep:] = targets
        recommender.weight[layer, g] = np.cumsum(np.concatenate([steps, planted]))


# People You May Know: friendships that come about through friends of friends -----------------

# Most friends that a user finds by PYMK.
SPARE_FRIENDS = 8
# Work is cut into a fixed number of chunks of users, whatever the number of threads.
PEOPLE_CHUNKS = 256


def find_friends(world: World, stage: Stage, day: int) -> None:
    """Add friendships between two refits.

    Users of one holdout arm are not shown anybody, users of the other are shown to nobody; the
    arms are drawn apart.
    """
    section = world.config.simulation
    # Without any friendship there are no friends of friends.
    if section.pymk_share > 0 and len(stage.friend) > 0:
        n = len(stage.users)
        who, whom = np.empty(n, np.int32), np.empty(n, np.int64)
        n_asked = np.zeros(PEOPLE_CHUNKS, np.int64)
        ask_friends(
            stage.users, stage.friend, world.users.arms.pymk, section.pymk_share, who, whom,
            n_asked, day, world.seed, int(Stream.PYMK),
        )  # fmt: skip
        add_friends(
            stage.users, stage.friend, stage.finds, stage.last_find, int(stage.users.found.sum()),
            SPARE_FRIENDS, who, whom, n_asked, day,
        )  # fmt: skip


def count_friends_found(stage: Stage) -> tuple[Int32, Int32]:
    """Return how many friends each user was shown, and to how many it was shown.

    int32, shape (n_users,) each; only what led to a friendship is kept. Finds are written in
    pairs: first the row of who was shown somebody, then the row of who was shown.
    """
    n_users, n_finds = len(stage.users), int(stage.users.found.sum())
    friend = np.ascontiguousarray(stage.finds.friend[:n_finds])
    featured, shown = (
        np.bincount(friend[side::2], minlength=n_users).astype(np.int32) for side in (0, 1)
    )
    return shown, featured
