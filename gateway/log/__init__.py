"""The join log: reading any file, its numbering and order, and its folder on disk.

Everything that can be wrong with a file ends in a ``LogError`` that names the file, the
row, the column, the rule and the value.
"""

from __future__ import annotations

from gateway.log.mapped import file_digest
from gateway.log.read_report import ReadReport, Remark
from gateway.log.row_sources import write_parquet
from gateway.log.text_files import read_names
from gateway.log.times import (
    Duration,
    Tick,
    parse_duration,
    say_duration,
    ticks_in,
)

__all__ = [
    "Duration",
    "ReadReport",
    "Remark",
    "Tick",
    "file_digest",
    "parse_duration",
    "read_names",
    "say_duration",
    "ticks_in",
    "write_parquet",
]
