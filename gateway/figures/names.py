"""Names of groups and users as labels: data from strangers, made fit to be drawn.

Mathematics is switched off in the style file, so a name needs no escapes; what is left is
what cannot be drawn: control characters, glyphs that the font lacks, sheer length.
"""

from __future__ import annotations

import unicodedata
from functools import cache

from matplotlib.font_manager import FontProperties, findfont, get_font

__all__ = ["label", "shorten"]

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
_NOTHING = "(no name)"


def label(name: str, *, limit: int = 24) -> str:
    """Return a name as one line of drawable characters, shortened in the middle.

    White space of any kind becomes one space; other control and formatting characters
    (bidirectional overrides among them) go; a letter that the figure's font lacks becomes
    the replacement character, so that no glyph is ever missing.

    Parameters
    ----------
    name
        Any text.
    limit
        Most characters of the result, at least 3.
    """
    spaced = " ".join(unicodedata.normalize("NFC", name).split())
    visible = "".join(character for character in spaced if _is_visible(character))
    visible = visible.lstrip("".join(c for c in set(visible) if unicodedata.combining(c)))
    drawable = "".join(c if _has_glyph(c) else _REPLACEMENT for c in visible)
    return shorten(drawable.strip(), limit=limit) or _NOTHING


def shorten(text: str, *, limit: int) -> str:
    """Cut the middle out of a long text: names often differ only at their ends.

    Examples
    --------
    >>> shorten("Moms against everything, Ohio", limit=15)
    'Moms ag…g, Ohio'
    """
    if len(text) <= limit:
        return text
    head = limit // 2
    tail = limit - 1 - head
    return f"{text[:head]}{_ELLIPSIS}{text[len(text) - tail :]}"


def _is_visible(character: str) -> bool:
    """Whether the character is neither control, format, surrogate, nor a joining mark alone."""
    is_selector = 0xFE00 <= ord(character) <= 0xFE0F
    return not is_selector and unicodedata.category(character) not in ("Cc", "Cf", "Cs")


@cache
def _has_glyph(character: str) -> bool:
    font = get_font(findfont(FontProperties(family="DejaVu Sans")))
    return bool(font.get_char_index(ord(character)))
