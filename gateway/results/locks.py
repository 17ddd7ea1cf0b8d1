"""Locks that die with the process that holds them.

The kernel of the operating system keeps them (``flock``), not the file: after a SIGKILL
nothing has to be cleaned up. A child that inherits the open file keeps the lock alive, so
that nobody enters a folder into which an orphan may still write.
"""

from __future__ import annotations

import json
import os
import platform
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.errors import ResultError
from gateway.file_locks import lock_file
from gateway.results.writing import open_own

__all__ = [
    "Lock",
    "is_cache_filled",
    "is_lock",
    "is_locked",
    "node_cache_lock",
    "node_local_cache",
]

# An orphan of a killed sweep sees its pipe close and ends within a moment; a look by
# ``gateway status`` holds the lock for microseconds.
PATIENCE_SECONDS = 5.0
_LARGEST = 2**12


class Lock:
    """A lock on a folder, held until ``release`` or the end of this process and its heirs.

    Parameters
    ----------
    path
        Of the lock's file. What is in it only says who holds it.

    Raises
    ------
    ResultError
        When somebody else holds it, with who; when the file is a link.
    """

    def __init__(self, path: Path) -> None:
        self.handle = open_own(path, os.O_RDWR | os.O_CREAT)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _try(self.handle):
            if time.monotonic() > deadline:
                holder = _holder(path)
                os.close(self.handle)
                raise ResultError(
                    f"{path.parent} is being swept by {holder}; 'gateway status {path.parent}' "
                    "shows how far it is"
                )
            time.sleep(0.05)
        os.ftruncate(self.handle, 0)
        os.pwrite(self.handle, json.dumps(_self()).encode(), 0)

    def release(self) -> None:
        """Give it back; heirs that still live keep it."""
        os.close(self.handle)


def _self() -> dict[str, object]:
    return {"pid": os.getpid(), "host": platform.node()}


def _try(handle: int) -> bool:
    try:
        lock_file(handle, wait=False)
    except BlockingIOError:
        return False
    return True


def _holder(path: Path) -> str:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return f"process {said['pid']} on {said['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def is_lock(path: Path) -> bool:
    """Tell whether a file is a lock of ours: it says who held it, or nothing yet."""
    try:
        if path.is_symlink() or path.stat().st_size > _LARGEST:
            return False
        content = path.read_bytes()
        return not content or json.loads(content).keys() == _self().keys()
    except (OSError, ValueError, AttributeError):
        return False


def is_locked(path: Path) -> bool:
    """Tell whether somebody holds the lock now."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        lock_file(handle, wait=False, shared=True)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def node_cache_lock(marker: str) -> Iterator[bool]:
    """Let one process of this machine fill the cache of compiled kernels, the others wait.

    Parameters
    ----------
    marker
        Name of what the cache must hold; it changes with the versions that compile.

    Yields
    ------
    bool
        Whether it is still to be filled. At the end of the block it counts as filled.
    """
    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / "warming.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        lock_file(handle)
        done = _filled(marker)
        cold = not done.exists()
        yield cold
        if cold:
            done.touch()
    finally:
        os.close(handle)


def is_cache_filled(marker: str) -> bool:
    """Tell whether the cache of this machine holds what ``marker`` names."""
    return _filled(marker).exists()


def _filled(marker: str) -> Path:
    return Path(os.environ["NUMBA_CACHE_DIR"]) / f"{marker}.warm"


def node_local_cache() -> Path | None:
    """Return a folder for compiled kernels on this machine's own disk, for nobody else.

    A home folder of a cluster is shared by its machines, whose processors may differ, and
    file locks over a network are slow or missing. None when somebody else holds the name:
    a cache holds code.
    """
    folder = Path(tempfile.gettempdir()) / f"gateway-cache-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return folder if is_ours and not found.st_mode & 0o022 else None
