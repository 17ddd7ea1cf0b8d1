"""The folder of a sweep: its points, its failures, its journal and its tables.

::

    sweep.toml          the config as it was given, with its [sweep]
    execution.jsonl     the journal: one line per started, finished, failed or lost point
    points/<key>/       one finished result per point
    failed/<key>/       config, status, traceback and log of a point that failed
    points.parquet      one row per point, swept keys as columns
    evaluation.parquet  the evaluations of all finished points, long
    interventions.parquet, summary.parquet   the same of arms and summaries
    lock                held while a sweep works here
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gateway.errors import GatewayError, ResultError
from gateway.results.drafts import draft_result, settle
from gateway.results.locks import Lock, is_held, is_lock
from gateway.results.ownership import clear_partial, owned_files, remove_folder
from gateway.results.records import (
    Entry,
    Status,
    digest_own,
    parse_values,
    read_own,
    read_record,
    read_shaped,
)
from gateway.results.results import load_config, read_config_text, result_id, stands
from gateway.results.writing import (
    CONFIG,
    STATUS,
    SWEEP,
    Journal,
    is_key,
    is_made,
    is_partial,
    replace_file,
    replacing,
    transient,
)
from gateway.tabular import Tabular

JOURNAL = "execution.jsonl"
# Of a journal: a million points have some hundred bytes for each of their events.
LARGEST_JOURNAL = 2**30


@dataclass(frozen=True)
class Failure:
    """Why a point failed."""

    reason: str  # one line
    traceback: str = ""  # of the exception, or of the place where a point hung; may be empty
    log: str = ""  # what the point said while it ran


def is_sweep(folder: Path) -> bool:
    """Tell whether a folder is a sweep's."""
    return (folder / SWEEP).is_file()


def _told_sweep(folder: Path) -> Path:
    if not is_sweep(folder):
        there = "has no " + SWEEP if folder.is_dir() else "does not exist"
        raise ResultError(f"{folder} is not the folder of a sweep: it {there}")
    return folder


@dataclass(frozen=True)
class SweepFolder:
    """A sweep on disk."""

    path: Path

    def prepare(self) -> Lock:
        """Make the folder, and lock it.

        Raises
        ------
        ResultError
            When it holds something else, or another process works in it.
        """
        self._refuse_foreign()
        try:
            (self.path / "points").mkdir(parents=True, exist_ok=True)
            return Lock(self.path / "lock")
        except OSError as error:
            raise ResultError(f"cannot write to {self.path}: {error.strerror}") from None

    @property
    def is_busy(self) -> bool:
        """Whether a sweep works here now."""
        return is_held(self.path / "lock")

    def journal(self) -> Journal:
        """Open the journal for writing."""
        return Journal(self.path / JOURNAL)

    def history(self) -> list[Mapping[str, Any]]:
        """Return the journal's lines that are whole, oldest first.

        Raises
        ------
        ResultError
            When the file cannot be read, or is a link.
        """
        if not os.path.lexists(self.path / JOURNAL):
            return []
        lines = read_own(self.path, JOURNAL, LARGEST_JOURNAL).split(b"\n")
        return [entry for line in lines if (entry := _entry(line)) is not None]

    def write_config(self, text: str) -> None:
        """Keep the sweep's config."""
        replace_file(self.path, SWEEP, text.encode("utf-8"))

    def config_text(self) -> str:
        """Return the sweep's config as text.

        Raises
        ------
        ResultError
            When the folder is no sweep's.
        """
        return read_config_text(_told_sweep(self.path) / SWEEP)

    def point(self, key: str) -> Path:
        """Return the folder of a point."""
        return self.path / "points" / key

    def is_done(self, key: str) -> bool:
        """Tell whether a point's folder stands."""
        return (self.point(key) / STATUS).is_file()

    def is_sound(self, key: str) -> bool:
        """Tell whether a finished point still holds what was written, by its digests."""
        try:
            files = self.status(key).files
            folder = self.point(key)
            return bool(files) and all(digest_own(folder, name) == was
                                       for name, was in files.items())  # fmt: skip
        except ResultError:
            return False

    def status(self, key: str) -> Status:
        """Return what a finished point says of itself."""
        return read_record(Status, self.point(key), STATUS)

    def table(self, key: str, name: str) -> pa.Table | None:
        """Return a table of a finished point, None where it has none."""
        digest = self.status(key).files.get(f"{name}.parquet")
        return None if digest is None else read_shaped(self.point(key), name, digest=digest)

    def sweep_table(self, name: str, *, columns: Sequence[str] = ()) -> pa.Table | None:
        """Return a table over all points, which has such columns; None where there is none yet."""
        if not os.path.lexists(self.path / f"{name}.parquet"):
            return None
        try:
            table = read_shaped(self.path, name)
            missing = sorted(set(columns) - set(table.column_names))
            if missing:
                rule = f"cannot be used: it has no column '{missing[0]}'"
                raise ResultError(f"{self.path / name}.parquet {rule}")
            return table
        except ResultError as error:
            again = f"'gateway resume {self.path}' writes it again"
            raise ResultError(f"{error}; {again}") from None

    def write_sweep_table(self, name: str, table: pa.Table) -> None:
        """Replace a table over all points; a reader sees the old one or the new one."""
        with replacing(self.path, f"{name}.parquet") as stream:
            pq.write_table(table.replace_schema_metadata(None), stream, compression="zstd")

    def keep_point(self, key: str, files: Mapping[str, bytes]) -> None:
        """Store a point that was computed elsewhere."""
        with draft_result(self.point(key)) as draft:
            for name, content in files.items():
                draft.write_bytes(name, content)

    def drop_point(self, key: str) -> None:
        """Remove a damaged point.

        Raises
        ------
        ResultError
            When it cannot be told to be ours, or holds anything else.
        """
        _remove(self.point(key))

    def keep_failure(self, key: str, failure: Failure, *, config: str) -> None:
        """Keep why a point failed."""
        with draft_result(self.path / "failed" / key, replaces="failure") as draft:
            draft.write_text(CONFIG, config)
            draft.write_text("traceback.txt", failure.traceback)
            draft.write_text("log.txt", failure.log)
            draft.write_status("failure", state="failed", reason=failure.reason)

    def failures(self) -> dict[str, str]:
        """Return the reason of every failed point by its key."""
        paths = sorted(self.path.glob(f"failed/[!.]*/{STATUS}"))
        return {path.parent.name: _reason(path.parent) for path in paths}

    def forget_failure(self, key: str) -> None:
        """Drop the record of a failure: the point is tried again, or done."""
        folder = self.path / "failed" / key
        if folder.is_dir():
            _remove(folder)

    def sweep_up(self) -> int:
        """Remove what dead processes left half done; return how many things that was.

        Only whoever holds the lock may do this.

        Raises
        ------
        ResultError
            When something lies in the place of points that is none, with its name.
        """
        n_left = clear_partial(self.path)
        for place in (self.path / "points", self.path / "failed"):
            before = _names(place)
            settle(place)
            for name in _names(place):
                self._settle_entry(place / name)
            n_left += len(before - _names(place))
        return n_left

    def _settle_entry(self, entry: Path) -> None:
        """Leave a point, remove what is left of one, refuse anything else."""
        key = (transient(entry.name) or (entry.name, ""))[0]
        if is_key(key) and not entry.is_symlink() and entry.is_dir():
            if not any(entry.iterdir()):
                entry.rmdir()
                return
            if entry.name == key:
                if not stands(entry):
                    _remove(entry)
                return
        raise ResultError(f"{entry} is no point of a sweep: move it elsewhere")

    def _refuse_foreign(self) -> None:
        """Refuse a folder that is no sweep's, or leads elsewhere by a link.

        A sweep begins with its lock and has its config at once: a lock of ours tells it from
        a folder in which somebody keeps a config of that name.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ResultError(f"{self.path} is a file; give --out a new or an empty folder")
        there = {name for name in _names(self.path) if not is_partial(name)}
        if not there:
            return
        for name, is_right in _KINDS.items():
            path = self.path / name
            if name in there and not is_right(path.lstat().st_mode):
                raise ResultError(f"{path} is a link, or not what a sweep has under this name")
        if there == {"points"} and not _names(self.path / "points"):
            return  # begun by who died before there was a lock
        if not is_lock(self.path / "lock") or not (there <= {"lock", "points"} or self._has_config):
            raise ResultError(
                f"{self.path} is a folder with other files, such as '{min(there)}'; give --out a "
                "new or an empty folder"
            )

    @property
    def _has_config(self) -> bool:
        try:
            return isinstance(tomllib.loads(self.config_text()).get("sweep"), dict)
        except (GatewayError, tomllib.TOMLDecodeError):
            return False


@dataclass(frozen=True, repr=False)
class StoredSweep(Tabular):
    """The tables of a sweep; as a table itself, its evaluation."""

    folder: Path

    def __repr__(self) -> str:
        return f"<Sweep in {self.folder}: {', '.join(self.table_names)}>"

    @property
    def table_names(self) -> tuple[str, ...]:
        """Names of its tables."""
        return tuple(sorted(path.stem for path in self.folder.glob("*.parquet")))

    def table(self, name: str) -> pa.Table:
        """Return a table over all points, with the swept keys as columns.

        Raises
        ------
        ResultError
            When there is none of that name, or it cannot be read.
        """
        table = SweepFolder(self.folder).sweep_table(name)
        if table is None:
            there = ", ".join(self.table_names) or "none yet"
            raise ResultError(f"{self.folder} has no table '{name}'; it has: {there}")
        return table

    def to_arrow(self) -> pa.Table:
        """Return every metric of every finished point, with the swept keys as columns."""
        return self.table("evaluation")


def open_sweep(folder: str | Path) -> StoredSweep:
    """Open the folder of a sweep, whether or not it is finished.

    Returns
    -------
    StoredSweep
        ``to_pandas()``, ``to_polars()`` and ``to_arrow()`` give every metric of every finished
        point, with the swept keys as columns; ``table("points")`` one row a point.

    Raises
    ------
    ResultError
        When the folder is no sweep's.
    """
    return StoredSweep(_told_sweep(Path(folder)))


_KINDS = {
    "points": stat.S_ISDIR, "failed": stat.S_ISDIR, "lock": stat.S_ISREG, SWEEP: stat.S_ISREG,
    JOURNAL: stat.S_ISREG,
}  # fmt: skip


_OF_A_POINT = {"started", "finished", "failed", "lost", "damaged"}


def _entry(line: bytes) -> Mapping[str, Any] | None:
    """Return a line of the journal; None for one that a dead process left in pieces."""
    try:
        entry = parse_values(Entry, line)
    except ValueError:
        return None
    is_of_nothing = entry["event"] in _OF_A_POINT and entry.get("point") is None
    return None if is_of_nothing else entry


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _remove(folder: Path) -> None:
    """Remove a point or a failure, by its list or, where that is damaged, by its config."""
    if owned_files(folder) is None and _is_made_for(folder):
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
        remove_folder(folder, {name for name in names if is_made(name)}, last=CONFIG)
    else:
        remove_folder(folder)


def _is_made_for(folder: Path) -> bool:
    """Tell by its config whether a folder is of the point after which it is named."""
    path = folder / CONFIG
    try:
        return not path.is_symlink() and result_id(load_config(path)) == folder.name
    except GatewayError:
        return False


def _reason(folder: Path) -> str:
    with suppress(ResultError):
        return read_record(Status, folder, STATUS).reason or "unknown: nothing is noted"
    return "unknown: its record is damaged"


def resident_mib(pid: int) -> float | None:
    """Return the memory that a process of this machine holds now, in MiB; None if unknown."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def result_files(folder: Path) -> dict[str, bytes]:
    """Return every file of a result by its path below the folder, to carry it elsewhere."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
