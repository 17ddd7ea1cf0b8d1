"""The number that a claim is about, from the tables of its run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gateway.errors import ResultError
from gateway.reproduce.claims import Claim

__all__ = ["metric_of"]

Float64 = npt.NDArray[np.float64]


def metric_of(claim: Claim, table: pa.Table, *, groups: pa.Table | None = None) -> float:
    """Return a claim's number; NaN where the rows there are have no value.

    Parameters
    ----------
    claim
        Which rows and column it is about, and what is made of them.
    table
        The table that it names.
    groups
        Columns ``group`` and ``role`` of every group, for a table that has no role itself.

    Raises
    ------
    ResultError
        When the table has no such column or row, or several where one was meant.
    """
    rows = _chosen(claim, _with_roles(table, groups))
    values = _column(claim, rows, claim.value)
    if claim.take == "count_below":
        assert claim.below is not None  # noqa: S101  (the claim's own rule)
        return claim.scale * float((values < claim.below).sum())
    if claim.take == "only":
        if len(values) != 1:
            raise ResultError(f"{_name(claim)} must have one row; got {len(values):,}")
        return claim.scale * float(values[0])
    weight = np.ones(len(values)) if claim.weight is None else _column(claim, rows, claim.weight)
    known = ~np.isnan(values) & (weight > 0)
    if not known.any():
        return float("nan")
    return claim.scale * float(np.average(values[known], weights=weight[known]))


def _with_roles(table: pa.Table, groups: pa.Table | None) -> pa.Table:
    if groups is None or "role" in table.column_names or "group" not in table.column_names:
        return table
    at = pc.index_in(table["group"], value_set=groups["group"].combine_chunks())
    return table.append_column("role", groups["role"].take(at))


def _chosen(claim: Claim, table: pa.Table) -> pa.Table:
    """Return the rows that hold what the claim says."""
    for name, wanted in claim.where.items():
        _need(claim, table, name)
        column = table[name]
        try:
            same = pc.equal(column, pa.scalar(wanted, column.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            kind = column.type
            raise ResultError(
                f"{_name(claim)}: column '{name}' holds {kind}; got {wanted!r}"
            ) from None
        table = table.filter(same)
    if table.num_rows == 0:
        raise ResultError(f"{_name(claim)} has no row for it")
    return table


def _column(claim: Claim, table: pa.Table, name: str) -> Float64:
    _need(claim, table, name)
    kind = table[name].type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise ResultError(f"{_name(claim)}: column '{name}' must hold numbers; it holds {kind}")
    values = pc.cast(table[name], pa.float64())
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float64)


def _need(claim: Claim, table: pa.Table, name: str) -> None:
    if name not in table.column_names:
        there = ", ".join(table.column_names)
        raise ResultError(f"{_name(claim)} has no column '{name}'; it has: {there}")


def _name(claim: Claim) -> str:
    said = ", ".join(f"{name} = {value}" for name, value in claim.where.items())
    return f"claim '{claim.id}': table '{claim.table}'" + (f" where {said}" if said else "")
