"""Run a sweep and say what became of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.cli.terminal import TerminalTalk, complain, print_table
from gateway.results import SweepFolder
from gateway.sweep import EngineOptions, Outcome, Plan, SweepStoppedError, run_sweep

__all__ = ["SOME_FAILED", "STOPPED", "list_points", "sweep_and_show"]

# Exit codes of ``gateway sweep`` and ``gateway resume``.
STOPPED, SOME_FAILED = 1, 3


def sweep_and_show(plan: Plan, *, folder: Path, options: EngineOptions, as_json: bool) -> int:
    """Run what is missing of a sweep; return the exit code."""
    return _shown(lambda: run_sweep(plan, folder=folder, options=options, talk=TerminalTalk()),
                  folder, as_json=as_json)  # fmt: skip


def _shown(work: Callable[[], Outcome], folder: Path, *, as_json: bool) -> int:
    try:
        outcome = work()
    except (SweepStoppedError, OSError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        complain(f"the sweep has stopped: {said}\ngo on with: gateway resume {folder}")
        return STOPPED
    if as_json:
        counts = {
            "points": outcome.n_points, "done": outcome.n_done, "failed": outcome.n_failed,
            "computed": outcome.n_computed,
        }  # fmt: skip
        sys.stdout.write(json.dumps({"folder": str(outcome.folder), **counts}, indent=2) + "\n")
    else:
        sys.stdout.write(
            f"{outcome.n_done:,} of {outcome.n_points:,} points are done, {outcome.n_computed:,} "
            f"of them now; {outcome.n_failed:,} failed\n{outcome.folder}\n"
        )
    if outcome.n_failed:
        complain(f"{outcome.n_failed:,} points failed: see {outcome.folder / 'failed'}")
        return SOME_FAILED
    return 0


def list_points(plan: Plan, *, folder: Path, as_json: bool) -> None:
    """Print the points of a sweep and which of them stand, without running any."""
    place = SweepFolder(folder)
    rows = [
        {
            "point": point.index, "replicate": point.replicate,
            "seed": point.config.experiment.seed, **point.settings, "key": point.key,
            "state": "done" if place.is_done(point.key) else "missing",
        }
        for point in plan.points
    ]  # fmt: skip
    if as_json:
        listed = {"folder": str(folder), "points": rows}
        sys.stdout.write(json.dumps(listed, indent=2, default=str, ensure_ascii=False) + "\n")
        return
    missing = sum(row["state"] == "missing" for row in rows)
    title = f"{len(rows):,} points, {missing:,} missing in {folder}"
    print_table(title, list(rows[0]), [_cells(list(row.values())) for row in rows])


def _cells(values: Sequence[object]) -> list[str]:
    return [f"{value:.6g}" if isinstance(value, float) else str(value) for value in values]
