"""The joins of a log under a rule: permuted, backwards, or towards other targets.

The two nulls are different questions. With *labels permuted over all joins* no group has
anything to do with targets: whoever is called is called wrongly, whatever a detector
claims. With *the groups of each user permuted among that user's joins* people keep what
they join, so that association stays, but no join comes before another for a reason: a
detector that claims change must call nobody.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.arrays import Int32, Int64
from gateway.errors import LogError
from gateway.log.invariants import TIE_BREAKERS
from gateway.log.join_log import JoinLog
from gateway.log.sorting import canonical
from gateway.randomness import Purpose, generator, name_uniforms
from gateway.targets import TargetSet

_PER_JOIN = ("group", "time", *TIE_BREAKERS)


def pairs(user: npt.NDArray[Any], group: npt.NDArray[Any], n_groups: int) -> Int64:
    """Return one whole number for each pair of user and group."""
    return np.asarray(user.astype(np.int64) * n_groups + group)


def is_among(values: Int64, ascending: Int64) -> npt.NDArray[np.bool_]:
    """Return whether each value is one of those of a sorted array."""
    if not len(ascending):
        return np.zeros(len(values), np.bool_)
    place = np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)
    return np.asarray(ascending[place] == values)


def relogged(joins: JoinLog, user: npt.NDArray[np.int32], **columns: Any) -> JoinLog:
    """Return a log of the same users and groups with the given joins, in canonical order.

    Parameters
    ----------
    joins
        Whose names, unit of time and windows are kept.
    user
        int32, shape (n,): dense user of each join.
    columns
        The columns of a log, shape (n,) each or None; those left out are those of ``joins``.
        ``observed_from`` and ``observed_until`` may be among them.
    """
    given = {name: getattr(joins, name) for name in _PER_JOIN} | columns
    others = {name: given[name] for name in TIE_BREAKERS if given[name] is not None}
    offsets, kept = canonical(
        user, given["group"], given["time"], n_users=joins.n_users, others=others
    )
    return replace(joins, offsets=offsets, rows_read=None, **(given | kept))


Fate = Literal["kept", "moved", "dropped"]

_TRACES = ("source", "confirmed", "inviter", "seed_group", "left")
# Groups like a target in size, of which its placebo is one.
_LIKE = 10
# Rounds of exchanges after which the joins that are left have no place, and such rounds in a
# row without one exchange.
_MOST_ROUNDS, _MOST_IDLE = 2_000, 200


@dataclass(frozen=True, eq=False)
class Rearranged:
    """A log made of another one.

    Parameters
    ----------
    joins
        The log, of the same users and groups.
    traces
        What became of each trace that the log has: ``kept`` with user and time, ``moved``
        with the labels, or ``dropped``.
    n_lost
        Joins for which no place was found.
    """

    joins: JoinLog
    traces: Mapping[str, Fate]
    n_lost: int = 0


def permute_labels(joins: JoinLog, *, seed: int) -> Rearranged:
    """Permute the groups of all joins over all joins.

    Users keep when and how often they joined, groups keep their size. A user who got a
    group twice exchanges one of the two with a join drawn at random, where neither user has
    the other's group; so a group's size says nothing about how early it is joined. Where a
    log is so dense that no exchange is left, the join is lost, and counted. Within a user
    the order is uniform over all orders; between users the exchanges make it uniform only
    nearly, the less so the more joins they touch.

    Parameters
    ----------
    joins
        The log.
    seed
        Another seed, another permutation.

    Returns
    -------
    Rearranged
        ``source``, ``confirmed``, ``inviter`` and ``left`` are kept with user and time;
        ``seed_group`` points at an earlier join of the same user, and takes the label that
        this join now has.
    """
    rng = generator(seed, Purpose.PERMUTED_LABELS)
    user = joins.user()
    group = _exchanged(user, rng.permutation(joins.group), joins.n_groups, rng)
    _, kept = np.unique(pairs(user, group, joins.n_groups), return_index=True)
    kept.sort()
    placed = np.full(len(group), -1, np.int32)
    placed[kept] = _shuffled(user[kept], group[kept], rng)
    return _relabelled(joins, placed)


def permute_within_users(joins: JoinLog, *, seed: int) -> Rearranged:
    """Permute the groups of each user among that user's joins, uniformly.

    Parameters and traces are those of ``permute_labels``; no join is lost.
    """
    rng = generator(seed, Purpose.PERMUTED_WITHIN_USERS)
    return _relabelled(joins, _shuffled(joins.user(), joins.group, rng))


def reverse_time(joins: JoinLog) -> Rearranged:
    """Let time run backwards: a join at tick t stands at first + last - t.

    Known windows are mirrored as well. A detector of association that calls as many groups
    backwards as forwards does not tell what leads somewhere from what goes with it. One that
    compares users with themselves changes its sign by construction, which shows nothing.

    Returns
    -------
    Rearranged
        ``seed_group`` and ``inviter`` are dropped, as they would point into the future, and
        ``left``, before which nobody would have joined.
    """
    first, last = joins.span
    until = joins.observed_until
    known = joins.observed_from is not None or bool((until != last).any())
    log = relogged(
        joins, joins.user(), time=(first + last - joins.time).astype(np.int32),
        observed_from=(first + last - until).astype(np.int32) if known else None,
        observed_until=np.full(joins.n_users, last, np.int32) if joins.observed_from is None
        else (first + last - joins.observed_from).astype(np.int32),
        inviter=None, seed_group=None, left=None,
    )  # fmt: skip
    return Rearranged(log, _fates(joins, inviter="dropped", seed_group="dropped", left="dropped"))


def placebo_targets(joins: JoinLog, targets: TargetSet, *, seed: int) -> TargetSet:
    """Draw as many groups as there are targets, none of them a target, of like size.

    Targets in random order each take one of the ten free groups next to them in size. What
    is called with such targets is a background, not an error: they may have gateways.

    Raises
    ------
    LogError
        If fewer than twice as many groups as targets have a join.
    """
    rng = generator(seed, Purpose.PLACEBO_TARGETS)
    size = joins.sizes()
    free = np.flatnonzero(~targets.mask & (size > 0))
    wanted = np.flatnonzero(targets.mask & (size > 0))
    if len(free) <= len(wanted):
        raise LogError(
            f"placebo targets need more groups beside the targets than these are; {len(free)} "
            f"groups with joins stand beside {len(wanted)} targets"
        )
    free = free[np.lexsort((rng.random(len(free)), size[free]))]
    ids, sizes = free.tolist(), size[free].tolist()
    mask = np.zeros(joins.n_groups, np.bool_)
    for target in rng.permutation(wanted):
        place = bisect_left(sizes, int(size[target]))
        low = min(max(place - _LIKE // 2, 0), max(len(ids) - _LIKE, 0))
        chosen = low + int(rng.integers(min(_LIKE, len(ids))))
        mask[ids.pop(chosen)] = True
        sizes.pop(chosen)
    return TargetSet(mask, f"{len(wanted)} groups like the targets in size, drawn with seed {seed}")


def sample_users(joins: JoinLog, count: int, *, seed: int) -> JoinLog:
    """Return the log of ``count`` users, drawn by their names; of all, where there are no more.

    An inviter who is not among them is nobody.
    """
    if joins.n_users <= count:
        return joins
    # A hash of its own: folds are ranges of the one with the seed itself, so that users with
    # small values of that would all be of one fold.
    own = int(generator(seed, Purpose.SAMPLED_USERS).integers(2**63))
    place = name_uniforms(joins.users, seed=own)
    chosen = place <= np.partition(place, count - 1)[count - 1]
    # Rows by range of each user: a log on disk is read where the chosen ones stand, no more.
    length, ends = np.diff(joins.offsets)[chosen], joins.offsets[1:][chosen]
    rows = np.repeat(ends - np.cumsum(length), length) + np.arange(length.sum())
    columns = {name: getattr(joins, name) for name in ("group", "time", *_TRACES)}
    columns = {name: None if of is None else of[rows] for name, of in columns.items()}
    if columns["inviter"] is not None:
        number = np.where(chosen, np.cumsum(chosen, dtype=np.int32) - np.int32(1), np.int32(-1))
        columns["inviter"] = np.where(columns["inviter"] < 0, -1, number[columns["inviter"]])
    return replace(
        joins,
        offsets=np.append(0, np.cumsum(length)),
        users=joins.users.filter(pa.array(chosen)),
        observed_from=None if joins.observed_from is None else joins.observed_from[chosen],
        observed_until=joins.observed_until[chosen],
        rows_read=None,
        **columns,
    )


def _fates(joins: JoinLog, **fate: Fate) -> dict[str, Fate]:
    there = [name for name in _TRACES if getattr(joins, name) is not None]
    return {name: fate.get(name, "kept") for name in there}


def _shuffled(user: Int32, group: Int32, rng: np.random.Generator) -> Int32:
    """Return the groups with those of each user in random order; users stand in order."""
    return np.asarray(group[np.lexsort((rng.random(len(user)), user))])


def _exchanged(user: Int32, group: Int32, n_groups: int, rng: np.random.Generator) -> Int32:
    """Exchange groups between joins until no user has one twice, as far as that goes."""
    group, idle = group.copy(), 0
    for _ in range(_MOST_ROUNDS):
        key = pairs(user, group, n_groups)
        order = np.argsort(key, kind="stable")
        ascending = key[order]
        twice = order[1:][ascending[1:] == ascending[:-1]]
        if not len(twice) or idle == _MOST_IDLE:
            break
        other = rng.integers(0, len(user), len(twice))
        # No two exchanges of a round touch the same join, or make the same membership.
        new = np.stack([pairs(user[twice], group[other], n_groups),
                        pairs(user[other], group[twice], n_groups)], axis=1)  # fmt: skip
        fits = _alone(np.stack([twice, other], axis=1)) & _alone(new)
        fits &= ~is_among(new.ravel(), ascending).reshape(-1, 2).any(axis=1)
        twice, other = twice[fits], other[fits]
        group[twice], group[other] = group[other], group[twice]
        idle = 0 if fits.any() else idle + 1
    return group


def _alone(values: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which rows hold no value of an earlier row, nor one twice; shape (n, 2)."""
    _, first, place = np.unique(values.ravel(), return_index=True, return_inverse=True)
    return np.asarray((first[place] == np.arange(values.size)).reshape(-1, 2).all(axis=1))


def _relabelled(joins: JoinLog, group: Int32) -> Rearranged:
    """Return the log with another group at each join; without those that have none, -1."""
    user, kept = joins.user(), group >= 0
    columns = {name: getattr(joins, name) for name in ("time", *_TRACES)}
    columns["group"] = group
    columns["seed_group"] = None if joins.seed_group is None else _moved_seeds(joins, user, group)
    log = relogged(
        joins, user[kept],
        **{name: None if column is None else column[kept] for name, column in columns.items()},
    )  # fmt: skip
    return Rearranged(log, _fates(joins, seed_group="moved"), int(np.count_nonzero(~kept)))


def _moved_seeds(joins: JoinLog, user: Int32, group: Int32) -> Int32:
    """Return for each join the new label of the user's own join that seeded it.

    A seed that the user never joined in the log stays what it is, unless it is joined now.
    """
    assert joins.seed_group is not None  # noqa: S101  (the caller's condition)
    key = pairs(user, joins.group, joins.n_groups)
    order = np.argsort(key)
    wanted = pairs(user, joins.seed_group, joins.n_groups)
    found = is_among(wanted, key[order]) & (joins.seed_group >= 0)
    seed = joins.seed_group.copy()
    seed[found] = group[order[np.searchsorted(key[order], wanted[found])]]
    return np.where(seed == group, np.int32(-1), seed)
