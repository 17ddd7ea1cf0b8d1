"""Tables that go to pandas, polars, DuckDB and Arrow, and that a notebook shows."""

from __future__ import annotations

import html
import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


_SHOWN = 10


class Tabular(ABC):
    """What has ``to_arrow``: with the ways on from there."""

    @abstractmethod
    def to_arrow(self) -> pa.Table:
        """Return the table."""

    def to_pandas(self) -> pd.DataFrame:
        """Return ``to_arrow()`` as a pandas data frame.

        Raises
        ------
        ModuleNotFoundError
            When pandas is not installed.
        """
        frame_library("pandas")
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def to_polars(self) -> pl.DataFrame:
        """Return ``to_arrow()`` as a polars data frame.

        Raises
        ------
        ModuleNotFoundError
            When polars is not installed.
        """
        frame: pl.DataFrame = frame_library("polars").from_arrow(self.to_arrow())
        return frame

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Hand the table to any library that reads Arrow, such as DuckDB or polars."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{html_table(self.to_arrow())}"


class Text(str):
    """Text that a notebook shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, eq=False, repr=False)
class Rows(Tabular):
    """A table with a word on what it is.

    Parameters
    ----------
    table
        The table.
    what
        What one row is, in the plural: ``joins of user 'eve'``.
    """

    table: pa.Table
    what: str

    def to_arrow(self) -> pa.Table:
        """Return the table."""
        return self.table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __repr__(self) -> str:
        names = ", ".join(self.table.column_names)
        return f"<{self.table.num_rows:,} {self.what}: {names}>"


def schema_of(columns: str) -> pa.Schema:
    """Return the schema that a text names.

    Examples
    --------
    >>> schema_of("group string, rank int32").names
    ['group', 'rank']
    """
    return pa.schema([tuple(column.split()) for column in columns.split(",")])


def table_of(schema: pa.Schema, columns: Iterable[Any]) -> pa.Table:
    """Return columns as a table of a schema; NaN becomes null."""
    arrays = [
        column if isinstance(column, pa.ChunkedArray)
        else pa.array(column, field.type, from_pandas=True)
        for column, field in zip(columns, schema, strict=True)
    ]  # fmt: skip
    return pa.table(arrays, schema=schema)


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


def html_table(table: pa.Table) -> str:
    """Return the first ten rows of a table as HTML; everything in it is escaped.

    Examples
    --------
    >>> import pyarrow as pa
    >>> html_table(pa.table({"group": ["<b>"], "score": [0.12345]})).count("&lt;b&gt;")
    1
    """
    head = "".join(f"<th>{html.escape(name)}</th>" for name in table.column_names)
    body = "".join(
        "<tr>"
        + "".join(f"<td>{html.escape(_cell(value))}</td>" for value in row.values())
        + "</tr>"
        for row in table.slice(0, _SHOWN).to_pylist()
    )
    more = table.num_rows - _SHOWN
    rest = f"<p>and {more:,} more rows</p>" if more > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"


def _cell(value: object) -> str:
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if type(value) is int else str(value)
