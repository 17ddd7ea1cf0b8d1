"""P(target | joins so far) of single users, and its mean around the joins of groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.arrays import Float64, Int32, Int64, Mask
from gateway.detect import UNRANKED, Detection
from gateway.log.join_log import JoinLog
from gateway.score import Scores
from gateway.tabular import schema_of, table_of
from gateway.targets import TargetSet

CURVES_SCHEMA = schema_of(
    "panel int32, user string, position int32, time int32, group string, role string, "
    "before float64, after float64, spike bool, is_target bool, is_gateway bool"
)
# A curve of fewer joins shows no history, one of more is hard to read: the second bound is
# for logs in which nobody stays below the first.
FEWEST_JOINS = 5
MOST_JOINS = (20, 200)


def probability_curves(
    joins: JoinLog,
    targets: TargetSet,
    scores: Scores,
    detection: Detection,
    spike: Mask,
    role: npt.NDArray[np.str_],
    *,
    count: int,
) -> pa.Table:
    """Pick users by a fixed rule and return their probability after each join.

    The top groups (flagged ones first, each part by rank) are gone through in order, again
    from the top while there are too few users. From each, the joiner with the largest spike
    there is shown, among users with 5 to 20 scored joins (5 to 200 where no such user
    spikes); by turns one who went on to join a target and one who did not, so that the
    picture does not show successes only. Equal jumps are ordered by name.

    Parameters
    ----------
    spike
        bool, shape (n_rows of the scores,).
    role
        Role of every group, shape (n_groups,).

    Returns
    -------
    pyarrow.Table
        Columns of ``CURVES_SCHEMA``, one row per join until and including the first
        target join; ``after`` and ``before`` are null at a target join.
    """
    spiking = _Spiking(joins, targets, scores, spike)
    picked: list[int] = []
    for longest in MOST_JOINS:
        if not picked:
            picked = _pick(spiking, _in_order(detection), count=count, longest=longest)
    parts = [
        _curve(panel, u, joins, targets, scores, detection, spike, role)
        for panel, u in enumerate(picked)
    ]
    return pa.concat_tables(parts) if parts else CURVES_SCHEMA.empty_table()


class _Spiking:
    """The rows that spike: user, group, jump, the user's length, and whether it got there."""

    def __init__(self, joins: JoinLog, targets: TargetSet, scores: Scores, spike: Mask) -> None:
        rows = scores.prefixes
        self.user = rows.user()[spike]
        self.group = rows.group[spike]
        self.jump = (scores.after - scores.before)[spike]
        self.length = np.diff(rows.offsets)[self.user]
        self.reached = _reached_target(joins, targets)[self.user]


def _pick(rows: _Spiking, groups: Int64, *, count: int, longest: int) -> list[int]:
    """Users by the rule that ``probability_curves`` states."""
    usable = np.flatnonzero((rows.length >= FEWEST_JOINS) & (rows.length <= longest))
    by_group = usable[np.argsort(rows.group[usable], kind="stable")]
    ends = np.searchsorted(rows.group[by_group], [groups, groups + 1])
    known = {wanted: bool((rows.reached[usable] == wanted).any()) for wanted in (True, False)}
    picked: list[int] = []
    before = -1
    while before < len(picked) < count:
        before = len(picked)
        for first, end in ends.T:
            if len(picked) == count:
                break
            wanted = len(picked) % 2 == 0
            at = by_group[first:end]
            at = at[~np.isin(rows.user[at], picked)]
            if known[wanted]:
                at = at[rows.reached[at] == wanted]
            if len(at):
                picked.append(int(rows.user[at[np.lexsort((rows.user[at], -rows.jump[at]))[0]]]))
    return picked


def _in_order(detection: Detection) -> Int64:
    """Ranked groups, the flagged ones first, each part by rank."""
    among = np.flatnonzero(detection.rank != UNRANKED)
    return among[np.lexsort((among, detection.rank[among], ~detection.flagged[among]))]


def _reached_target(joins: JoinLog, targets: TargetSet) -> Mask:
    """Whether each user joined a target at all, shape (n_users,)."""
    reached = np.zeros(joins.n_users, bool)
    reached[joins.user()[targets.mask[joins.group]]] = True
    return reached


def _curve(
    panel: int,
    u: int,
    joins: JoinLog,
    targets: TargetSet,
    scores: Scores,
    detection: Detection,
    spike: Mask,
    role: npt.NDArray[np.str_],
) -> pa.Table:
    """One user's joins up to the first target join."""
    rows = scores.prefixes
    i = np.arange(rows.offsets[u], rows.offsets[u + 1])
    mine = np.arange(joins.offsets[u], joins.offsets[u + 1])
    end = mine[targets.mask[joins.group[mine]]][:1]
    join = np.concatenate([mine[: len(i)], end])
    group = joins.group[join]
    n_end = len(end)
    gap = [None] * n_end
    columns = [
        [panel] * len(join),
        [joins.users[u].as_py()] * len(join),
        np.arange(1, len(join) + 1),
        joins.time[join],
        joins.groups.take(pa.array(group)),
        role[group].tolist(),
        [*scores.before[i].tolist(), *gap],
        [*scores.after[i].tolist(), *gap],
        [*spike[i].tolist(), *([False] * n_end)],
        targets.mask[group].tolist(),
        detection.flagged[group].tolist(),
    ]
    return table_of(CURVES_SCHEMA, columns)


EVENT_STUDY_SCHEMA = schema_of(
    "detector string, flagged bool, role string, n_groups int64, offset int32, n_events int64, "
    "n_users int64, mean float64, change float64, ci_low float64, ci_high float64"
)
REACH = 10
"""Occasions looked at on either side of the join."""
MOST_ROWS = 5_000_000
"""Rows up to which all events are looked around."""
MOST_EVENTS = 1_000_000
"""Events, about, for one curve of a longer log."""
# Makes of the users' hash another one, unrelated to the folds.
_SALT = 2.0**20
# Two-sided 95 % of the normal distribution.
_Z = 1.959964


@dataclass(frozen=True, eq=False)
class MeanCurve:
    """P around some joins, averaged; arrays of shape (2 reach + 1,), NaN where nobody is left."""

    offset: Int64  # occasions since the join; -1 is just before it, 0 just after it
    # Joins, and distinct users, whose history reaches so far.
    n_events: Int64
    n_users: Int64
    mean: Float64  # mean P, in [0, 1]
    change: Float64  # mean of P minus the same joiner's P at offset -1
    # 95 % interval of ``change``, clustered by user; NaN for fewer than two users.
    ci_low: Float64
    ci_high: Float64


def event_study(
    scores: Scores, detection: Detection, role: npt.NDArray[np.str_], *, reach: int = REACH
) -> pa.Table:
    """Return the mean curve of P around the joins of ranked groups, flagged ones and others.

    One curve for each planted role among the flagged groups, one for each among the other
    ranked groups; a real log knows no roles, so it has one of each.

    Parameters
    ----------
    role
        Role of every group, shape (n_groups,).
    reach
        Occasions on either side, at least 1.

    Returns
    -------
    pyarrow.Table
        Columns of ``EVENT_STUDY_SCHEMA``: flagged first, then by role and offset.

    Notes
    -----
    A user's history ends at the first target join, so those who go there leave the curve:
    late offsets are about those who have not, yet. Joins in one tick have no order; they
    are one occasion. The curve is the scorer's belief, not the user's behaviour, and it
    shows association: joiners of a look-alike rise as well.
    """
    group = scores.prefixes.group
    ranked = detection.rank != UNRANKED
    tables = []
    for flagged in (True, False):
        for name in sorted(set(role[ranked & (detection.flagged == flagged)].tolist())):
            chosen = ranked & (detection.flagged == flagged) & (role == name)
            curve = mean_curve(scores, chosen[group], reach=reach)
            head = (detection.detector, flagged, name, int(chosen.sum()))
            tables.append(_as_table(curve, head))
    return pa.concat_tables(tables) if tables else EVENT_STUDY_SCHEMA.empty_table()


def mean_curve(
    scores: Scores,
    at: Mask,
    *,
    reach: int = REACH,
    most: tuple[int, int] = (MOST_ROWS, MOST_EVENTS),
) -> MeanCurve:
    """Return the mean of P around the joins of a mask, each joiner against themselves.

    Parameters
    ----------
    at
        The joins to look around, bool, shape (n_rows of the scores,).
    reach
        Occasions on either side, at least 1.
    most
        Of a log of more joins at risk than the first, a curve of more events than about the
        second is that of a sample of users, drawn by their names.

    Notes
    -----
    The interval is that of a ratio of sums over users, since joins of one user are not
    independent: Cochran (1977), "Sampling Techniques", chapter 2.11.
    """
    scores, at = _of_users_with_events(scores, at, *most)
    blocks = _Blocks(scores)
    event = blocks.of_row[at]
    user, start = blocks.user[event], blocks.before[event]
    offsets = np.arange(-reach, reach + 1)
    found = [_at_offset(blocks, event, user, start, int(k)) for k in offsets]
    n_events, n_users, mean, change, half = (
        np.array(column) for column in zip(*found, strict=True)
    )
    return MeanCurve(offsets, n_events, n_users, mean, change, change - half, change + half)


def _of_users_with_events(
    scores: Scores, at: Mask, most_rows: int, most_events: int
) -> tuple[Scores, Mask]:
    """Leave out users without an event, and of very many events those of some users."""
    rows = scores.prefixes
    if len(rows.group) <= most_rows:
        return scores, at
    events = np.concatenate([[0], np.cumsum(at)])
    theirs = np.diff(events[rows.offsets])
    chance = np.modf(rows.chance * _SALT)[0]
    keep = (theirs > 0) & (chance * theirs.sum() < most_events)
    row = np.repeat(keep, np.diff(rows.offsets))
    return scores.of_users(keep), at[row]


class _Blocks:
    """Occasions of all users in a row: owner, and P before and after each."""

    def __init__(self, scores: Scores) -> None:
        rows = scores.prefixes
        self.of_row = np.cumsum(rows.starts_block) - 1
        self.user = rows.user()[rows.starts_block]
        self.before = scores.before[rows.starts_block]
        self.after = scores.at_end[rows.ends_block]

    def level(self, block: Int64, k: int) -> tuple[Int64, Mask]:
        """Which block's level stands at offset ``k``, and whether it is the same user's."""
        other = block + (k if k >= 0 else k + 1)
        inside = (other >= 0) & (other < len(self.user))
        other = np.where(inside, other, 0)
        return other, inside & (self.user[other] == self.user[block])


def _at_offset(
    blocks: _Blocks, event: Int64, user: Int32, start: Float64, k: int
) -> tuple[int, int, float, float, float]:
    """(Events, users, mean level, mean change, half of the interval) at one offset."""
    other, known = blocks.level(event, k) if len(event) else (event, np.zeros(0, bool))
    level = (blocks.after if k >= 0 else blocks.before)[other[known]]
    n = len(level)
    if n == 0:
        return 0, 0, np.nan, np.nan, np.nan
    change = level - start[known]
    mean = float(change.mean())
    owner = np.unique(user[known], return_inverse=True)[1]
    n_users = int(owner.max()) + 1
    if n_users < 2:
        return n, n_users, float(level.mean()), mean, np.nan
    excess = np.bincount(owner, change - mean)
    half = _Z * float(np.sqrt((excess**2).sum() * n_users / (n_users - 1))) / n
    return n, n_users, float(level.mean()), mean, half


def _as_table(curve: MeanCurve, head: tuple[str, bool, str, int]) -> pa.Table:
    n = len(curve.offset)
    columns = [
        *([value] * n for value in head),
        *(getattr(curve, name) for name in EVENT_STUDY_SCHEMA.names[len(head) :]),
    ]
    return table_of(EVENT_STUDY_SCHEMA, columns)
