"""Locks that die with the process that holds them.

The kernel of the operating system keeps them (``flock``), not the file: after a SIGKILL
nothing has to be cleaned up. A child that inherits the open file keeps the lock alive, so
that nobody enters a folder into which an orphan may still write.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway._processes import lock_file
from gateway.errors import ResultError
from gateway.log.files import read_plain
from gateway.results.writing import open_own

# An orphan of a killed sweep sees its pipe close and ends within a moment; a look by
# ``gateway status`` holds the lock for microseconds.
PATIENCE_SECONDS = 5.0
_LARGEST = 2**12


class Lock:
    """A lock on a folder, held until ``release`` or the end of this process and its heirs.

    Raises
    ------
    ResultError
        When somebody else holds it, with who; when the file is a link.
    """

    def __init__(self, path: Path) -> None:
        self.handle = open_own(path, os.O_RDWR | os.O_CREAT)
        if not _waited_for(self.handle):
            holder = _holder(path)
            os.close(self.handle)
            raise ResultError(
                f"{path.parent} is being swept by {holder}; 'gateway status {path.parent}' "
                "shows how far it is"
            )
        os.ftruncate(self.handle, 0)
        os.pwrite(self.handle, json.dumps(_self()).encode(), 0)

    def release(self) -> None:
        """Give it back; heirs that still live keep it."""
        os.close(self.handle)


def _self() -> dict[str, object]:
    return {"pid": os.getpid(), "host": platform.node()}


def _waited_for(handle: int) -> bool:
    """Lock an open file as soon as it is free; tell whether that was within a moment."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            lock_file(handle, wait=False)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
        time.sleep(0.05)


def _holder(path: Path) -> str:
    try:
        said = json.loads(read_plain(path, _LARGEST, follow=False))
        return f"process {int(said['pid'])} on {str(said['host'])[:100]}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "another process"


def is_lock(path: Path) -> bool:
    """Tell whether a file is a lock of ours: it says who held it, or nothing yet."""
    try:
        content = read_plain(path, _LARGEST, follow=False)
        return not content or json.loads(content).keys() == _self().keys()
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def remove_unheld(path: Path) -> bool:
    """Remove a file whose lock nobody holds; tell whether it was."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        # Held until it is gone, so that its maker sees that it is.
        lock_file(handle, wait=False)
        path.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


@contextmanager
def writing_alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder for the block, so that two do not write what they have read.

    Raises
    ------
    ResultError
        When somebody else holds it for longer than a moment.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # On a disk without locks everybody writes.
        with suppress(OSError):
            if not _waited_for(handle):
                raise ResultError(f"{folder} is being written to by another process")
        yield
    finally:
        os.close(handle)


def is_held(path: Path) -> bool:
    """Tell whether somebody holds the lock of a file or a folder, as far as can be known."""
    try:
        # A pipe would make us wait for its writer.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        lock_file(handle, wait=False, shared=True)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
