"""Write a large synthetic join log as Parquet parts, in the layout that ``gateway detect`` reads.

Not the simulator: nobody influences anybody, and everything is drawn in whole arrays, some
five million joins a second. Users have a home topic, groups a topic and Zipf-like weights.
Some groups, half of them near the targets and half anywhere, are gateways: after joining one
a user joins a target with probability ``EFFECT``, a month later on average.

With ``--seeds`` a quarter of the joins name a group of the user's that they were recommended
from: a target the last gateway before it, if there is one, and any other join any earlier group.

Rows stand by day, users and groups are integers, days are dates. Beside the parts: the
targets' names in ``targets.txt`` and the planted gateways' in ``gateways.txt``.

Run: python experiments/big_log.py DIR [--users 10000000] [--groups 100000] [--seed 1] [--seeds]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet

Int64 = npt.NDArray[np.int64]

TOPICS = 200
TARGETS, GATEWAYS = 100, 100
# Topics whose groups the targets and the near half of the gateways are.
NEAR = 10
DAYS = 720
PARTS = 12
MEAN_JOINS = 10.3
AT_HOME = 0.5
EFFECT = 0.15
SEEDED = 0.25
DELAY = 30.0
FIRST_DAY = 18_262  # 2020-01-01
BLOCK = 1_000_000


def group_weights(groups: int) -> npt.NDArray[np.float64]:
    """Cumulated weights, groups of a topic side by side: topic = id // (groups / TOPICS)."""
    rank = np.arange(groups) % (groups // TOPICS)
    return np.concatenate([[0.0], np.cumsum((rank + 5.0) ** -0.8)])


def planted(groups: int) -> tuple[Int64, Int64]:
    """Targets and gateways: middling ranks of the near topics, and gateways of others too."""
    each = groups // TOPICS
    near = (np.arange(NEAR)[:, None] * each).astype(np.int64)
    targets = (near + each // 10 + np.arange(TARGETS // NEAR)).ravel()
    close = (near + each // 20 + np.arange(GATEWAYS // NEAR // 2)).ravel()
    away = NEAR * each + np.arange(GATEWAYS // 2) * each + each // 20
    return targets, np.concatenate([close, away])


def draw_block(rng: np.random.Generator, users: int, groups: int) -> tuple[Int64, Int64, Int64]:
    """Joins of some users: user (from 0), group, day; sorted by user and group."""
    each, weights = groups // TOPICS, group_weights(groups)
    count = rng.poisson(rng.lognormal(np.log(MEAN_JOINS) - 0.5, 1.0, users))
    user = np.repeat(np.arange(users), count)
    topic = rng.integers(0, TOPICS, users)[user]
    home = rng.random(len(user)) < AT_HOME
    low = np.where(home, weights[topic * each], 0.0)
    high = np.where(home, weights[(topic + 1) * each], weights[-1])
    group = np.searchsorted(weights, low + (high - low) * rng.random(len(user)), "right") - 1
    arrival = rng.integers(0, DAYS * 3 // 4, users)[user]
    day = arrival + (rng.random(len(user)) * (DAYS - arrival)).astype(np.int64)
    targets, gateways = planted(groups)
    is_gateway = np.isin(np.arange(groups), gateways)
    led = np.flatnonzero(is_gateway[group] & (rng.random(len(user)) < EFFECT))
    then = day[led] + 1 + rng.exponential(DELAY, len(led)).astype(np.int64)
    led, then = led[then < DAYS], then[then < DAYS]
    user = np.concatenate([user, user[led]])
    group = np.concatenate([group, rng.choice(targets, len(led))])
    key = np.sort(((user * groups) + group) * DAYS + np.concatenate([day, then]))
    pair, day = np.divmod(key, DAYS)
    first = np.diff(pair, prepend=-1) != 0
    user, group = np.divmod(pair[first], groups)
    return user, group, day[first]


def draw_seeds(
    rng: np.random.Generator, user: Int64, group: Int64, day: Int64, groups: int
) -> Int64:
    """Group that each join of ``draw_block`` was recommended from; -1 for none."""
    order = np.argsort(user * DAYS + day, kind="stable")
    own, joined = user[order], group[order]
    row = np.arange(len(order))
    first = np.maximum.accumulate(np.where(np.diff(own, prepend=-1) != 0, row, 0))
    targets, gateways = (np.isin(joined, some) for some in planted(groups))
    earlier = first + (rng.random(len(row)) * (row - first)).astype(np.int64)
    gateway = np.maximum.accumulate(np.where(gateways, row, -1))
    by = np.where(targets & (gateway >= first), gateway, earlier)
    is_seeded = (row > first) & (rng.random(len(row)) < SEEDED)
    found = np.empty_like(order)
    found[order] = np.where(is_seeded, joined[by], -1)
    return found


def write_log(folder: Path, *, users: int, groups: int, seed: int, seeds: bool = False) -> int:
    """Write the parts, ``targets.txt`` and ``gateways.txt``; return the number of joins.

    Joins wait in a file for each day, so that only a block of users is held in memory.
    """
    (folder / "log").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        days = [Path(scratch) / str(day) for day in range(DAYS)]
        for first in range(0, users, BLOCK):
            rng = np.random.default_rng([seed, first])
            user, group, day = draw_block(rng, min(BLOCK, users - first), groups)
            columns = [user + first, group]
            if seeds:
                columns.append(draw_seeds(rng, user, group, day, groups))
            order = np.argsort(day.astype(np.int16), kind="stable")
            rows = np.stack(columns, axis=1).astype(np.int32)[order]
            ends = np.searchsorted(day[order], np.arange(1, DAYS))
            for path, some in zip(days, np.split(rows, ends), strict=True):
                with path.open("ab") as stream:
                    stream.write(some.tobytes())
        joins = sum(_write_part(folder, k, days, seeds) for k in range(PARTS))
    for name, some in zip(("targets", "gateways"), planted(groups), strict=True):
        (folder / f"{name}.txt").write_text("".join(f"{g}\n" for g in some))
    return joins


def _write_part(folder: Path, k: int, days: list[Path], seeds: bool) -> int:
    """Write the joins of a twelfth of the days, and forget where they waited."""
    names = ("user", "group", "seed_group") if seeds else ("user", "group")
    schema = pa.schema([*((name, pa.int32()) for name in names), ("time", pa.date32())])
    joins = 0
    with pyarrow.parquet.ParquetWriter(folder / "log" / f"part-{k:05d}.parquet", schema) as writer:
        for day in range(k * DAYS // PARTS, (k + 1) * DAYS // PARTS):
            rows = np.fromfile(days[day], np.int32).reshape(-1, len(names))
            columns = [pa.array(column, mask=column < 0) for column in rows.T]
            time = pa.array(np.full(len(rows), day + FIRST_DAY, np.int32)).cast(pa.date32())
            writer.write_table(pa.table([*columns, time], schema=schema))
            joins += len(rows)
            days[day].unlink()
    return joins


def main() -> None:
    """Write the log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--users", type=int, default=10_000_000)
    parser.add_argument("--groups", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", action="store_true", help="say what led to joins")
    options = parser.parse_args()
    joins = write_log(**vars(options))
    print(f"{joins:,} joins in {options.folder / 'log'}")


if __name__ == "__main__":
    main()
