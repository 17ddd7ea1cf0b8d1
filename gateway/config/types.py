"""Kinds of values that settings are made of, and the base of every section.

Upper bounds are far above any study; they keep counts within int32 and sums of floats
finite, so that a slip of the keyboard ends here and not in a kernel. A rule that a
range cannot say in words has an ``x-rule`` in its JSON Schema, which the messages use.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from gateway.config.rules import Rule, broken_rules
from gateway.config.validation import READING, refusal_of

INT32_END = 2**31


def setting(default: Any, description: str, *, rule: str | None = None, **limits: Any) -> Any:
    """Return a field with a default and a meaning; ``rule`` are the words after "must be"."""
    if rule is not None:
        limits["json_schema_extra"] = {"x-rule": rule}
    return Field(default, description=description, **limits)


class Section(BaseModel):
    """Base of every section: strict, closed, frozen.

    ``rules`` tie its keys together. Whoever makes a section in Python with values that break
    one, or a field's own rule, gets a ``GatewayError`` that names all of them.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    rules: ClassVar[tuple[Rule, ...]] = ()
    section: ClassVar[str] = ""

    def __init_subclass__(cls, *, section: str = "", **more: Any) -> None:
        """Name the section for the messages about one that stands alone."""
        super().__init_subclass__(**more)
        cls.section = section or cls.section

    @model_validator(mode="wrap")
    @classmethod
    def _keep_the_rules(
        cls, values: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        if info.context is READING:
            return handler(values)
        try:
            made = handler(values)
        except ValidationError:
            raise refusal_of(cls, values, name=cls.section) from None
        written = made.model_dump(exclude_unset=True) if cls.rules else {}
        if any(broken_rules(cls, written)):
            raise refusal_of(cls, written, name=cls.section)
        return made


def _whole_number(value: Any) -> Any:
    """Accept 1e6 for 1_000_000: TOML has no other short way to write it."""
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    is_integer = hasattr(value, "__index__") and not isinstance(value, bool)  # of any library
    return int(value) if is_whole or is_integer else value


def _unsigned_zero(value: Any) -> Any:
    """Read -0.0 as 0.0: equal configs must have equal digests."""
    return value + 0.0 if isinstance(value, float) else value


_DURATION = r"^[0-9]{1,10} ?(s|min|h|d|w)$"
_IN_JOINS = r"auto|[1-9][0-9]{0,8} joins?"
_WINDOW = rf"^([0-9]{{1,10}} ?(s|min|h|d|w)|{_IN_JOINS})$"


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


def _window(value: Any) -> int | str:
    """A duration, perhaps of nothing, a number of joins, or what the data say."""
    if isinstance(value, str) and re.fullmatch(_IN_JOINS, value):
        return value
    return _duration_from(0)(value)


def _spelt(value: dt.timedelta) -> Any:
    """Return a span as text, in days where it is a whole number of them."""
    units = {"d": dt.timedelta(days=1), "s": dt.timedelta(seconds=1)}
    spelt = (f"{value // unit}{name}" for name, unit in units.items() if not value % unit)
    return next(spelt, value)


def _duration_schema(least: int) -> dict[str, Any]:
    rule = f'a whole number of at least {least}, or a duration such as "180d"'
    limits = {"minimum": least, "maximum": INT32_END - 1, "pattern": _DURATION}
    return {"type": ["integer", "string"], **limits, "x-rule": rule}


def days_in(duration: int | str) -> int | None:
    """Return the days of a duration in a world, which counts in days; None for other units."""
    if isinstance(duration, int):
        return duration
    size = {"d": 1, "w": 7}.get(duration[-1])
    return None if size is None else int(duration[:-1]) * size


def _sorted_by_key(table: dict[str, float]) -> dict[str, float]:
    """Forget the order in the file: the same table must draw the same world."""
    return dict(sorted(table.items()))


def worded(pattern: str, rule: str) -> Any:
    """Return the limits of a text, and its rule in words, those after "must be"."""
    return Field(pattern=pattern, json_schema_extra={"x-rule": rule})


_CODE = "letters, digits, '-' and '_' (at most 64, first a letter or digit)"

Count = Annotated[int, BeforeValidator(_whole_number)]
Positive = Annotated[Count, Field(ge=1, lt=INT32_END)]
Natural = Annotated[Count, Field(ge=0, lt=INT32_END)]
Number = Annotated[float, BeforeValidator(_unsigned_zero)]
Share = Annotated[Number, Field(ge=0.0, le=1.0)]
Days = Annotated[Number, Field(ge=0, le=36_500)]
Correlation = Annotated[Number, Field(ge=0, le=0.99)]
Penalty = Annotated[Number, Field(gt=0, le=1e12)]
Proportion = Annotated[Number, Field(gt=0.0, lt=1.0)]
Duration = Annotated[int | str, PlainValidator(_duration_from(1)),
                     WithJsonSchema(_duration_schema(1))]  # fmt: skip
Window = Annotated[int | str, PlainValidator(_window),
                   WithJsonSchema(_duration_schema(0) | {"pattern": _WINDOW})]  # fmt: skip
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[str, ...], Field(min_length=1, strict=False)]
_NAME = f"a name of lower-case {_CODE}"
Name = Annotated[str, worded(r"^[a-z0-9][a-z0-9_-]{0,63}$", _NAME)]
BY_NAME: JsonDict = {"x-key-rule": _NAME}
"""Schema of a table whose keys are names."""
Country = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Countries = Annotated[
    dict[Country, Annotated[Number, Field(gt=0.0, le=1e9)]],
    Field(min_length=1, json_schema_extra={"x-key-rule": f"a code of {_CODE}"}),
    AfterValidator(_sorted_by_key),
]
Month = Annotated[str, worded(r"^[0-9]{4}-(0[1-9]|1[0-2])$", "a month, written YYYY-MM in quotes")]
Digest = Annotated[
    str, worded(r"^[0-9a-f]{64}$", "a sha256 digest: 64 hexadecimal digits in lower case")
]
# No system has a NUL in a path; Python would fail on it with a traceback.
_PATH = r"^[^\x00]+$"
FilePath = Annotated[str, worded(_PATH, "the path of a file")]
Folder = Annotated[str, worded(_PATH, "the folder of an earlier run's result")]
DATES = dt.date(1800, 1, 1), dt.date(2999, 12, 31)
SAY_DATES = "a date from 1800-01-01 to 2999-12-31, without quotes"
Date = Annotated[dt.date, Field(ge=DATES[0], le=DATES[1], json_schema_extra={"x-rule": SAY_DATES})]
