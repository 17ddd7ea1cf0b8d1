"""Compute the README's claims anew and say which hold."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.cli.terminal import TerminalTalk, clean, complain, print_json, print_table
from gateway.config.phrases import did_you_mean, nearest
from gateway.errors import ConfigError, Problem
from gateway.reproduce import (
    Claim,
    Reproduction,
    claims_as_markdown,
    read_claims,
    reproduce_claims,
)

# Exit code when a number is outside its tolerance.
OUTSIDE = 4


def list_claims(file: Path) -> None:
    """Print every claim as a table in Markdown: that of the README."""
    sys.stdout.write(claims_as_markdown(read_claims(file)))


def reproduce_and_show(
    file: Path,
    *,
    names: Sequence[str],
    full: bool,
    out: Path,
    threads: int | None,
    as_json: bool,
) -> int:
    """Judge the claims that are asked for, print the verdict, and return the exit code."""
    claims = _wanted(read_claims(file), names, file=file, full=full)
    found = reproduce_claims(
        claims, beside=file.parent, folder=out, n_threads=threads, talk=TerminalTalk()
    )
    if as_json:
        shown = {"folder": str(found.folder), "claims": found.table.to_pylist()}
        print_json(shown)
    else:
        _show(found)
    if found.n_outside:
        complain(f"{found.n_outside:,} of {len(claims):,} claims are outside their tolerance")
        return OUTSIDE
    return 0


def _wanted(
    claims: Sequence[Claim], names: Sequence[str], *, file: Path, full: bool
) -> list[Claim]:
    """Return the named claims, or else all quick ones, or all."""
    known = {claim.id: claim for claim in claims}
    if unknown := [name for name in names if name not in known]:
        raise ConfigError([_unknown(name, list(known), file) for name in unknown])
    if names:
        return [known[name] for name in dict.fromkeys(names)]
    wanted = [claim for claim in claims if full or claim.when == "quick"]
    if not wanted:
        rule = "has no quick claim: use --full"
        raise ConfigError([Problem(str(file), rule)])
    return wanted


def _unknown(name: str, known: list[str], file: Path) -> Problem:
    near = nearest(name, known)
    hint = None if near is None else did_you_mean(near)
    return Problem("--claim", f"must be one of those in {file}", name, hint=hint)


def _show(found: Reproduction) -> None:
    rows = [
        [
            row["claim"], f"{row['expected']:g}", f"{row['tolerance']:g}",
            "-" if row["measured"] is None else f"{row['measured']:.4g}",
            "holds" if row["within"] else "OUTSIDE",
        ]
        for row in found.table.to_pylist()
    ]  # fmt: skip
    title = f"{len(rows):,} claims, {found.n_outside:,} outside their tolerance"
    print_table(title, ["claim", "expected", "±", "measured", ""], rows)
    sys.stdout.write(clean(str(found.folder / "claims.parquet")) + "\n")
