"""Figures of a result: each a module that picks its data, draws them and words a caption.

``FIGURES`` names them in the order of the report. A figure's module, and matplotlib with
it, is loaded when the figure is first used; importing ``gateway.figures`` costs nothing.

>>> from gateway.figures import FIGURES
>>> [figure.NAME for figure in FIGURES]  # doctest: +NORMALIZE_WHITESPACE
['probability_curves', 'event_study', 'top_gateways', 'funnel', 'precision_recall',
 'benchmark', 'direct_effects', 'interventions', 'dose_response', 'phase_diagram',
 'reliability', 'check_power', 'join_sources', 'pathways', 'exposure_contrast', 'label_times',
 'signal_correlations']
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FIGURES", "StoredFigure", "csv_bytes", "render"]


@dataclass(frozen=True)
class StoredFigure:
    """A figure that reads stored tables: its module, loaded at first use.

    Parameters
    ----------
    NAME
        Stem of the figure's files, and name of its module.
    ranks
        Whether ``top`` says how many groups it shows.
    """

    NAME: str
    ranks: bool = False

    def plotted(self, tables: Mapping[str, pa.Table], *, top: int | None = None) -> pa.Table | None:
        """Return exactly what is drawn, or None where the result lacks what it needs.

        Parameters
        ----------
        tables
            Stored tables of a result by name, without the file's ending.
        top
            Number of groups in a figure that ranks them; None for its default. Other
            figures take no notice.
        """
        options = {"top": top} if self.ranks and top is not None else {}
        table: pa.Table | None = self._module().plotted(tables, **options)
        return table

    def draw(self, data: pa.Table) -> Figure:
        """Return the figure of the data that ``plotted`` gave."""
        figure: Figure = self._module().draw(data)
        return figure

    def caption(self, data: pa.Table) -> str:
        """Return what the figure shows, in plain sentences."""
        text: str = self._module().caption(data)
        return text

    def _module(self) -> Any:
        return import_module(f"gateway.figures.{self.NAME}")


FIGURES: tuple[StoredFigure, ...] = (
    StoredFigure("probability_curves"),
    StoredFigure("event_study"),
    StoredFigure("top_gateways", ranks=True),
    StoredFigure("funnel"),
    StoredFigure("precision_recall"),
    StoredFigure("benchmark"),
    StoredFigure("direct_effects"),
    StoredFigure("interventions"),
    StoredFigure("dose_response"),
    StoredFigure("phase_diagram"),
    StoredFigure("reliability"),
    StoredFigure("check_power"),
    StoredFigure("join_sources"),
    StoredFigure("pathways"),
    StoredFigure("exposure_contrast"),
    StoredFigure("label_times"),
    StoredFigure("signal_correlations"),
)


def render(figure: Figure, *, kinds: Iterable[str] = ("pdf", "svg", "png")) -> dict[str, bytes]:
    """Return a figure as files of some kinds (PNG: 300 dots per inch), reproducibly."""
    rendering = import_module("gateway.figures.rendering")
    rendered: dict[str, bytes] = rendering.render(figure, kinds=kinds)
    return rendered


def csv_bytes(table: pa.Table) -> bytes:
    """Return a table as CSV, reproducibly."""
    written: bytes = import_module("gateway.figures.rendering").csv_bytes(table)
    return written
