"""A join log that stays on disk: parts by user, read one after the other or by many workers."""

from __future__ import annotations

from gateway.partitioned.log import AnyLog, PartitionedLog
from gateway.partitioned.mapped import mapped_log
from gateway.partitioned.pieces import over_pieces, select_users
from gateway.partitioned.workers import HERE, OnDisk, Workers

__all__ = [
    "HERE",
    "AnyLog",
    "OnDisk",
    "PartitionedLog",
    "Workers",
    "mapped_log",
    "over_pieces",
    "select_users",
]
