"""Packages that can be called.

``gateway.detect`` and ``gateway.simulate`` are the names of two packages and, by the
project's contract, of two functions. Python lets a module have a class of its own
(Language Reference, 3.3.2.1), so the package *is* the function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

__all__ = ["make_callable"]


def make_callable(name: str, function: Callable[..., Any]) -> None:
    """Let the module ``name`` be called as ``function``."""

    class CallableModule(ModuleType):
        def __call__(self, *args: Any, **options: Any) -> Any:
            return function(*args, **options)

    CallableModule.__call__.__doc__ = function.__doc__
    sys.modules[name].__class__ = CallableModule
