"""Run a config and show what came out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gateway.cli.terminal import TerminalTalk, print_table
from gateway.config import Config
from gateway.pipeline import simulate_only
from gateway.publish import run
from gateway.store import Result

__all__ = ["run_and_show", "simulate_and_show"]

SHOWN = 15


def run_and_show(
    config: Config, *, out: Path | None, threads: int | None, as_json: bool, force: bool
) -> None:
    """Run, then print the top groups and where the report is."""
    talk = TerminalTalk()
    result = run(config, folder=out, force=force, n_threads=threads, talk=talk)
    if as_json:
        sys.stdout.write(json.dumps(_as_json(result), indent=2, ensure_ascii=False) + "\n")
        return
    _show(result)


def simulate_and_show(config: Config, *, out: Path, threads: int | None) -> None:
    """Simulate and print where the log is."""
    from gateway._numba import set_threads  # noqa: PLC0415  (only where kernels run)

    if threads is not None:
        set_threads(threads)
    folder = simulate_only(config, out, talk=TerminalTalk())
    sys.stdout.write(f"{folder}\n")


def _top(result: Result) -> pa.Table:
    gateways = result.table("gateways")
    ranked = gateways.filter(pc.is_valid(gateways["rank"])).slice(0, SHOWN)
    groups = result.table("groups").select(["group", "role"])
    order = [("rank", "ascending"), ("group", "ascending")]
    return ranked.join(groups, "group").sort_by(order)


def _show(result: Result) -> None:
    top = _top(result).to_pylist()
    is_simulated = result.config.log is None
    columns = ["group", "rank", *(["role"] if is_simulated else []), *_MEASURES]
    rows = [[row["group"], str(row["rank"]), *_roles(row, is_simulated), *_measures(row)]
            for row in top]  # fmt: skip
    print_table("Top gateway groups by the note's spike score", columns, rows)
    for line in _headlines(result):
        sys.stdout.write(line + "\n")
    sys.stdout.write(f"report: {result.folder / 'report.html'}\n")


_MEASURES = ("score", "95 %", "spikes", "effect", "q", "flagged")


def _roles(row: dict[str, Any], is_simulated: bool) -> list[str]:
    """The planted role, which a real log does not know."""
    return [row["role"]] if is_simulated else []


def _measures(row: dict[str, Any]) -> list[str]:
    return [
        f"{row['score']:.3f}",
        f"{row['ci_low']:.3f}-{row['ci_high']:.3f}",
        f"{row['n_spiking']}/{row['n_joiners']}",
        f"{row['realised_effect']:+.3f}" if row["realised_effect"] is not None else "-",
        f"{row['q_value']:.2g}" if row["q_value"] is not None else "-",
        "yes" if row["flagged"] else "no",
    ]


def _headlines(result: Result) -> list[str]:
    """The measures that a reader should see beside the ranking."""
    named = {
        ("outcome", "auc"): "AUC of the scorer",
        ("planted", "average_precision"): "average precision against planted gateways",
        ("planted", "precision_at_50"): "precision at 50",
        ("planted", "share_homophily_at_50"): "homophily look-alikes in the top 50",
    }
    found = {(r["truth"], r["metric"]): r["value"] for r in result.table("evaluation").to_pylist()}
    return [f"{text}: {found[key]:.3f}" for key, text in named.items() if key in found]


def _as_json(result: Result) -> dict[str, Any]:
    return {
        "folder": str(result.folder),
        "report": str(result.folder / "report.html"),
        "summary": _summary(result),
        "top": _top(result).to_pylist(),
        "evaluation": result.table("evaluation").to_pylist(),
    }


def _summary(result: Result) -> dict[str, str | int]:
    """The summary by key: counts, whose keys begin with ``n_``, as numbers."""
    pairs = [(row["key"], row["value"]) for row in result.table("summary").to_pylist()]
    return {key: int(value) if key.startswith("n_") else value for key, value in pairs}
