"""What a stored join log says beside its joins: its origin, who joined nothing, the windows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.log.columns import Part, checked_part
from gateway.log.parquet_files import (
    iterate_raw_columns,
    metadata_at,
    read_names_of_columns,
)
from gateway.log.partitioned.spill import schema_with
from gateway.log.paths import format_of, parquet_parts
from gateway.log.stored import MARK, not_restored
from gateway.log.times import parse_times
from gateway.log.windows import WINDOW

__all__ = ["Told", "iterate_told", "told_by"]

Int64 = npt.NDArray[np.int64]
_BYTES_PER_ROW = 96
_FEWEST_ROWS = 256


@dataclass(frozen=True, eq=False)
class Told:
    """What ``JoinLog.to_parquet`` put beside the joins.

    Parameters
    ----------
    path
        The file.
    origin
        Tick zero.
    idle_users, idle_groups
        Names of those without a join.
    idle_windows
        First and last tick of the idle users' observation since the origin, shape
        (n_idle,), by name, where the rows tell those of their users.
    """

    path: Path
    origin: int
    idle_users: pa.StringArray
    idle_groups: pa.StringArray
    idle_windows: Mapping[str, Int64]

    def idle_rows(self) -> pa.Table:
        """Return a row of no group for each user without a join."""
        n = len(self.idle_users)
        columns = [self.idle_users, np.full(n, -1, np.int32), np.full(n, self.origin)]
        columns += [ticks + self.origin for ticks in self.idle_windows.values()]
        return pa.table(columns, schema=schema_with(self.idle_windows))


def told_by(path: Path) -> Told | None:
    """Return what a log says beside its joins; None for one that we did not store.

    Raises
    ------
    LogError
        If its metadata contradict themselves.
    """
    noted = metadata_at(path, MARK) if format_of(path) == "parquet" else None
    if noted is None:
        return None
    try:
        return _told(dict(json.loads(noted)), parquet_parts(path)[0])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise not_restored(path, error) from error


def _told(facts: Mapping[str, Any], path: Path) -> Told:
    if facts["format"] != 1:
        raise ValueError("another version of gateway wrote it")
    idle = pa.array(facts["idle_users"], pa.string())
    known = [name for name in WINDOW if name in read_names_of_columns(path)]
    windows = {name: np.array(facts[f"idle_{name}"], np.int64) for name in known}
    if any(len(window) != len(idle) for window in windows.values()):
        raise ValueError("every user without a join must have a window")
    return Told(
        path=path,
        origin=int(facts["origin"]),
        idle_users=idle,
        idle_groups=pa.array(facts["idle_groups"], pa.string()),
        idle_windows=windows,
    )


def iterate_told(told: Told, *, block: int) -> Iterator[tuple[Part, list[Int64]]]:
    """Yield the rows of a stored log in order, checked, and the windows of their users."""
    names = ["user", "group", "time", *told.idle_windows]
    roles, row = {name: name for name in names[:3]}, 0
    for table in iterate_raw_columns(told.path, names, rows=max(block // _BYTES_PER_ROW,
                                                                _FEWEST_ROWS)):  # fmt: skip
        if len(table):
            part = checked_part(table, roles, told.path, first_row=row)
            yield part, [_ticks(table, name, told.path) for name in names[3:]]
        row += len(table)


def _ticks(table: pa.Table, name: str, path: Path) -> Int64:
    ticks: Int64 = parse_times(table[name], where=path, what=f"column {name!r}").ticks.to_numpy()
    return ticks
