"""Simulate the log that gateway.example_log() reads, and write it into the package.

python experiments/example_log.py [--out DIR]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

import gateway
from gateway.log.join_log import JoinLog
from gateway.world import Role

ROOT = Path(__file__).parents[1]
COLUMNS = ("user", "group", "time", "source", "seed_group")


def example_tables() -> tuple[JoinLog, pa.Table]:
    """Return the log, and name, role and strength of each group."""
    world = gateway.draw_world(gateway.load_config(ROOT / "configs" / "example.toml"))
    joins = JoinLog.from_dataframe(gateway.simulate(world).to_arrow().select(COLUMNS))
    names = np.array([role.name.lower() for role in Role])
    groups = pa.table({
        "group": [f"g{i:07d}" for i in range(len(world.groups))],
        "role": names[world.groups.role],
        "strength": world.groups.strength,
    })  # fmt: skip
    return joins, groups


def main() -> None:
    """Write both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "gateway" / "data")
    out = parser.parse_args().out
    joins, groups = example_tables()
    table = joins.to_arrow().select(COLUMNS)
    pq.write_table(table, out / "example_log.parquet", compression="zstd", compression_level=19)
    pa.csv.write_csv(groups, out / "example_groups.csv")


if __name__ == "__main__":
    main()
