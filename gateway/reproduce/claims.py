"""The claims of a file: read, checked, listed as the README lists them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.document import Document, read_document
from gateway.config.phrases import did_you_mean, nearest, say_key, say_value
from gateway.errors import ConfigError, Problem
from gateway.results import read_config_text

__all__ = ["Claim", "claims_as_markdown", "read_claims"]

Number = Annotated[float, Field(allow_inf_nan=False)]
Words = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,400}$")]


class Claim(BaseModel):
    """One claim: a number of a run, and what it should be.

    Parameters
    ----------
    id
        Its name, by which it is asked for.
    claim, reason
        What is claimed, and why the tolerance is what it is, in words.
    config, set
        What is run: a config, relative to the file of claims, and settings over it.
    table, where, value
        Where the number stands: column ``value`` in the rows of a stored table that hold
        what ``where`` says. A table of groups knows their ``role``. ``log_shape`` is no
        stored table but the statistics of the run's log.
    take
        ``only``: the one row there is. ``mean``: of all rows, weighted by column
        ``weight`` if there is one. ``count_below``: how many are below ``below``; rows
        without a value are none of them.
    scale
        By which the number is multiplied: 100 for one per hundred.
    expected, tolerance
        The claim holds when the number is no further off than the tolerance.
    seconds
        Processor seconds of its run, as measured; claims that share a run share them.
    when
        ``quick`` claims are judged always, ``full`` ones when all are asked for.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    claim: Words
    config: Annotated[str, Field(pattern=r"^[^\x00]+$")]
    set: Annotated[tuple[str, ...], Field(strict=False)] = ()
    table: Annotated[str, Field(pattern=r"^[a-z][a-z_/]*$")]
    where: dict[str, str | int | bool] = {}
    value: str
    take: Literal["only", "mean", "count_below"] = "only"
    weight: str | None = None
    below: Number | None = None
    scale: Number = 1.0
    expected: Number
    tolerance: Annotated[Number, Field(ge=0.0)]
    reason: Words
    seconds: Annotated[Number, Field(gt=0.0)]
    when: Literal["quick", "full"]


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    claims: Annotated[tuple[Claim, ...], Field(strict=False, min_length=1)]


# What a value must be, where its key is known but its value is refused.
_RULES = {
    "id": "a name of lower-case letters, digits and '-' (at most 64)",
    "claim": "one line of at most 400 characters",
    "reason": "one line of at most 400 characters",
    "config": "the path of a config",
    "set": "a list of settings in quotes, each section.key=value",
    "table": "the name of a stored table, without its ending",
    "where": "a table of columns and what they hold: text, a whole number, true or false",
    "value": "the name of a column",
    "take": "'only', 'mean' or 'count_below'",
    "weight": "the name of a column",
    "below": "a number",
    "scale": "a number",
    "expected": "a number",
    "tolerance": "a number, 0 or above",
    "seconds": "a number above 0",
    "when": "'quick' or 'full'",
    "claims": "sections, at least one, each written [[claims]]",
}


def read_claims(file: Path) -> tuple[Claim, ...]:
    """Read a file of claims.

    Parameters
    ----------
    file
        TOML, ``[[claims]]`` alone.

    Raises
    ------
    ConfigError
        With every problem at once: the file is missing or no TOML, a key is unknown,
        missing or refused, two claims have one name, or a detail does not fit ``take``.
    """
    document, _ = read_document(read_config_text(file), name=str(file), overrides=())
    try:
        claims = _File.model_validate(document.values).claims
    except ValidationError as error:
        found = [_problem(one, document) for one in error.errors(include_url=False)]
        raise ConfigError(list(dict.fromkeys(found))) from None
    if problems := [*_unlike_names(claims, document), *_unfit(claims, document)]:
        raise ConfigError(problems)
    return claims


def _problem(error: ErrorDetails, document: Document) -> Problem:
    # Of a union or a list the validator also names the branch or item; the key is enough.
    path = error["loc"][:3]
    where, what = document.place(path).text, say_key(path)
    if error["type"] == "missing":
        return Problem(what, "is missing", where=where)
    if error["type"] == "extra_forbidden":
        near = nearest(str(path[-1]), [*Claim.model_fields] if len(path) == 3 else ["claims"])
        hint = None if near is None else did_you_mean(near)
        return Problem(what, "is not a known key", where=where, hint=hint)
    key = str(path[-1])
    rule = _RULES.get(key, "a section, written [[claims]]")
    return Problem(what, f"must be {rule}", say_value(error["input"]), where)


def _unlike_names(claims: tuple[Claim, ...], document: Document) -> Iterator[Problem]:
    count = Counter(claim.id for claim in claims)
    for index, claim in enumerate(claims):
        if count[claim.id] > 1:
            key = ("claims", index, "id")
            rule = "must differ from every other"
            yield Problem(say_key(key), rule, say_value(claim.id), document.place(key).text)


def _unfit(claims: tuple[Claim, ...], document: Document) -> Iterator[Problem]:
    """Yield what does not go with ``take``."""
    for index, claim in enumerate(claims):
        key = ("claims", index)
        where, what = document.place(key).text, say_key((*key, "take"))
        if claim.weight is not None and claim.take != "mean":
            yield Problem(what, "must be 'mean' beside weight", say_value(claim.take), where)
        if (claim.below is None) == (claim.take == "count_below"):
            rule = "must be 'count_below' beside below, and only there"
            yield Problem(what, rule, say_value(claim.take), where)


_HEAD = ("claim", "value", "command", "file", "tolerance", "run time, CPU s")


def claims_as_markdown(claims: Sequence[Claim]) -> str:
    """Return claims as a table in Markdown, in their order."""
    lines = [_line(_HEAD), _line(["---"] * len(_HEAD))]
    return "\n".join([*lines, *(_line(_cells(claim)) for claim in claims)]) + "\n"


def _cells(claim: Claim) -> list[str]:
    return [
        claim.claim,
        f"{claim.expected:g}",
        f"`gateway reproduce --claim {claim.id}`",
        f"`{claim.config}`: `{claim.table}`",
        f"± {claim.tolerance:g}: {claim.reason}",
        f"{claim.seconds:g}",
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
