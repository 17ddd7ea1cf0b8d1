"""``gateway convert``: a log into a folder that is mapped, not read."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.cli.terminal import TerminalTalk
from gateway.log.columns import Columns
from gateway.log.conversion import convert_log
from gateway.log.join_log import JoinLog
from gateway.log.work import parse_size
from gateway.results import draft_result

__all__ = ["convert_and_show"]


def convert_and_show(
    log: Path,
    *,
    out: Path,
    columns: Mapping[str, Any],
    memory: str,
    as_json: bool,
) -> None:
    """Convert a log and print where it lies and what it holds."""
    limit = parse_size(memory)
    with TerminalTalk().stage(f"converting {log.name}"), draft_result(out) as draft:
        made = convert_log(log, draft.folder, memory=limit, columns=Columns(**columns))
    reading = JoinLog.open(out).reading
    for line in reading.lines():
        TerminalTalk().say(f"note: {line}")
    if as_json:
        counts = {"rows": made.rows, "joins": made.joins, "users": made.users,
                  "groups": made.groups, "reading": reading.to_arrow().to_pylist()}  # fmt: skip
        sys.stdout.write(json.dumps({"folder": str(out), **counts}, indent=2) + "\n")
        return
    sys.stdout.write(
        f"{made.joins:,} joins of {made.groups:,} groups by {made.users:,} users\n{out}\n"
    )
