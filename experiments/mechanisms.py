"""Which detector sees a gateway that acts by influence, by recommendation, by invitation?

A row for each detector, and for the verdict that joins change and traces, in each kind of
world of configs/mechanisms.toml: average precision against the planted gateways, how many of
them are called, and which share of the calls is false. A call is false *by role* where the
group is no planted gateway, and *by replay* where the platform's own replay shows no effect: of
traces, without recommendations or invitations because of the group (``measure_leads``); of
others, without the joins of the group (``direct_effect``). A group that shares members with
targets is recommended beside them, and leads, look-alike or not. ``caused`` is the share of
target joins that would not have been in the same world with every gateway's strength at zero.

Run: gateway sweep configs/mechanisms.toml --out DIR, then
     python experiments/mechanisms.py DIR [--out results/reference/mechanisms]
Worlds measured before are read from DIR/measured.jsonl.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gateway.detect import detect_edges
from gateway.evaluate.ranking import average_precision
from gateway.figures.style import csv_bytes, figure, letters_on, render, styled
from gateway.inputs import Inputs
from gateway.pipeline import obtain_inputs
from gateway.results import Result, SweepFolder, open_result
from gateway.simulate import joins_by_user, live_through, measure_leads

KINDS = ("influence", "influence with a half-life", "recommender", "inviter", "all together")
ACTS = {"influence": "changes", "recommender": "recommends", "inviter": "invites"}
# The form of edges that sees a mechanism.
FORMS = {"recommender": "seed", "inviter": "member"}
COLUMNS = ("ap", "found", "called", "false by role", "false by replay", "named")
# Another least ratio beside the one of the config, to see what it changes.
STRICT = 2.0


def kind_of(result: Result) -> str:
    """Name the kind of world of a run, and whether gateways act weakly in it."""
    roles = result.config.world.roles
    planted = roles.influence, roles.recommender, roles.inviter
    if not any(planted):
        return "none"
    if all(planted):
        kind = "all together"
    elif roles.influence:
        kind = "influence with a half-life" if roles.influence_half_life else "influence"
    else:
        kind = "recommender" if roles.recommender else "inviter"
    return kind if sum(planted) >= 20 else f"{kind}, low effect"


def caused(inputs: Inputs) -> float:
    """Return the share of target joins that come of what the gateways do."""
    history = inputs.history
    if history is None:
        raise SystemExit("only a simulated run has a truth")
    world, mask = history.world, inputs.targets.mask
    idle = replace(world.groups, strength=np.zeros(len(world.groups)))
    without = joins_by_user(live_through(replace(world, groups=idle)), mask).sum()
    return float(1 - without / joins_by_user(history, mask).sum())


class Truths:
    """What is true of the groups of one world, by name."""

    def __init__(self, result: Result, inputs: Inputs, asked: set[str]) -> None:
        names = inputs.joins.groups.to_pylist()
        self.role = dict(zip(names, inputs.role, strict=True))
        truth = result.table("truth").to_pylist()
        self.effect = {row["group"]: row["direct_effect"] or 0.0 for row in truth}
        among = np.isin(names, sorted(asked))
        led = measure_leads(inputs.history, inputs.targets.mask, among=among)  # type: ignore[arg-type]
        self.seed, self.invited = (
            dict(zip(names, np.nan_to_num(of).tolist(), strict=True))
            for of in (led.seed, led.invited)
        )

    def is_true(self, group: str, says: Sequence[str]) -> bool:
        """Whether the replay shows everything that is said of a group."""
        holds = {"changes": self.effect, "recommends": self.seed, "invites": self.invited,
                 "traces": {group: self.seed[group] + self.invited[group]}}  # fmt: skip
        return all(holds[kind][group] > 0 for kind in says)

    def calls(self, said: dict[str, Sequence[str]]) -> dict[str, float]:
        """Share of the gateways called, number called, and the share of false calls both ways."""
        planted = sum(r in ACTS for r in self.role.values())
        right = sum(self.role[g] in ACTS for g in said)
        idle = sum(not self.is_true(g, says) for g, says in said.items())
        n = len(said)
        return {
            "found": right / planted if planted else float("nan"),
            "called": n,
            "false by role": (n - right) / n if n else 0.0,
            "false by replay": idle / n if n else 0.0,
        }


def measures(result: Result) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield name and measures of every detector, of the forms of edges, and of the verdict."""
    inputs = obtain_inputs(result.config)
    gateways = result.table("gateways")
    strict = detect_edges(
        inputs.joins, inputs.targets,
        options=result.config.edges.model_copy(update={"least_ratio": STRICT}),
    ).to_arrow().to_pylist()  # fmt: skip
    rows = gateways.to_pylist()
    judged = result.table("verdicts")
    of_edges = [row for row in rows if row["detector"] == "edges"]
    flagged = {row["group"] for row in (*of_edges, *strict) if row["flagged"]}
    statements = {
        row["group"]: [by for by in ACTS.values() if row[by]]
        for row in judged.to_pylist()
        if any(row[by] for by in ACTS.values())
    }
    truths = Truths(result, inputs, flagged | set(statements))
    yield "caused", {"caused": caused(inputs)}
    for detector in result.config.detect.detectors:
        own = [row for row in rows if row["detector"] == detector]
        says = ["traces"] if detector == "edges" else ["changes"]
        called = {row["group"]: says for row in own if row["flagged"]}
        yield detector, {"ap": ap(own, truths.role, ACTS)} | truths.calls(called)
        if detector == "edges":
            for acts, form in FORMS.items():
                yield f"edges, {form}", {"ap": ap(own, truths.role, {acts}, f"{form}_score")}
    called = {row["group"]: ["traces"] for row in strict if row["flagged"]}
    yield f"edges, least ratio {STRICT:g}", truths.calls(called)
    yield "edges, averted", averted(of_edges, truths)
    rightly = sum(ACTS.get(truths.role[g], "") in says for g, says in statements.items())
    planted = sum(r in ACTS for r in truths.role.values())
    yield "verdict", truths.calls(statements) | {"named": rightly / max(planted, 1)}


def averted(rows: list[dict[str, Any]], truths: Truths) -> dict[str, float]:
    """Sum what edges says was led there by the called groups' best forms, and what was."""
    called = [row for row in rows if row["flagged"]]
    true = [(truths.seed if row["form"] == "seed" else truths.invited)[row["group"]]
            for row in called]  # fmt: skip
    said = [[row[f"{row['form']}_averted{end}"] for end in ("", "_low", "_high")] for row in called]
    inside = [low <= t <= high for t, (_, low, high) in zip(true, said, strict=True)]
    return {"said": sum(s[0] for s in said), "true": sum(true), "inside": sum(inside)}


def ap(rows: list[dict[str, Any]], role: dict[str, str], acts: Any, by: str = "rank") -> float:
    """Average precision for groups of some roles; NaN where there are none."""
    relevant = np.array([role[row["group"]] in acts for row in rows])
    if not relevant.any():
        return float("nan")
    last = len(rows) + 1
    score = [-(row[by] or last) if by == "rank" else row[by] for row in rows]
    return average_precision(np.array(score, float), relevant, np.ones(len(rows), int))


def measured(folder: Path) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Measure every world that is done, by kind and name; each is kept as it comes."""
    sweep, kept = SweepFolder(folder), folder / "measured.jsonl"
    lines = kept.read_text("utf-8").splitlines() if kept.exists() else []
    known = {row["point"]: row for row in map(json.loads, lines)}
    found: dict[str, dict[str, list[dict[str, float]]]] = defaultdict(lambda: defaultdict(list))
    done = {e["point"] for e in sweep.history() if e["event"] == "finished"}
    for key in sorted(key for key in done if sweep.point(key).exists()):
        if key not in known:
            result = open_result(sweep.point(key))
            known[key] = {"point": key, "kind": kind_of(result), "seen": dict(measures(result))}
            with kept.open("a", encoding="utf-8") as out:
                out.write(json.dumps(known[key]) + "\n")
        for name, values in known[key]["seen"].items():
            found[known[key]["kind"]][name].append(values)
    return found


def summarise(found: dict[str, dict[str, list[dict[str, float]]]]) -> pa.Table:
    """Return a row for each kind, detector and measure: mean over worlds and its error."""
    rows = []
    order = [*KINDS, *(f"{kind}, low effect" for kind in KINDS), "none"]
    for kind in sorted(found, key=order.index):
        for name, values in found[kind].items():
            for column in dict.fromkeys(key for value in values for key in value):
                x = np.array([value[column] for value in values], float)
                error = x.std(ddof=1) / np.sqrt(len(x)) if len(x) > 1 else np.nan
                rows.append({"kind": kind, "detector": name, "measure": column,
                             "value": x.mean(), "se": error, "worlds": len(x)})  # fmt: skip
    return pa.Table.from_pylist(rows)


def report(table: pa.Table) -> list[str]:
    """Return a Markdown table for each kind of world."""
    value = {(r["kind"], r["detector"], r["measure"]): r for r in table.to_pylist()}
    lines = []
    for kind in dict.fromkeys(key[0] for key in value):
        share = value[kind, "caused", "caused"]
        lines += ["", f"{kind} ({share['worlds']} worlds, gateways cause {said(share)} of the "
                  "target joins)", "", f"| detector | {' | '.join(COLUMNS)} |",
                  "|" + "---|" * (len(COLUMNS) + 1)]  # fmt: skip
        for name in dict.fromkeys(key[1] for key in value if key[0] == kind):
            if any((kind, name, column) in value for column in COLUMNS):
                cells = [said(value.get((kind, name, column))) for column in COLUMNS]
                lines.append(f"| {name} | {' | '.join(cells)} |")
        led = [value[kind, "edges, averted", of]["value"] for of in ("said", "true", "inside")]
        lines += ["", "edges: {:.0f} joins a world would have been averted, {:.0f} by replay; "
                  "intervals of {:.1f} calls hold the truth".format(*led)]  # fmt: skip
    return lines


def said(row: dict[str, Any] | None) -> str:
    """Return a mean over worlds with its standard error."""
    return "–" if row is None or np.isnan(row["value"]) else f"{row['value']:.2f} ± {row['se']:.2f}"


@styled
def draw(table: pa.Table) -> Any:
    """Draw average precision: a row for each detector, a column for each kind of world."""
    of = {(r["kind"], r["detector"]): r["value"] for r in table.to_pylist() if r["measure"] == "ap"}
    names = [name for name in dict.fromkeys(key[1] for key in of) if "," not in name]
    page = figure(7.16, 3.0)
    page.set_layout_engine("constrained")
    for axes, low in zip(page.subplots(1, 2, sharey=True), (False, True), strict=True):
        kinds = [f"{kind}, low effect" if low else kind for kind in KINDS]
        cell = np.array([[of.get((kind, name), np.nan) for kind in kinds] for name in names])
        axes.imshow(cell, vmin=0, vmax=1, cmap="cividis", aspect="auto")
        axes.set_xticks(range(len(KINDS)), ["\n".join(kind.split(" ", 1)) for kind in KINDS])
        axes.tick_params(axis="x", labelsize=5.5)
        axes.set_yticks(range(len(names)), names)
        axes.set_title("gateways cause at most 5 % of target joins" if low else "default strengths")
        for (i, j), x in np.ndenumerate(cell):
            axes.text(j, i, f"{x:.2f}", ha="center", va="center", color=letters_on(x), fontsize=6)
    return page


def main() -> None:
    """Print a table for each kind of world, and store them if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, help="folder for table and figure")
    given = parser.parse_args()
    table = summarise(measured(given.folder))
    print("\n".join(report(table)))
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "mechanisms.csv").write_bytes(csv_bytes(table))
        (given.out / "mechanisms.png").write_bytes(render(draw(table), kinds=["png"])["png"])
        shutil.copy(given.folder / "sweep.toml", given.out)
        last = max((given.folder / "points").glob("*/provenance.json"))
        shutil.copy(last, given.out)


if __name__ == "__main__":
    main()
