"""What to act on with a budget of so many groups or edges, and what that averts and costs.

Each group gets the measures that its verdict points to: a seed filter where it leads by
recommendation, friction on invitations to its members where it leads by invitation, demotion
where it changes people. What a measure is expected to avert is the attributable number of
target joins: events x (1 - 1 / ratio), in the form that is called.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gateway.analyses import judge_groups
from gateway.analyses.judgement import speaker_for
from gateway.arrays import Mask
from gateway.counterfactual.arms import Kinds, arm_row
from gateway.log.join_log import JoinLog
from gateway.simulate import (
    Demotion,
    EdgeFilter,
    GysjSeedFilter,
    History,
    Intervention,
    InviteFriction,
    compare_runs,
)

_MEASURES = {"recommends": "seed_filter", "invites": "friction", "changes": "demotion"}
PLAN = pa.schema(
    {"group": "string", **dict.fromkeys(_MEASURES.values(), "bool"), "averted": "float64"}
)
"""Columns of ``plan_groups``."""


def plan_groups(gateways: pa.Table) -> pa.Table:
    """Return the groups that a verdict calls, with their measures, those that avert most first.

    Parameters
    ----------
    gateways
        As ``Detection.to_arrow`` of each detector, ``edges`` among them, one below the other.

    Returns
    -------
    pyarrow.Table
        ``group``, whether each measure is taken, and ``averted``: the target joins that would
        not have been, by the log's own estimates, the measures of a group added up. Equals
        stand by name.
    """
    change = speaker_for(set(gateways["detector"].unique().to_pylist()), "change")
    by = {
        name: {row["group"]: row for row in of.to_pylist()}
        for name in ("edges", change or "")
        for of in [gateways.filter(pc.equal(gateways["detector"], name))]
    }
    judged = judge_groups(gateways)
    rows = []
    for said in [] if judged is None else judged.to_pylist():
        taken = {measure: said[verdict] for verdict, measure in _MEASURES.items()}
        if not any(taken.values()):
            continue
        averted = said["averted"] or 0.0
        if taken["demotion"]:
            found = by[change or ""][said["group"]]
            averted += found["n_events"] * max(0.0, 1.0 - 1.0 / found["estimate"])
        rows.append({"group": said["group"], **taken, "averted": averted})
    rows.sort(key=lambda row: (-row["averted"], row["group"]))
    return pa.Table.from_pylist(rows, schema=PLAN)


def plan_edges(gateways: pa.Table, joins: JoinLog, is_target: Mask) -> pa.Table:
    """Return the pairs of seed and target by how many target joins came that way.

    Of the seeds that lead by recommendation alone: an edge is a recommendation of a target
    because of a group, and ``averted`` the joins through it x (1 - 1 / the seed's ratio).

    Returns
    -------
    pyarrow.Table
        ``seed``, ``group`` (names), ``averted``; most first, equals by name.
    """
    judged, names = judge_groups(gateways), joins.groups.to_pylist()
    rows = [] if judged is None else judged.filter(judged["recommends"]).to_pylist()
    share = {row["group"]: max(0.0, 1.0 - 1.0 / row["seed_ratio"]) for row in rows}
    if joins.seed_group is None or not share:
        return pa.table({"seed": pa.array([], pa.string()), "group": pa.array([], pa.string()),
                         "averted": pa.array([], pa.float64())})  # fmt: skip
    led = (joins.seed_group >= 0) & is_target[joins.group]
    if joins.inviter is not None:
        led &= joins.inviter < 0
    count = Counter(zip(joins.seed_group[led].tolist(), joins.group[led].tolist(), strict=True))
    edges = [
        {"seed": names[seed], "group": names[group], "averted": n * share[names[seed]]}
        for (seed, group), n in count.items()
        if names[seed] in share
    ]
    edges.sort(key=lambda edge: (-edge["averted"], edge["seed"], edge["group"]))
    return pa.Table.from_pylist(edges)


def live_plan(
    history: History,
    is_target: Mask,
    plan: pa.Table,
    *,
    budget: int,
    start: int,
    demotion: float = 0.8,
) -> dict[str, Any]:
    """Live through a plan beside the factual platform, all other draws shared.

    Parameters
    ----------
    history
        The factual platform, of whose log the plan was made.
    is_target
        bool, shape (n_groups,).
    start
        Day from which the measures act; edges are filtered from day 0 on.
    demotion
        Share of impressions by which a group that changes people is passed over.

    Returns
    -------
    dict
        ``n`` acted on, ``promised`` (the plan's own sum), and as in ``interventions.parquet``
        ``averted``, ``benign_lost``, ``cost`` and the others with paired 95 % intervals.
    """
    chosen = plan.slice(0, budget)
    acting = tuple(_acting(history, chosen, start, demotion))
    found, other = compare_runs(history, acting, is_target)
    return {
        "n": chosen.num_rows,
        "promised": float(pc.sum(chosen["averted"]).as_py() or 0.0),
        **arm_row(history, other, found, Kinds.of(history, is_target)),
    }


def _acting(history: History, chosen: pa.Table, start: int, demotion: float) -> list[Intervention]:
    names = history.world.group_names

    def ids(column: str) -> Any:
        wanted = pa.array(chosen[column].to_pylist(), pa.string())
        return pc.index_in(wanted, value_set=names).to_numpy(zero_copy_only=False).astype(np.int64)

    if "seed" in chosen.column_names:
        return [EdgeFilter(ids("seed"), ids("group"))]
    groups = ids("group")
    acts = {measure: np.zeros(len(names), np.bool_) for measure in _MEASURES.values()}
    for measure in _MEASURES.values():
        acts[measure][groups[np.asarray(chosen[measure].to_pylist(), np.bool_)]] = True
    return [
        GysjSeedFilter(start, acts["seed_filter"]),
        InviteFriction(start, acts["friction"], 1.0),
        Demotion(start, acts["demotion"], demotion),
    ]
