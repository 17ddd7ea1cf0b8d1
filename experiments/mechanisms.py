"""Which detector sees a gateway that acts by influence, by recommendation, by invitation?

A row for each detector, and for the verdict that joins change and traces, in each kind of
world of configs/mechanisms.toml: average precision against the planted gateways, how many of
them are called, and which share of the calls is false. A call is false *by role* where the
group is no planted gateway, and *by replay* where the replay of its joins shows no effect: a
group that shares members with targets is recommended beside them, and leads, look-alike or not.

Run: gateway sweep configs/mechanisms.toml --out DIR, then
     python experiments/mechanisms.py DIR
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gateway.evaluate.ranking import average_precision
from gateway.results import Result, SweepFolder, open_result

KINDS = {
    (1, 0, 0, 0): "influence",
    (1, 1, 0, 0): "influence with a half-life",
    (0, 0, 1, 0): "recommender",
    (0, 0, 0, 1): "inviter",
    (1, 0, 1, 1): "all together",
    (0, 0, 0, 0): "none",
}
ACTS = {"influence": "changes", "recommender": "recommends", "inviter": "invites"}
# The form of edges that sees a mechanism.
FORMS = {"recommender": "seed", "inviter": "member"}


def kind_of(result: Result) -> str:
    """Name the kind of world of a run."""
    roles = result.config.world.roles
    acts = (roles.influence, roles.influence_half_life, roles.recommender, roles.inviter)
    return KINDS[tuple(int(x > 0) for x in acts)]


def measures(result: Result) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield name and measures of every detector, of the forms of edges, and of the verdict."""
    role = dict(zip(*(result.table("groups")[c].to_pylist() for c in ("group", "role"))))  # noqa: B905
    truth = result.table("truth").to_pylist()
    effect = {row["group"]: row["direct_effect"] or 0.0 for row in truth}
    rows = result.table("gateways").to_pylist()
    for detector in result.config.detect.detectors:
        own = [row for row in rows if row["detector"] == detector]
        rank = [row["rank"] or len(own) + 1 for row in own]
        called = [row["group"] for row in own if row["flagged"]]
        yield (
            detector,
            {"ap": ap(own, [-r for r in rank], role, ACTS)} | calls(called, role, effect),
        )
        if detector == "edges":
            for acts, form in FORMS.items():
                score = [row[f"{form}_score"] for row in own]
                yield f"edges, {form}", {"ap": ap(own, score, role, {acts})}
    if "verdicts" in result.table_names:
        judged = result.table("verdicts").to_pylist()
        called = [row["group"] for row in judged if any(row[by] for by in ACTS.values())]
        rightly = [row for row in judged if row.get(ACTS.get(role[row["group"]], ""))]
        planted = sum(r in ACTS for r in role.values())
        yield "verdict", calls(called, role, effect) | {"named": len(rightly) / max(planted, 1)}


def ap(rows: list[dict[str, Any]], score: list[float], role: dict[str, str], acts: Any) -> float:
    """Average precision for groups of some roles; NaN where there are none."""
    relevant = np.array([role[row["group"]] in acts for row in rows])
    if not relevant.any():
        return float("nan")
    return average_precision(np.array(score, float), relevant, np.ones(len(rows), int))


def calls(called: list[str], role: dict[str, str], effect: dict[str, float]) -> dict[str, float]:
    """Share of the gateways called, number called, and the share of false calls both ways."""
    planted = sum(r in ACTS for r in role.values())
    right = sum(role[g] in ACTS for g in called)
    idle = sum(effect[g] <= 0 for g in called)
    n = len(called)
    return {
        "found": right / planted if planted else float("nan"),
        "called": n,
        "false by role": (n - right) / n if n else 0.0,
        "false by replay": idle / n if n else 0.0,
    }


def main() -> None:
    """Print a table for each kind of world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    sweep = SweepFolder(parser.parse_args().folder)
    found: dict[str, dict[str, list[dict[str, float]]]] = defaultdict(lambda: defaultdict(list))
    for key in sorted({e["point"] for e in sweep.history() if e["event"] == "finished"}):
        result = open_result(sweep.point(key))
        for name, values in measures(result):
            found[kind_of(result)][name].append(values)
    columns = ("ap", "found", "called", "false by role", "false by replay", "named")
    for kind in KINDS.values():
        worlds = max((len(v) for v in found[kind].values()), default=0)
        print(f"\n{kind} ({worlds} worlds)\n\n| detector | " + " | ".join(columns) + " |")
        print("|" + "---|" * (len(columns) + 1))
        for name, values in found[kind].items():
            print(f"| {name} | " + " | ".join(mean(values, column) for column in columns) + " |")


def mean(values: list[dict[str, float]], column: str) -> str:
    """Mean over worlds, with its standard error."""
    x = np.array([value.get(column, np.nan) for value in values])
    if np.isnan(x).all():
        return "–"
    spread = x.std(ddof=1) / np.sqrt(len(x)) if len(x) > 1 else float("nan")
    return f"{x.mean():.2f} ± {spread:.2f}"


if __name__ == "__main__":
    main()
