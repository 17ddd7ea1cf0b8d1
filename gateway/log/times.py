"""How the times of a log, written in any of three ways, become ticks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gateway.errors import LogError
from gateway.log.messages import complaint, rows_like_it, shown
from gateway.log.ticks import Tick

__all__ = ["TimeColumn", "TimeFormat", "Times", "are_midnights", "form_of", "parse_times",
           "time_column"]  # fmt: skip

Kind = Literal["date", "naive", "zoned", "integer"]
TimeFormat = Literal["auto", "yyyymmdd", "epoch_s", "epoch_ms"]
"""What whole numbers are: ticks of the log's own (``auto``), dates such as 20240131, or
seconds or milliseconds since 1970-01-01 UTC."""

_TICKS: dict[Kind, Tick] = {
    "date": "day",
    "naive": "second",
    "zoned": "second",
    "integer": "integer",
}
_PHRASES: dict[Kind, str] = {
    "date": "a date",
    "naive": "a timestamp without a zone",
    "zoned": "a timestamp with a zone",
    "integer": "an integer",
}

_DATE = r"(000[1-9]|00[1-9]\d|0[1-9]\d\d|[1-9]\d\d\d)-\d\d-\d\d"
_NAIVE = _DATE + r"[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?"
_PATTERNS: dict[Kind, str] = {
    "date": rf"\A{_DATE}\z",
    "naive": rf"\A{_NAIVE}\z",
    "zoned": rf"\A{_NAIVE}(Z|[+-]\d\d(:?\d\d)?)\z",
    "integer": r"\A-?\d+\z",
}
_TYPES: dict[Kind, pa.DataType] = {
    "date": pa.date32(),
    "naive": pa.timestamp("s"),
    "zoned": pa.timestamp("s", "UTC"),
    "integer": pa.int64(),
}
_READABLE = (
    "must hold dates (2020-03-01), ISO timestamps (2020-03-01T12:30:00Z) or integers, "
    "all of one kind"
)

_DAY = 86_400
_BATCH = 1 << 20

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class TimeColumn(str):
    """Name of a column of times whose whole numbers have a form."""

    __slots__ = ("form",)
    form: TimeFormat


def time_column(name: str, form: TimeFormat) -> str:
    """Return the name of a column of times, with the form of its whole numbers.

    Raises
    ------
    LogError
        If there is no such form.
    """
    if form not in get_args(TimeFormat):
        rule = f"must be one of {', '.join(get_args(TimeFormat))}"
        raise LogError(f"time_format {rule}; got {shown(form)}")
    column = TimeColumn(name)
    column.form = form
    return column


def form_of(column: str) -> TimeFormat:
    """Return the form of the whole numbers of a column, by its name."""
    return column.form if isinstance(column, TimeColumn) else "auto"


@dataclass(frozen=True, eq=False)
class Times:
    """Parsed times.

    Parameters
    ----------
    ticks
        int64, no nulls: days or seconds since 1970-01-01 UTC, or the integers themselves.
    kind
        What the column held.
    """

    ticks: pa.ChunkedArray
    kind: Kind

    @property
    def tick(self) -> Tick:
        """Unit of the ticks."""
        return _TICKS[self.kind]

    @property
    def phrase(self) -> str:
        """What one value is, in words."""
        return _PHRASES[self.kind]


def parse_times(
    column: pa.ChunkedArray,
    *,
    where: object,
    what: str,
    first_row: int | None = None,
    form: TimeFormat = "auto",
) -> Times:
    """Return a column of times as ticks.

    Text is read as dates, ISO timestamps (fractions of a second are cut off, which is
    the floor) or integers; date, timestamp, integer and whole floating-point columns are
    taken as they are. ``20200301`` is an integer.

    Parameters
    ----------
    column
        Times, at least one, no nulls.
    where, what
        For messages: the file, and the column in words.
    first_row
        Number of the first row, from 0, where the column is a block of a longer one.
    form
        What whole numbers are; another one than ``auto`` needs whole numbers.

    Raises
    ------
    LogError
        If a value is not a time, or not all are of one kind.
    """
    times = _as_they_are(column, where, what, first_row)
    if form == "auto":
        return times
    if times.kind != "integer":
        raise complaint(where, what, f"must hold integers, to be read as {form}", got=times.phrase)
    numbers: npt.NDArray[np.int64] = times.ticks.to_numpy()
    if form == "epoch_s":
        return Times(times.ticks, "zoned")
    if form == "epoch_ms":
        return Times(pa.chunked_array([numbers // 1_000]), "zoned")
    days, bad = _days_of(numbers)
    if bad.any():
        row, count = int(np.argmax(bad)), int(np.count_nonzero(bad))
        got = rows_like_it(str(numbers[row]), row, count, first_row=first_row)
        raise complaint(where, what, "must hold dates written YYYYMMDD", got=got)
    return Times(pa.chunked_array([days]), "date")


def _days_of(
    numbers: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return days since 1970-01-01 of dates written YYYYMMDD, and which numbers are none."""
    year, month, day = numbers // 10_000, numbers // 100 % 100, numbers % 100
    known = (year >= 1) & (year <= 9_999) & (month >= 1) & (month <= 12)
    since_1970 = np.where(known, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    first, last = (
        months.astype("datetime64[D]").astype(np.int64) for months in (since_1970, since_1970 + 1)
    )
    days = first + day - 1
    return days, ~(known & (day >= 1) & (days < last))


def _as_they_are(column: pa.ChunkedArray, where: object, what: str, first_row: int | None) -> Times:
    kind = column.type
    if pa.types.is_string(kind):
        return _from_text(column, where, what, first_row)
    if pa.types.is_date32(kind):
        return Times(column.cast(pa.int32()).cast(pa.int64()), "date")
    if pa.types.is_date64(kind):
        return Times(_floored(column, 86_400_000), "date")
    if pa.types.is_timestamp(kind):
        seconds = _floored(column, _PER_SECOND[kind.unit])
        return Times(seconds, "zoned" if kind.tz else "naive")
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return Times(_whole_numbers(column, where, what, first_row), "integer")
    raise complaint(where, what, _READABLE, got=f"values of type {kind}")


def are_midnights(seconds: npt.NDArray[np.signedinteger], first: int = 0) -> bool:
    """Return whether times, in seconds since ``first``, are all midnights in UTC.

    Such timestamps are dates: a log of them counts in days.
    """
    batches = range(0, len(seconds), _BATCH)
    return not any(((seconds[k : k + _BATCH] + first) % _DAY).any() for k in batches)


def _floored(column: pa.ChunkedArray, per_tick: int) -> pa.ChunkedArray:
    # Arrow's own cast and division round towards zero, which is up before 1970.
    fine = column.cast(pa.int64()).to_numpy()
    return pa.chunked_array([fine // per_tick], type=pa.int64())


def _whole_numbers(
    column: pa.ChunkedArray, where: object, what: str, first_row: int | None
) -> pa.ChunkedArray:
    if pa.types.is_signed_integer(column.type):
        return column.cast(pa.int64())
    values = column.to_numpy()
    # Above 2**53 a float no longer tells one integer from the next.
    limit = 2**53 if values.dtype.kind == "f" else 2**63 - 1
    bad = (np.abs(values) > limit) | (np.floor(values) != values)
    if bad.any():
        raise _unreadable(column, pa.array(bad), where, what, first_row)
    return pa.chunked_array([values.astype(np.int64)])


def _from_text(column: pa.ChunkedArray, where: object, what: str, first_row: int | None) -> Times:
    first = column[0].as_py()
    kind = _kind_of(first)
    if kind is None:
        raise _unreadable(column, _of_no_kind(column), where, what, first_row)
    fits = pc.match_substring_regex(column, _PATTERNS[kind])
    if not pc.all(fits).as_py():
        raise _mixed(column, pc.invert(fits), kind, where, what, first_row)
    try:
        return Times(_ticks(column, kind), kind)
    except pa.ArrowInvalid as error:
        raise _unreadable(column, _impossible(column, kind), where, what, first_row) from error


def _ticks(text: pa.ChunkedArray, kind: Kind) -> pa.ChunkedArray:
    if kind in ("naive", "zoned"):
        text = pc.replace_substring_regex(text, r"[.,]\d+", "")
    times = text.cast(_TYPES[kind])
    return (times.cast(pa.int32()) if kind == "date" else times).cast(pa.int64())


def _kind_of(value: str) -> Kind | None:
    text = pa.array([value])
    fitting = (k for k, p in _PATTERNS.items() if pc.match_substring_regex(text, p)[0].as_py())
    return next(fitting, None)


def _of_no_kind(column: pa.ChunkedArray) -> pa.ChunkedArray:
    fits = [pc.match_substring_regex(column, pattern) for pattern in _PATTERNS.values()]
    return pc.invert(pc.or_(pc.or_(fits[0], fits[1]), pc.or_(fits[2], fits[3])))


def _impossible(column: pa.ChunkedArray, kind: Kind) -> pa.ChunkedArray:
    """Return where a value looks like a time but is none, such as 2020-02-30."""
    impossible = [value for value in pc.unique(column) if not _castable(value, kind)]
    return pc.is_in(column, value_set=pa.array([value.as_py() for value in impossible]))


def _castable(value: pa.Scalar, kind: Kind) -> bool:
    try:
        _ticks(pa.chunked_array([[value.as_py()]]), kind)
    except pa.ArrowInvalid:
        return False
    return True


def _unreadable(
    column: pa.ChunkedArray,
    bad: pa.ChunkedArray | pa.BooleanArray,
    where: object,
    what: str,
    first_row: int | None,
) -> LogError:
    row, count = pc.index(bad, True).as_py(), pc.sum(bad).as_py()
    got = rows_like_it(shown(column[row].as_py()), row, count, first_row=first_row)
    return complaint(where, what, _READABLE, got=got)


def _mixed(
    column: pa.ChunkedArray,
    bad: pa.ChunkedArray,
    kind: Kind,
    where: object,
    what: str,
    first_row: int | None,
) -> LogError:
    row, count = pc.index(bad, True).as_py(), pc.sum(bad).as_py()
    value = column[row].as_py()
    other = _kind_of(value)
    if other is None:
        return _unreadable(column, pc.and_(bad, _of_no_kind(column)), where, what, first_row)
    first = f"data row {(first_row or 0) + 1:d} holds {_PHRASES[kind]}"
    rule = f"must be of one kind; {first} ({shown(column[0].as_py())})"
    got = rows_like_it(f"{_PHRASES[other]} ({shown(value)})", row, count, first_row=first_row)
    zones = {kind, other} == {"naive", "zoned"}
    hint = "give every timestamp a zone, or none" if zones else None
    return complaint(where, what, rule, got=got, hint=hint)
