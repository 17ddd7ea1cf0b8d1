"""The claims as the README lists them."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.reproduce.claims import Claim

__all__ = ["claims_as_markdown"]

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
