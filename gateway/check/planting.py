"""Gateways planted into real joins: effects of known size, in a log of unknown truth.

The synthesis of positive controls, as for studies of drug safety: the joins that are there
stay, with all their habits, and the joiners of some groups get further target joins.

References
----------
Schuemie, Hripcsak, Ryan, Madigan, Suchard (2018), "Empirical confidence interval
calibration for population-level effect estimation studies in observational healthcare
data", PNAS 115(11), section on positive controls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.arrays import Float64, Int64, Mask
from gateway.check.rearranging import relogged
from gateway.errors import GatewayError, Problem
from gateway.log import Duration, ticks_in
from gateway.log.join_log import SOURCES, STAYS, JoinLog
from gateway.randomness import Purpose, generator
from gateway.targets import TargetSet

Place = Literal["anywhere", "aligned", "large", "small"]
Mechanism = Literal["influence", "recommender", "inviter"]
PLACES: tuple[Place, ...] = ("anywhere", "aligned", "large", "small")
MECHANISMS: tuple[Mechanism, ...] = ("influence", "recommender", "inviter")

_SOURCE = {"influence": "search", "recommender": "gysj", "inviter": "mobile_add_members"}
# Share of the eligible groups that count as large, small or aligned.
_QUARTER = 4
# Weight of the log's share of target joins in a user's own, in joins.
_PRIOR = 2
# Clocks that run at once: users times targets.
_MOST_CLOCKS = 1 << 22


@dataclass(frozen=True)
class Planting:
    """What is planted.

    Parameters
    ----------
    ratio
        s, at least 1: each joiner u of a gateway gets Poisson((s - 1) r_u x time left)
        further target joins at uniform times after the join, where u's own rate is
        r_u = (target joins + 2 x share of target joins in the log) / (joins + 2) x joins /
        span.
    sent
        q in [0, 1], instead of ``ratio``: with chance q one target join follows.
    within
        Mean d of the geometric delay of a ``sent`` join, one tick or more.
    count
        Number of gateways.
    where
        ``anywhere``; ``aligned``: the quarter of the groups whose members join targets
        most often; ``large``, ``small``: the quarter with most or fewest members.
    mechanism
        How the further joins come about, which shows in the log's traces alone:
        ``influence``, by the user's own search; ``recommender``, seeded by the gateway;
        ``inviter``, by the invitation of somebody who joined the gateway in an earlier tick
        than the further join.
    min_joiners
        Members that a group needs to be chosen.

    Raises
    ------
    GatewayError
        If a value is out of range, or not just one of ``ratio`` and ``sent`` is given.
    """

    ratio: float | None = None
    sent: float | None = None
    within: Duration | None = None
    count: int = 10
    where: Place = "anywhere"
    mechanism: Mechanism = "influence"
    min_joiners: int = 20

    def __post_init__(self) -> None:
        if (self.ratio is None) == (self.sent is None):
            raise GatewayError("a planting must have either ratio or sent")
        if self.ratio is not None and not 1.0 <= self.ratio < np.inf:
            raise GatewayError(str(Problem("ratio", "must be at least 1", repr(self.ratio))))
        if self.sent is not None and not 0.0 <= self.sent <= 1.0:
            raise GatewayError(str(Problem("sent", "must be in [0, 1]", repr(self.sent))))
        if self.sent is not None and self.within is None:
            raise GatewayError("within must be given beside sent: how long a join takes to follow")
        if self.count < 1:
            raise GatewayError(str(Problem("count", "must be at least 1", repr(self.count))))
        for name, known in (("where", PLACES), ("mechanism", MECHANISMS)):
            if getattr(self, name) not in known:
                rule = f"must be one of {', '.join(known)}"
                raise GatewayError(str(Problem(name, rule, repr(getattr(self, name)))))


@dataclass(frozen=True, eq=False)
class Planted:
    """A log with planted gateways, and the truth of them.

    Parameters
    ----------
    joins
        The log, of the same users and groups; every join of the first one is in it.
    planting
        What was planted.
    gateway
        bool, shape (n_groups,): the planted ones.
    added
        int64, shape (n_groups,): further target joins because of each group.
    n_joiners
        int64, shape (n_groups,): members of each planted group, zero elsewhere.
    n_unplaced
        Further joins that were drawn and are not there: their user is a member of every
        target, or nobody could have invited.
    """

    joins: JoinLog
    planting: Planting
    gateway: Mask
    added: Int64
    n_joiners: Int64
    n_unplaced: int

    @property
    def role(self) -> npt.NDArray[np.str_]:
        """The mechanism for a gateway and ``ordinary`` for the others, shape (n_groups,)."""
        return np.where(self.gateway, self.planting.mechanism, "ordinary")

    @property
    def strength(self) -> Float64:
        """Log of the ratio, or the chance; zero for groups that do nothing."""
        ratio, sent = self.planting.ratio, self.planting.sent
        size = (sent or 0.0) if ratio is None else float(np.log(ratio))
        return np.where(self.gateway, size, 0.0)

    def to_arrow(self) -> pa.Table:
        """Return the truth: ``group``, ``role``, ``strength``, ``n_joiners``, ``added``."""
        return pa.table(
            {
                "group": self.joins.groups,
                "role": pa.array(self.role.tolist(), pa.string()),
                "strength": pa.array(self.strength),
                "n_joiners": pa.array(self.n_joiners),
                "added": pa.array(self.added),
            }
        )


def plant(joins: JoinLog, targets: TargetSet, planting: Planting, *, seed: int) -> Planted:
    """Plant gateways into a log.

    The further joins are of targets drawn by their size, one that the user is no member of
    at any time of the log. Where a user's window is known, time left ends with it and the
    span is its length; else they are the log's.

    Parameters
    ----------
    joins, targets
        The log and the target set.
    planting
        What is planted.
    seed
        The same seed chooses the same gateways at every strength and by every mechanism.

    Raises
    ------
    GatewayError
        If too few groups have enough members, no target has one, or the log lacks the traces
        of the mechanism.
    """
    _check_log(joins, targets, planting)
    rng = generator(seed, Purpose.PLANTED)
    gateway = _chosen(joins, targets, planting, rng)
    row = np.flatnonzero(gateway[joins.group])
    user = joins.user()[row]
    left = joins.observed_until[user].astype(np.int64) - joins.time[row]
    at, delay = _drawn(joins, targets, planting, row, user, left, rng)
    time = _dated(joins, joins.time[row[at]] + delay, joins.observed_until[user[at]])
    row, user = row[at], user[at]
    through, n_drawn = joins.group[row], len(row)
    inviter = np.full(n_drawn, -1, np.int32)
    if planting.mechanism == "inviter":
        inviter = _inviters(joins, gateway, row, time, rng)
        invited = np.flatnonzero(inviter >= 0)
        user, time, inviter = user[invited], time[invited], inviter[invited]
        through = through[invited]
    group = _targets_of(joins, targets, user, time, rng)
    placed = group >= 0
    further = {
        "left": np.full(len(user), STAYS, np.int32),
        "group": group, "time": time, "inviter": inviter,
        "source": np.full(len(user), SOURCES.index(_SOURCE[planting.mechanism])),
        "confirmed": np.ones(len(user), np.bool_),
        "seed_group": through if planting.mechanism == "recommender" else np.full(len(user), -1),
    }  # fmt: skip
    return Planted(
        _with_joins(joins, user[placed], {k: v[placed] for k, v in further.items()}),
        planting,
        gateway,
        np.bincount(through[placed], minlength=joins.n_groups),
        np.where(gateway, joins.sizes(), 0),
        n_drawn - int(np.count_nonzero(placed)),
    )


def _check_log(joins: JoinLog, targets: TargetSet, planting: Planting) -> None:
    if not targets.mask[joins.group].any():
        raise GatewayError("gateways cannot be planted: no target group has a member")
    asked = {"recommender": "seed_group", "inviter": "inviter"}.get(planting.mechanism)
    if asked is not None and getattr(joins, asked) is None:
        raise GatewayError(
            f"mechanism {planting.mechanism} needs a log with the column {asked}; this has none"
        )


def _chosen(
    joins: JoinLog, targets: TargetSet, planting: Planting, rng: np.random.Generator
) -> Mask:
    """Draw the gateways."""
    size, groups = joins.sizes(), eligible(joins, targets, planting.min_joiners)
    if len(groups) < planting.count:
        raise GatewayError(
            f"{planting.count:,} gateways cannot be planted: {len(groups):,} groups beside the "
            f"targets have {planting.min_joiners:,} members"
        )
    if planting.where != "anywhere":
        aligned = planting.where == "aligned"
        by = _share_of_cases(joins, targets) if aligned else size.astype(np.float64)
        by = -by if planting.where == "small" else by
        first = np.lexsort((rng.random(len(groups)), -by[groups]))
        groups = groups[first[: max(planting.count, len(groups) // _QUARTER)]]
    gateway = np.zeros(joins.n_groups, np.bool_)
    gateway[rng.choice(np.sort(groups), planting.count, replace=False)] = True
    return gateway


def eligible(joins: JoinLog, targets: TargetSet, min_joiners: int) -> Int64:
    """Return the groups beside the targets that have so many members."""
    return np.flatnonzero(~targets.mask & (joins.sizes() >= min_joiners))


def _share_of_cases(joins: JoinLog, targets: TargetSet) -> Float64:
    """Return the share of each group's members who join a target at any time."""
    user = joins.user()
    case = np.bincount(user, targets.mask[joins.group], minlength=joins.n_users) > 0
    members = np.bincount(joins.group, case[user], minlength=joins.n_groups)
    return np.asarray(members / np.maximum(joins.sizes(), 1))


def _drawn(
    joins: JoinLog,
    targets: TargetSet,
    planting: Planting,
    row: Int64,
    user: npt.NDArray[np.int32],
    left: Int64,
    rng: np.random.Generator,
) -> tuple[Int64, Int64]:
    """Draw further joins: after which gateway join each, by index, and how many ticks after it."""
    if planting.ratio is not None:
        mean = (planting.ratio - 1.0) * _own_rate(joins, targets)[user] * left
        at = np.repeat(np.arange(len(row)), rng.poisson(mean))
        return at, rng.integers(1, left[at] + 1)
    assert planting.sent is not None  # noqa: S101  (the planting's own rule)
    assert planting.within is not None  # noqa: S101
    within = ticks_in(planting.within, joins.tick, what="within")
    is_sent = rng.random(len(row)) < planting.sent
    delay = rng.geometric(1.0 / within, len(row))
    at = np.flatnonzero(is_sent & (delay <= left))
    return at, delay[at]


def _dated(joins: JoinLog, time: npt.NDArray[Any], until: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return each tick moved on to the log's next one with a join, if that is not too late."""
    dates = np.unique(joins.time)
    later = dates[np.minimum(np.searchsorted(dates, time), len(dates) - 1)]
    return np.where((later >= time) & (later <= until), later, time)


def _own_rate(joins: JoinLog, targets: TargetSet) -> Float64:
    """Return r_u, target joins a tick, shape (n_users,)."""
    count = np.diff(joins.offsets)
    is_target = targets.mask[joins.group]
    hits = np.bincount(joins.user(), is_target, minlength=joins.n_users)
    first, last = joins.span
    span = np.full(joins.n_users, last - first + 1)
    if joins.observed_from is not None:
        span = joins.observed_until.astype(np.int64) - joins.observed_from + 1
    base = float(is_target.mean())
    return np.asarray((hits + _PRIOR * base) / (count + _PRIOR) * count / span)


def _targets_of(
    joins: JoinLog,
    targets: TargetSet,
    user: npt.NDArray[np.int32],
    time: npt.NDArray[Any],
    rng: np.random.Generator,
) -> npt.NDArray[np.int32]:
    """Draw a target by size for each further join, none twice for a user; -1 where none is left.

    The earliest of a user draws first. Successive sampling is the order of independent
    exponential clocks whose rates are the sizes (Efraimidis, Spirakis 2006, Inf. Process.
    Lett. 97(5)).
    """
    ids = np.flatnonzero(targets.mask)
    size = joins.sizes()[ids]
    ids, size = ids[size > 0], size[size > 0]
    users, place = np.unique(user, return_inverse=True)
    order = np.lexsort((time, place))
    begin = np.searchsorted(place[order], np.arange(len(users)))
    turn = np.empty(len(user), np.int64)
    turn[order] = np.arange(len(user)) - begin[place[order]]
    group = np.full(len(user), -1, np.int32)
    at_once = max(1, _MOST_CLOCKS // len(ids))
    for first in range(0, len(users), at_once):
        some = users[first : first + at_once]
        clock = rng.exponential(1.0 / size, (len(some), len(ids)))
        clock[_members(joins, some, ids)] = np.inf
        drawn = np.argsort(clock, axis=1)
        n_free = np.isfinite(clock).sum(axis=1)
        here = np.flatnonzero((place >= first) & (place < first + len(some)))
        here = here[turn[here] < n_free[place[here] - first]]
        group[here] = ids[drawn[place[here] - first, turn[here]]]
    return group


def _members(joins: JoinLog, users: npt.NDArray[Any], ids: Int64) -> Mask:
    """Return which of some users are members of which of some groups; both ascend."""
    column = np.full(joins.n_groups, -1)
    column[ids] = np.arange(len(ids))
    line = np.full(joins.n_users, -1)
    line[users] = np.arange(len(users))
    line, column = line[joins.user()], column[joins.group]
    both = (line >= 0) & (column >= 0)
    member = np.zeros((len(users), len(ids)), np.bool_)
    member[line[both], column[both]] = True
    return member


def _inviters(
    joins: JoinLog, gateway: Mask, row: Int64, time: npt.NDArray[Any], rng: np.random.Generator
) -> npt.NDArray[np.int32]:
    """Draw for each further join another member of its gateway, of an earlier tick; -1 for none."""
    member = np.flatnonzero(gateway[joins.group])
    member = member[np.lexsort((joins.time[member], joins.group[member]))]
    place = np.empty(joins.n_joins, np.int64)
    place[member] = np.arange(len(member))
    first, last = joins.span
    ticks = last - first + 1
    key = joins.group[member].astype(np.int64) * ticks + (joins.time[member] - first)
    begin = np.searchsorted(joins.group[member], joins.group[row])
    ahead = joins.group[row].astype(np.int64) * ticks + np.minimum(time - first, ticks)
    earlier = np.searchsorted(key, ahead) - begin
    # The joiner is one of those earlier members.
    drawn = begin + (rng.random(len(row)) * (earlier - 1)).astype(np.int64)
    drawn += drawn >= place[row]
    inviter = joins.user()[member[np.minimum(drawn, len(member) - 1)]]
    return np.where(earlier > 1, inviter, np.int32(-1))


def _with_joins(
    joins: JoinLog, user: npt.NDArray[np.int32], further: dict[str, npt.NDArray[Any]]
) -> JoinLog:
    columns = {}
    for name, more in further.items():
        column = getattr(joins, name)
        if column is not None:
            columns[name] = np.concatenate([column, more.astype(column.dtype)])
    return relogged(joins, np.concatenate([joins.user(), user]), **columns)
