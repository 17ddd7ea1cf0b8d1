"""A few permuted logs beside every run on a log: a detector that fails is marked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gateway.check.rearranging import permute_labels, permute_within_users, sample_users
from gateway.check.summary import ALLOWED, NULLS, answers_to
from gateway.check.words import LOGS
from gateway.detect import Detection, Measure
from gateway.detect.measure import words_of
from gateway.detect.significance import clopper_pearson
from gateway.errors import GatewayError
from gateway.log.join_log import JoinLog
from gateway.tabular import schema_of
from gateway.targets import TargetSet

PERMUTED = 2
"""Permutations of each null. Calls in both refute a level of 1 in 20 (a detector that holds it
calls in both of 400 pairs); no number so small can show that it is held."""

PERMUTED_SCHEMA = schema_of(
    "detector string, log string, n_logs int64, n_with_calls int64, ci_low float64, "
    "ci_high float64, fails bool, n_users int64"
)
"""Columns of ``Permuted.to_arrow``: the last is the number of users of each log."""

# Joins of a permuted log: so many, which cost little beside figures and report, and this part of
# the log's own. With two of each null they are to take about a tenth of a run.
_FEW, _PART = 2_000, 50

RunSome = Callable[[JoinLog, TargetSet, Sequence[str]], Mapping[str, Detection]]
"""Runs some detectors on a log; findings by name."""


@dataclass(frozen=True)
class Permuted:
    """What detectors say of a few permuted logs.

    Parameters
    ----------
    calls
        Whether each log holds a call, by detector and null.
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
                f"{words_of(row['detector'])} calls in {row['n_with_calls']} of {row['n_logs']}"
                for row in rows
                if row["log"] == log
            ]
            said += [f"{LOGS[log]}, {', '.join(mine)}"] if mine else []
        if self.failing:
            names = ", ".join(map(words_of, sorted(self.failing)))
            end = f"{names}: in more than 1 log of 20, so its flags are marked as not held"
        else:
            most = max(row["ci_high"] for row in rows)
            end = f"still {100 * most:.0f} % of such logs may have calls: see gateway check"
        return f"where nothing is to be found ({users}): {'; '.join(said)} ({end})"


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

    Each sees the strictest null that it answers to: labels permuted over all joins, or, if it
    claims more than association, the groups of each user permuted among that user's joins (a
    permutation over all joins is one of these, of random groups). On a large log each
    permutation is of other users, drawn by name, with a fiftieth of the log's joins and some
    thousands more. A level that fails on such a sample fails; one that is not seen to fail may
    do so on the whole log, where more is tested.

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
    room = _FEW + joins.n_joins // _PART
    n_users = min(joins.n_users, max(2, room * joins.n_users // max(joins.n_joins, 1)))
    calls: dict[tuple[str, str], list[bool]] = {}
    try:
        for log, permute in zip(NULLS, (permute_labels, permute_within_users), strict=True):
            names = [one.detector for one in some if log == answers_to(one.claims)[-1]]
            for i in range(count if names else 0):
                sample = sample_users(joins, n_users, seed=seed + i)
                found = run(permute(sample, seed=seed + i).joins, targets, names)
                for name in names:
                    calls.setdefault((name, log), []).append(bool(found[name].flagged.any()))
    except GatewayError as error:
        return Permuted({}, n_users, joins.n_users, str(error))
    return Permuted(calls, n_users, joins.n_users)
