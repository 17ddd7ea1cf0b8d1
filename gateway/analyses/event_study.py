"""The event study: P(join a target) before and after the join of a flagged group.

A spike says that P rises at the join. Whether it was rising already, and whether it stays,
is what tells a push from a way that the joiners were on: MacKinlay (1997), "Event studies
in economics and finance", for the design; here an event is a join, time is counted in
occasions on which the user joined something, and each joiner is compared with themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.detect import UNRANKED, Detection
from gateway.score import Scores

__all__ = ["EVENT_STUDY_SCHEMA", "MeanCurve", "event_study", "mean_curve"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

EVENT_STUDY_SCHEMA = pa.schema(
    [
        ("detector", pa.string()),
        ("flagged", pa.bool_()),
        ("role", pa.string()),
        ("n_groups", pa.int64()),
        ("offset", pa.int32()),
        ("n_events", pa.int64()),
        ("n_users", pa.int64()),
        ("mean", pa.float64()),
        ("change", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
    ]
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
    """P around some joins, averaged; arrays of shape (2 reach + 1,), NaN where nobody is left.

    Parameters
    ----------
    offset
        int64: occasions since the join; -1 is just before it, 0 just after it.
    n_events, n_users
        Joins, and distinct users, whose history reaches so far.
    mean
        Mean P, in [0, 1].
    change
        Mean of P minus the same joiner's P at offset -1.
    ci_low, ci_high
        95 % interval of ``change``, clustered by user; NaN for fewer than two users.
    """

    offset: Int64
    n_events: Int64
    n_users: Int64
    mean: Float64
    change: Float64
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
    scores
        P before and after every join at risk.
    detection
        Which groups are ranked and flagged.
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


def mean_curve(scores: Scores, at: Mask, *, reach: int = REACH) -> MeanCurve:
    """Return the mean of P around the joins of a mask, each joiner against themselves.

    Parameters
    ----------
    scores
        P before and after every join at risk.
    at
        The joins to look around, bool, shape (n_rows of the scores,).
    reach
        Occasions on either side, at least 1.

    Notes
    -----
    The interval is that of a ratio of sums over users, since joins of one user are not
    independent: Cochran (1977), "Sampling Techniques", chapter 2.11. Of a log of
    more than ``MOST_ROWS`` joins at risk, a curve of more than ``MOST_EVENTS`` is that of a
    sample of users, drawn by their names.
    """
    scores, at = _of_users_with_events(scores, at)
    blocks = _Blocks(scores)
    event = blocks.of_row[at]
    user, start = blocks.user[event], blocks.before[event]
    offsets = np.arange(-reach, reach + 1)
    found = [_at_offset(blocks, event, user, start, int(k)) for k in offsets]
    n_events, n_users, mean, change, half = (
        np.array(column) for column in zip(*found, strict=True)
    )
    return MeanCurve(offsets, n_events, n_users, mean, change, change - half, change + half)


def _of_users_with_events(scores: Scores, at: Mask) -> tuple[Scores, Mask]:
    """Leave out users without an event, and of very many events those of some users."""
    rows = scores.prefixes
    if len(rows.group) <= MOST_ROWS:
        return scores, at
    events = np.concatenate([[0], np.cumsum(at)])
    theirs = np.diff(events[rows.offsets])
    chance = np.modf(rows.chance * _SALT)[0]
    keep = (theirs > 0) & (chance * theirs.sum() < MOST_EVENTS)
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
    blocks: _Blocks, event: Int64, user: npt.NDArray[np.int32], start: Float64, k: int
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
    arrays = [
        pa.array(column, field.type, from_pandas=True)
        for column, field in zip(columns, EVENT_STUDY_SCHEMA, strict=True)
    ]
    return pa.table(arrays, schema=EVENT_STUDY_SCHEMA)
