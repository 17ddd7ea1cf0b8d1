"""Locks on open files: the operating system's, which end with the process."""

from __future__ import annotations

import errno
from typing import IO, Any

try:
    import fcntl
except ModuleNotFoundError:  # Windows has none
    fcntl = None  # type: ignore[assignment]


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
