"""The note's figure 1: one user's probability after each join, with the jump."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.detect import UNRANKED, Detection
from gateway.log.join_log import JoinLog
from gateway.score import Scores
from gateway.targets import TargetSet

__all__ = ["CURVES_SCHEMA", "probability_curves"]

CURVES_SCHEMA = pa.schema(
    [
        ("panel", pa.int32()),
        ("user", pa.string()),
        ("position", pa.int32()),
        ("time", pa.int32()),
        ("group", pa.string()),
        ("role", pa.string()),
        ("before", pa.float64()),
        ("after", pa.float64()),
        ("spike", pa.bool_()),
        ("is_target", pa.bool_()),
        ("is_gateway", pa.bool_()),
    ]
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
    spike: npt.NDArray[np.bool_],
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
    joins, targets, scores, detection
        The log and what was found in it.
    spike
        bool, shape (n_rows of the scores,).
    role
        Role of every group, shape (n_groups,).
    count
        Number of users.

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

    def __init__(
        self, joins: JoinLog, targets: TargetSet, scores: Scores, spike: npt.NDArray[np.bool_]
    ) -> None:
        rows = scores.prefixes
        self.user = rows.user()[spike]
        self.group = rows.group[spike]
        self.jump = (scores.after - scores.before)[spike]
        self.length = np.diff(rows.offsets)[self.user]
        self.reached = _reached_target(joins, targets)[self.user]


def _pick(rows: _Spiking, groups: npt.NDArray[np.int64], *, count: int, longest: int) -> list[int]:
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


def _in_order(detection: Detection) -> npt.NDArray[np.int64]:
    """Ranked groups, the flagged ones first, each part by rank."""
    among = np.flatnonzero(detection.rank != UNRANKED)
    return among[np.lexsort((among, detection.rank[among], ~detection.flagged[among]))]


def _reached_target(joins: JoinLog, targets: TargetSet) -> npt.NDArray[np.bool_]:
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
    spike: npt.NDArray[np.bool_],
    role: npt.NDArray[np.str_],
) -> pa.Table:
    """One user's joins up to the first target join."""
    rows = scores.prefixes
    i = np.arange(rows.offsets[u], rows.offsets[u + 1])
    mine = np.arange(joins.offsets[u], joins.offsets[u + 1])
    end = mine[targets.mask[joins.group[mine]]][:1]
    join = np.concatenate([rows.join[i], end])
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
    arrays = [pa.array(c, f.type) for c, f in zip(columns, CURVES_SCHEMA, strict=True)]
    return pa.table(arrays, schema=CURVES_SCHEMA)
