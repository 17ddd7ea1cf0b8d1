"""The cache of compiled kernels: one folder into which nobody else can write, or none.

What is in it is run when it is read. So a folder that others can write to, or that depends on
where the program is called, is no cache; the kernels are then compiled anew each time.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway._processes import lock_file

_ROOT = 0


def choose_cache(name: str, environment: Mapping[str, str] = os.environ) -> tuple[Path | None, str]:
    """Return the folder for what ``name`` stands for, made if need be; or None, and why.

    Parameters
    ----------
    name
        Of the sources that are compiled: other sources, another folder.
    environment
        ``NUMBA_CACHE_DIR`` is the folder itself; ``GATEWAY_CACHE_DIR``, ``XDG_CACHE_HOME``
        where it is absolute, or the home folder's ``.cache`` that in which it lies.
    """
    given = environment.get("NUMBA_CACHE_DIR")
    base = environment.get("GATEWAY_CACHE_DIR") or environment.get("XDG_CACHE_HOME", "")
    if not (base.startswith("/") or environment.get("GATEWAY_CACHE_DIR")):
        try:
            base = str(Path.home() / ".cache")
        except RuntimeError:
            base = ""
    if not (given or base):
        return None, "there is no home folder"
    folder = Path(given) if given else Path(base) / "gateway" / "numba" / name
    weakness = weakness_of(folder)
    return (None, f"{folder} {weakness}") if weakness else (folder, "")


def of_this_machine() -> Path:
    """Return where a worker's cache lies, on the machine's own disk.

    A home folder of a cluster is shared by its machines, whose processors may differ, and file
    locks over a network are slow or missing.
    """
    return Path(tempfile.gettempdir()) / f"gateway-cache-{getattr(os, 'getuid', os.getlogin)()}"


def weakness_of(folder: Path) -> str | None:
    """Return why a folder may hold no code that we run; None for one that may, which is made."""
    if not folder.is_absolute():
        return "is no absolute path"
    if not hasattr(os, "geteuid"):
        return "cannot be known to be ours on this operating system"
    try:
        for place in (*reversed(folder.parents), folder):
            with suppress(FileExistsError):
                place.mkdir(mode=0o700)
        links = [place.lstat() for place in (folder, *folder.parents) if place.is_symlink()]
        folder = folder.resolve(strict=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            return "cannot be written to"
        found = [place.stat() for place in (folder, *folder.parents)]
    except (OSError, RuntimeError) as error:
        return f"cannot be made ({getattr(error, 'strerror', None) or error})"
    ours = {_ROOT, os.geteuid()}
    if found[0].st_uid != os.geteuid() or _is_open(found[0], is_end=True):
        return "is somebody else's, or can be written to by others"
    changing = [f"lies in {place}, which others can change"
                for place, status in zip(folder.parents, found[1:], strict=True)
                if status.st_uid not in ours or _is_open(status, is_end=False)]  # fmt: skip
    if any(link.st_uid not in ours for link in links):
        changing.append("lies behind somebody else's link")
    return next(iter(changing), None)


def _is_open(status: os.stat_result, *, is_end: bool) -> bool:
    """Tell whether others may put files into a folder, or, on the way, exchange what is there.

    A group with the user's own number is that user's private one.
    """
    if not is_end and status.st_mode & stat.S_ISVTX:
        return False
    by_group = status.st_mode & stat.S_IWGRP and status.st_gid != status.st_uid
    return bool(status.st_mode & stat.S_IWOTH or by_group)


@contextmanager
def filling(folder: Path | None, marker: str) -> Iterator[bool]:
    """Let one process of this machine fill the cache of compiled kernels, the others wait.

    Parameters
    ----------
    folder
        The cache; without one, each process compiles for itself.
    marker
        Name of what the cache must hold; it changes with the versions that compile.

    Yields
    ------
    bool
        Whether it is still to be filled. At the end of the block it counts as filled.
    """
    if folder is None:
        yield True
        return
    handle = os.open(folder / "warming.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # A file system without locks leaves each to compile for itself.
        with suppress(OSError):
            lock_file(handle)
        cold = not is_filled(folder, marker)
        yield cold
        if cold:
            with suppress(OSError):
                (folder / f"{marker}.warm").touch()
    finally:
        os.close(handle)


def is_filled(folder: Path | None, marker: str) -> bool:
    """Tell whether the cache holds what ``marker`` names."""
    return folder is not None and (folder / f"{marker}.warm").exists()
