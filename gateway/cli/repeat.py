"""Repeat a stored run and compare, byte for byte."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gateway.cli.terminal import TerminalTalk, clean
from gateway.publish import run
from gateway.results import compare_results, open_result, scratch_folder

__all__ = ["rerun_and_compare"]


def rerun_and_compare(folder: Path, *, threads: int | None, as_json: bool) -> bool:
    """Return whether tables and figures come out the same, and print which do not."""
    stored = open_result(folder)
    with scratch_folder() as scratch:
        again = run(stored.config, folder=scratch / "again", n_threads=threads, talk=TerminalTalk())
        differences = compare_results(stored, again)
        count = len(stored.digests())
    if as_json:
        listed = [{"file": d.name, "what": d.what} for d in differences]
        found = {"identical": not differences, "files": count, "differences": listed}
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    elif differences:
        lines = [f"{clean(d.name)}: {d.what}" for d in differences]
        sys.stdout.write("\n".join([f"{len(differences)} of {count} files differ", *lines]) + "\n")
    else:
        sys.stdout.write(f"identical: {count} tables and figures\n")
    return not differences
