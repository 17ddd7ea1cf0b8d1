"""A few permutations of each null beside every run on a log: a detector that fails is marked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gateway.check.rearranging import permute_labels, permute_within_users, sample_users
from gateway.check.summary import ALLOWED, NULLS, answers_to
from gateway.check.words import LOGS
from gateway.detect import Detection, Measure
from gateway.detect.intervals import clopper_pearson
from gateway.errors import GatewayError
from gateway.log.join_log import JoinLog
from gateway.targets import TargetSet

__all__ = ["PERMUTED", "PERMUTED_SCHEMA", "Permuted", "permute_few"]

PERMUTED = 3
"""Permutations of each null: two that call of three refute a level, none shows that it is held."""

PERMUTED_SCHEMA = pa.schema(
    [
        ("detector", pa.string()),
        ("log", pa.string()),
        ("n_logs", pa.int64()),
        ("n_with_calls", pa.int64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
        ("fails", pa.bool_()),
        ("n_users", pa.int64()),
    ]
)
"""Columns of ``Permuted.to_arrow``: the last is the number of users of each log."""

# Joins of all permuted logs together, so that they take no more than a tenth of a run: so many,
# which cost less than figures and report, and this share of the log's own.
_FREE, _SHARE = 20_000, 0.05

RunSome = Callable[[JoinLog, TargetSet, Sequence[str]], Mapping[str, Detection]]
"""Runs some detectors on a log; findings by name."""


@dataclass(frozen=True)
class Permuted:
    """What detectors say of a few permuted logs.

    Parameters
    ----------
    calls
        Whether each log holds a call, by detector and null, of the nulls that it answers to.
    n_users, of_users
        Users of each permuted log, and of the log itself.
    unusable
        Why a permuted log could not be used, where one could not.
    """

    calls: Mapping[tuple[str, str], Sequence[bool]]
    n_users: int
    of_users: int
    unusable: str | None = None

    def to_arrow(self) -> pa.Table:
        """Return a row for each detector and null, with Clopper and Pearson's interval."""
        rows = []
        for (detector, log), calls in self.calls.items():
            low, high = clopper_pearson(np.array([sum(calls)]), np.array([len(calls)]))
            rows.append({
                "detector": detector, "log": log, "n_logs": len(calls),
                "n_with_calls": sum(calls), "ci_low": float(low[0]), "ci_high": float(high[0]),
                "fails": bool(low[0] > ALLOWED), "n_users": self.n_users,
            })  # fmt: skip
        return pa.Table.from_pylist(rows, schema=PERMUTED_SCHEMA)

    @property
    def failing(self) -> frozenset[str]:
        """Detectors that call in more than 1 log in 20, by the exact interval."""
        return frozenset(row["detector"] for row in self.to_arrow().to_pylist() if row["fails"])

    def line(self) -> str:
        """Return what was found, in a line; empty where no detector flags anything."""
        if self.unusable is not None:
            return f"permuted logs cannot be used: {self.unusable}"
        rows = self.to_arrow().to_pylist()
        if not rows:
            return ""
        users = f"{self.n_users:,} users"
        if self.n_users < self.of_users:
            users = f"{self.n_users:,} of {self.of_users:,} users"
        said = []
        for log in NULLS:
            mine = [
                f"{row['detector']} calls in {row['n_with_calls']} of {row['n_logs']}"
                for row in rows
                if row["log"] == log
            ]
            said += [f"{LOGS[log]}: {', '.join(mine)}"] if mine else []
        failing = sorted(self.failing)
        if failing:
            end = (
                f"{', '.join(failing)}: more than 1 log in 20, so flags are marked as not held"
            )
        else:
            most = max(row["ci_high"] for row in rows)
            end = (
                f"so few allow for calls in up to {100 * most:.0f} % of such logs; gateway check "
                "tells more"
            )
        return f"nothing to find ({users}): {'; '.join(said)} ({end})"


def permute_few(
    joins: JoinLog,
    targets: TargetSet,
    *,
    measures: Sequence[Measure],
    run: RunSome,
    seed: int,
    count: int = PERMUTED,
) -> Permuted:
    """Let detectors look at a few logs in which there is nothing for them to find.

    Each sees the nulls that it answers to: labels permuted over all joins, and, if it claims
    more than association, the groups of each user permuted among that user's joins. On a large
    log each permutation is of other users, drawn by name, and of so few that all together hold
    a twentieth of the log's joins and some thousands more. A level that fails on such a sample
    fails; one that is not seen to fail may do so on the whole log, where more is tested.

    Parameters
    ----------
    joins, targets
        The log and the target set.
    measures
        Of the detectors; one that flags nobody is left out.
    run
        Runs some of them.
    seed
        Of the first permutation of each null.
    count
        Permutations of each null.
    """
    some = [one for one in measures if one.test and one.holds_level]
    room = (_FREE + _SHARE * joins.n_joins) / max(count * len(NULLS), 1)
    share = min(1.0, room / max(joins.n_joins, 1))
    n_users = max(2, int(share * joins.n_users))
    calls: dict[tuple[str, str], list[bool]] = {}
    try:
        for log, permute in zip(NULLS, (permute_labels, permute_within_users), strict=True):
            names = [one.detector for one in some if log in answers_to(one)]
            for i in range(count if names else 0):
                sample = sample_users(joins, n_users, seed=seed + i)
                found = run(permute(sample, seed=seed + i).joins, targets, names)
                for name in names:
                    calls.setdefault((name, log), []).append(bool(found[name].flagged.any()))
    except GatewayError as error:
        return Permuted({}, n_users, joins.n_users, str(error))
    return Permuted(calls, min(n_users, joins.n_users), joins.n_users)
