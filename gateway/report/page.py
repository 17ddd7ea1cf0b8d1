"""One self-contained HTML page from the stored tables and figures of a result."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gateway.report.blocks import Section
from gateway.report.inline_svg import inline_svg
from gateway.report.numbers import name
from gateway.report.origin import provenance_rows
from gateway.report.sections import BEFORE_FIGURES, SECTIONS, SectionFunction
from gateway.report.stored import Result
from gateway.report.summary import confusion, lede, tiles

__all__ = ["render_report"]

_TITLES: Mapping[str, str] = {
    "probability_curves": "The probability of joining a target, join by join",
    "event_study": "The probability around the join of a flagged group",
    "top_gateways": "The highest ranked groups",
    "funnel": "Gateway score and group size",
    "precision_recall": "The ranking against the planted gateways",
    "benchmark": "Every detector against the truth",
    "direct_effects": "What a join did to its joiner, by replay",
    "interventions": "What interventions change",
    "dose_response": "What acting on more groups averts",
    "phase_diagram": "Where each detector holds, and where it breaks",
    "join_sources": "Sources of joins of target groups, published and simulated",
    "pathways": "From gateway groups through sources to target groups",
    "exposure_contrast": "Exposure to recommendations: the note's contrast and the truth",
    "label_times": "Labels of the top gateway groups over time",
    "signal_correlations": "Correlations of group signals, published and simulated",
    "reliability": "Reliability of the scorer",
    "check_power": "How strong a gateway must be to be found on this log",
}


@dataclass(frozen=True)
class ShownFigure:
    """A figure as the template needs it."""

    key: str
    title: str
    svg: Markup
    caption: str

    @property
    def is_wide(self) -> bool:
        """Whether it takes the width of the page, and scrolls where the page is narrow."""
        return 'class="wide"' in self.svg[:400]


def render_report(
    tables: Mapping[str, pa.Table],
    figures: Mapping[str, tuple[str, str]],
    *,
    config_toml: str,
    provenance: Mapping[str, Any],
    title: str,
    top: int = 100,
) -> str:
    """Return the report: one HTML file that loads nothing from anywhere.

    Parameters
    ----------
    tables
        Stored tables of a result by name, ``summary`` among them.
    figures
        SVG text and caption of each figure by its name, in the order of the page.
    config_toml
        The resolved config.
    provenance
        What ``provenance.json`` holds.
    title
        Heading of the page.
    top
        Number of groups of each detector in the ranking.

    Returns
    -------
    str
        HTML5, for UTF-8. Names of groups and users are escaped.

    Raises
    ------
    ResultError
        If a figure is not an SVG file.
    """
    result = Result(tables, top=top)
    environment = _environment()
    script = environment.get_template("report.js").render()
    return environment.get_template("report.html.j2").render(
        title=name(title, limit=200),
        lede=lede(result),
        confusion=confusion(result),
        tiles=tiles(result),
        figures=[_shown(key, svg, caption) for key, (svg, caption) in figures.items()],
        first=_made(BEFORE_FIGURES, result),
        sections=_made(SECTIONS, result),
        config_toml=config_toml,
        provenance=provenance_rows(provenance),
        # The page's own files, written by us: they hold nothing of the result.
        style=Markup(environment.get_template("report.css").render()),  # noqa: S704
        script=Markup(script),  # noqa: S704
        script_digest=_digest(script),
    )


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("gateway.report", package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _made(functions: Sequence[SectionFunction], result: Result) -> list[Section]:
    return [section for make in functions if (section := make(result)) is not None]


def _shown(key: str, svg: str, caption: str) -> ShownFigure:
    safe = "".join(c if c.isalnum() and c.isascii() else "-" for c in key)
    drawn = inline_svg(
        svg, prefix=f"{safe}-", titled_by=f"title-{safe}", described_by=f"caption-{safe}"
    )
    return ShownFigure(safe, _TITLES.get(key, key.replace("_", " ")), drawn, caption)


def _digest(script: str) -> str:
    """Return what the page's content policy calls its one script: no other one may run."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
