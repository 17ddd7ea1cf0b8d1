"""How the program starts a process of its own, and locks that end with a process."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ModuleNotFoundError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

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


def lock_file(handle: int | IO[Any], *, wait: bool = True, shared: bool = False) -> None:
    """Lock an open file or folder until it is closed.

    Parameters
    ----------
    handle
        An open file.
    wait
        Whether to wait for another process that holds it.
    shared
        Whether others may hold it too who ask for it in the same way.

    Raises
    ------
    BlockingIOError
        If another process holds it, without ``wait``.
    OSError
        If the file system, or the operating system, has no such locks.
    """
    if fcntl is None:
        raise OSError(errno.ENOLCK, "this operating system has no locks of this kind")
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    fcntl.flock(handle, kind if wait else kind | fcntl.LOCK_NB)
