"""``gateway status``: how far a folder is, once or again and again."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from gateway.cli.terminal import clean
from gateway.sweep import Status, folder_status

__all__ = ["show_status"]

LOOK_SECONDS = 2.0
SHOWN_FAILURES = 5


def show_status(folder: Path, *, watch: bool, as_json: bool) -> None:
    """Print how far a folder is; with ``watch``, until nothing runs any more."""
    while True:
        status = folder_status(folder)
        if as_json:
            sys.stdout.write(json.dumps(status.as_json(), ensure_ascii=False) + "\n")
        else:
            sys.stdout.write("\n".join(_lines(status)) + "\n")
        sys.stdout.flush()
        if not watch or status.state != "running":
            return
        time.sleep(LOOK_SECONDS)


def _lines(status: Status) -> list[str]:
    counts = (
        f"{status.n_done:,} of {status.n_points:,} done, {status.n_running:,} running, "
        f"{status.n_failed:,} failed, {status.n_pending:,} pending"
    )
    left = "" if status.seconds_left is None else f"; {_duration(status.seconds_left)} left"
    peak = (
        "" if status.peak_mib is None else f"; peak memory of a worker {status.peak_mib:,.0f} MiB"
    )
    lines = [f"{clean(status.folder)}: {status.state}", f"  {counts}{left}{peak}"]
    if status.is_compiling:
        lines.append("  compiling kernels, once")
    for point in status.running:
        memory = "" if point.memory_mib is None else f", {point.memory_mib:,.0f} MiB"
        lines.append(
            f"  running {point.key} on {clean(point.worker)}: {_duration(point.seconds)}{memory}"
        )
    failures = list((status.failures or {}).items())
    lines += [f"  failed {key}: {clean(reason.splitlines()[0])}"
              for key, reason in failures[:SHOWN_FAILURES]]  # fmt: skip
    if len(failures) > SHOWN_FAILURES:
        lines.append(f"  and {len(failures) - SHOWN_FAILURES:,} more failed points")
    return lines


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else (
        f"{rest} s"
    )  # fmt: skip
