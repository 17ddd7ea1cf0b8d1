"""How the program starts a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

_HOME = Path(__file__).parents[1]
_START = """
import runpy, sys
sys.path.append(sys.argv.pop(1))
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def command_of(module: str, *words: object) -> list[str]:
    """Return the command that runs a module of the package.

    Nothing is imported from the folder in which the program is called (-P): a file there could
    have the name of any module. The package's own home comes last, where it hides no other.
    """
    return [sys.executable, "-P", "-c", _START, str(_HOME), module, *map(str, words)]
