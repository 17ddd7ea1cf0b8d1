"""What several figures read from the stored tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gateway.arrays import Float64
from gateway.detect import Measure
from gateway.detect.measure import LEADING, leading_first, words_of
from gateway.figures.style import UNTOLD

Tables = Mapping[str, pa.Table]


def detectors(tables: Tables) -> list[str]:
    """Return the detectors that ran, the one that the figures are about first."""
    return leading_first(values(tables["gateways"], "detector") if "gateways" in tables else ())


def detector_words(name: str) -> str:
    """Return what a detector is called beside others."""
    return f"{words_of(name)}{' (the note)' if name == LEADING else ''}"


def detected_groups(tables: Tables, detector: str) -> pa.Table | None:
    """Return a detector's groups with their roles, by rank, then name; unranked last.

    None where the result holds no such rows.
    """
    if "gateways" not in tables or "groups" not in tables:
        return None
    rows = where(tables["gateways"], detector=detector)
    if rows.num_rows == 0:
        return None
    groups = tables["groups"]
    role_of = dict(zip(groups["group"].to_pylist(), groups["role"].to_pylist(), strict=True))
    roles = [role_of.get(group) or UNTOLD for group in rows["group"].to_pylist()]
    rows = rows.append_column("role", pa.array(roles, pa.string()))
    return ordered(rows, "rank", "group")


def ranked_groups(tables: Tables, detector: str = LEADING) -> pa.Table | None:
    """Return the rows of a detector that have a rank and joiners; None if there is none."""
    rows = detected_groups(tables, detector)
    if rows is None:
        return None
    ranked = rows.filter(pc.and_(pc.is_valid(rows["rank"]), pc.greater(rows["n_joiners"], 0)))
    return ranked if ranked.num_rows else None


def pooled_share(ranked: pa.Table) -> float:
    """Return the share of joiners that spike, over the joiners of all ranked groups."""
    spiking, joiners = (pc.sum(ranked[name]).as_py() for name in ("n_events", "n_joiners"))
    return float(spiking) / float(joiners)


def no_effect(rows: pa.Table, measure: Measure) -> Float64:
    """Return the estimate that each group would have without an effect, NaN where none is known."""
    value = measure.estimate.no_effect
    if isinstance(value, str):
        known = value in rows.column_names
        return floats(rows, value) if known else np.full(rows.num_rows, np.nan)
    return np.full(rows.num_rows, np.nan if value is None else value)


def has_truth(data: pa.Table) -> bool:
    """Whether any row has a planted role."""
    return any(role != UNTOLD for role in data["role"].to_pylist())


def metric(tables: Tables, name: str, *, detector: str = LEADING) -> tuple[float, float, float]:
    """Return value and interval of a metric against the planted truth, NaN where missing."""
    rows = tables["evaluation"].to_pylist() if "evaluation" in tables else []
    for row in rows:
        if (row["detector"], row["truth"], row["metric"]) == (detector, "planted", name):
            found = (row[key] for key in ("value", "ci_low", "ci_high"))
            value, low, high = (np.nan if number is None else float(number) for number in found)
            return value, low, high
    return np.nan, np.nan, np.nan


def summary_value(tables: Tables, key: str) -> str | None:
    """Return a value of the summary table, None where there is none."""
    if "summary" not in tables:
        return None
    summary = tables["summary"]
    pairs = zip(summary["key"].to_pylist(), summary["value"].to_pylist(), strict=True)
    return dict(pairs).get(key)


def values(data: pa.Table, name: str) -> list[Any]:
    """Return the values of a column, each once, in their order."""
    return list(dict.fromkeys(data[name].to_pylist()))


def where(data: pa.Table, **wanted: Any) -> pa.Table:
    """Return the rows whose columns have these values."""
    for name, value in wanted.items():
        data = data.filter(pc.equal(data[name], value))
    return data


def ordered(data: pa.Table, *names: str) -> pa.Table:
    """Return the rows in ascending order of some columns."""
    return data.sort_by([(name, "ascending") for name in names])


def constant(data: pa.Table, name: str, value: float | str | None) -> pa.Table:
    """Append a column that says the same in every row: a number that the figure labels."""
    kind = pa.float64() if isinstance(value, float) else pa.string()
    return data.append_column(name, pa.array([value] * data.num_rows, kind))


def first(data: pa.Table, name: str) -> Any:
    """Return the first value of a column: that of a constant one."""
    return data[name][0].as_py()


def floats(data: pa.Table, name: str) -> Float64:
    """Return a column as float64, NaN for null."""
    return np.asarray(data[name].to_numpy(zero_copy_only=False), dtype=np.float64)


FITTED = (
    "Where the world's parameters were fitted to the published numbers, agreement is not "
    "evidence about the real platform."
)
"""What every caption of such a figure ends with."""


def compared_rows(tables: Tables, claims: Iterable[str]) -> pa.Table | None:
    """Return the rows of some claims, by claim and quantity; None where the result has none."""
    if "analyses/comparison" not in tables:
        return None
    rows = tables["analyses/comparison"]
    rows = rows.filter(pc.is_in(rows["id"], pa.array(list(claims), pa.string())))
    return ordered(rows, "id", "quantity") if len(rows) else None
