"""Join logs and target lists on disk: reading them, checking them, writing them.

What is read is a table of three columns: ``user`` and ``group`` (text) and ``time``
(int64 ticks). Everything that can be wrong with a file ends in a ``LogError`` that
names the file, the row, the column, the rule and the value.
"""

from __future__ import annotations

from gateway.log.columns import as_columns, read_columns, read_csv, read_parquet
from gateway.log.names import read_names
from gateway.log.parquet_files import marked_table, write_parquet
from gateway.log.paths import Format, file_digest, format_of
from gateway.log.read_report import ReadReport, Remark, read_report
from gateway.log.ticks import (
    Duration,
    Tick,
    instants,
    parse_duration,
    say_duration,
    tick_of,
    ticks_in,
)

__all__ = [
    "Duration",
    "Format",
    "ReadReport",
    "Remark",
    "Tick",
    "as_columns",
    "file_digest",
    "format_of",
    "instants",
    "marked_table",
    "parse_duration",
    "read_columns",
    "read_csv",
    "read_names",
    "read_parquet",
    "read_report",
    "say_duration",
    "tick_of",
    "ticks_in",
    "write_parquet",
]
