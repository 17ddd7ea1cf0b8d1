"""The note's figure 1: one user's probability after each join, with the jump."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.detect import UNRANKED, Detection
from gateway.joins import JoinLog
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
# A curve of fewer joins shows no history, one of more cannot be read.
FEWEST_JOINS, MOST_JOINS = 5, 20


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

    The top groups (flagged ones, else the best ranked) are gone through in order. From
    each, the joiner with the largest spike there is shown, among users with 5 to 20
    scored joins; by turns one who went on to join a target and one who did not, so that
    the picture does not show successes only. Equal jumps are ordered by name.

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
    rows = scores.prefixes
    user = rows.user()
    jump = scores.after - scores.before
    length = np.diff(rows.offsets)[user]
    usable = spike & (length >= FEWEST_JOINS) & (length <= MOST_JOINS)
    reached = _reached_target(joins, targets)
    picked: list[int] = []
    for group in _in_order(detection):
        if len(picked) == count:
            break
        wanted = len(picked) % 2 == 0
        at = np.flatnonzero(usable & (rows.group == group) & (reached[user] == wanted))
        at = at[~np.isin(user[at], picked)]
        if len(at):
            picked.append(int(user[at[np.lexsort((user[at], -jump[at]))[0]]]))
    parts = [
        _curve(panel, u, joins, targets, scores, detection, spike, role)
        for panel, u in enumerate(picked)
    ]
    return pa.concat_tables(parts) if parts else CURVES_SCHEMA.empty_table()


def _in_order(detection: Detection) -> npt.NDArray[np.int64]:
    """Flagged groups by rank; ranked ones if none is flagged."""
    ranked = detection.rank != UNRANKED
    among = np.flatnonzero(ranked & detection.flagged if detection.flagged.any() else ranked)
    return among[np.lexsort((among, detection.rank[among]))]


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
