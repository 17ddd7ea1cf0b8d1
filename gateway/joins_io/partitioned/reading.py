"""One part of a partitioned log at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.joins_io.messages import complaint
from gateway.joins_io.parquet_files import read_names_of_columns, read_raw_columns
from gateway.joins_io.partitioned.manifest import GROUPS_FILE, Manifest, PartFacts, users_file
from gateway.joins_io.times import parse_times
from gateway.joins_io.windows import WINDOW

__all__ = ["PartColumns", "read_groups", "read_part", "read_parts"]

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PartColumns:
    """The joins of a range of users, in compressed rows by user.

    Parameters
    ----------
    users
        Names, shape (n_users,).
    offsets
        int64, shape (n_users + 1,).
    group, time
        int32, shape (n_joins,): global id; ticks since the log's origin.
    observed_from, observed_until
        int32, shape (n_users,): ticks of the observation, as in ``JoinLog``.
    """

    users: pa.StringArray
    offsets: Int64
    group: Int32
    time: Int32
    observed_from: Int32 | None
    observed_until: Int32


def read_groups(folder: Path, manifest: Manifest) -> tuple[pa.StringArray, Int64]:
    """Return names and numbers of members of all groups.

    Raises
    ------
    LogError
        If the file cannot be read or is not that of the manifest.
    """
    path = folder / GROUPS_FILE
    table = read_raw_columns(path, ["group", "members"])
    if len(table) != manifest.groups or table.num_columns != 2:
        raise complaint(path, "the file", f"must hold {manifest.groups:,} groups", got=_size(table))
    return table["group"].combine_chunks(), table["members"].to_numpy().astype(np.int64)


def read_part(folder: Path, manifest: Manifest, part: PartFacts) -> PartColumns:
    """Return the joins of one part.

    Raises
    ------
    LogError
        If the part cannot be read or is not that of the manifest.
    """
    path = folder / part.file
    table = read_raw_columns(path, ["user", "group_id", "time"], as_dictionary=["user"])
    if len(table) != part.joins or table.num_columns != 3:
        raise complaint(path, "the part", f"must hold {part.joins:,} joins", got=_size(table))
    users = joiners = _users_of(table, manifest)
    if part.tells_users:
        users = _told_users(folder, manifest, part)
    here = users.names.filter(pa.array(users.counts > 0))
    if len(users.names) != part.users or not here.equals(joiners.names):
        rule = f"must hold {part.users:,} users in order of their names"
        raise complaint(path, "the part", rule, got="others; was it changed by another program?")
    return PartColumns(
        users=users.names,
        offsets=np.concatenate([[0], np.cumsum(users.counts)]).astype(np.int64),
        group=table["group_id"].to_numpy().astype(np.int32, copy=False),
        time=_ticks(table["time"], manifest, path, "time"),
        observed_from=users.first, observed_until=users.until,
    )  # fmt: skip


def read_parts(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """Return all parts in one, by the names of the fields of ``JoinLog``."""
    parts = [read_part(folder, manifest, part) for part in manifest.parts]
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    names = ["group", "time", "observed_until"]
    names += ["observed_from"] if parts[0].observed_from is not None else []
    return {
        "offsets": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        "users": pa.concat_arrays([part.users for part in parts]),
        "groups": read_groups(folder, manifest)[0],
        "tick": manifest.tick,
        "origin": manifest.origin,
    } | {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}


class _Users(NamedTuple):
    names: pa.StringArray
    counts: Int64
    first: Int32 | None
    until: Int32


def _users_of(table: pa.Table, manifest: Manifest) -> _Users:
    """Return the users of a part by their joins; none where they stand in no order."""
    encoded = table["user"].unify_dictionaries().combine_chunks().dictionary_encode()
    user = encoded.indices.to_numpy()
    names = encoded.dictionary[:0] if (np.diff(user) < 0).any() else encoded.dictionary
    return _Users(names, np.bincount(user), None, _end_of_log(manifest, len(names)))


def _told_users(folder: Path, manifest: Manifest, part: PartFacts) -> _Users:
    """Return the users of a part by the file beside it."""
    path = folder / users_file(part.file)
    columns = read_names_of_columns(path)
    table = read_raw_columns(path, columns)
    names, counts = table["user"].combine_chunks(), table["joins"].to_numpy()
    told = {name: _ticks(table[name], manifest, path, name) for name in WINDOW if name in columns}
    until = told.get("observed_until", _end_of_log(manifest, len(names)))
    return _Users(names, counts, told.get("observed_from"), until)


def _end_of_log(manifest: Manifest, n: int) -> Int32:
    """The last tick at which users were observed of whom nothing is said."""
    return np.full(n, manifest.last - manifest.origin, np.int32)


def _ticks(column: pa.ChunkedArray, manifest: Manifest, path: Path, name: str) -> Int32:
    if not len(column):
        return np.empty(0, np.int32)
    ticks = parse_times(column, where=path, what=f"column {name!r}").ticks.to_numpy()
    since: Int32 = (ticks - manifest.origin).astype(np.int32)
    return since


def _size(table: pa.Table) -> str:
    return f"{len(table):,} rows of {table.num_columns} columns"
