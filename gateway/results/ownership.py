"""What in a folder is ours, and by which names. Nothing of a result or a sweep is removed but here.

A result is ours when its ``status.json`` is of our format; it lists the files that were
written. A draft has a marker of its own and belongs to the process that holds its lock.
Only listed files whose names are among those that we give are removed; where anything else
is in the folder, nothing is. A converted log is never replaced, so nothing of it is removed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gateway.errors import ResultError, either
from gateway.file_locks import lock_file
from gateway.results.writing import refuse_links, replace_file

__all__ = [
    "ASIDE", "CONFIG", "DRAFT", "DRAFT_MARKER", "FORMAT", "METADATA", "PROVENANCE", "STATUS",
    "claim", "discard_draft", "hold_draft", "is_draft", "is_held", "is_key", "is_made",
    "is_partial", "kind_of", "owned_files", "refuse_strangers", "remove_file", "remove_folder",
    "strangers", "transient",
]  # fmt: skip

STATUS = "status.json"
CONFIG = "config.toml"
PROVENANCE = "provenance.json"
METADATA = "ro-crate-metadata.json"
# What ``status.json`` says of a folder that is ours.
FORMAT = "gateway result, 1"

# A draft, and an older result that steps aside for it: ``.<name>.<8 random>.draft``.
DRAFT, ASIDE = ".draft", ".old"
DRAFT_MARKER = ".gateway-draft.json"

_MADE = re.compile(
    r"(config\.toml|(provenance|status|ro-crate-metadata)\.json|report\.html"
    r"|(traceback|log)\.txt|(analyses/)?[^/]+\.parquet|joins/part-\d+\.parquet"
    r"|figures/[^/]+\.(pdf|svg|png|csv)|tables/[^/]+\.tex)"
)
_TRANSIENT = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}(?P<kind>\.draft|\.old)")
_PARTIAL = re.compile(
    r"\.[^/]+\.(toml|parquet|json|html|tex|pdf|svg|png|csv)\.[a-z0-9_]{8}\.partial"
)
_KEY = re.compile(r"[0-9a-f]{16}")


def is_made(name: str) -> bool:
    """Tell whether a path below a result is one that we give to a file."""
    return _MADE.fullmatch(name) is not None and ".." not in name.split("/")


def is_key(name: str) -> bool:
    """Tell whether a name is that of a point: 16 hexadecimal digits."""
    return _KEY.fullmatch(name) is not None


def is_partial(name: str) -> bool:
    """Tell whether a name is that of a file which is being written."""
    return _PARTIAL.fullmatch(name) is not None


def transient(name: str) -> tuple[str, str] | None:
    """Return the result that a draft's or an older result's name is about, and its ending."""
    found = _TRANSIENT.fullmatch(name)
    return None if found is None else (found["name"], found["kind"])


# What is ours --------------------------------------------------------------------------------

# A status is a page of text; a file of megabytes is none of ours.
_LARGEST_STATUS = 2**24


def kind_of(folder: Path) -> str | None:
    """Return what a result of ours is, such as ``run``; None for any other folder."""
    status = _status(folder)
    return None if status is None else str(status.get("kind"))


def owned_files(folder: Path) -> frozenset[str] | None:
    """Return the paths below a folder of ours that we may remove; None where it is not ours."""
    status = _status(folder)
    if status is None:
        return None
    written = status.get("written")
    listed = written if isinstance(written, list) else []
    return frozenset({STATUS, *(str(name) for name in listed if is_made(str(name)))})


def strangers(folder: Path, names: Collection[str]) -> list[str]:
    """Return what lies below a folder beside plain files of such names, sorted."""
    folders = {parent.as_posix() for name in names for parent in Path(name).parents}
    return sorted(_strangers(folder, "", names, folders))


def _strangers(
    folder: Path, below: str, names: Collection[str], folders: Collection[str]
) -> Iterator[str]:
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        name = f"{below}{entry.name}"
        if entry.is_dir(follow_symlinks=False) and name in folders:
            yield from _strangers(Path(entry.path), f"{name}/", names, folders)
        elif name not in names or not entry.is_file(follow_symlinks=False):
            yield name


def refuse_strangers(folder: Path, names: Collection[str]) -> None:
    """Refuse a folder in which anything is not ours.

    Raises
    ------
    ResultError
        With the first such name.
    """
    found = strangers(folder, names)
    if found:
        raise ResultError(
            f"{folder} holds '{found[0]}', which gateway did not write or which is a link: move "
            f"it elsewhere, or give {either('folder=', '--out')} another folder"
        )


def remove_folder(
    folder: Path, names: Collection[str] | None = None, *, last: str = STATUS
) -> None:
    """Remove a folder of ours.

    Parameters
    ----------
    folder
        Of a result or a failed point.
    names
        Its files; None for those that its own marker lists.
    last
        The marker: it goes last, so that what a kill leaves is still known as ours.

    Raises
    ------
    ResultError
        When it is not ours, or holds anything else; nothing is removed then.
    """
    names = owned_files(folder) if names is None else names
    if names is None:
        raise ResultError(f"{folder} is not a result of gateway: move it elsewhere")
    refuse_strangers(folder, names)
    for name in sorted(set(names) - {last}):
        (folder / name).unlink(missing_ok=True)
    parents = {parent for name in names for parent in Path(name).parents}
    for parent in sorted(parents - {Path()}, reverse=True):
        with suppress(FileNotFoundError):
            (folder / parent).rmdir()
    (folder / last).unlink(missing_ok=True)
    folder.rmdir()


def remove_file(path: Path) -> None:
    """Remove a file of a name that only we give; a link goes, not what it leads to."""
    path.unlink(missing_ok=True)


def claim(folder: Path, names: Collection[str]) -> None:
    """List files as ours before they are written into a result that stands.

    A folder that keeps no list, as a sweep's, is left as it is.

    Raises
    ------
    ResultError
        When there is a file of such a name that the result does not list, or a link.
    """
    for name in names:
        refuse_links(folder, name)
    status = _status(folder)
    if status is None:
        return
    known = owned_files(folder) or frozenset()
    new = sorted(set(names) - known)
    for name in new:
        if os.path.lexists(folder / name):
            raise ResultError(f"{folder / name} is not of gateway: move it elsewhere")
    if new:
        content = {**status, "written": sorted({*known, *new})}
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        replace_file(folder, STATUS, text.encode("utf-8"))


def _status(folder: Path) -> Mapping[str, Any] | None:
    """Return the status of a result of ours."""
    content = _json(folder / STATUS)
    return content if content is not None and content.get("format") == FORMAT else None


def _json(path: Path) -> dict[str, Any] | None:
    try:
        if not _is_plain(path) or path.stat().st_size > _LARGEST_STATUS:
            return None
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


# Drafts -----------------------------------------------------------------------------------


@contextmanager
def hold_draft(folder: Path) -> Iterator[None]:
    """Mark an empty folder as a draft, and hold its lock for the block.

    The lock is the operating system's, on the folder itself: it stays through a rename and
    ends with the process. Where a disk has no such locks, drafts of the dead stay.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        with suppress(OSError):
            # Whoever looks whether it is held has it for a moment: wait.
            lock_file(handle)
        marker = json.dumps({"format": FORMAT, "draft": folder.name})
        (folder / DRAFT_MARKER).write_text(marker + "\n", encoding="utf-8")
        yield
    finally:
        os.close(handle)


def is_held(folder: Path) -> bool:
    """Tell whether the process that drafts a folder lives, as far as can be known."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        lock_file(handle, wait=False)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def is_draft(folder: Path) -> bool:
    """Tell whether a folder has the marker of a draft of its own name."""
    content = _json(folder / DRAFT_MARKER)
    return content == {"format": FORMAT, "draft": folder.name}


def discard_draft(folder: Path) -> None:
    """Remove a draft of this process, or of one that is dead, half written as it may be.

    Links in it are not followed. The marker goes last.
    """
    if folder.is_symlink() or not folder.is_dir():
        return
    for entry in folder.iterdir():
        if entry.name == DRAFT_MARKER:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    with suppress(OSError):
        (folder / DRAFT_MARKER).unlink(missing_ok=True)
        folder.rmdir()
