"""The truth about every group: planted, direct effect by replay, total effect by re-simulation."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gateway.arrays import Mask
from gateway.config.interventions import TruthSection
from gateway.counterfactual.chosen_groups import largest
from gateway.log.join_log import JoinLog
from gateway.simulate import History, measure_direct_effects, measure_leads, measure_total_effects
from gateway.talk import SILENT, Talk
from gateway.world import GATEWAYS
from gateway.world.model import groups_in_roles


def measure_truth(
    history: History,
    is_target: Mask,
    joins: JoinLog,
    *,
    section: TruthSection,
    leads: bool = False,
    talk: Talk = SILENT,
) -> pa.Table:
    """Return a row for each group: what it was planted as, and what its joins did.

    Parameters
    ----------
    is_target
        bool, shape (n_groups,): joins of these are counted.
    section
        Whose total effect is measured; of all others it is null.
    leads
        Whether to measure what came of recommendations and invitations because of each group.

    Returns
    -------
    pyarrow.Table
        ``direct_effect`` and ``total_effect`` are target joins per join of the group;
        null where they were not measured or nobody joined. With ``leads`` also
        ``lead_seed`` and ``lead_invited``: target joins in all that would not have been
        without recommendations, and without invitations, because of the group (``Leads``).
    """
    role = history.world.groups.role
    with talk.stage("replaying every join"):
        direct = measure_direct_effects(history, is_target)
    table = pa.table(
        {
            "group": joins.groups,
            "planted": pa.array(np.isin(role, GATEWAYS)),
            "direct_effect": pa.array(direct.effect, from_pandas=True),
            "direct_se": pa.array(direct.standard_error, from_pandas=True),
            "n_joins": pa.array(direct.n_joins),
        }
    )
    chosen = np.flatnonzero(_chosen(history, joins, section))
    effect, error = np.full((2, joins.n_groups), np.nan)
    if len(chosen):
        with talk.stage("living without one group after the other"):
            total = measure_total_effects(history, chosen, is_target)
        effect[chosen], error[chosen] = total.effect, total.standard_error
    table = table.append_column("total_effect", pa.array(effect, from_pandas=True))
    table = table.append_column("total_se", pa.array(error, from_pandas=True))
    if leads:
        with talk.stage("replaying recommendations and invitations"):
            led = measure_leads(history, is_target)
        columns = {"lead_seed": led.seed, "lead_seed_se": led.seed_error,
                   "lead_invited": led.invited, "lead_invited_se": led.invited_error}  # fmt: skip
        for name, values in columns.items():
            table = table.append_column(name, pa.array(values, from_pandas=True))
    return table


def _chosen(history: History, joins: JoinLog, section: TruthSection) -> Mask:
    in_roles = groups_in_roles(history.world.groups.role, section.total_roles)
    most_joined = largest(joins.sizes(), in_roles, section.total)
    named = pa.array(section.total_groups or (), pa.string())
    by_name = np.asarray(pc.is_in(joins.groups, value_set=named), np.bool_)
    return most_joined | by_name
