"""Means over independent worlds: of one config's replicates, and over the points of a sweep."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import binomtest, t

from gateway.arrays import Float64
from gateway.errors import GatewayError, Problem
from gateway.evaluate.ranking import EVALUATION_SCHEMA

# Where nothing is true a share of false calls is 1 as soon as there is a call.
BINARY = "false_share"


def mean_interval(
    values: Float64, *, binary: bool = False, level: float = 0.95
) -> tuple[float, float, float]:
    """Return the mean over independent worlds and its interval; NaN values are left out.

    Student's t interval of the mean; nothing wide where all worlds agree. For what is
    ``binary`` by nature - whether anything was called in a world where nothing is true -
    and shows only 0 and 1, Wilson's interval of a share (1927), which does not shrink to
    nothing.

    Parameters
    ----------
    values
        One for each world, shape (n_worlds,).
    binary
        Whether values of 0 and 1 alone are those of a yes or no.
    level
        Of the interval, in (0, 1).

    Returns
    -------
    tuple of float
        Mean, low, high; the ends are NaN for fewer than two worlds.

    Examples
    --------
    >>> mean, low, high = mean_interval(np.zeros(100), binary=True)
    >>> mean, low, round(high, 3)
    (0.0, 0.0, 0.037)
    """
    known = values[~np.isnan(values)]
    n = len(known)
    if n == 0:
        return float("nan"), float("nan"), float("nan")
    mean = float(known.mean())
    if n < 2:
        return mean, float("nan"), float("nan")
    if binary and np.isin(known, (0.0, 1.0)).all():
        share = binomtest(int(known.sum()), n).proportion_ci(level, method="wilson")
        return mean, max(float(share.low), 0.0), min(float(share.high), 1.0)
    half = float(t.ppf((1 + level) / 2, n - 1) * known.std(ddof=1) / np.sqrt(n))
    return mean, mean - half, mean + half


def summarise_replicates(table: pa.Table, *, by: Sequence[str], value: str = "value") -> pa.Table:
    """Summarise a value over the rows that agree in the columns ``by``.

    False-discovery proportions (metrics named ``false_share...``) count as binary.

    Parameters
    ----------
    table
        One row for each world and combination.
    by
        Columns that tell combinations apart.
    value
        Column to summarise; null where a world gives none.

    Returns
    -------
    pyarrow.Table
        Columns ``by``, then ``value`` (mean), ``ci_low``, ``ci_high``, ``n_worlds``, sorted
        by ``by``.

    Raises
    ------
    GatewayError
        If a column is missing.
    """
    missing = [name for name in [*by, value] if name not in table.column_names]
    if missing:
        rule = f"is not a column of the table; it has {', '.join(table.column_names)}"
        raise GatewayError(str(Problem(missing[0], rule)))
    grouped = table.group_by(list(by), use_threads=False).aggregate([(value, "list")])
    metrics = grouped["metric"].to_pylist() if "metric" in by else [""] * grouped.num_rows
    found = [
        mean_interval(
            np.array([np.nan if v is None else v for v in values], np.float64),
            binary=metric.startswith(BINARY),
        )
        for values, metric in zip(grouped[f"{value}_list"].to_pylist(), metrics, strict=True)
    ]
    mean, low, high = zip(*found, strict=True) if found else ((), (), ())
    counts = [
        sum(v is not None and not np.isnan(v) for v in values)
        for values in grouped[f"{value}_list"].to_pylist()
    ]
    columns = {name: grouped[name] for name in by}
    columns |= {
        "value": pa.array(mean, pa.float64(), from_pandas=True),
        "ci_low": pa.array(low, pa.float64(), from_pandas=True),
        "ci_high": pa.array(high, pa.float64(), from_pandas=True),
        "n_worlds": pa.array(counts, pa.int64()),
    }
    return pa.table(columns).sort_by([(name, "ascending") for name in by])


_POINT = ("point", "replicate", "seed")
_SCORER = "scorer:"


def is_sweep(evaluation: pa.Table) -> bool:
    """Tell whether the evaluations are those of several points."""
    return set(_POINT) <= set(evaluation.column_names)


def swept_keys(evaluation: pa.Table) -> list[str]:
    """Return the config keys that take more than one value, in their order."""
    names = [name for name in evaluation.column_names if "." in name]
    return [name for name in names if len(set(evaluation[name].to_pylist())) > 1]


def compare_detectors(evaluation: pa.Table) -> pa.Table | None:
    """Return every metric of every detector, over replicates where there are some.

    Parameters
    ----------
    evaluation
        Of one run, or of a sweep over seeds.

    Returns
    -------
    pyarrow.Table or None
        Columns of ``EVALUATION_SCHEMA`` and ``n_worlds``, scorers left out. The interval of
        one run is its own, that of several worlds the one of their mean. None for fewer
        than two detectors, and for a sweep that varies more than the seed: means over
        different worlds would mean nothing.
    """
    if not is_sweep(evaluation):
        table = evaluation.select(EVALUATION_SCHEMA.names)
        table = table.append_column("n_worlds", pa.array(np.ones(table.num_rows, np.int64)))
    elif swept_keys(evaluation):
        return None
    else:
        table = summarise_replicates(evaluation, by=("detector", "truth", "metric"))
    table = table.filter(pc.invert(pc.starts_with(table["detector"], _SCORER)))
    return table if len(set(table["detector"].to_pylist())) > 1 else None
