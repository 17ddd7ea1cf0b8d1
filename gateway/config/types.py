"""Kinds of values that settings are made of, and the base of every section.

Upper bounds are far above any study; they keep counts within int32 and sums of floats
finite, so that a slip of the keyboard ends here and not in a kernel. A rule that a
range cannot say in words has an ``x-rule`` in its JSON Schema, which the messages use.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

__all__ = [
    "COUNTRY_RULE",
    "INT32_END",
    "Count",
    "Country",
    "Date",
    "Digest",
    "Duration",
    "Month",
    "Name",
    "Number",
    "Positive",
    "Proportion",
    "Section",
    "Share",
    "Window",
    "days_in",
    "sorted_by_key",
]

INT32_END = 2**31
_NAME_RULE = (
    "a name of lower-case letters, digits, '-' and '_' (at most 64, first a letter or digit)"
)
COUNTRY_RULE = "a code of letters, digits, '-' and '_' (at most 64, first a letter or digit)"


def _whole_number(value: Any) -> Any:
    """Accept 1e6 for 1_000_000: TOML has no other short way to write it."""
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    is_integer = hasattr(value, "__index__") and not isinstance(value, bool)  # of any library
    return int(value) if is_whole or is_integer else value


def _unsigned_zero(value: Any) -> Any:
    """Read -0.0 as 0.0: equal configs must have equal digests."""
    return value + 0.0 if isinstance(value, float) else value


_DURATION = r"^[0-9]{1,10} ?(s|min|h|d|w)$"


def _duration_from(least: int) -> Callable[[Any], int | str]:
    """Ticks, or text that is turned into ticks when the log is known."""

    def duration(value: Any) -> int | str:
        value = _spelt(value) if isinstance(value, dt.timedelta) else _whole_number(value)
        if isinstance(value, str) and re.match(_DURATION, value):
            return value.replace(" ", "")
        if type(value) is int and least <= value < INT32_END:
            return value
        raise PydanticCustomError("duration", "must be a number of ticks or a duration")

    return duration


def _spelt(value: dt.timedelta) -> Any:
    """Return a span as text, in days where it is a whole number of them."""
    units = {"d": dt.timedelta(days=1), "s": dt.timedelta(seconds=1)}
    return next(
        (f"{value // unit}{name}" for name, unit in units.items() if not value % unit), value
    )


def _duration_schema(least: int) -> dict[str, Any]:
    rule = f'a whole number of at least {least}, or a duration such as "180d"'
    return {
        "type": ["integer", "string"],
        "minimum": least,
        "maximum": INT32_END - 1,
        "pattern": _DURATION,
        "x-rule": rule,
    }


def days_in(duration: int | str) -> int | None:
    """Return the days of a duration in a world, which counts in days; None for other units."""
    if isinstance(duration, int):
        return duration
    size = {"d": 1, "w": 7}.get(duration[-1])
    return None if size is None else int(duration[:-1]) * size


def sorted_by_key(table: dict[str, float]) -> dict[str, float]:
    """Forget the order in the file: the same table must draw the same world."""
    return dict(sorted(table.items()))


Count = Annotated[int, BeforeValidator(_whole_number)]
Number = Annotated[float, BeforeValidator(_unsigned_zero)]
Duration = Annotated[int | str, PlainValidator(_duration_from(1)),
                     WithJsonSchema(_duration_schema(1))]  # fmt: skip
Window = Annotated[int | str, PlainValidator(_duration_from(0)),
                   WithJsonSchema(_duration_schema(0))]  # fmt: skip
Share = Annotated[Number, Field(ge=0.0, le=1.0)]
Proportion = Annotated[Number, Field(gt=0.0, lt=1.0)]
Positive = Annotated[Count, Field(ge=1, lt=INT32_END)]
Name = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", json_schema_extra={"x-rule": _NAME_RULE}),
]
Country = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Month = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$",
        json_schema_extra={"x-rule": "a month, written YYYY-MM in quotes"},
    ),
]
Digest = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-f]{64}$",
        json_schema_extra={"x-rule": "a sha256 digest: 64 hexadecimal digits in lower case"},
    ),
]
Date = Annotated[
    dt.date,
    Field(
        ge=dt.date(1800, 1, 1),
        le=dt.date(2999, 12, 31),
        json_schema_extra={"x-rule": "a date from 1800-01-01 to 2999-12-31, without quotes"},
    ),
]


class Section(BaseModel):
    """Base of every section: strict, closed, frozen."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)
