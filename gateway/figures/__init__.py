"""Figures of a result: each picks its data, draws them and words a caption.

``FIGURES`` names them in the order of the report. The module of figure ``x`` has
``plotted_x``, ``draw_x`` and ``caption_x``; it, and matplotlib with it, is loaded when the
figure is first used; importing ``gateway.figures`` costs nothing.

>>> from gateway.figures import FIGURES
>>> [figure.NAME for figure in FIGURES]  # doctest: +NORMALIZE_WHITESPACE
['probability_curves', 'event_study', 'top_gateways', 'funnel', 'precision_recall',
 'benchmark', 'direct_effects', 'interventions', 'dose_response', 'sweep_lines', 'phase_diagram',
 'reliability', 'check_power', 'join_sources', 'pathways', 'exposure_contrast', 'label_times',
 'signal_correlations']
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from gateway.errors import GatewayError, Problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gateway.figures.style import AnyFigure

__all__ = ["FIGURES", "StoredFigure", "csv_bytes", "figure", "render"]


@dataclass(frozen=True)
class StoredFigure:
    """A figure that reads stored tables: its module, loaded at first use."""

    NAME: str  # stem of the figure's files, and end of the names of its functions
    module: str  # where these lie, below ``gateway.figures``
    ranks: bool = False  # whether ``top`` says how many groups it shows
    measures: bool = False  # whether ``metric`` says which measure of a sweep it shows

    def plotted(
        self, tables: Mapping[str, pa.Table], *, top: int | None = None, metric: str | None = None
    ) -> pa.Table | None:
        """Return exactly what is drawn, or None where the result lacks what it needs.

        Parameters
        ----------
        tables
            Stored tables of a result by name, without the file's ending.
        top
            Number of groups in a figure that ranks them; None for its default. Other
            figures take no notice.
        metric
            Measure that a figure of a sweep shows, as ``evaluation`` names it; None for average
            precision. Other figures take no notice.

        Raises
        ------
        GatewayError
            Where the sweep has no such measure.
        """
        options: dict[str, Any] = {"top": top} if self.ranks and top is not None else {}
        options |= {"metric": metric} if self.measures and metric is not None else {}
        table: pa.Table | None = self._function("plotted")(tables, **options)
        return table

    def draw(self, data: pa.Table, *, ax: Axes | None = None) -> AnyFigure:
        """Return the figure of the data that ``plotted`` gave.

        Parameters
        ----------
        data
            As ``plotted`` returned it.
        ax
            One of the ``subplots`` of a figure of your own: it gives its place to a part
            of that figure, which is drawn in and returned. None for a figure by itself.
        """
        figure: AnyFigure = self._function("draw")(data, ax=ax)
        return figure

    def caption(self, data: pa.Table) -> str:
        """Return what the figure shows, in plain sentences."""
        text: str = self._function("caption")(data)
        return text

    def _function(self, what: str) -> Any:
        return getattr(import_module(f"gateway.figures.{self.module}"), f"{what}_{self.NAME}")


FIGURES: tuple[StoredFigure, ...] = (
    StoredFigure("probability_curves", "probability_curves"),
    StoredFigure("event_study", "probability_curves"),
    StoredFigure("top_gateways", "top_gateways", ranks=True),
    StoredFigure("funnel", "top_gateways"),
    StoredFigure("precision_recall", "accuracy"),
    StoredFigure("benchmark", "sweeps"),
    StoredFigure("direct_effects", "causal_effects"),
    StoredFigure("interventions", "causal_effects"),
    StoredFigure("dose_response", "causal_effects"),
    StoredFigure("sweep_lines", "sweeps", measures=True),
    StoredFigure("phase_diagram", "sweeps", measures=True),
    StoredFigure("reliability", "accuracy"),
    StoredFigure("check_power", "accuracy"),
    StoredFigure("join_sources", "note_figures"),
    StoredFigure("pathways", "pathways"),
    StoredFigure("exposure_contrast", "note_figures"),
    StoredFigure("label_times", "note_figures"),
    StoredFigure("signal_correlations", "note_figures"),
)


def figure(name: str) -> StoredFigure:
    """Return the figure of a name.

    Raises
    ------
    GatewayError
        If there is none.

    Examples
    --------
    >>> figure("funnel").NAME
    'funnel'
    """
    found = {one.NAME: one for one in FIGURES}
    if name not in found:
        rule = f"must be one of {', '.join(found)}"
        raise GatewayError(str(Problem("figure", rule, repr(name))))
    return found[name]


def render(figure: AnyFigure, *, kinds: Iterable[str] = ("pdf", "svg", "png")) -> dict[str, bytes]:
    """Return a figure as files of some kinds (PNG: 300 dots per inch), reproducibly."""
    rendering = import_module("gateway.figures.style")
    rendered: dict[str, bytes] = rendering.render(figure, kinds=kinds)
    return rendered


def csv_bytes(table: pa.Table) -> bytes:
    """Return a table as CSV, reproducibly."""
    written: bytes = import_module("gateway.figures.style").csv_bytes(table)
    return written
