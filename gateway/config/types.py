"""Kinds of values that settings are made of, and the base of every section.

Upper bounds are far above any study; they keep counts within int32 and sums of floats
finite, so that a slip of the keyboard ends here and not in a kernel. A rule that a
range cannot say in words has an ``x-rule`` in its JSON Schema, which the messages use.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "COUNTRY_RULE",
    "INT32_END",
    "Count",
    "Country",
    "Date",
    "Digest",
    "Month",
    "Name",
    "Number",
    "Section",
    "Share",
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
    return int(value) if is_whole else value


def _unsigned_zero(value: Any) -> Any:
    """Read -0.0 as 0.0: equal configs must have equal digests."""
    return value + 0.0 if isinstance(value, float) else value


def sorted_by_key(table: dict[str, float]) -> dict[str, float]:
    """Forget the order in the file: the same table must draw the same world."""
    return dict(sorted(table.items()))


Count = Annotated[int, BeforeValidator(_whole_number)]
Number = Annotated[float, BeforeValidator(_unsigned_zero)]
Share = Annotated[Number, Field(ge=0.0, le=1.0)]
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
