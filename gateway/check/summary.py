"""What all logs of a check say together: one row for each detector, kind of log and measure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.detect import Claim, Measure, measure_of
from gateway.detect.significance import clopper_pearson
from gateway.evaluate import mean_interval
from gateway.tabular import schema_of, table_of

CHECK_SCHEMA = schema_of(
    "detector string, claims string, holds_level bool, log string, where string, ratio float64, "
    "metric string, value float64, ci_low float64, ci_high float64, n int64"
)
NULLS = ("labels_permuted", "permuted_within_users")
ALLOWED = 0.05
"""Share of null logs in which a detector may call a group: its false-discovery rate."""
POWER = 0.8

_KEYS = ("detector", "log", "where", "ratio")
_Values = Mapping[str, npt.NDArray[np.float64]]
_Row = tuple[str, float, float, float, int]


def answers_to(claims: Claim) -> tuple[str, ...]:
    """Return the nulls in which a detector must call nobody.

    Where labels are permuted over all joins nothing is true. Where the groups of each user
    are permuted among that user's joins, association stays: whoever claims no more than
    that may call.
    """
    return NULLS[:1] if claims == "association" else NULLS


def fails(rows: Sequence[Mapping[str, Any]], detector: str) -> tuple[str, ...]:
    """Return the nulls that a detector answers to and fails, of the rows of a check.

    It fails one where it calls a group in so many logs that 1 in 20 is below the exact
    interval of the share.
    """
    return tuple(
        row["log"]
        for row in rows
        if row["detector"] == detector
        and row["metric"] == "share_of_logs_with_calls"
        and row["log"] in answers_to(row["claims"])
        and row["ci_low"] is not None
        and row["ci_low"] > ALLOWED
    )


def is_of_check(evaluation: pa.Table | None) -> bool:
    """Tell whether an evaluation, if there is one, is that of a sweep over logs of a check."""
    return evaluation is not None and "check.log" in evaluation.column_names


def summarise_check(
    evaluation: pa.Table, measures: Mapping[str, Measure] | None = None
) -> pa.Table:
    """Summarise what detectors said of the logs of a check.

    Parameters
    ----------
    evaluation
        A row for each log, detector and metric: ``log``, ``where``, ``ratio``, ``detector``,
        ``metric``, ``value``; in a sweep's table the first three are ``check.log`` and so on.
    measures
        What the numbers of detectors mean that are not registered.

    Returns
    -------
    pyarrow.Table
        Columns of ``CHECK_SCHEMA``, in the order of the logs. ``n`` counts logs, and planted
        groups or intervals where the value is a share of these. Metrics:

        ``share_of_logs_with_calls``
            Share of logs in which a group is flagged, with Clopper and Pearson's interval;
            ``share_of_logs_with_small_q`` the same of q below .05, for a detector that does
            not hold its level and therefore flags nobody.
        ``calls``
            Mean number of flagged groups.
        ``share_of_small_p``
            Share of p-values below .05, of all groups of all logs.
        ``coverage``
            Share of 95 % intervals that hold what is true: no effect where labels are
            permuted, the planted ratio among planted groups.
        ``calls_forwards``, ``calls_backwards``, ``calls_both_ways``, ``rank_correlation``
            Of the log as it is, and with time reversed.
        ``joins_added``
            Further target joins of a planted log, mean over logs; ``share_unplaced`` is the share
            of those drawn for which the user had no target left, so that the ratio is less than
            its name.
        ``power``, ``share_planted``, ``average_precision``, ``calls_elsewhere``
            Share of planted groups that are flagged; share of the flagged groups that are
            planted; the ranking against the planted groups, mean over logs; flagged groups that
            are not planted, of which some may be true.
        ``share_ranked``, ``precision_by_chance``
            Share of planted groups that the detector ranks at all; what the average precision
            would be if it ranked those groups in a random order, mean over logs.
        ``least_ratio``
            Ratio from which ``power`` is .8, interpolated between planted ratios on a
            logarithmic scale; null where none is reached.
    """
    names = {key: key if key in evaluation.column_names else f"check.{key}" for key in _KEYS}
    found: dict[tuple[Any, ...], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in evaluation.to_pylist():
        value = np.nan if row["value"] is None else float(row["value"])
        found[tuple(row[names[key]] for key in _KEYS)][row["metric"]].append(value)
    rows = []
    for (detector, log, where, ratio), lists in found.items():
        values = {metric: np.array(many) for metric, many in lists.items()}
        measure = (measures or {}).get(detector) or measure_of(detector)
        place = (where, float(ratio)) if log == "planted" else (None, None)
        head = (detector, measure.claims, measure.holds_level, log, *place)
        rows += [(*head, *said) for said in _rows_of(log, measure, values)]
    rows += _least_ratios(rows)
    return table_of(CHECK_SCHEMA, zip(*rows, strict=True))


def _null(values: _Values) -> list[_Row]:
    """Measures of a log in which a detector is right if it says nothing."""
    n = values["n_intervals"].sum()
    return [*_calls(values), *([_share("coverage", values["n_holding"].sum(), n)] if n else [])]


def _rows_of(log: str, measure: Measure, values: _Values) -> list[_Row]:
    if log in answers_to(measure.claims):
        return _null(values)
    return {"time_reversed": _reversed, "planted": _planted}.get(log, _calls)(values)


def _calls(values: _Values) -> list[_Row]:
    tested = values["n_tested"].sum()
    if not tested:
        return []
    n = len(values["n_flagged"])
    return [
        _share("share_of_logs_with_calls", (values["n_flagged"] > 0).sum(), n),
        _share("share_of_logs_with_small_q", (values["n_small_q"] > 0).sum(), n),
        _mean("calls", values["n_flagged"]),
        ("share_of_small_p", float(values["n_small_p"].sum() / tested), np.nan, np.nan, n),
    ]


def _reversed(values: _Values) -> list[_Row]:
    ways = ("forwards", "backwards", "both_ways") if values["n_tested"].any() else ()
    rows = [_mean(f"calls_{way}", values[f"n_{way}"]) for way in ways]
    return [*rows, _mean("rank_correlation", values["rank_correlation"])]


def _planted(values: _Values) -> list[_Row]:
    metric, mean, low, high, n = _mean("average_precision", values["average_precision"])
    # Student's interval knows no ends.
    low, high = (float(np.clip(end, 0.0, 1.0)) for end in (low, high))
    rows: list[_Row] = [(metric, mean, low, high, n)]
    if "precision_by_chance" in values:
        ranked, planted = values["n_planted_ranked"].sum(), values["n_planted"].sum()
        rows += [_share("share_ranked", ranked, planted),
                 _mean("precision_by_chance", values["precision_by_chance"])]  # fmt: skip
    if "n_added" in values:
        rows.append(_mean("joins_added", values["n_added"]))
        drawn = values["n_added"].sum() + values["n_unplaced"].sum()
        if drawn:
            rows.append(_share("share_unplaced", values["n_unplaced"].sum(), drawn))
    if values["n_tested"].any():
        n_found, n_flagged = values["n_found"].sum(), values["n_flagged"].sum()
        rows.append(_share("power", n_found, values["n_planted"].sum()))
        rows += [_share("share_planted", n_found, n_flagged)] if n_flagged else []
        rows.append(_mean("calls_elsewhere", values["n_flagged"] - values["n_found"]))
    if "n_planted_intervals" in values:
        holding, n = (values[f"n_planted_{what}"].sum() for what in ("holding", "intervals"))
        rows += [_share("coverage", holding, n)] if n else []
    return rows


def _share(metric: str, k: Any, n: Any) -> _Row:
    low, high = clopper_pearson(np.array([k]), np.array([n]))
    return metric, float(k / n) if n else np.nan, float(low[0]), float(high[0]), int(n)


def _mean(metric: str, values: npt.NDArray[np.float64]) -> _Row:
    value, low, high = mean_interval(values)
    return metric, value, low, high, int(np.count_nonzero(~np.isnan(values)))


def _least_ratios(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return for each detector and place the ratio from which the power is reached."""
    curves: dict[tuple[Any, ...], list[tuple[float, float]]] = defaultdict(list)
    for *key, ratio, metric, value, _, _, _ in rows:
        if metric == "power":
            curves[tuple(key)].append((ratio, value))
    return [
        (*key, None, "least_ratio", least_ratio(sorted(curve)), np.nan, np.nan, len(curve))
        for key, curve in curves.items()
    ]


def least_ratio(curve: Sequence[tuple[float, float]], *, power: float = POWER) -> float:
    """Return the ratio at which a curve of (ratio, power) first reaches a power.

    Between two ratios the power is a line over the logarithm; the first one stands for all
    below it. NaN where the power is never reached.

    Examples
    --------
    >>> round(least_ratio([(2.0, 0.4), (8.0, 1.0)]), 3)
    5.04
    """
    before: tuple[float, float] | None = None
    for ratio, reached in curve:
        if reached >= power:
            if before is None or reached == before[1]:
                return ratio
            share = (power - before[1]) / (reached - before[1])
            return float(before[0] * (ratio / before[0]) ** share)
        before = (ratio, reached)
    return float("nan")
