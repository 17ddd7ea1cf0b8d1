"""What in a folder is ours, and by which names. Nothing of a result or a sweep is removed but here.

A result is ours when its ``status.json`` is of our format; it lists the files that were
written. A draft has a marker of its own and belongs to the process that holds its lock.
Only listed files whose names are among those that we give are removed; where anything else
is in the folder, nothing is. A converted log is never replaced, so nothing of it is removed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway._processes import lock_file
from gateway.errors import ResultError, either
from gateway.results.locks import remove_unheld
from gateway.results.records import LARGEST_RECORD, Status, read_own, read_record, read_values
from gateway.results.writing import (
    DRAFT_MARKER,
    FORMAT,
    STATUS,
    is_made,
    is_partial,
    refuse_links,
    replace_file,
)

# What is ours --------------------------------------------------------------------------------


def kind_of(folder: Path) -> str | None:
    """Return what a result of ours is, such as ``run``; None for any other folder."""
    status = _status(folder)
    return None if status is None else status.kind


def owned_files(folder: Path) -> frozenset[str] | None:
    """Return the paths below a folder of ours that we may remove; None where it is not ours."""
    status = _status(folder)
    if status is None:
        return None
    return frozenset({STATUS, *(str(name) for name in status.written if is_made(str(name)))})


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
    clear_partial(folder)
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
    # An empty one is cleared away by whoever comes first.
    with suppress(FileNotFoundError):
        folder.rmdir()


def clear_partial(folder: Path) -> int:
    """Remove what dead processes had half written into a folder of ours; return how many.

    Whoever writes such a file holds its lock.
    """
    found = [
        path
        for path in (*folder.glob(".*.partial"), *folder.glob("[!.]*/.*.partial"))
        if is_partial(path.name) and not path.parent.is_symlink()
    ]
    return sum(map(remove_unheld, found))


def claim(folder: Path, names: Collection[str]) -> None:
    """List files as ours before they are written into a result that stands.

    A folder that keeps no list, as a sweep's, is left as it is.

    Raises
    ------
    ResultError
        When there is a file of such a name that the result does not list, or a link.
    """
    clear_partial(folder)
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
        content = read_values(Status, folder, STATUS) | {"written": sorted({*known, *new})}
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        replace_file(folder, STATUS, text.encode("utf-8"))


def _status(folder: Path) -> Status | None:
    """Return the status of a result of ours."""
    with suppress(ResultError):
        return read_record(Status, folder, STATUS)
    return None


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
        (folder / DRAFT_MARKER).write_bytes(_marker(folder))
        yield
    finally:
        os.close(handle)


def is_draft(folder: Path) -> bool:
    """Tell whether a folder has the marker of a draft of its own name.

    One in which nothing is yet, or a marker in the making, is the draft of who died there.
    """
    try:
        content = read_own(folder, DRAFT_MARKER, LARGEST_RECORD)
    except ResultError:
        return not any(folder.iterdir())
    expected = _marker(folder)
    is_begun = expected.startswith(content) and len(list(folder.iterdir())) == 1
    return content == expected or is_begun


def _marker(folder: Path) -> bytes:
    return json.dumps({"format": FORMAT, "draft": folder.name}).encode() + b"\n"


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
