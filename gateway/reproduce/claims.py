"""The claims of a file: read, checked, listed as the README lists them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from gateway.config.document import read_document
from gateway.config.phrases import say_value
from gateway.config.rules import Breach, Given, rule
from gateway.config.types import FilePath, Number, Section, setting, worded
from gateway.config.validation import check_document, config_error
from gateway.results import read_config_text

Words = Annotated[str, worded(r"^[^\x00-\x1f\x7f]{1,400}$", "one line of at most 400 characters")]
_ID = worded(
    r"^[a-z0-9][a-z0-9-]{0,63}$", "a name of lower-case letters, digits and '-' (at most 64)"
)
_TABLE = worded(r"^[a-z][a-z_/]*$", "the name of a stored table, without its ending")


def _plain_values(table: dict[str, Any]) -> dict[str, Any]:
    if not all(isinstance(value, str | int) for value in table.values()):
        raise ValueError("a value that no row can hold")
    return table


@rule("take")
def _details_fit_what_is_taken(given: Given, take: str) -> Iterator[Breach]:
    if given.writes("weight") and take != "mean":
        yield given.refuse("take", "must be 'mean' beside weight")
    if given.writes("below") != (take == "count_below"):
        yield given.refuse("take", "must be 'count_below' beside below, and only there")


@rule("claims")
def _names_differ(given: Given, claims: Sequence[Mapping[str, Any]]) -> Iterator[Breach]:
    names = [claim.get("id") for claim in claims]
    for index, name in enumerate(names):
        if names.count(name) > 1:
            text = "must differ from every other"
            yield given.breach(text, ("claims", index, "id"), got=say_value(name))


class Claim(Section):
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

    rules = (_details_fit_what_is_taken,)

    id: Annotated[str, _ID]
    claim: Words
    config: FilePath
    set: tuple[str, ...] = setting(
        (), "settings over it", rule="a list of settings in quotes, each section.key=value",
        strict=False,
    )  # fmt: skip
    table: Annotated[str, _TABLE]
    where: Annotated[dict[str, Any], AfterValidator(_plain_values)] = setting(
        {}, "which rows",
        rule="a table of columns and what they hold: text, a whole number, true or false",
    )  # fmt: skip
    value: str
    take: Literal["only", "mean", "count_below"] = "only"
    weight: str | None = None
    below: Number | None = setting(None, "see take", rule="a number")
    scale: Number = setting(1.0, "a factor", rule="a number")
    expected: Number = setting(..., "what it should be", rule="a number")
    tolerance: Number = setting(..., "largest difference", rule="a number, 0 or above", ge=0)
    reason: Words
    seconds: Number = setting(..., "cost", rule="a number above 0", gt=0)
    when: Literal["quick", "full"]


class _File(Section):
    rules = (_names_differ,)

    claims: tuple[Claim, ...] = Field(min_length=1, strict=False)


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
    made, findings = check_document(_File, document)
    if findings or made is None:
        raise config_error(findings)
    return made.claims


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
