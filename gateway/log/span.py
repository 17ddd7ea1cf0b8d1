"""How long a log may be."""

from __future__ import annotations

import pyarrow as pa

from gateway.log.messages import complaint
from gateway.log.read_report import time_format_like
from gateway.log.ticks import Tick, instants

__all__ = ["check_span"]

_LARGEST_TICK = 2**31 - 1


def check_span(where: object, first: int, last: int, *, tick: Tick) -> None:
    """Check that the ticks of a log, counted from its first, fit into 32 bits.

    Raises
    ------
    LogError
        If they do not.
    """
    if last - first > _LARGEST_TICK:
        unit = "in all" if tick == "integer" else f"{tick}s"
        rule = f"must span at most {_LARGEST_TICK:,} {unit}, so that it fits into 32 bits"
        ends = instants(pa.array([first, last]), tick).cast(pa.string())
        form = time_format_like(first, last) if tick == "integer" else None
        hint = None if form is None else f"say what the numbers are: --time-format {form}"
        raise complaint(where, "the time", rule, got=" to ".join(ends.to_pylist()), hint=hint)
