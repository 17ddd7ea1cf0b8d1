"""How the site is built (`make docs`): nothing is fetched, neither by us nor by a reader."""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
sys.path.insert(0, str(HERE))

from pages import write_pages  # noqa: E402

import gateway  # noqa: E402

# What a page's code warns of stands on the page, without the paths of who built it.
warnings.formatwarning = lambda message, category, *_: f"{category.__name__}: {message}\n"

project = "gateway"
author = "The gateway developers"
project_copyright = author
version = release = gateway.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
# Fragments that pages include, and sources of pages that sphinx-gallery writes.
exclude_patterns = ["_made", "examples"]
nitpicky = True
# What annotations name: libraries that the site does not document, and our own internal types.
nitpick_ignore_regex = [("py:.*", r"(?!gateway\.[A-Z]).*")]

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4

autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
numpydoc_show_class_members = False
# Doctests of docstrings run with `make test`, in their modules; here run those of the pages.
doctest_test_doctest_blocks = ""

sphinx_gallery_conf = {
    "examples_dirs": ["examples/tutorials", "examples/figures"],
    "gallery_dirs": ["tutorials", "gallery"],
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"(__init__|_runs)\.py$",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "only_warn_on_example_error": False,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
    "matplotlib_animations": False,
    "image_scrapers": ("matplotlib",),
    "nested_sections": False,
}
suppress_warnings = ["config.cache"]

html_theme = "furo"
html_title = "gateway"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_math_renderer = "mathml"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072b2", "color-brand-content": "#0072b2"},
    "dark_css_variables": {"color-brand-primary": "#56b4e9", "color-brand-content": "#56b4e9"},
}


_ARRAY = re.compile(
    r"~?numpy\.ndarray\[tuple\[~?typing\.Any, \.\.\.\], ~?numpy\.dtype\[~?numpy\.(\w+)\]\]"
)


def _shorten(
    app: Any,
    what: str,
    name: str,
    found: Any,
    options: Any,
    signature: str | None,
    back: str | None,
) -> tuple[str | None, str | None]:
    """Let a signature be read: arrays by their kind, defaults that a call makes as dots."""
    short = [
        text and _ARRAY.sub(r"NDArray[\1]", text).replace("<factory>", "...")
        for text in (signature, back)
    ]
    return short[0], short[1]


def _inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(tex2mathml(node.astext(), as_block=False))
    raise nodes.SkipNode


def _block(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f"<div>{tex2mathml(node.astext(), as_block=True)}</div>")
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Write the generated fragments, and let formulas be MathML, which needs no script."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.connect("autodoc-process-signature", _shorten)
    app.connect("config-inited", lambda *_: write_pages(HERE / "_made"))
