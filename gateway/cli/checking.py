"""``gateway check``: run a check of a log, and print what it shows."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gateway.check import QUICK, THOROUGH, limits_of, paragraph_of, verdict_of_check
from gateway.cli.folders import SOME_FAILED, STOPPED
from gateway.cli.terminal import TerminalTalk, clean, complain, print_table
from gateway.config import Config
from gateway.detect.measure import words_of
from gateway.inputs import obtain_inputs
from gateway.publish import redraw
from gateway.results import Result
from gateway.sweep import EngineOptions, SweepStoppedError, check_plan, run_sweep

__all__ = ["check_and_show"]


def check_and_show(
    config: Config, *, thorough: bool, folder: Path | None, options: EngineOptions, as_json: bool
) -> int:
    """Run what is missing of a check, print what it shows, and return the exit code."""
    if config.log is not None:
        # What is wrong with log or targets is said once, and not by each of the logs made of it.
        obtain_inputs(config)
    plan = check_plan(config, THOROUGH if thorough else QUICK)
    kind = "check-thorough" if thorough else "check"
    place = folder or Path("results") / config.experiment.name / kind
    try:
        outcome = run_sweep(plan, folder=place, options=options, talk=TerminalTalk())
    except (SweepStoppedError, OSError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        complain(f"the check has stopped: {said}\ngo on with the same command")
        return STOPPED
    if outcome.n_done:
        _show(redraw(place), as_json=as_json)
    if outcome.n_failed:
        complain(f"{outcome.n_failed:,} logs failed: see {place / 'failed'}")
        return SOME_FAILED
    return 0


def _show(result: Result, *, as_json: bool) -> None:
    rows = result.table("check").to_pylist()
    summary = {row["key"]: row["value"] for row in result.table("summary").to_pylist()}
    paragraph, limits = paragraph_of(rows, summary), limits_of(rows)
    if as_json:
        said = {"folder": str(result.folder), "report": str(result.folder / "report.html"),
                "paragraph": paragraph, "limits": limits, "check": rows}  # fmt: skip
        sys.stdout.write(json.dumps(said, indent=2, ensure_ascii=False) + "\n")
        return
    calls = [row for row in rows if row["metric"] == "share_of_logs_with_calls"]
    columns = ["detector", "log", "logs with a call", "95 %", "that is"]
    cells = [
        [
            words_of(row["detector"]), row["log"].replace("_", " ").removeprefix("permuted "),
            f"{round(row['value'] * row['n'])} of {row['n']}",
            f"{row['ci_low']:.2f} to {row['ci_high']:.2f}",
            verdict_of_check(rows, row["detector"], row["log"]),
        ]
        for row in calls
    ]  # fmt: skip
    print_table("False calls", columns, cells, may_go=["95 %"], shortens=True)
    lines = [paragraph, "What may not be claimed:", *limits]
    for line in lines:
        sys.stdout.write(clean(line) + "\n")
    sys.stdout.write(f"report: {result.folder / 'report.html'}\n")
