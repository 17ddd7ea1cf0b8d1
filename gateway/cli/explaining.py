"""Show why a group of a stored result is ranked where it is."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from gateway.analyses import Explanation
from gateway.cli.terminal import TerminalTalk, clean, print_json, print_table
from gateway.errors import ResultError, did_you_mean, shown
from gateway.pipeline import explain
from gateway.results import Result, open_result


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
    ranks = _ranks(result, group)
    if as_json:
        print_json(_as_json(why, ranks))
        return
    _show(why, ranks)


def _ranks(result: Result, group: str) -> list[dict[str, Any]]:
    """The group's row of every detector."""
    gateways = result.table("gateways")
    names = ["detector", "rank", "score", "ci_low", "ci_high", "q_value", "flagged"]
    rows: list[dict[str, Any]] = (
        gateways.filter(pc.equal(gateways["group"], group)).select(names).to_pylist()
    )
    return rows


def _show(why: Explanation, ranks: list[dict[str, Any]]) -> None:
    rows = [[r["detector"], _text(r["rank"], "d"), _text(r["score"], ".4g"),
             "yes" if r["flagged"] else "no"] for r in ranks]  # fmt: skip
    print_table(f"Where {why.group} stands", ["detector", "rank", "score", "flagged"], rows)
    for line in _sentences(why):
        sys.stdout.write(clean(line) + "\n")
    _show_event_study(why)
    _show_next(why)


def _sentences(why: Explanation) -> list[str]:
    check = why.look_alike
    return [
        f"members: {why.n_members:,}; at risk when they joined: {why.n_joiners:,}; "
        f"probability spiked: {why.n_events:,}",
        f"target joins later: {why.observed:,} observed, {why.expected:.1f} expected from the "
        f"joins before ({why.n_resolved:,} joiners with a known outcome)",
        f"look-alike check: {check.targets_after:,} target joins after joining it, "
        f"{check.expected:.1f} expected by chance, by {check.n_informative:,} joiners with "
        f"joins before and after; odds ratio {_text(check.ratio, '.2f')} "
        f"[{_text(check.ci_low, '.2f')}, {_text(check.ci_high, '.2f')}] within the same users",
    ]


def _show_event_study(why: Explanation) -> None:
    rows = [
        [f"{r['offset']:+d}", f"{100 * r['mean']:.2f}", _percents(r), f"{r['n_users']:,}"]
        for r in why.event_study.to_pylist()
    ]
    title = "Mean probability of a target join around the join (0), %"
    print_table(title, ["joins", "mean", "95 %", "users"], rows)


def _percents(row: dict[str, Any]) -> str:
    if row["ci_low"] is None:
        return "-"
    return f"{100 * row['ci_low']:.2f} to {100 * row['ci_high']:.2f}"


def _show_next(why: Explanation) -> None:
    rows = [
        [
            "(first target join)" if r["is_target"] else r["next_group"],
            f"{r['n_joins']:.1f}",
            f"{100 * r['share']:.1f}",
            f"{r['lift']:.1f}",
        ]
        for r in why.next_groups.to_pylist()
    ]
    print_table("Joined next", ["group", "joins", "share, %", "lift"], rows)


def _text(value: float | None, form: str) -> str:
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
