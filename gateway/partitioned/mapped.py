"""A log in parts as one log whose columns are mapped from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from gateway.joins import JoinLog
from gateway.joins_io.partitioned import append_columns, map_column
from gateway.partitioned.log import PartitionedLog

__all__ = ["mapped_log"]

_KINDS = {"offsets": np.int64, "group": np.int32, "time": np.int32,
          "observed_from": np.int32, "observed_until": np.int32}  # fmt: skip


def mapped_log(joins: PartitionedLog, folder: Path) -> JoinLog:
    """Write the columns of a log in parts to files of a folder, and return them as one log.

    Names of users are held in memory, all other columns are mapped.
    """
    users, end = [], 0
    append_columns(folder, {"log_offsets": np.zeros(1, np.int64)})
    for part in joins.parts():
        columns = {f"log_{name}": getattr(part, name) for name in _KINDS}
        append_columns(folder, columns | {"log_offsets": part.offsets[1:] + end})
        users.append(part.users)
        end += part.n_joins
    mapped = {name: map_column(folder, f"log_{name}", kind) for name, kind in _KINDS.items()}
    return JoinLog(
        **mapped, users=pa.concat_arrays(users), groups=joins.groups, tick=joins.tick,
        origin=joins.origin,
    )  # fmt: skip
