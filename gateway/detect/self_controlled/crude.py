"""Target joins alone, one group at a time, nothing adjusted: what can be counted by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.detect.self_controlled.cases import list_events, pairs_of
from gateway.detect.self_controlled.options import SelfControlledOptions, windows_in
from gateway.log.join_log import JoinLog
from gateway.targets import TargetSet

__all__ = ["Crude", "count_crudely"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Crude:
    """Counts of every group; arrays of shape (n_groups,).

    Parameters
    ----------
    observed, expected
        Target joins of joiners while exposed, and their mean without any effect.
    n_cases, n_after
        Joiners with a target join, and with one while exposed.
    pre_ratio
        Target joins in the window before the join over those expected from the time
        before it; NaN without a window. Far above 1, the join follows what it should
        cause.
    """

    observed: Float64
    expected: Float64
    n_cases: Int64
    n_after: Int64
    pre_ratio: Float64


def count_crudely(joins: JoinLog, targets: TargetSet, options: SelfControlledOptions) -> Crude:
    """Count target joins around the joins of every group."""
    events = list_events(joins, targets.mask, first_only=options.first_only)
    risk, before = windows_in(options, joins.tick)
    pairs, pre = pairs_of(joins, events, ~targets.mask, risk_window=risk, pre_window=before)
    n = joins.n_groups
    near = _sums(pre.group, pre.after, n)
    usual = _sums(pre.group, pre.events * pre.share, n)
    return Crude(
        observed=_sums(pairs.group, pairs.after, n),
        expected=_sums(pairs.group, pairs.events * pairs.share, n),
        n_cases=np.bincount(pairs.group, minlength=n).astype(np.int64),
        n_after=np.bincount(pairs.group, pairs.after > 0, minlength=n).astype(np.int64),
        pre_ratio=np.divide(near, usual, out=np.full(n, np.nan), where=usual > 0),
    )


def _sums(group: Int64, value: Float64, n_groups: int) -> Float64:
    return np.bincount(group, value, minlength=n_groups).astype(np.float64)
