"""Arms of interventions, each lived through beside the factual platform, and what they changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gateway.analyses.judgement import VERDICTS
from gateway.arrays import Int64, Mask
from gateway.config import Config
from gateway.config.interventions import InterventionSection, OnGroupsSection
from gateway.counterfactual.chosen_groups import Known, choose_groups
from gateway.log.join_log import JoinLog, numbered_names
from gateway.simulate import (
    Comparison,
    History,
    Intervention,
    compare_runs,
    joins_by_user,
    paired_total,
)
from gateway.simulate.paired import memberships
from gateway.simulate.policies import as_intervention
from gateway.simulate.sources import SOURCE_TABLE
from gateway.tabular import schema_of
from gateway.talk import SILENT, Talk
from gateway.world import Role

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
    acting: Sequence[InterventionSection], policies: Sequence[Intervention], masks: Sequence[Mask]
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


# Two-sided 95 % of the normal distribution.
_Z = 1.959964


@dataclass(frozen=True, eq=False)
class Kinds:
    """What a join is to the question: bool, shape (n_groups,) each, together every group."""

    target: Mask  # groups of the target set
    harmful: Mask  # harmful groups outside of it: a join of them averted is no loss
    benign: Mask  # all others, gateways and look-alikes among them

    @classmethod
    def of(cls, history: History, is_target: Mask) -> Kinds:
        """Tell the groups of a simulated platform apart."""
        harmful = (history.world.groups.role == Role.TARGET) & ~is_target
        return cls(is_target, harmful, ~is_target & ~harmful)


def arm_row(here: History, there: History, found: Comparison, kinds: Kinds) -> dict[str, Any]:
    """Return the numbers of one arm: ``here`` the factual platform, ``there`` the other.

    Intervals are those of a sum of the users' paired differences, taken as independent;
    that of the share is conditional on the factual number of target joins.
    """
    lost = joins_by_user(here, kinds.benign) - joins_by_user(there, kinds.benign)
    factual = int(joins_by_user(here, kinds.target).sum())
    averted, lost_in_all = paired_total(found.averted), paired_total(lost)
    cost = cost_per_averted(found.averted, lost)
    return {
        "target_joins": factual,
        **_named("averted", averted),
        **_named("share_averted", [x / factual if factual else None for x in averted]),
        "benign_joins": int(joins_by_user(here, kinds.benign).sum()),
        **_named("benign_lost", lost_in_all),
        "harmful_averted": int((found.lost - lost).sum()),
        **_named("cost", cost),
        "n_diverged": int(found.diverged.sum()),
        "share_diverged": float(found.diverged.mean()),
    }


def _named(name: str, three: Any) -> dict[str, float | None]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), three, strict=True))


def cost_per_averted(averted: Int64, lost: Int64) -> tuple[float | None, ...]:
    """Return benign joins lost for each target join averted, and a 95 % interval.

    The interval is Fieller's (1954), "Some problems in interval estimation", from the
    users' paired differences; without limits, hence None, where the number averted is not
    clearly above zero. Where nothing was averted there is no cost per join: all None.

    Examples
    --------
    >>> cost_per_averted(np.array([1, 1, 0, 1]), np.array([2, 2, 0, 2]))[0]
    2.0
    """
    a, b = float(averted.sum()), float(lost.sum())
    if a <= 0:
        return None, None, None
    n = len(averted)
    ((vaa, vab), (_, vbb)) = n * np.cov(averted, lost)
    first, middle, last = a**2 - _Z**2 * vaa, a * b - _Z**2 * vab, b**2 - _Z**2 * vbb
    if first <= 0:
        return b / a, None, None
    half = np.sqrt(max(middle**2 - first * last, 0.0))
    return b / a, float((middle - half) / first), float((middle + half) / first)


def user_rows(here: History, there: History, found: Comparison, kinds: Kinds) -> dict[str, Any]:
    """Return what changed for each user of whom anything did."""
    lost = joins_by_user(here, kinds.benign) - joins_by_user(there, kinds.benign)
    user = np.flatnonzero(found.diverged)
    return {
        "user": numbered_names("u", user),
        "averted": pa.array(found.averted[user].astype(np.int32)),
        "benign_lost": pa.array(lost[user].astype(np.int32)),
        "harmful_averted": pa.array((found.lost - lost)[user].astype(np.int32)),
        "first_day": pa.array(found.first_day[user]),
    }


def source_rows(here: History, there: History, kinds: Kinds) -> list[dict[str, Any]]:
    """Return joins by source and kind of group on both platforms: what moved elsewhere."""
    rows = []
    for kind in ("target", "harmful", "benign"):
        counts = [_by_source(history, getattr(kinds, kind)) for history in (here, there)]
        for source, factual, other in zip(SOURCE_TABLE, *counts, strict=True):
            about = {"source": source.name, "mechanism": source.mechanism.name.lower()}
            rows.append({**about, "kind": kind, "factual": factual, "otherwise": other})
    return rows


def _by_source(history: History, of: Mask) -> list[int]:
    source = history.state.source[memberships(history, of)]
    return [int(n) for n in np.bincount(source, minlength=len(SOURCE_TABLE))]
