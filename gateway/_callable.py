"""Packages that can be called, and what other packages bring to be called.

``gateway.detect`` and ``gateway.simulate`` are the names of two packages and, by the
project's contract, of two functions. Python lets a module have a class of its own
(Language Reference, 3.3.2.1), so the package *is* the function: with its signature and its
docstring, which ``help`` and editors show.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

__all__ = ["make_callable", "plugin", "plugin_names"]


def make_callable(name: str, function: Callable[..., Any]) -> None:
    """Let the module ``name`` be called as ``function``."""
    module = sys.modules[name]
    module.__class__ = type("CallableModule", (ModuleType,), {"__call__": staticmethod(function)})
    module.__dict__["__signature__"] = inspect.signature(function)
    module.__doc__ = f"{inspect.getdoc(function)}\n\n{module.__doc__}"


def plugin(group: str, name: str) -> Any | None:
    """Return what an installed package brings under a name, such as in ``gateway.detectors``.

    None where no package does. A package says it in its ``pyproject.toml``::

        [project.entry-points."gateway.detectors"]
        largest = "my_package:largest"
    """
    found = entry_points(group=group, name=name)
    return next(iter(found)).load() if found else None


def plugin_names(group: str) -> tuple[str, ...]:
    """Return the names that installed packages bring for a group, sorted."""
    return tuple(sorted(entry_points(group=group).names))
