"""What a tick is, and how times, written in any of three ways, become ticks.

A log counts in days (its times are dates), in seconds in UTC (timestamps), or in a unit
of its own (integers). Ticks count from 1970-01-01, or from 0 for integers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gateway.arrays import Int64, Ints, Mask
from gateway.errors import LogError, either, shown
from gateway.log.messages import Place, complaint

Tick = Literal["day", "second", "integer"]
Duration = int | str | timedelta
"""A span of time: ``"180d"``, ``timedelta(days=180)``, or a number of ticks."""

LARGEST_TICK = 2**31 - 1
_UNITS: dict[Tick, dict[str, int]] = {
    "day": {"d": 1, "w": 7},
    "second": {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800},
    "integer": {},
}

Kind = Literal["date", "naive", "zoned", "integer"]
TimeFormat = Literal["auto", "yyyymmdd", "epoch_s", "epoch_ms"]
"""What whole numbers are: ticks of the log's own (``auto``), dates such as 20240131, or
seconds or milliseconds since 1970-01-01 UTC."""

_TICKS: dict[Kind, Tick] = {
    "date": "day", "naive": "second", "zoned": "second", "integer": "integer",
}  # fmt: skip
_PHRASES: dict[Kind, str] = {
    "date": "a date", "naive": "a timestamp without a zone",
    "zoned": "a timestamp with a zone", "integer": "an integer",
}  # fmt: skip

_DATE = r"(000[1-9]|00[1-9]\d|0[1-9]\d\d|[1-9]\d\d\d)-\d\d-\d\d"
_NAIVE = _DATE + r"[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?"
_PATTERNS: dict[Kind, str] = {
    "date": rf"\A{_DATE}\z",
    "naive": rf"\A{_NAIVE}\z",
    "zoned": rf"\A{_NAIVE}(Z|[+-]\d\d(:?\d\d)?)\z",
    "integer": r"\A-?\d+\z",
}
_TYPES: dict[Kind, pa.DataType] = {
    "date": pa.date32(), "naive": pa.timestamp("s"), "zoned": pa.timestamp("s", "UTC"),
    "integer": pa.int64(),
}  # fmt: skip
_READABLE = (
    "must hold dates (2020-03-01), ISO timestamps (2020-03-01T12:30:00Z) or integers, "
    "all of one kind"
)

DAY = 86_400
_YYYYMMDD = (1900_01_01, 2100_12_31)
# 1990 to 2100.
_SECONDS = (631_152_000, 4_133_980_799)
_BATCH = 1 << 20
# So many times tell whether there are few of them, again and again.
_SAMPLE = 1 << 10

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


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


# Columns of times ---------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Times:
    """Parsed times: days or seconds since 1970-01-01 UTC, or the integers themselves."""

    ticks: Int64
    kind: Kind  # what the column held

    @property
    def tick(self) -> Tick:
        """Unit of the ticks."""
        return _TICKS[self.kind]

    @property
    def phrase(self) -> str:
        """What one value is, in words."""
        return _PHRASES[self.kind]


def parse_times(column: pa.Array, place: Place, *, form: TimeFormat = "auto") -> Times:
    """Return a column of times as ticks.

    Text is read as dates, ISO timestamps (fractions of a second are cut off, which is
    the floor) or integers; date, timestamp, integer and whole floating-point columns are
    taken as they are. ``20200301`` is an integer.

    Parameters
    ----------
    column
        Times, at least one, no nulls.
    place
        What a LogError calls it that says that a value is no time, or that they differ in kind.
    form
        What whole numbers are; another one than ``auto`` needs whole numbers.
    """
    times = _as_they_are(column, place)
    if form == "auto":
        return times
    if times.kind != "integer":
        raise place.error(f"must hold integers, to be read as {form}", got=times.phrase)
    if form == "epoch_s":
        return Times(times.ticks, "zoned")
    if form == "epoch_ms":
        return Times(times.ticks // 1_000, "zoned")
    days, bad = _days_of(times.ticks)
    if bad.any():
        got = place.row(str(times.ticks[np.argmax(bad)]), bad)
        raise place.error("must hold dates written YYYYMMDD", got=got)
    return Times(days, "date")


def _days_of(numbers: Int64) -> tuple[Int64, Mask]:
    """Return days since 1970-01-01 of dates written YYYYMMDD, and which numbers are none."""
    year, month, day = numbers // 10_000, numbers // 100 % 100, numbers % 100
    known = (year >= 1) & (year <= 9_999) & (month >= 1) & (month <= 12)
    since_1970 = np.where(known, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    first, last = (
        months.astype("datetime64[D]").astype(np.int64) for months in (since_1970, since_1970 + 1)
    )
    days = first + day - 1
    return days, ~(known & (day >= 1) & (days < last))


def _as_they_are(column: pa.Array, place: Place) -> Times:
    kind = column.type
    if pa.types.is_string(kind):
        return _from_text(column, place)
    if pa.types.is_date32(kind):
        return Times(column.cast(pa.int32()).cast(pa.int64()).to_numpy(), "date")
    # Arrow's own cast and division round towards zero, which is up before 1970.
    if pa.types.is_date64(kind):
        return Times(column.cast(pa.int64()).to_numpy() // (DAY * 1_000), "date")
    if pa.types.is_timestamp(kind):
        seconds = column.cast(pa.int64()).to_numpy() // _PER_SECOND[kind.unit]
        return Times(seconds, "zoned" if kind.tz else "naive")
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return Times(_whole_numbers(column, place), "integer")
    raise place.error(_READABLE, got=f"values of type {kind}")


def _whole_numbers(column: pa.Array, place: Place) -> Int64:
    if pa.types.is_signed_integer(column.type):
        return np.asarray(column.cast(pa.int64()))
    values = column.to_numpy()
    # Above 2**53 a float cannot tell one integer from the next.
    limit = 2**53 if values.dtype.kind == "f" else 2**63 - 1
    bad = (np.abs(values) > limit) | (np.floor(values) != values)
    if bad.any():
        raise _unreadable(column, bad, place)
    return np.asarray(values.astype(np.int64))


def are_midnights(seconds: Ints, first: int = 0) -> bool:
    """Return whether times, in seconds since ``first``, are all midnights in UTC.

    Such timestamps are dates: a log of them counts in days.
    """
    batches = range(0, len(seconds), _BATCH)
    return not any(((seconds[k : k + _BATCH] + first) % DAY).any() for k in batches)


def check_span(where: object, first: int, last: int, *, tick: Tick) -> None:
    """Raise a LogError unless the ticks of a log, counted from its first, fit into 32 bits."""
    if last - first > LARGEST_TICK:
        unit = "in all" if tick == "integer" else f"{tick}s"
        rule = f"must span at most {LARGEST_TICK:,} {unit}, so that it fits into 32 bits"
        form = time_format_like(first, last) if tick == "integer" else None
        option = either(f"time_format={form!r}", f"--time-format {form}")
        hint = None if form is None else f"say what the numbers are: {option}"
        got = " to ".join(in_words([first, last], tick))
        raise complaint(where, "the time", rule, got=got, hint=hint)


def time_format_like(first: int, last: int) -> TimeFormat | None:
    """Return the form of times that numbers in a range may be, None for mere numbers."""
    if _YYYYMMDD[0] <= first <= last <= _YYYYMMDD[1]:
        return "yyyymmdd"
    if _SECONDS[0] <= first <= last <= _SECONDS[1]:
        return "epoch_s"
    if _SECONDS[0] * 1_000 <= first <= last <= _SECONDS[1] * 1_000:
        return "epoch_ms"
    return None


def _from_text(column: pa.Array, place: Place) -> Times:
    sample = column[:_SAMPLE]
    if len(sample) == _SAMPLE and len(pc.unique(sample)) < _SAMPLE // 2:
        # The same days again and again; which row is bad is found out below.
        encoded = column.dictionary_encode()
        try:
            times = _parsed(encoded.dictionary, place)
        except LogError:
            pass
        else:
            return Times(times.ticks[encoded.indices.to_numpy()], times.kind)
    return _parsed(column, place)


def _parsed(column: pa.Array, place: Place) -> Times:
    kind = _kind_of(column[0].as_py())
    if kind is None:
        raise _unreadable(column, _of_no_kind(column), place)
    bad = ~_fits(column, kind)
    if bad.any():
        raise _mixed(column, bad, kind, place)
    try:
        return Times(_ticks(column, kind), kind)
    except pa.ArrowInvalid as error:
        raise _unreadable(column, _impossible(column, kind), place) from error


def _ticks(text: pa.Array, kind: Kind) -> Int64:
    if kind in ("naive", "zoned"):
        text = pc.replace_substring_regex(text, r"[.,]\d+", "")
    times = text.cast(_TYPES[kind])
    return np.asarray((times.cast(pa.int32()) if kind == "date" else times).cast(pa.int64()))


def _fits(column: pa.Array, kind: Kind) -> Mask:
    fits: Mask = pc.match_substring_regex(column, _PATTERNS[kind]).to_numpy(zero_copy_only=False)
    return fits


def _kind_of(value: str) -> Kind | None:
    text = pa.array([value])
    return next((kind for kind in _PATTERNS if _fits(text, kind)[0]), None)


def _of_no_kind(column: pa.Array) -> Mask:
    of_none: Mask = ~np.any([_fits(column, kind) for kind in _PATTERNS], axis=0)
    return of_none


def _impossible(column: pa.Array, kind: Kind) -> Mask:
    """Return where a value looks like a time but is none, such as 2020-02-30."""
    impossible = [value for value in pc.unique(column).to_pylist() if not _castable(value, kind)]
    among: Mask = pc.is_in(column, value_set=pa.array(impossible)).to_numpy(zero_copy_only=False)
    return among


def _castable(value: str, kind: Kind) -> bool:
    try:
        _ticks(pa.array([value]), kind)
    except pa.ArrowInvalid:
        return False
    return True


def _unreadable(column: pa.Array, bad: Mask, place: Place) -> LogError:
    value = column[int(np.argmax(bad))].as_py()
    return place.error(_READABLE, got=place.row(shown(value), bad))


def _mixed(column: pa.Array, bad: Mask, kind: Kind, place: Place) -> LogError:
    value = column[int(np.argmax(bad))].as_py()
    other = _kind_of(value)
    if other is None:
        return _unreadable(column, bad & _of_no_kind(column), place)
    first = f"data row {place.first_row + 1:d} holds {_PHRASES[kind]}"
    rule = f"must be of one kind; {first} ({shown(column[0].as_py())})"
    got = place.row(f"{_PHRASES[other]} ({shown(value)})", bad)
    zones = {kind, other} == {"naive", "zoned"}
    hint = "give every timestamp a zone, or none" if zones else None
    return place.error(rule, got=got, hint=hint)
