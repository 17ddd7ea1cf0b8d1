"""All points of a sweep in three tables.

No time and no machine is in them: the tables of a sweep that was killed and resumed, on
any engine, are those of an undisturbed one, byte for byte.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from gateway.results import SweepFolder
from gateway.sweep.plan import Plan, Point

__all__ = ["compact"]

LONG = ("evaluation", "interventions", "summary")


def compact(plan: Plan, folder: SweepFolder) -> None:
    """Write the tables of all points that are there."""
    failed = folder.failures()
    done = [point for point in plan.points if folder.is_done(point.key)]
    keys = {point.key for point in done}
    state = [
        "done" if point.key in keys else "failed" if point.key in failed else "pending"
        for point in plan.points
    ]
    digest = [_digest(folder, p.key) if p.key in keys else None for p in plan.points]
    columns = {
        **_columns(plan.points, list(plan.sweep.over)),
        "key": pa.array([point.key for point in plan.points], pa.string()),
        "state": pa.array(state, pa.string()),
        "digest": pa.array(digest, pa.string()),
    }
    folder.write_sweep_table("points", pa.table(columns))
    for name in LONG:
        table = _long(done, folder, name, list(plan.sweep.over))
        if table is not None:
            folder.write_sweep_table(name, table)


def _digest(folder: SweepFolder, key: str) -> str:
    """Digest of the tables of a point: one for every engine."""
    files = folder.status(key).files
    tables = sorted((name, was) for name, was in files.items() if name.endswith(".parquet"))
    return hashlib.sha256(json.dumps(tables).encode()).hexdigest()[:16]


def _columns(points: Sequence[Point], swept: Sequence[str]) -> dict[str, pa.Array]:
    seeds = [point.config.experiment.seed for point in points]
    return {
        "point": pa.array([point.index for point in points], pa.int32()),
        "replicate": pa.array([point.replicate for point in points], pa.int32()),
        "seed": pa.array(seeds, pa.int64()),
        **{key: _column([point.settings[key] for point in points]) for key in swept},
    }


def _column(values: Sequence[Any]) -> pa.Array:
    """A column of numbers, texts, truths or dates; anything else as JSON."""
    kinds = {type(value) for value in values}
    if kinds <= {int}:
        return pa.array(values, pa.int64())
    if kinds <= {int, float}:
        return pa.array([float(value) for value in values], pa.float64())
    if len(kinds) == 1 and kinds <= {str, bool, dt.date}:
        return pa.array(values)
    return pa.array([json.dumps(value, sort_keys=True, default=str) for value in values])


def _long(
    points: Sequence[Point], folder: SweepFolder, name: str, swept: Sequence[str]
) -> pa.Table | None:
    found = [(point, folder.table(point.key, name)) for point in points]
    tables = [(point, table) for point, table in found if table is not None]
    if not tables:
        return None
    body = pa.concat_tables([table for _, table in tables], promote_options="default")
    rows = pa.array([i for i, (_, table) in enumerate(tables) for _ in range(table.num_rows)])
    head = pa.table(_columns([point for point, _ in tables], swept)).take(rows)
    for column in body.column_names:
        head = head.append_column(column, body[column])
    return head.combine_chunks()
