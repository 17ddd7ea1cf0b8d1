"""The table that every analysis of the note gives: published beside simulated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa

__all__ = ["COMPARISON_SCHEMA", "Row", "compare"]

COMPARISON_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("quantity", pa.string()),
        ("published", pa.float64()),
        ("simulated", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
        ("tolerance", pa.float64()),
        ("within", pa.bool_()),
    ]
)
# A tolerance is a round decimal; the difference of two decimals misses it by some 1e-16.
_ROUNDING = 1e-12


class Row(NamedTuple):
    """One quantity.

    Parameters
    ----------
    id
        ``R1`` to ``R10``.
    quantity
        What it is, with its unit where it is no share.
    simulated
        Our value; NaN where it cannot be told.
    interval
        Its 95 % interval; NaN where it has none.
    published
        The note's value; None where the note's picture does not show it or has no number.
    tolerance
        How far from the published value still counts as reached; None: not judged.
    """

    id: str
    quantity: str
    simulated: float
    interval: tuple[float, float] = (float("nan"), float("nan"))
    published: float | None = None
    tolerance: float | None = None

    def within(self) -> bool | None:
        """Whether the simulated value is within the tolerance; None where nothing is judged."""
        if self.published is None or self.tolerance is None:
            return None
        return abs(self.simulated - self.published) <= self.tolerance + _ROUNDING


def compare(rows: Iterable[Row]) -> pa.Table:
    """Return rows as a table of ``COMPARISON_SCHEMA``, in their order; NaN becomes null.

    Agreement with fitted parameters is not evidence about the real platform.
    """
    lines = [
        (r.id, r.quantity, r.published, r.simulated, *r.interval, r.tolerance, r.within())
        for r in rows
    ]
    columns = zip(*lines, strict=True) if lines else [()] * len(COMPARISON_SCHEMA)
    arrays = [
        pa.array(column, field.type, from_pandas=True)
        for column, field in zip(columns, COMPARISON_SCHEMA, strict=True)
    ]
    return pa.table(arrays, schema=COMPARISON_SCHEMA)
