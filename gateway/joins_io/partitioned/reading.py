"""One part of a partitioned log at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.joins_io.messages import complaint
from gateway.joins_io.parquet_files import read_raw_columns
from gateway.joins_io.partitioned.manifest import GROUPS_FILE, Manifest, PartFacts
from gateway.joins_io.times import parse_times

__all__ = ["PartColumns", "read_groups", "read_part"]

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
    """

    users: pa.StringArray
    offsets: Int64
    group: Int32
    time: Int32


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
    encoded = table["user"].unify_dictionaries().combine_chunks().dictionary_encode()
    user = encoded.indices.to_numpy()
    if (np.diff(user) < 0).any() or len(encoded.dictionary) != part.users:
        rule = f"must hold {part.users:,} users in order of their names"
        raise complaint(path, "the part", rule, got="others; was it changed by another program?")
    ticks = parse_times(table["time"], where=path, what="column 'time'").ticks.to_numpy()
    return PartColumns(
        users=encoded.dictionary,
        offsets=np.concatenate([[0], np.cumsum(np.bincount(user))]).astype(np.int64),
        group=table["group_id"].to_numpy().astype(np.int32, copy=False),
        time=(ticks - manifest.origin).astype(np.int32),
    )


def _size(table: pa.Table) -> str:
    return f"{len(table):,} rows of {table.num_columns} columns"
