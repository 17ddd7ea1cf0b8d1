"""The join log: reading any file, its numbering and order, and its folder on disk.

Everything that can be wrong with a file ends in a ``LogError`` that names the file, the
row, the column, the rule and the value.
"""

from __future__ import annotations

from gateway.log.files import Format, format_of
from gateway.log.mapped import file_digest
from gateway.log.name_lists import read_names
from gateway.log.parquet_files import write_parquet
from gateway.log.read_report import ReadReport, Remark, read_report
from gateway.log.ticks import (
    Duration,
    Tick,
    instants,
    parse_duration,
    say_duration,
    ticks_in,
)

__all__ = [
    "Duration",
    "Format",
    "ReadReport",
    "Remark",
    "Tick",
    "file_digest",
    "format_of",
    "instants",
    "parse_duration",
    "read_names",
    "read_report",
    "say_duration",
    "ticks_in",
    "write_parquet",
]
