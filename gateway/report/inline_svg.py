"""SVG files made fit to stand inside a page, several of them, in light and in dark.

What a browser could load or run goes; every id gets a prefix of its own, since ids are
shared by the whole page; the colours of the figures become the page's variables.
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree

from markupsafe import Markup

from gateway.errors import ResultError

__all__ = ["COLOURS", "inline_svg"]

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
