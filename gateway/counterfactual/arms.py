"""Arms of interventions, each lived through beside the factual platform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from gateway.analyses.judgement import VERDICTS
from gateway.arrays import Mask
from gateway.config import Config
from gateway.config.interventions import (
    InterventionSection,
    OnGroupsSection,
)
from gateway.counterfactual.chosen_groups import Known, choose_groups
from gateway.counterfactual.outcome import Kinds, arm_row, source_rows, user_rows
from gateway.log.join_log import JoinLog
from gateway.simulate import History, Intervention, compare_runs
from gateway.simulate.policies import as_intervention
from gateway.tabular import schema_of
from gateway.talk import SILENT, Talk

_NUMBERS = ("averted", "share_averted", "benign_lost", "cost")
_ARM_SCHEMA = pa.schema({
    "arm": "string", "acts": "string", "first_day": "int32",
    **dict.fromkeys(("n_groups", "target_joins", "benign_joins"), "int64"),
    **{f"{name}{end}": "float64" for name in _NUMBERS for end in ("", "_low", "_high")},
    "harmful_averted": "int64", "n_diverged": "int64", "share_diverged": "float64",
})  # fmt: skip
_SOURCE_SCHEMA = schema_of(
    "arm string, source string, mechanism string, kind string, factual int64, otherwise int64"
)


def live_arms(
    config: Config,
    history: History,
    joins: JoinLog,
    is_target: Mask,
    *,
    gateways: pa.Table,
    truth: pa.Table,
    talk: Talk = SILENT,
) -> dict[str, pa.Table]:
    """Live through every arm of a config, all draws shared with the factual platform.

    Parameters
    ----------
    config
        Its ``interventions`` say what acts; those of one arm act together.
    is_target
        bool, shape (n_groups,): the target set, that of the factual run in every arm.
    gateways, truth
        Findings of this run's detectors and its direct effects, from which an arm may
        choose its groups: both have seen what came after its start.

    Returns
    -------
    dict
        ``interventions`` (a row for each arm), ``intervention_sources`` (joins by source
        on both platforms), ``intervention_users`` (only those of whom anything differs)
        and ``intervention_groups`` (what was acted on); empty without interventions.
    """
    sections = arm_sections(config)
    if not sections:
        return {}
    known = Known(joins.groups, history.world.groups.role, joins.sizes(), gateways, truth)
    kinds = Kinds.of(history, is_target)
    arms = [_live_arm(*arm, history, known, kinds, talk) for arm in sections.items()]
    return {name: pa.concat_tables([arm[name] for arm in arms]) for name in arms[0]}


def _live_arm(
    name: str,
    acting: Sequence[InterventionSection],
    history: History,
    known: Known,
    kinds: Kinds,
    talk: Talk,
) -> dict[str, pa.Table]:
    """Live through one arm; its part of every table."""
    masks = [acted_on(section, known) for section in acting]
    first = history.world.section.start
    senders = history.invitations.super_inviters(len(history.world.users))
    policies = tuple(
        as_intervention(one, mask, first=first, super_inviters=senders)
        for one, mask in zip(acting, masks, strict=True)
    )
    with talk.stage(f"living through arm {name}", history.world.days) as advance:
        found, other = compare_runs(
            history, policies, kinds.target, progress=lambda day: advance(day + 1)
        )
    row = _about(acting, policies, masks) | arm_row(history, other, found, kinds)
    sources = source_rows(history, other, kinds)
    groups = [_group_rows(name, *pair, known) for pair in zip(acting, masks, strict=True)]
    return {
        "interventions": pa.Table.from_pylist([{"arm": name, **row}], schema=_ARM_SCHEMA),
        "intervention_sources": pa.Table.from_pylist(
            [{"arm": name, **source} for source in sources], schema=_SOURCE_SCHEMA
        ),
        "intervention_users": _under(name, user_rows(history, other, found, kinds)),
        "intervention_groups": pa.concat_tables(groups),
    }


def arm_sections(config: Config) -> dict[str, list[InterventionSection]]:
    """Return the interventions of each arm, arms by name."""
    names = sorted({section.arm for section in config.interventions})
    return {name: [one for one in config.interventions if one.arm == name] for name in names}


def acted_on(section: InterventionSection, known: Known) -> Mask:
    """Return the groups that an intervention acts on; a cap acts on people, not on groups."""
    if isinstance(section, OnGroupsSection):
        return choose_groups(section, known)
    return np.zeros(len(known.role), np.bool_)


def _about(
    acting: Sequence[InterventionSection],
    policies: Sequence[Intervention],
    masks: Sequence[Mask],
) -> dict[str, Any]:
    """Say what acts, on how many groups, and from when on."""
    said = [_say(*three) for three in zip(acting, policies, masks, strict=True)]
    return {
        "acts": "; ".join(said),
        "first_day": min(policy.start for policy in policies),
        "n_groups": int(np.logical_or.reduce(masks).sum()),
    }


def _say(section: InterventionSection, policy: Intervention, mask: Mask) -> str:
    measure = getattr(section, "most", getattr(section, "share", None))
    strength = "" if measure is None else f" {measure:g}"
    kind = section.kind.replace("_", " ")
    on = " by super-inviters" if getattr(section, "senders", "all") != "all" else ""
    if isinstance(section, OnGroupsSection):
        on += f" on {_say_set(section)} ({mask.sum():,})"
    return f"{kind}{strength}{on} from day {policy.start}"


def _say_set(section: OnGroupsSection) -> str:
    """Name a set of groups in a few words."""
    top = "" if section.top is None else f", top {section.top}"
    if section.roles is not None:
        return " and ".join(section.roles).replace("_", "-") + top
    if section.names is not None:
        return "named groups"
    if section.verdict is not None:
        return f"verdict, {VERDICTS[section.verdict]}"
    if section.oracle is not None:
        return f"oracle by {section.oracle.replace('_', ' ')}{top}"
    chosen = ", flagged" if section.flagged else top
    earlier = "" if section.from_result is None else " of an earlier run"
    return f"{section.detector or section.from_detector}{earlier}{chosen}"


def _under(name: str, columns: dict[str, Any]) -> pa.Table:
    table = pa.table(columns)
    return table.add_column(0, "arm", pa.array([name] * table.num_rows, pa.string()))


def _group_rows(name: str, section: InterventionSection, mask: Mask, known: Known) -> pa.Table:
    chosen = known.names.filter(pa.array(mask))
    return _under(name, {"kind": pa.array([section.kind] * len(chosen), pa.string()),
                         "group": chosen})  # fmt: skip
