"""Packages that can be called.

``gateway.detect`` and ``gateway.simulate`` are the names of two packages and, by the
project's contract, of two functions. Python lets a module have a class of its own
(Language Reference, 3.3.2.1), so the package *is* the function: with its signature and its
docstring, which ``help`` and editors show.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def make_callable(name: str, function: Callable[..., Any]) -> None:
    """Let the module ``name`` be called as ``function``."""
    module = sys.modules[name]
    module.__class__ = type("CallableModule", (ModuleType,), {"__call__": staticmethod(function)})
    module.__dict__["__signature__"] = inspect.signature(function)
    module.__doc__ = f"{inspect.getdoc(function)}\n\n{module.__doc__}"
