"""Why a group is ranked where it is: everything that is known of its joiners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gateway.analyses.look_alike import Histories, OddsRatio, common_odds_ratio
from gateway.arrays import Float64, Int64, Mask
from gateway.detect import UNRANKED, Detection
from gateway.errors import GatewayError, Problem, shown, unknown
from gateway.log.join_log import JoinLog
from gateway.score import Scores
from gateway.tabular import schema_of, table_of
from gateway.targets import TargetSet

REACH = 10
MOST_NEXT = 10
EVENT_STUDY_SCHEMA = schema_of(
    "group string, offset int32, n_users int64, mean float64, ci_low float64, ci_high float64"
)
NEXT_GROUPS_SCHEMA = schema_of(
    "group string, next_group string, is_target bool, n_joins float64, share float64, lift float64"
)
EXPLANATIONS_SCHEMA = schema_of(
    "detector string, rank int32, group string, n_joiners int64, n_events int64, observed int64, "
    "expected float64, p_before float64, p_after float64, n_informative int64, "
    "joins_before int64, joins_after int64, targets_before int64, targets_after int64, "
    "targets_expected float64, odds_ratio float64, ci_low float64, ci_high float64, "
    "next_group string, next_lift float64"
)


@dataclass(frozen=True, eq=False)
class Explanation:
    """What is known of one group's joiners."""

    group: str
    n_members: int  # all who ever joined it
    n_joiners: int  # those of them who were at risk: before their first target join
    n_events: int  # those of them whose probability spiked at the join
    # Joiners whose outcome is known, how many of them joined a target, and how many were expected
    # from the joins before.
    n_resolved: int
    observed: int
    expected: float
    # Target joins after the join against those before it, within the same users.
    look_alike: OddsRatio
    event_study: pa.Table  # mean probability around the join, ``EVENT_STUDY_SCHEMA``
    next_groups: pa.Table  # where joiners go next, ``NEXT_GROUPS_SCHEMA``


def explain_group(
    joins: JoinLog,
    targets: TargetSet,
    scores: Scores,
    spike: Mask,
    *,
    group: str,
    histories: Histories | None = None,
) -> Explanation:
    """Collect what is known of a group's joiners.

    *Event study.* The mean over joiners at risk of P(target | joins so far) at the end of
    each of up to 10 tie blocks before the join's own (offset 0) and after it, with normal
    95 % intervals. Users with short histories are missing at the far offsets, and whoever
    joins a target leaves the curve there.

    *Look-alike check.* Of a group that merely attracts people who join targets anyway, the
    joins that a joiner makes after it are of targets as often as those before it: an odds
    ratio of 1 (``common_odds_ratio``). All who joined the group count, at risk or not, but
    not their joins in the tick of that join. A ratio off 1 can also come from time itself:
    targets that grow, or users whose first joins are of another kind than their later
    ones. ``self_controlled`` takes the calendar into account; this check takes neither.

    *Next groups.* The groups most often joined next, by transitions with ties averaged
    (``Chain``); lift is their share among next joins over that among all next joins, and
    the first target join counts as one "group".

    Parameters
    ----------
    spike
        bool, shape (n_rows of the scores,), from ``find_spikes``.
    histories
        Those of the log's joins at risk; None builds them.

    Raises
    ------
    GatewayError
        If the log has no such group, or it is a target.
    """
    g = _group_id(joins, targets, group)
    rows = scores.prefixes
    histories = histories or Histories(joins, targets, rows)
    mine = np.flatnonzero(rows.group == g)
    resolved = mine[rows.resolved[mine]]
    return Explanation(
        group=group,
        n_members=int(np.count_nonzero(joins.group == g)),
        n_joiners=len(mine),
        n_events=int(np.count_nonzero(spike[mine])),
        n_resolved=len(resolved),
        observed=int(np.count_nonzero(rows.label[resolved] == 1)),
        expected=float(scores.expected[resolved].sum()),
        look_alike=_look_alike(histories, g),
        event_study=_event_study(histories, scores.at_end, mine, group),
        next_groups=_next_groups(histories, g),
    )


def explain_top(
    joins: JoinLog,
    targets: TargetSet,
    scores: Scores,
    spike: Mask,
    detection: Detection,
    *,
    count: int,
) -> pa.Table:
    """Explain the first groups of a ranking, a row each, ``EXPLANATIONS_SCHEMA``.

    ``p_before`` and ``p_after`` are the means of the event study at offsets -1 and 0, over
    the joiners who have a block there; ``next_group`` is the group most often
    joined next (target joins aside).
    """
    histories, names = Histories(joins, targets, scores.prefixes), joins.groups
    ranked = np.flatnonzero(detection.rank != UNRANKED)
    first = ranked[np.lexsort((ranked, detection.rank[ranked]))][:count]
    rows = []
    for g in first:
        name = names[int(g)].as_py()
        why = explain_group(joins, targets, scores, spike, group=name, histories=histories)
        rows.append({"detector": detection.detector, "rank": int(detection.rank[g]), **_brief(why)})
    return pa.Table.from_pylist(rows, schema=EXPLANATIONS_SCHEMA)


def _brief(why: Explanation) -> dict[str, Any]:
    mean = {row["offset"]: row["mean"] for row in why.event_study.to_pylist()}
    onward: dict[str, Any] = next(
        (row for row in why.next_groups.to_pylist() if not row["is_target"]), {}
    )
    check = why.look_alike
    return {
        "group": why.group,
        "n_joiners": why.n_joiners,
        "n_events": why.n_events,
        "observed": why.observed,
        "expected": why.expected,
        "p_before": mean.get(-1),
        "p_after": mean.get(0),
        "n_informative": check.n_informative,
        "joins_before": check.joins_before,
        "joins_after": check.joins_after,
        "targets_before": check.targets_before,
        "targets_after": check.targets_after,
        "targets_expected": check.expected,
        "odds_ratio": _known(check.ratio),
        "ci_low": _known(check.ci_low),
        "ci_high": _known(check.ci_high),
        "next_group": onward.get("next_group"),
        "next_lift": onward.get("lift"),
    }


def _known(x: float) -> float | None:
    return None if np.isnan(x) else x


def _group_id(joins: JoinLog, targets: TargetSet, group: str) -> int:
    g = int(joins.groups.index(group).as_py())
    if g < 0:
        raise unknown("group", "must be a group of the log", group, joins.groups.to_pylist())
    if targets.mask[g]:
        raise GatewayError(str(Problem("group", "must not be a target group", shown(group))))
    return g


def _event_study(histories: Histories, at_end: Float64, mine: Int64, group: str) -> pa.Table:
    """Mean of ``at_end`` by block before and after the block of each row of ``mine``."""
    block, user, last = histories.block(mine), histories.user(mine), histories.last
    found: list[tuple[object, ...]] = []
    for offset in range(-REACH, REACH + 1):
        there = block + offset
        inside = (there >= 0) & (there < len(last))
        row = last[there[inside]]
        p = at_end[row[histories.user(row) == user[inside]]]
        if len(p) == 0:
            continue
        mean = float(p.mean())
        half = 1.96 * float(p.std(ddof=1)) / np.sqrt(len(p)) if len(p) > 1 else np.nan
        found.append((group, offset, len(p), mean, mean - half, mean + half))
    columns = zip(*found, strict=True) if found else [()] * len(EVENT_STUDY_SCHEMA)
    return table_of(EVENT_STUDY_SCHEMA, columns)


def _look_alike(histories: Histories, g: int) -> OddsRatio:
    before, after, targets_before, targets_after = histories.around(g)
    return common_odds_ratio(
        joins_before=before,
        joins_after=after,
        targets_before=targets_before,
        targets_after=targets_after,
    )


def _next_groups(histories: Histories, g: int) -> pa.Table:
    mine, everybody = histories.next_of(g), histories.next_of_all
    total, whole = mine.sum(), everybody.sum()
    top = np.lexsort((np.arange(len(mine)), -mine))[:MOST_NEXT]
    top = top[mine[top] > 0]
    names = [*histories.joins.groups.to_pylist(), None]
    share = mine[top] / total if total > 0 else mine[top]
    columns = [
        [names[g]] * len(top),
        [names[i] for i in top],
        (top == len(mine) - 1).tolist(),
        mine[top],
        share,
        share / (everybody[top] / whole),
    ]
    return table_of(NEXT_GROUPS_SCHEMA, columns)
