"""The only writer of results: atomic, and named by what made them.

A result is a folder. It is drafted under a temporary name beside its place and renamed
when it is whole, so that a folder of a result's name is a finished result. A sweep is a
folder of such folders with a journal that only ever grows and a lock that dies with the
process that holds it.
"""

from __future__ import annotations

from gateway.results.crates import write_crate
from gateway.results.drafts import Draft, draft_result, scratch_folder, settle
from gateway.results.locks import Lock
from gateway.results.results import (
    Difference,
    Result,
    compare_results,
    load_config,
    open_result,
    open_tables,
    read_config_text,
    result_folder,
    result_id,
    stands,
)
from gateway.results.sweeps import (
    Failure,
    SweepFolder,
    is_sweep,
    open_sweep,
    resident_mib,
    result_files,
)
from gateway.results.writing import Journal, capture_file, captured, write_files

__all__ = [
    "Difference",
    "Draft",
    "Failure",
    "Journal",
    "Lock",
    "Result",
    "SweepFolder",
    "capture_file",
    "captured",
    "compare_results",
    "draft_result",
    "is_sweep",
    "load_config",
    "open_result",
    "open_sweep",
    "open_tables",
    "read_config_text",
    "resident_mib",
    "result_files",
    "result_folder",
    "result_id",
    "scratch_folder",
    "settle",
    "stands",
    "write_crate",
    "write_files",
]
