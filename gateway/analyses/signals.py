"""R9: how the gateway score goes along with other signals about a group."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import pearsonr, spearmanr

from gateway.analyses.comparison import Row, compare
from gateway.analyses.published import CORRELATIONS, SIGNALS
from gateway.analyses.record import Record

__all__ = ["group_signals", "signal_correlations"]

TOLERANCE = 0.1
Float64 = npt.NDArray[np.float64]


def group_signals(record: Record) -> dict[str, Float64]:
    """Return the seven signals of every ranked group, as they stand at the end.

    - ``gateway_score``: of the workflow's run;
    - ``ci_ri_strikes``, ``ci_ri_severe_strikes``: strikes so far, of every kind;
    - ``num_nr_members``: members who are also in *another* group labelled non-rec (the
      note does not say what it counts; the simulator labels groups, no people);
    - ``group_demote``, ``non_amp``, ``non_rec``: 1 where the group has the label.
    """
    columns = (
        record.score,
        record.strikes.sum(axis=1),
        _members_of_others(record),
        record.severe.sum(axis=1),
        record.demoted < record.days,
        record.non_amp < record.days,
        record.is_non_rec,
    )
    among = record.ranked
    return {
        name: np.asarray(column[among], np.float64)
        for name, column in zip(SIGNALS, columns, strict=True)
    }


def _members_of_others(record: Record) -> npt.NDArray[np.int64]:
    """Members of each group who are in a non-rec group other than it, shape (n_groups,)."""
    joins, labelled = record.joins, record.is_non_rec
    user, hit = joins.user(), labelled[joins.group]
    count = np.bincount(user[hit], minlength=joins.n_users)
    others = count[user] - hit > 0
    return np.bincount(joins.group[others], minlength=joins.n_groups)


def signal_correlations(record: Record) -> pa.Table:
    """Return Pearson's and Spearman's correlation of each pair of signals over ranked groups.

    The note does not name its coefficient; tolerances are for Pearson's, the usual one.
    Intervals are by Fisher's z (1921), for Spearman's with the factor 1.06 (Fieller,
    Hartley, Pearson 1957); they take groups as independent and the score as given. NaN
    where a signal is the same for every group.
    """
    signals = group_signals(record)
    rows = [row for pair in combinations(SIGNALS, 2) for row in _rows(signals, pair)]
    return compare(sorted(rows, key=lambda row: row.quantity.endswith("spearman")))


def _rows(signals: dict[str, Float64], pair: tuple[str, str]) -> Iterator[Row]:
    x, y = (signals[name] for name in pair)
    tolerance = TOLERANCE if pair[0] == "gateway_score" else None
    for kind, measure, spread in (("pearson", pearsonr, 1.0), ("spearman", spearmanr, 1.06)):
        varies = len(x) > 3 and np.ptp(x) > 0 and np.ptp(y) > 0
        r = float(measure(x, y).statistic) if varies else math.nan
        published = CORRELATIONS.get(pair)
        judged = tolerance if kind == "pearson" else None
        yield Row(
            "R9", f"{pair[0]} and {pair[1]}: {kind}", r, _fisher(r, len(x), spread),
            published, judged,
        )  # fmt: skip


def _fisher(r: float, n: int, spread: float) -> tuple[float, float]:
    if math.isnan(r) or n <= 3 or abs(r) >= 1:
        return math.nan, math.nan
    half = 1.959964 * math.sqrt(spread / (n - 3))
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)
