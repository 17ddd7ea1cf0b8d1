"""R8, R9: labels of the top gateway groups, and how the score goes along with other signals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pyarrow as pa
from scipy.stats import pearsonr, spearmanr

from gateway.analyses.proportions import Share, difference, risk_ratio, wilson
from gateway.analyses.published import (
    CORRELATIONS,
    LABELLED_AFTER,
    LABELLED_TOP,
    SIGNALS,
    Row,
    compare,
)
from gateway.analyses.record import Record, until
from gateway.arrays import Float64, Int64, Mask
from gateway.tabular import schema_of, table_of

COUNT_TOLERANCE = 10.0
# Controls for each top group.
CONTROLS = 3

LABEL_TIMES_SCHEMA = schema_of(
    "groups string, day int32, labelled int64, n int64, workflow_day int32"
)


def labelled_gateways(record: Record) -> pa.Table:
    """Return R8.

    Labelled: by the end of the observation. After: on the day the workflow ran or later.
    The base rate is that of all other ranked groups; controls are ``matched`` to the top
    groups in members and in main topic: large groups collect more strikes, and the top holds
    harmful groups beside gateways. Counts are of the top groups, 100 in the note; their
    intervals are Wilson's, groups taken as independent. Of one world an excess says little:
    ``matched_excess`` of many gives its mean and spread.
    """
    day, top = record.non_rec, record.top
    others, controls = _others(record), matched(record)
    labelled = _labelled(record, top)
    after = _after(record, top)
    n = len(top)
    return compare(
        [
            Row("R8", "top gateway groups", float(n), published=100.0),
            Row("R8", "of them labelled non-rec", float(labelled.k), _times(n, wilson(labelled)),
                float(LABELLED_TOP), COUNT_TOLERANCE),
            Row("R8", "of these labelled after the workflow ran", float(after.k),
                _times(n, wilson(after)), float(LABELLED_AFTER), COUNT_TOLERANCE),
            Row("R8", "base rate: share labelled of all other ranked groups",
                _labelled(record, others).value, wilson(_labelled(record, others))),
            *_against("top", labelled, "matched controls", _labelled(record, controls)),
            *_against("top after the workflow", _unlabelled_before(record, top),
                      "controls after it", _unlabelled_before(record, controls)),
            *_days_to_label(day[top] - np.int64(record.workflow_day), day[top] < record.days),
        ]
    )  # fmt: skip


def label_times(record: Record) -> pa.Table:
    """Return how many were labelled by each day: top groups, their controls, all others.

    ``workflow_day`` is the same in every row: the day from which labels count as later.
    """
    parts = {"top": record.top, "controls": matched(record), "others": _others(record)}
    days = np.arange(record.days)
    tables = []
    for name, groups in parts.items():
        given = np.sort(record.non_rec[groups])
        labelled = np.searchsorted(given, days, side="right")
        same = (len(groups), record.workflow_day)
        columns = ([name] * record.days, days, labelled, *([x] * record.days for x in same))
        tables.append(table_of(LABEL_TIMES_SCHEMA, columns))
    return pa.concat_tables(tables)


def matched(record: Record) -> Int64:
    """Return up to three controls for each top group: ranked others of its topic, each once.

    They are the nearest in members when the workflow ran. Top groups choose in the order of
    their rank, the nearest of those not chosen yet; equals by name. Fewer where groups of a
    topic run out.
    """
    size = until(record.joins, record.workflow_day).sizes()
    free = _others(record)
    name = np.array(record.joins.groups.to_pylist(), object)
    free = free[np.argsort(name[free].astype(str))]
    chosen: list[int] = []
    for group in record.top:
        alike = np.flatnonzero(record.topic[free] == record.topic[group])
        order = np.argsort(np.abs(size[free[alike]] - size[group]), kind="stable")
        nearest = alike[order[:CONTROLS]]
        chosen.extend(free[nearest].tolist())
        free = np.delete(free, nearest)
    return np.array(chosen, np.int64)


def matched_excess(record: Record) -> tuple[float, tuple[float, float]]:
    """Return how much more often top groups are labelled than ``matched`` controls.

    The difference of shares and its 95 % interval (Newcombe), groups taken as independent.
    """
    top, controls = _labelled(record, record.top), _labelled(record, matched(record))
    return top.value - controls.value, difference(top, controls)


def _others(record: Record) -> Int64:
    return np.flatnonzero(record.ranked & ~record.is_top & ~record.is_target)


def _labelled(record: Record, groups: Int64) -> Share:
    return Share.of(record.is_non_rec[groups])


def _after(record: Record, groups: Int64) -> Share:
    day = record.non_rec[groups]
    return Share.of((day >= record.workflow_day) & (day < record.days))


def _unlabelled_before(record: Record, groups: Int64) -> Share:
    """Labelled after the workflow ran, of those not labelled before."""
    still = groups[record.non_rec[groups] >= record.workflow_day]
    return _labelled(record, still)


def _against(name: str, top: Share, other_name: str, other: Share) -> Iterator[Row]:
    yield Row("R8", f"share labelled: {other_name}", other.value, wilson(other))
    yield Row(
        "R8", f"share labelled: {name} minus {other_name}", top.value - other.value,
        difference(top, other),
    )  # fmt: skip
    yield Row("R8", f"share labelled: {name} over {other_name}", *risk_ratio(top, other))


def _days_to_label(delay: Int64, given: Mask) -> Iterator[Row]:
    late = delay[given & (delay >= 0)]
    quartiles = np.quantile(late, [0.5, 0.25, 0.75]) if len(late) else np.full(3, np.nan)
    yield Row("R8", "days from the workflow to the label: median (quartiles)",
              float(quartiles[0]), (float(quartiles[1]), float(quartiles[2])))  # fmt: skip


def _times(n: int, interval: tuple[float, float]) -> tuple[float, float]:
    return n * interval[0], n * interval[1]


CORRELATION_TOLERANCE = 0.1


def group_signals(record: Record) -> dict[str, Float64]:
    """Return the seven signals of every ranked group, as they stand at the end.

    - ``gateway_score``: of the workflow's run;
    - ``ci_ri_strikes``, ``ci_ri_severe_strikes``: strikes so far, of every kind;
    - ``num_nr_members``: members who are labelled non-rec themselves;
    - ``group_demote``: the score of the review for demotion, 0 without one;
    - ``non_amp``, ``non_rec``: 1 where the group has the label.
    """
    joins, days = record.joins, record.days
    flagged = (record.flagged < days)[joins.user()]
    columns = (
        record.score,
        record.strikes.sum(axis=1),
        np.bincount(joins.group[flagged], minlength=joins.n_groups),
        record.severe.sum(axis=1),
        record.demotion_by(days),
        record.non_amp < days,
        record.is_non_rec,
    )
    among = record.ranked
    return {
        name: np.asarray(column[among], np.float64)
        for name, column in zip(SIGNALS, columns, strict=True)
    }


def signal_correlations(record: Record) -> pa.Table:
    """Return Pearson's and Spearman's correlation of each pair of signals over ranked groups.

    The note does not name its coefficient; tolerances are for Pearson's, the usual one, of
    the fifteen cells that can be read.
    Intervals are by Fisher's z (1921), for Spearman's with the factor 1.06 (Fieller,
    Hartley, Pearson 1957); they take groups as independent and the score as given. NaN
    where a signal is the same for every group.
    """
    signals = group_signals(record)
    rows = [row for pair in combinations(SIGNALS, 2) for row in _rows(signals, pair)]
    return compare(sorted(rows, key=lambda row: row.quantity.endswith("spearman")))


def _rows(signals: dict[str, Float64], pair: tuple[str, str]) -> Iterator[Row]:
    x, y = (signals[name] for name in pair)
    for kind, measure, spread in (("pearson", pearsonr, 1.0), ("spearman", spearmanr, 1.06)):
        varies = len(x) > 3 and np.ptp(x) > 0 and np.ptp(y) > 0
        r = float(measure(x, y).statistic) if varies else math.nan
        published = CORRELATIONS.get(pair)
        judged = CORRELATION_TOLERANCE if kind == "pearson" and published is not None else None
        yield Row(
            "R9", f"{pair[0]} and {pair[1]}: {kind}", r, _fisher(r, len(x), spread),
            published, judged,
        )  # fmt: skip


def _fisher(r: float, n: int, spread: float) -> tuple[float, float]:
    if math.isnan(r) or n <= 3 or abs(r) >= 1:
        return math.nan, math.nan
    half = 1.959964 * math.sqrt(spread / (n - 3))
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)
