"""What is asked of sweeps, checks and stored runs: go on, how far, what differs, again, why."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from gateway.analyses import Explanation
from gateway.check import QUICK, THOROUGH, limits_of, paragraph_of, verdict_of_check
from gateway.cli.terminal import TerminalTalk, clean, complain, print_json, print_table
from gateway.config import Config
from gateway.detect.measure import words_of
from gateway.errors import ResultError, did_you_mean, shown
from gateway.inputs import obtain_inputs
from gateway.pipeline import explain
from gateway.results import Result, SweepFolder, compare_results, open_result, scratch_folder
from gateway.sweep import (
    EngineOptions,
    FolderComparison,
    Outcome,
    Plan,
    Status,
    SweepStoppedError,
    check_plan,
    compare_folders,
    folder_status,
    run_sweep,
)
from gateway.view import Viewed, Viewer

# Exit codes of ``gateway sweep`` and ``gateway resume``.
STOPPED, SOME_FAILED = 1, 3


def run_plan(
    plan: Plan, *, folder: Path, options: EngineOptions, what: str, go_on: str
) -> Outcome | None:
    """Run what is missing of a sweep; where it stops, say so and how to go on, and give None."""
    try:
        return run_sweep(plan, folder=folder, options=options, talk=TerminalTalk())
    except (SweepStoppedError, OSError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        complain(f"the {what} has stopped: {said}\ngo on with{go_on}")
        return None


def sweep_and_show(plan: Plan, *, folder: Path, options: EngineOptions, as_json: bool) -> int:
    """Run what is missing of a sweep; return the exit code."""
    go_on = f": gateway resume {folder}"
    outcome = run_plan(plan, folder=folder, options=options, what="sweep", go_on=go_on)
    if outcome is None:
        return STOPPED
    if as_json:
        counts = {
            "points": outcome.n_points, "done": outcome.n_done, "failed": outcome.n_failed,
            "computed": outcome.n_computed,
        }  # fmt: skip
        print_json({"folder": outcome.folder, **counts})
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
        print_json({"folder": folder, "points": rows})
        return
    missing = sum(row["state"] == "missing" for row in rows)
    title = f"{len(rows):,} points, {missing:,} missing in {folder}"
    print_table(title, list(rows[0]), [_cells(list(row.values())) for row in rows])


def _cells(values: Sequence[object]) -> list[str]:
    return [f"{value:.6g}" if isinstance(value, float) else str(value) for value in values]


# A check ------------------------------------------------------------------------------------


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
        from gateway.publish import redraw  # noqa: PLC0415  (others draw no figures)

        _show_check(redraw(place), as_json=as_json)
    if outcome.n_failed:
        complain(f"{outcome.n_failed:,} logs failed: see {place / 'failed'}")
        return SOME_FAILED
    return 0


def _show_check(result: Result, *, as_json: bool) -> None:
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


# Status --------------------------------------------------------------------------------------

LOOK_SECONDS = 2.0
SHOWN_FAILURES = 5


def show_status(folder: Path, *, watch: bool, as_json: bool) -> None:
    """Print how far a folder is; with ``watch``, until nothing runs any more."""
    while True:
        status = folder_status(folder)
        if as_json:
            sys.stdout.write(json.dumps(asdict(status), ensure_ascii=False) + "\n")
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


# Differences ---------------------------------------------------------------------------------

SHOWN = 20


def show_comparison(first: Path, second: Path, *, as_json: bool) -> None:
    """Print what two runs or two sweeps do not share."""
    found = compare_folders(first, second)
    if as_json:
        print_json(asdict(found))
        return
    _show_keys(found)
    _show_values(found)
    for which, only in (("first", found.only_first), ("second", found.only_second)):
        if only:
            sys.stdout.write(f"{len(only):,} values are only in the {which}\n")
    if found.files:
        sys.stdout.write(f"{len(found.files):,} tables and figures are not the same bytes\n")


def _show_keys(found: FolderComparison) -> None:
    if not found.keys:
        sys.stdout.write("the configs are the same\n")
        return
    rows = [[k.key, _said(k.first), _said(k.second)] for k in found.keys]
    print_table(f"{len(rows)} keys of the configs differ", ["key", "first", "second"], rows)


def _show_values(found: FolderComparison) -> None:
    if not found.values:
        sys.stdout.write(f"all {found.n_values:,} values are the same\n")
        return
    title = f"{len(found.values):,} of {found.n_values:,} values differ"
    if len(found.values) > SHOWN:
        title += f"; the {SHOWN} largest differences"
    rows = [
        [
            " ".join(filter(None, (v.point, v.detector, v.truth, v.metric))),
            _interval(v.first), _interval(v.second), _interval(v.difference),
        ]
        for v in found.values[:SHOWN]
    ]  # fmt: skip
    print_table(title, ["value", "first", "second", "difference"], rows)


def _interval(value: tuple[float, float, float]) -> str:
    middle, low, high = value
    return f"{middle:.4g}" if math.isnan(low) else f"{middle:.4g} ({low:.4g} to {high:.4g})"


def _said(value: Any) -> str:
    return "-" if value is None else clean(str(value))


# The same again ------------------------------------------------------------------------------


def rerun_and_compare(folder: Path, *, threads: int | None, as_json: bool) -> bool:
    """Return whether tables and figures come out the same, and print which do not."""
    from gateway.publish import run  # noqa: PLC0415  (a comparison draws no figures)

    stored = open_result(folder)
    with scratch_folder() as scratch:
        again = run(stored.config, folder=scratch / "again", n_threads=threads, talk=TerminalTalk())
        differences = compare_results(stored, again)
        count = len(stored.digests())
    if as_json:
        listed = [{"file": d.name, "what": d.what} for d in differences]
        print_json({"identical": not differences, "files": count, "differences": listed})
    elif differences:
        lines = [f"{clean(d.name)}: {d.what}" for d in differences]
        sys.stdout.write("\n".join([f"{len(differences)} of {count} files differ", *lines]) + "\n")
    else:
        sys.stdout.write(f"identical: {count} tables and figures\n")
    return not differences


def view_until_interrupted(folder: Path, *, port: int) -> None:
    """Print where the pages are, and serve them.

    The address is not handed to a browser: every user of the machine can read the arguments of
    a process, and the address holds the token.
    """
    result = open_result(folder)
    viewed = Viewed(result.tables(), result.config.experiment.name)
    with Viewer(viewed, port=port) as viewer, suppress(KeyboardInterrupt):
        TerminalTalk().say("open this address in a browser of this machine; Ctrl+C ends it")
        sys.stdout.write(f"{viewer.url}\n")
        sys.stdout.flush()
        viewer.serve()


# Why a group is ranked where it is ----------------------------------------------------


def explain_and_show(folder: Path, group: str, *, threads: int | None, as_json: bool) -> None:
    """Score the stored result's log again and print what is known of one group's joiners."""
    from gateway._numba import set_threads  # noqa: PLC0415  (only where kernels run)

    result = open_result(folder)
    known = result.table("groups")["group"].to_pylist()
    if group not in known:
        # Before the log is read and scored again, which takes its time.
        hint = did_you_mean(group, known)
        said = f"{folder} has no group {shown(group)}"
        raise ResultError(f"{said} ({hint})" if hint else said)
    if threads is not None:
        set_threads(threads)
    why = explain(result.config, group, talk=TerminalTalk())
    ranks = _ranks_of(result, group)
    if as_json:
        print_json(_as_json(why, ranks))
        return
    _show_reasons(why, ranks)


def _ranks_of(result: Result, group: str) -> list[dict[str, Any]]:
    """The group's row of every detector."""
    gateways = result.table("gateways")
    names = ["detector", "rank", "score", "ci_low", "ci_high", "q_value", "flagged"]
    rows: list[dict[str, Any]] = (
        gateways.filter(pc.equal(gateways["group"], group)).select(names).to_pylist()
    )
    return rows


def _show_reasons(why: Explanation, ranks: list[dict[str, Any]]) -> None:
    rows = [[r["detector"], _or_dash(r["rank"], "d"), _or_dash(r["score"], ".4g"),
             "yes" if r["flagged"] else "no"] for r in ranks]  # fmt: skip
    print_table(f"Where {why.group} stands", ["detector", "rank", "score", "flagged"], rows)
    for line in _reasons(why):
        sys.stdout.write(clean(line) + "\n")
    _show_event_study(why)
    _show_next(why)


def _reasons(why: Explanation) -> list[str]:
    check = why.look_alike
    ratio, low, high = (_or_dash(x, ".2f") for x in (check.ratio, check.ci_low, check.ci_high))
    return [
        f"members: {why.n_members:,}; at risk when they joined: {why.n_joiners:,}; "
        f"probability spiked: {why.n_events:,}",
        f"target joins later: {why.observed:,} observed, {why.expected:.1f} expected from the "
        f"joins before ({why.n_resolved:,} joiners with a known outcome)",
        f"look-alike check: {check.targets_after:,} target joins after joining it, "
        f"{check.expected:.1f} expected by chance, by {check.n_informative:,} joiners with "
        f"joins before and after; odds ratio {ratio} [{low}, {high}] within the same users",
    ]


def _show_event_study(why: Explanation) -> None:
    rows = [
        [
            f"{r['offset']:+d}",
            f"{100 * r['mean']:.2f}",
            _interval_in_percent(r),
            f"{r['n_users']:,}",
        ]
        for r in why.event_study.to_pylist()
    ]
    title = "Mean probability of a target join around the join (0), %"
    print_table(title, ["joins", "mean", "95 %", "users"], rows)


def _interval_in_percent(row: dict[str, Any]) -> str:
    if row["ci_low"] is None:
        return "-"
    return f"{100 * row['ci_low']:.2f} to {100 * row['ci_high']:.2f}"


def _show_next(why: Explanation) -> None:
    rows = [
        ["(first target join)" if r["is_target"] else r["next_group"],
         f"{r['n_joins']:.1f}", f"{100 * r['share']:.1f}", f"{r['lift']:.1f}"]
        for r in why.next_groups.to_pylist()
    ]  # fmt: skip
    print_table("Joined next", ["group", "joins", "share, %", "lift"], rows)


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None or math.isnan(value) else format(value, form)


def _as_json(why: Explanation, ranks: list[dict[str, Any]]) -> dict[str, Any]:
    plain = ("group", "n_members", "n_joiners", "n_events", "n_resolved", "observed", "expected")
    return {
        **{name: getattr(why, name) for name in plain},
        "ranks": ranks,
        "look_alike": asdict(why.look_alike),
        "event_study": why.event_study.drop_columns(["group"]).to_pylist(),
        "next_groups": why.next_groups.drop_columns(["group"]).to_pylist(),
    }
