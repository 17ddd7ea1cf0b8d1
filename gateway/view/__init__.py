"""A stored result as pages in a browser: `gateway view`.

Pages are made from the stored tables alone, by plain HTML forms: they hold no script, so they
work with a keyboard, a screen reader and any browser, and a name from a log can run nothing.
"""

from gateway.view.pages import page
from gateway.view.server import Viewer
from gateway.view.viewed import Viewed

__all__ = ["Viewed", "Viewer", "page"]
