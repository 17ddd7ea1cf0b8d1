"""``gateway check``: run a check of a log, and print what it shows."""

from __future__ import annotations

import sys
from pathlib import Path

from gateway.check import QUICK, THOROUGH, limits_of, paragraph_of, verdict_of_check
from gateway.cli.folders import SOME_FAILED, STOPPED, run_plan
from gateway.cli.terminal import clean, complain, print_json, print_table
from gateway.config import Config
from gateway.inputs import obtain_inputs
from gateway.publish import redraw
from gateway.results import Result
from gateway.sweep import EngineOptions, check_plan


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
    go_on = " the same command"
    outcome = run_plan(plan, folder=place, options=options, what="check", go_on=go_on)
    if outcome is None:
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
        print_json(said)
        return
    calls = [row for row in rows if row["metric"] == "share_of_logs_with_calls"]
    columns = ["detector", "log", "logs with a call", "95 %", "that is"]
    cells = [
        [
            row["detector"], row["log"].replace("_", " "),
            f"{round(row['value'] * row['n'])} of {row['n']}",
            f"{row['ci_low']:.2f} to {row['ci_high']:.2f}",
            verdict_of_check(rows, row["detector"], row["log"]),
        ]
        for row in calls
    ]  # fmt: skip
    print_table("False calls", columns, cells)
    lines = [paragraph, "What may not be claimed:", *limits]
    for line in lines:
        sys.stdout.write(clean(line) + "\n")
    sys.stdout.write(f"report: {result.folder / 'report.html'}\n")
