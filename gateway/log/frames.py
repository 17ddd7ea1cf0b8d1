"""Data frames of other libraries as Arrow tables."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from gateway.log.messages import complaint, shown

__all__ = ["as_table", "frame_library"]


def as_table(
    frame: Any, *, wanted: Callable[[Sequence[str]], Iterable[str]], where: object
) -> pa.Table:
    """Return a data frame as an Arrow table.

    Parameters
    ----------
    frame
        A pyarrow table, a mapping of names to columns, a pandas or polars data frame, or
        anything else with the Arrow C stream interface.
    wanted
        Tells which of the columns there are is wanted; only they are converted, so that
        no other column can fail to be.
    where
        What the frame is called in messages.

    Raises
    ------
    LogError
        If it is none of these, a wanted column is not there, or one is of mixed types.
    """
    if isinstance(frame, pa.Table):
        return frame
    try:
        if isinstance(frame, Mapping):
            return pa.table({name: frame[name] for name in wanted(list(frame))})
        if hasattr(frame, "__arrow_c_stream__") or hasattr(frame, "__arrow_c_array__"):
            columns = [name for name in getattr(frame, "columns", ()) if isinstance(name, str)]
            # A record batch has columns too, without their names.
            return pa.table(frame[list(wanted(columns))] if columns else frame)
    except (pa.ArrowException, ValueError, TypeError) as error:
        rule = "must be readable as a table"
        raise complaint(where, "its content", rule, got=shown(str(error))) from error
    rule = "must be a pandas, polars or pyarrow table or a mapping of columns"
    raise complaint(where, "it", rule, got=type(frame).__name__)


def frame_library(name: str) -> Any:
    """Return pandas or polars, which are optional.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed; the message names the way round.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        message = f"{name} is not installed; to_arrow() works without it (pip install {name})"
        raise ModuleNotFoundError(message, name=name) from error
