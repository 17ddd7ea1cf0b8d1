"""One self-contained HTML page from the stored tables and figures of a result.

A figure's SVG is made fit to stand inside the page, several of them, in light and in dark:
what a browser could load or run goes; every id gets a prefix of its own, since ids are
shared by the whole page; the colours of the figures become the page's variables.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree

import pyarrow as pa
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gateway.errors import ResultError
from gateway.report.content import Section
from gateway.report.sections import BEFORE_FIGURES, SECTIONS, SectionFunction
from gateway.report.summary import Result, confusion, lede, tiles
from gateway.wording import MISSING, NO_CHARACTER, name

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
    "sweep_lines": "How each detector changes along the sweep",
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
    figures
        SVG text and caption of each figure by its name, in the order of the page.

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
    templates = environment("gateway.report")
    script = templates.get_template("report.js").render()
    page = templates.get_template("report.html.j2").render(
        title=name(title, limit=200),
        lede=lede(result),
        confusion=confusion(result),
        tiles=tiles(result),
        figures=[shown_figure(key, svg, caption) for key, (svg, caption) in figures.items()],
        first=_made(BEFORE_FIGURES, result),
        # A check names no groups: it is all of its page.
        sections=[] if "check" in tables else _made(SECTIONS, result),
        config_toml=config_toml,
        command="check" if "check" in tables else "run",
        provenance=provenance_rows(provenance),
        # The page's own files, written by us: they hold nothing of the result.
        style=Markup(templates.get_template("report.css").render()),  # noqa: S704
        script=Markup(script),  # noqa: S704
        script_digest=_digest(script),
    )
    return NO_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", page)


def environment(*packages: str) -> Environment:
    """Return the templates of some packages, the first that has one; text is escaped."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(package, package_path="") for package in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _made(functions: Sequence[SectionFunction], result: Result) -> list[Section]:
    return [section for make in functions if (section := make(result)) is not None]


def shown_figure(key: str, svg: str, caption: str) -> ShownFigure:
    """Return a figure of a result, by its name, as an element of a page."""
    safe = "".join(c if c.isalnum() and c.isascii() else "-" for c in key)
    drawn = inline_svg(
        svg, prefix=f"{safe}-", titled_by=f"title-{safe}", described_by=f"caption-{safe}"
    )
    return ShownFigure(safe, _TITLES.get(key, key.replace("_", " ")), drawn, caption)


def _digest(script: str) -> str:
    """Return what the page's content policy calls its one script: no other one may run."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


COLOURS: Final[dict[str, str]] = {
    "#1f2328": "var(--ink)",
    "#59636e": "var(--muted)",
    "#a3acb5": "var(--faint)",
    "#e1e5e9": "var(--rule)",
    "#ffffff": "var(--paper)",
    "#d55e00": "var(--influence)",
    "#0072b2": "var(--homophily)",
    "#009e73": "var(--hub)",
    "#cc79a7": "var(--target)",
    "#e69f00": "var(--other)",
}
"""Colours of the figures' style, and the variables of the page that stand for them."""

_DROPPED = frozenset({"metadata", "style", "script", "foreignObject", "title", "desc", "a"})
_HREF = "{http://www.w3.org/1999/xlink}href"
_IMAGE = "data:image/png;base64,"
_REFERENCE = re.compile(r"url\(#")
_COLOUR = re.compile("|".join(COLOURS), re.IGNORECASE)
_SCREEN = 1.4
"""Magnification on a screen: seven points are fine on paper and small here."""


def inline_svg(text: str, *, prefix: str, titled_by: str, described_by: str) -> Markup:
    """Return an SVG file as an element for an HTML page.

    Parameters
    ----------
    text
        The file, as ``gateway.figures.render`` wrote it.
    prefix
        Put before every id; unique in the page.
    titled_by, described_by
        Ids of the elements of the page that name and describe the picture to those who
        cannot see it.

    Raises
    ------
    ResultError
        If the file is not an SVG, or declares entities.
    """
    root = _parse(text)
    _clean(root, prefix=prefix)
    width = float(root.get("viewBox", "0 0 252 252").split()[2])
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.attrib.update(
        {
            "class": "wide" if width > 400 else "narrow",
            "style": f"max-width:{width * _SCREEN * 96 / 72 / 16:.1f}rem",
            "role": "img",
            "aria-labelledby": titled_by,
            "aria-describedby": described_by,
        }
    )
    # Safe to pass through the template unescaped: it holds only what _clean let through.
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704


def _parse(text: str) -> ElementTree.Element:
    if "<!ENTITY" in text:
        raise ResultError("a stored figure must be an SVG without entities; got one that has some")
    try:
        # Only files of a result come here, and entities are refused above.
        root = ElementTree.fromstring(text)  # noqa: S314
    except ElementTree.ParseError as error:
        raise ResultError(f"a stored figure must be an SVG file; got {error}") from error
    if _bare(root.tag) != "svg":
        raise ResultError(f"a stored figure must be an SVG file; got <{_bare(root.tag)}>")
    return root


def _clean(element: ElementTree.Element, *, prefix: str) -> None:
    element.tag = _bare(element.tag)
    attributes = dict(element.attrib)
    element.attrib.clear()
    for key, value in attributes.items():
        kept = _attribute(key, value, prefix=prefix)
        if kept is not None:
            element.set("href" if key == _HREF else key, kept)
    for child in list(element):
        if _bare(child.tag) in _DROPPED:
            element.remove(child)
        else:
            _clean(child, prefix=prefix)


def _attribute(key: str, value: str, *, prefix: str) -> str | None:
    """Return an attribute's value inside the page, None where it has no place there."""
    if key in (_HREF, "href"):
        if value.startswith("#"):
            return f"#{prefix}{value[1:]}"
        return value if value.startswith(_IMAGE) else None
    if key.startswith(("{", "on")):
        return None
    if key == "id":
        return f"{prefix}{value}"
    value = _REFERENCE.sub(f"url(#{prefix}", value)
    if "url(" in value.replace("url(#", ""):
        return None
    return _COLOUR.sub(lambda m: COLOURS[m[0].lower()], value) if key == "style" else value


def _bare(tag: str) -> str:
    return tag.rpartition("}")[2]


def provenance_rows(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return provenance as key and text; what is nested is put on one line.

    A diff stays in ``provenance.json``: that there is one is said by ``dirty``.
    """
    shown = ((key, value) for key, value in provenance.items() if key != "diff")
    return [(key.replace("_", " "), _flat(value)) for key, value in shown]


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_flat(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_flat(item) for item in value)
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
