"""Join logs larger than memory: a folder of Parquet parts, each a range of users.

``partition_log`` makes such a folder from any log in bounded memory; ``read_manifest``
and ``read_part`` read it.
"""

from __future__ import annotations

from gateway.joins_io.partitioned.conversion import partition_log
from gateway.joins_io.partitioned.manifest import MANIFEST_FILE, Manifest, PartFacts, read_manifest
from gateway.joins_io.partitioned.parts import JOINS_PER_PART
from gateway.joins_io.partitioned.reading import PartColumns, read_groups, read_part, read_parts
from gateway.joins_io.partitioned.scratch import (
    append_columns,
    drop_columns,
    map_column,
    new_column,
    scratch_space,
)
from gateway.joins_io.partitioned.sizes import give_back, parse_size

__all__ = [
    "JOINS_PER_PART",
    "MANIFEST_FILE",
    "Manifest",
    "PartColumns",
    "PartFacts",
    "append_columns",
    "drop_columns",
    "give_back",
    "map_column",
    "new_column",
    "parse_size",
    "partition_log",
    "read_groups",
    "read_manifest",
    "read_part",
    "read_parts",
    "scratch_space",
]
