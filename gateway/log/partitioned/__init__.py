"""Join logs larger than memory: a folder of columns that are mapped, not read.

``convert_log`` makes such a folder from any log in bounded memory; ``map_folder`` maps it.
"""

from __future__ import annotations

from gateway.log.manifest import MANIFEST_FILE, Manifest, read_manifest
from gateway.log.partitioned.conversion import convert_log
from gateway.log.partitioned.folder import Mapped, map_folder
from gateway.log.partitioned.scratch import (
    append_columns,
    drop_columns,
    map_column,
    new_column,
    scratch_space,
)
from gateway.log.partitioned.sizes import give_back, parse_size

__all__ = [
    "MANIFEST_FILE",
    "Manifest",
    "Mapped",
    "append_columns",
    "convert_log",
    "drop_columns",
    "give_back",
    "map_column",
    "map_folder",
    "new_column",
    "parse_size",
    "read_manifest",
    "scratch_space",
]
