"""Figures as files: the same figure, the same bytes, on any day and any machine."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Final

import pyarrow as pa
import pyarrow.csv
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gateway.figures.style import look

__all__ = ["DPI", "csv_bytes", "render"]

DPI: Final = 300
"""Resolution of the PNG, and of the parts of an SVG or PDF that hold too many points."""

# What a file would say about when and with which version it was made. Provenance says it
# once, beside the figures; here it would only change the bytes.
_METADATA: Final[dict[str, dict[str, None]]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "png": {"Software": None},
}

KINDS: Final = tuple(_METADATA)


def render(figure: Figure, *, kinds: Iterable[str] = KINDS) -> dict[str, bytes]:
    """Return a figure as files of some kinds (PNG: 300 dots per inch)."""
    FigureCanvasAgg(figure)
    return {kind: _render(figure, kind) for kind in kinds}


def _render(figure: Figure, kind: str) -> bytes:
    buffer = BytesIO()
    with look():
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=_METADATA[kind])
    return buffer.getvalue()


def csv_bytes(table: pa.Table) -> bytes:
    """Return a table as CSV: UTF-8, a header, shortest exact floats, nothing for null."""
    buffer = BytesIO()
    pyarrow.csv.write_csv(table, buffer)
    return buffer.getvalue()
