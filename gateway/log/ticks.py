"""What a tick is: the unit in which a log counts time.

A log counts in days (its times are dates), in seconds in UTC (timestamps), or in a unit
of its own (integers). Ticks count from 1970-01-01, or from 0 for integers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

import pyarrow as pa

from gateway.errors import LogError
from gateway.log.messages import shown

Tick = Literal["day", "second", "integer"]
Duration = int | str | timedelta
"""A span of time: ``"180d"``, ``timedelta(days=180)``, or a number of ticks."""

LARGEST_TICK = 2**31 - 1
_UNITS: dict[Tick, dict[str, int]] = {
    "day": {"d": 1, "w": 7},
    "second": {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800},
    "integer": {},
}


def instants(ticks: pa.Array, tick: Tick) -> pa.Array:
    """Return ticks since 1970-01-01 (or 0) as date32, timestamp[s, UTC] or int64."""
    if tick == "day":
        return ticks.cast(pa.int32()).cast(pa.date32())
    return ticks.cast(pa.timestamp("s", "UTC")) if tick == "second" else ticks.cast(pa.int64())


def in_words(ticks: Sequence[int], tick: Tick) -> list[str]:
    """Return ticks since 1970-01-01 (or 0) as they are written."""
    said: list[str] = instants(pa.array(ticks, pa.int64()), tick).cast(pa.string()).to_pylist()
    return said


def parse_duration(text: str, tick: Tick) -> int:
    """Return the number of ticks, in [1, 2**31 - 1], in a text such as ``180d``, ``12h`` or ``30``.

    It is a whole number and a unit: ``d`` or ``w`` in a log of days; also ``s``, ``min`` and
    ``h`` in a log of seconds. A bare number is a number of ticks, and is refused in a log of
    seconds: who writes 180 hardly means three minutes.

    Raises
    ------
    LogError
        If the text is no duration, is out of range, or has another unit.

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
    if not unit and tick == "second":
        rule = f"must have a unit in a log of seconds, such as {number}d for days"
        raise LogError(f"{what} {rule} or {number}s for seconds")
    if unit and unit not in units:
        known = ", ".join(units)
        raise LogError(f"{what} must be in one of {known} in a log of {tick}s; got {unit!r}")
    ticks = int(number[:20]) * units.get(unit, 1)
    if not 1 <= ticks <= LARGEST_TICK:
        raise LogError(f"{what} must come to 1 to {LARGEST_TICK:,} ticks; got {ticks:,}")
    return ticks


def ticks_in(duration: Duration, tick: Tick, *, what: str, least: int = 1) -> int:
    """Return the number of ticks in a duration, however it is given; as ``parse_duration``.

    ``what`` is what messages call it; with ``least`` 0 a bare 0 is good in any log.

    Examples
    --------
    >>> ticks_in("12h", "second", what="horizon"), ticks_in(timedelta(14), "day", what="horizon")
    (43200, 14)
    """
    try:
        if isinstance(duration, str):
            return parse_duration(duration, tick)
        if isinstance(duration, timedelta):
            return parse_duration(_spelt(duration, tick), tick)
        if duration == 0 and least == 0:
            return 0
        return parse_duration(str(_whole(duration)), tick)
    except LogError as error:
        raise LogError(f"{what}: {error}") from None


def _spelt(duration: timedelta, tick: Tick) -> str:
    unit, name = (timedelta(days=1), "d") if tick == "day" else (timedelta(seconds=1), "s")
    if duration % unit:
        raise LogError(f"the duration {duration} must be a whole number of {tick}s")
    return f"{duration // unit}{name}"


def _whole(value: Any) -> int:
    """Return an integer of any library; nothing that merely looks like one."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        rule = "must be a duration such as '180d', a timedelta or a whole number of ticks"
        raise LogError(f"it {rule}; got {shown(value)}")
    return int(value)


def say_duration(ticks: int, tick: Tick) -> str:
    """Return ticks in words, in the largest unit of which they are a whole number.

    Examples
    --------
    >>> say_duration(180, "day"), say_duration(43_200, "second"), say_duration(5, "integer")
    ('180 days', '12 hours', '5 ticks')
    """
    units = {"day": 86_400, "hour": 3_600, "minute": 60, "second": 1}
    unit, size = ("day" if tick == "day" else "tick"), 1
    if tick == "second":
        unit, size = next(item for item in units.items() if ticks % item[1] == 0)
    return f"{ticks // size:,} {unit}s"
