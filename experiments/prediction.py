"""Do the scores of the past tell who joins a target later, and how well beside the published?

Every detector is fitted on the joins before a split alone; then the users who had not
joined a target by then are told apart by the maximum, mean and sum of their groups' scores.
Worlds like the quickstart, and real logs where their folder is given.

Run: python experiments/prediction.py [--worlds 3] [--data FOLDER] [--out FILE.csv]
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

import gateway
from gateway.detect import DETECTORS
from gateway.evaluate import predict_later
from gateway.figures import csv_bytes
from gateway.log.join_log import JoinLog
from gateway.pipeline import obtain_inputs
from gateway.targets import TargetSet, named_targets

QUICKSTART = "configs/quickstart.toml"
CATEGORIES = ("Tech", "Outdoors & Adventure")
# Real logs are small: groups with few joiners are ranked too.
SMALL = {"min_joiners": 5}

Case = tuple[str, JoinLog, TargetSet, int | None]


def simulated(worlds: int) -> Iterator[Case]:
    """Worlds like the quickstart, horizon 180 days."""
    for seed in range(201, 201 + worlds):
        config = gateway.load_config(QUICKSTART, overrides=[f"experiment.seed={seed}"])
        platform = obtain_inputs(config)
        yield f"simulated {seed}", platform.joins, platform.targets, config.score.horizon


def real(folder: Path) -> Iterator[Case]:
    """Two categories of Meetup groups, the European Union, and admins of Kubernetes."""
    joins = JoinLog.read(folder / "meetup_nashville_joins.csv.gz")
    with (folder / "meetup_nashville_groups.csv").open(encoding="utf-8", newline="") as stream:
        category = {row["group"]: row["category"] for row in csv.DictReader(stream)}
    for wanted in CATEGORIES:
        names = [name for name in joins.groups.to_pylist() if category[name] == wanted]
        yield f"meetup: {wanted}", joins, named_targets(joins, names), None
    joins = JoinLog.read(folder / "igo_membership_joins.csv.gz")
    yield "igo: eu", joins, named_targets(joins, "eu"), None
    joins = JoinLog.read(folder / "kubernetes_teams_joins.csv.gz")
    admins = [name for name in joins.groups.to_pylist() if name.endswith("-admins")]
    yield "kubernetes: *-admins", joins, named_targets(joins, admins), None


def measure(case: Case, *, share: float) -> pa.Table:
    """Return the table of one log with its name."""
    name, joins, targets, horizon = case
    options = {} if name.startswith("simulated") else dict.fromkeys(DETECTORS, SMALL)
    table = predict_later(joins, targets, options=options, share=share, horizon=horizon, seed=1)
    return table.add_column(0, "log", pa.array([name] * table.num_rows))


def show(table: pa.Table) -> None:
    """Print the AUC of each detector's features, with its interval."""
    rows = table.to_pylist()
    print(
        f"{rows[0]['log']}: {rows[0]['n_users']:,} users asked, {rows[0]['n_later']:,} join later"
    )
    for name in dict.fromkeys(row["detector"] for row in rows):
        mine = [row for row in rows if row["detector"] == name]
        parts = [
            f"{r['feature']} {_number(r['auc'])} [{_number(r['ci_low'])}, {_number(r['ci_high'])}]"
            for r in mine
        ]
        low, high = mine[0]["published_low"], mine[0]["published_high"]
        published = "" if low is None else f"  (published {low:.2f}-{high:.2f})"
        print(f"  {name:>14}: {'  '.join(parts)}{published}")


def _number(value: float | None) -> str:
    return f"{np.nan if value is None else value:.3f}"


def main() -> None:
    """Measure every log, print, and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=3)
    parser.add_argument("--data", type=Path, help="folder of the real logs")
    parser.add_argument("--share", type=float, default=0.5,
                        help="share of those who ever join a target, before the split")  # fmt: skip
    parser.add_argument("--out", type=Path, help="CSV file for the whole table")
    given = parser.parse_args()
    tables = []
    for cases in (real(given.data) if given.data else (), simulated(given.worlds)):
        for case in cases:
            tables.append(measure(case, share=given.share))
            show(tables[-1])
    if given.out is not None:
        given.out.write_bytes(csv_bytes(pa.concat_tables(tables)))


if __name__ == "__main__":
    main()
