"""What a tick is: the unit in which a log counts time.

A log counts in days (its times are dates), in seconds in UTC (timestamps), or in a unit
of its own (integers). Ticks count from 1970-01-01, or from 0 for integers.
"""

from __future__ import annotations

import re
from typing import Literal

import pyarrow as pa

from gateway.errors import LogError
from gateway.joins_io.messages import shown

__all__ = ["Tick", "instants", "parse_duration", "tick_of", "with_tick"]

Tick = Literal["day", "second", "integer"]

_METADATA_KEY = b"gateway.tick"
_LARGEST_TICK = 2**31 - 1
_UNITS: dict[Tick, dict[str, int]] = {
    "day": {"d": 1, "w": 7},
    "second": {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800},
    "integer": {},
}


def with_tick(table: pa.Table, tick: Tick) -> pa.Table:
    """Return the table with the unit of its ``time`` column noted in its metadata."""
    return table.replace_schema_metadata({_METADATA_KEY: tick.encode()})


def tick_of(table: pa.Table) -> Tick:
    """Return the unit of the ``time`` column of a table that this package read."""
    noted = table.schema.metadata[_METADATA_KEY].decode()
    return next(tick for tick in _UNITS if tick == noted)


def instants(ticks: pa.Array, tick: Tick) -> pa.Array:
    """Return ticks since 1970-01-01 (or 0) as date32, timestamp[s, UTC] or int64."""
    if tick == "day":
        return ticks.cast(pa.int32()).cast(pa.date32())
    return ticks.cast(pa.timestamp("s", "UTC")) if tick == "second" else ticks.cast(pa.int64())


def parse_duration(text: str, tick: Tick) -> int:
    """Return the number of ticks in a duration such as ``180d``, ``12h`` or ``30``.

    Parameters
    ----------
    text
        A whole number and a unit: ``d`` or ``w`` in a log of days; also ``s``, ``min``
        and ``h`` in a log of seconds. A bare number is a number of ticks.
    tick
        Unit of the log.

    Returns
    -------
    int
        In [1, 2**31 - 1].

    Raises
    ------
    LogError
        If the text is no duration, is out of range, or its unit is finer than the tick
        or unknown to the log.

    Examples
    --------
    >>> parse_duration("2w", "day"), parse_duration("12h", "second")
    (14, 43200)
    """
    units = _UNITS[tick]
    what = f"the duration {shown(text)}"
    found = re.fullmatch(r"([0-9]+) ?([a-z]*)", text.strip())
    if not found:
        raise LogError(f"{what} must be a whole number and a unit, such as 180d")
    number, unit = found.groups()
    if unit and not units:
        raise LogError(f"{what} must be a bare number, as the times of the log are integers")
    if unit and unit not in units:
        known = ", ".join(units)
        raise LogError(f"{what} must be in one of {known} in a log of {tick}s; got {unit!r}")
    ticks = int(number[:20]) * units.get(unit, 1)
    if not 1 <= ticks <= _LARGEST_TICK:
        raise LogError(f"{what} must come to 1 to {_LARGEST_TICK:,} ticks; got {ticks:,}")
    return ticks
