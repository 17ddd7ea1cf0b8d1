"""Do the detectors hold their level? Realised false-discovery rates over many worlds.

In a world where nothing is true every call is false, so that the false-discovery rate is
the share of worlds with any call at all. Where gateways act, a call is false when the
group is no planted gateway.

Run: gateway sweep configs/error_rates.toml --out DIR, then
     python experiments/error_rates.py DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from gateway.evaluate import summarise_replicates
from gateway.results import open_tables

NOMINAL = (5, 10, 20)
KEYS = ("world.roles.influence", "world.roles.homophily", "world.roles.fellow_traveller")
KINDS = {
    (False, False, False): "nothing true, no confounding",
    (False, True, False): "no effect, homophily look-alikes",
    (False, False, True): "no effect, fellow travellers",
    (True, True, False): "gateways and look-alikes",
}


def kinds(evaluation: pa.Table) -> pa.Array:
    """Name the kind of world of each row."""
    columns = [evaluation[key].to_pylist() for key in KEYS]
    present = zip(*columns, strict=True)
    return pa.array([KINDS[tuple(n > 0 for n in row)] for row in present])


def rates(evaluation: pa.Table) -> pa.Table:
    """Mean over worlds of the share of false calls: kind, detector, metric, value, interval."""
    metrics = [f"{what}_q{q:02}" for q in NOMINAL for what in ("false_share", "n_called")]
    rows = evaluation.filter(pc.is_in(evaluation["metric"], pa.array(metrics)))
    rows = rows.append_column("kind", kinds(rows))
    return summarise_replicates(rows, by=["kind", "detector", "metric"])


def main() -> None:
    """Print one table for each kind of world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    table = rates(open_tables(parser.parse_args().folder).table("evaluation"))
    found = {(r["kind"], r["detector"], r["metric"]): r for r in table.to_pylist()}
    for kind in KINDS.values():
        detectors = sorted({d for k, d, _ in found if k == kind})
        worlds = max((r["n_worlds"] for (k, _, _), r in found.items() if k == kind), default=0)
        print(f"\n{kind} ({worlds} worlds)\n")
        print("| detector | " + " | ".join(f"at {q} % | called" for q in NOMINAL) + " |")
        print("|" + "---|" * (1 + 2 * len(NOMINAL)))
        for detector in detectors:
            cells = [cell(found, kind, detector, q) for q in NOMINAL]
            print(f"| `{detector}` | " + " | ".join(cells) + " |")


def cell(found: dict[tuple[str, str, str], dict[str, float]], kind: str, name: str, q: int) -> str:
    """Realised rate with its interval, and how many groups are called on average."""
    rate = found[kind, name, f"false_share_q{q:02}"]
    called = found[kind, name, f"n_called_q{q:02}"]
    ends = [rate["ci_low"], rate["ci_high"]]
    interval = "one world" if None in ends else f"{ends[0]:.3f}-{ends[1]:.3f}"
    return f"{rate['value']:.3f} ({interval}) | {called['value']:.1f}"


if __name__ == "__main__":
    main()
