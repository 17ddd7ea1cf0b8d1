"""A result in the making: drafted beside its place, synced, renamed.

What a kill leaves is put right by whoever comes next (``settle``): a finished draft gets its
name where nothing stands, an older result that had stepped aside comes back or goes, drafts
of the dead are removed.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gateway._processes import lock_file
from gateway.errors import LogError, ResultError, either
from gateway.log.mapped import read_manifest
from gateway.results.locks import is_held
from gateway.results.ownership import (
    discard_draft,
    hold_draft,
    is_draft,
    kind_of,
    owned_files,
    refuse_strangers,
    remove_folder,
    strangers,
)
from gateway.results.records import digest_own
from gateway.results.writing import (
    ASIDE,
    CONFIG,
    DRAFT,
    DRAFT_MARKER,
    FORMAT,
    PROVENANCE,
    STATUS,
    sync_path,
    transient,
)


class Draft:
    """A result in the making; everything is written below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write ``<name>.parquet``: zstd, no metadata of this machine."""
        path = self.place(f"{name}.parquet")
        pq.write_table(table.replace_schema_metadata(None), path, compression="zstd")

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file, ``name`` a path below the result."""
        self.place(name).write_bytes(content)

    def write_text(self, name: str, content: str) -> None:
        """Write a UTF-8 text file."""
        self.write_bytes(name, content.encode("utf-8"))

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file, keys in the order given."""
        self.write_text(name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def write_status(self, kind: str, *, state: str = "done", **facts: Any) -> None:
        """Say what the result is and which files are its own; nothing is written after it.

        Parameters
        ----------
        kind
            ``run``, ``simulation``, ``reproduction`` or ``failure``.
        state
            ``done`` or ``failed``.
        """
        paths = (path for path in self.folder.rglob("*") if path.is_file())
        names = {path.relative_to(self.folder).as_posix() for path in paths} - {DRAFT_MARKER}
        content = {"format": FORMAT, "state": state, "kind": kind, **facts}
        written = sorted({STATUS, *names})
        self.write_json(STATUS, {**content, "files": self.digests(), "written": written})

    def digests(self) -> dict[str, str]:
        """Return sha256 of config, provenance and tables as written so far, by path."""
        paths = [self.folder / CONFIG, self.folder / PROVENANCE, *self.folder.glob("*.parquet"),
                 *self.folder.glob("analyses/*.parquet")]  # fmt: skip
        there = (path.relative_to(self.folder) for path in sorted(paths) if path.is_file())
        return {name.as_posix(): digest_own(self.folder, name.as_posix()) for name in there}

    def place(self, name: str) -> Path:
        """Return a path below the result, for a writer that takes paths (a join log's)."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


@contextmanager
def draft_result(final: Path, *, replaces: str | None = None) -> Iterator[Draft]:
    """Draft a result; at the end of the block it stands at ``final``, or nothing does.

    Parameters
    ----------
    final
        A place where nothing is, or an empty folder.
    replaces
        Kind of a result of ours that may stand there, and is replaced when the new one is
        whole; None where nothing may.

    Raises
    ------
    ResultError
        At the start, when the folder cannot be made, or at ``final`` is anything else. At
        the end, when the place was taken meanwhile: what was computed is kept beside it.
    """
    final = final if final.name not in {"", ".."} else final.resolve()
    settle(final.parent, final.name)
    _refuse_place(final)
    _refuse_taken(final, replaces)
    new = [parent for parent in final.absolute().parents if not parent.exists()]
    with ExitStack() as stack:
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            with _making(final.parent, shared=True):
                folder = Path(
                    tempfile.mkdtemp(prefix=f".{final.name}.", suffix=DRAFT, dir=final.parent)
                )
                stack.callback(_undo, folder, new)
                folder.chmod(0o755)
                stack.enter_context(hold_draft(folder))
        except OSError as error:
            raise ResultError(f"cannot write results to {final}: {error.strerror}") from None
        yield Draft(folder)
        _sync(folder)
        _move_into_place(folder, final, replaces)
        sync_path(final.parent)


def _undo(folder: Path, new: list[Path]) -> None:
    discard_draft(folder)
    for parent in new:
        if parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()


@contextmanager
def _making(parent: Path, *, shared: bool) -> Iterator[bool]:
    """Hold the lock of a folder in which drafts are made, if it is free; tell whether it was.

    For the moment between the making of a draft and its own lock: whoever clears drafts away
    takes this one for itself alone.
    """
    handle = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        lock_file(handle, wait=False, shared=shared)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a temporary folder that is gone after the block."""
    with tempfile.TemporaryDirectory(prefix="gateway-") as folder:
        yield Path(folder)


def settle(parent: Path, name: str | None = None) -> None:
    """Finish or undo what dead processes began in a folder.

    Parameters
    ----------
    name
        Of the one result that is looked after; None for all.
    """
    # Another process may do the same at the same time, and a file of somebody else may lie in
    # what is to go: then it stays.
    for aside in _transients(parent, name, ASIDE):
        with suppress(ResultError, OSError):
            _settle_aside(aside, aside.with_suffix(DRAFT), _final(aside))
    for draft in _transients(parent, name, DRAFT):
        with suppress(ResultError, OSError):
            _settle_draft(draft, _final(draft))


def _settle_aside(aside: Path, draft: Path, final: Path) -> None:
    if not any(aside.iterdir()):
        aside.rmdir()
    # Whoever put it aside is at work while the draft is held, be it by then at its place.
    elif kind_of(aside) is not None and not is_held(draft) and not is_held(final):
        if not os.path.lexists(final):
            (draft if _is_whole(draft) else aside).rename(final)
        if aside.exists():
            remove_folder(aside)


def _settle_draft(draft: Path, final: Path) -> None:
    with _making(draft.parent, shared=False) as is_quiet:
        is_whole = _is_whole(draft)
        if not is_quiet or not (is_whole or is_draft(draft)) or is_held(draft):
            return
    if not is_whole:
        discard_draft(draft)
    elif not os.path.lexists(final):
        draft.rename(final)
    else:
        remove_folder(draft)


def _transients(parent: Path, name: str | None, kind: str) -> list[Path]:
    try:
        there = sorted(path.name for path in parent.iterdir())
    except OSError:
        return []
    found = []
    for entry in there:
        read = transient(entry)
        if read is not None and read[1] == kind and name in {None, read[0]}:
            path = parent / entry
            found += [path] if path.is_dir() and not path.is_symlink() else []
    return found


def _final(path: Path) -> Path:
    read = transient(path.name)
    assert read is not None  # noqa: S101  (it is one of ``_transients``)
    return path.with_name(read[0])


def _is_whole(draft: Path) -> bool:
    """Tell whether a draft was finished: its marker goes before it gets its name."""
    if os.path.lexists(draft / DRAFT_MARKER):
        return False
    with suppress(LogError):
        return kind_of(draft) is not None or read_manifest(draft) is not None
    return False


def _refuse_place(final: Path) -> None:
    """Refuse a place onto which no folder can be renamed."""
    give = f"give {either('folder=', '--out')}"
    way_out = f"{give} a folder in it, such as"
    if final.is_symlink():
        raise ResultError(f"{final} is a link; {give} the folder itself, or another one")
    if os.path.ismount(final):
        raise ResultError(f"{final} is a mount point; {way_out} {final / 'result'}")
    with suppress(FileNotFoundError):
        if final.is_dir() and Path.cwd().resolve().is_relative_to(final.resolve()):
            raise ResultError(f"{final} is the folder in which gateway runs; {way_out} result")


def _refuse_taken(final: Path, replaces: str | None) -> None:
    """Never write over a folder, or a file, that is not a result of ours."""
    another = f"give {either('folder=', '--out')} a new or an empty folder"
    if not os.path.lexists(final):
        return
    if final.is_symlink() or not final.is_dir():
        raise ResultError(f"{final} is a file; {another}")
    there = sorted(path.name for path in final.iterdir())
    if not there:
        return
    kind, names = kind_of(final), owned_files(final)
    if names is None:
        raise ResultError(
            f"{final} is a folder with other files, such as '{there[0]}', which this version of "
            f"gateway did not write; {another}"
        )
    if kind != replaces:
        raise ResultError(f"{final} is not empty: it holds a {kind}; {another}")
    refuse_strangers(final, names)


def _sync(folder: Path) -> None:
    """Ask the disk to keep what was written before the folder gets its name."""
    for path in [*folder.rglob("*"), folder]:
        sync_path(path)


def _move_into_place(folder: Path, final: Path, replaces: str | None) -> None:
    """Rename; an older result steps aside first and goes when the new one stands."""
    (folder / DRAFT_MARKER).unlink()
    aside = folder.with_suffix(ASIDE)
    try:
        _refuse_taken(final, replaces)
        if os.path.lexists(final) and any(final.iterdir()):
            final.rename(aside)
        folder.rename(final)
    except (ResultError, OSError) as error:
        if aside.exists() and not os.path.lexists(final):
            aside.rename(final)
        kept = folder.with_name(f"{final.name}-{folder.name.split('.')[-2]}")
        folder.rename(kept)
        if aside.exists():  # another process has replaced it, too
            with suppress(ResultError):
                _remove_aside(aside, final)
        why = error if isinstance(error, ResultError) else f"{final}: {error.strerror}"
        raise ResultError(f"{why}; what was computed is kept in {kept}") from None
    if aside.exists():
        _remove_aside(aside, final)


def _remove_aside(aside: Path, final: Path) -> None:
    """Remove an older result; what somebody put into it meanwhile is not removed."""
    found = strangers(aside, owned_files(aside) or ())
    if not found:
        remove_folder(aside)
        return
    kept = aside.with_name(f"{final.name}-before-{aside.name.split('.')[-2]}")
    aside.rename(kept)
    raise ResultError(
        f"the new result stands at {final}; the one before it is kept in {kept}: somebody put "
        f"'{found[0]}' into it meanwhile"
    )
