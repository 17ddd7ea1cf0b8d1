"""What an arm changed: its row, and its users, sources and groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gateway.arrays import Int64, Mask
from gateway.log.join_log import numbered_names
from gateway.simulate import Comparison, History, joins_by_user, paired_total
from gateway.simulate.occasion_kernels import UNCONFIRMED
from gateway.simulate.sources import SOURCE_TABLE
from gateway.world import Role

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
    state = history.state
    counted = (state.group >= 0) & (state.source < UNCONFIRMED)
    counted[counted] = of[state.group[counted]]
    return [int(n) for n in np.bincount(state.source[counted], minlength=len(SOURCE_TABLE))]
