"""One result: drafted, synced, renamed; opened and compared."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gateway.config import Config, config_digest, parse_config
from gateway.errors import ConfigError, Problem, ResultError
from gateway.provenance import MODEL_VERSION

__all__ = [
    "Difference",
    "Draft",
    "Result",
    "compare_results",
    "draft_result",
    "load_config",
    "open_result",
    "open_tables",
    "read_config_text",
    "refuse_filled",
    "result_folder",
    "result_id",
    "scratch_folder",
    "stands",
    "sync_path",
]

STATUS = "status.json"
CONFIG = "config.toml"
PROVENANCE = "provenance.json"
# A config is a page of text; a file of megabytes is a mistake.
LARGEST_CONFIG = 2**20


def load_config(path: str | Path, *, overrides: Sequence[str] = ()) -> Config:
    """Read and check a config file.

    Parameters
    ----------
    path
        A TOML file.
    overrides
        Settings over the file's, each ``section.key=value``.

    Raises
    ------
    ConfigError
        With every problem at once.
    """
    return parse_config(read_config_text(Path(path)), name=str(path), overrides=overrides)


def read_config_text(path: Path) -> str:
    """Return the text of a config file.

    Raises
    ------
    ConfigError
        When it cannot be read, or is no page of text.
    """
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise _config_trouble(path, f"must be a config of at most {LARGEST_CONFIG:,} bytes")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _config_trouble(path, "does not exist") from None
    except UnicodeDecodeError as error:
        raise _config_trouble(path, f"must be UTF-8; byte {error.start} is not") from None
    except OSError as error:
        raise _config_trouble(path, f"cannot be read: {error.strerror}") from None


def _config_trouble(path: Path, rule: str) -> ConfigError:
    return ConfigError([Problem(str(path), rule)])


def result_id(config: Config) -> str:
    """Return the id of a config's result: 16 hex digits of config, seed and model version."""
    key = f"{config_digest(config)}:{MODEL_VERSION}"
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def result_folder(config: Config, *, root: str | Path = "results") -> Path:
    """Return ``root/<experiment>/<id>``."""
    return Path(root) / config.experiment.name / result_id(config)


class Draft:
    """A result in the making; everything is written below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write ``<name>.parquet``: zstd, no metadata of this machine."""
        path = self._place(f"{name}.parquet")
        pq.write_table(table.replace_schema_metadata(None), path, compression="zstd")

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file, ``name`` a path below the result."""
        self._place(name).write_bytes(content)

    def write_text(self, name: str, content: str) -> None:
        """Write a UTF-8 text file."""
        self.write_bytes(name, content.encode("utf-8"))

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file, keys in the order given."""
        self.write_text(name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def digests(self) -> dict[str, str]:
        """Return sha256 of config, provenance and tables as written so far, by name."""
        paths = [self.folder / CONFIG, self.folder / PROVENANCE, *self.folder.glob("*.parquet")]
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(paths)
            if path.is_file()
        }

    def place(self, name: str) -> Path:
        """Return a path below the result for a writer that takes paths (a join log's)."""
        return self._place(name)

    def _place(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


@contextmanager
def draft_result(final: Path) -> Iterator[Draft]:
    """Draft a result; at the end of the block it stands at ``final``, or nothing does.

    A result that stood there before is replaced only when the new one is whole.

    Raises
    ------
    ResultError
        When the folder cannot be made, or ``final`` holds something else than a result.
    """
    _refuse_foreign(final)
    new = [parent for parent in final.absolute().parents if not parent.exists()]
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=".draft", dir=final.parent))
        folder.chmod(0o755)
    except OSError as error:
        raise ResultError(f"cannot write results to {final}: {error.strerror}") from None
    try:
        yield Draft(folder)
        _sync(folder)
        _move_into_place(folder, final)
        sync_path(final.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in new:
            if not any(parent.iterdir()):
                parent.rmdir()


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a temporary folder that is gone after the block."""
    with tempfile.TemporaryDirectory(prefix="gateway-") as folder:
        yield Path(folder)


def _refuse_foreign(final: Path) -> None:
    """Never write over a folder, or a file, that is not a result of ours."""
    if final.is_dir() and (not any(final.iterdir()) or (final / STATUS).is_file()):
        return
    if final.exists():
        kind = "a folder with other files" if final.is_dir() else "a file"
        raise ResultError(f"{final} is {kind}; give --out a new or an empty folder")


def _sync(folder: Path) -> None:
    """Ask the disk to keep what was written before the folder gets its name."""
    for path in [*folder.rglob("*"), folder]:
        sync_path(path)


def sync_path(path: Path) -> None:
    """Ask the disk to keep a file, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _move_into_place(folder: Path, final: Path) -> None:
    """Rename; an older result steps aside first and goes when the new one stands."""
    if not final.exists():
        folder.rename(final)
        return
    aside = folder.with_suffix(".old")
    final.rename(aside)
    folder.rename(final)
    shutil.rmtree(aside, ignore_errors=True)


@dataclass(frozen=True)
class Result:
    """A stored result, read as needed.

    Parameters
    ----------
    folder
        Where it lies.
    """

    folder: Path

    @cached_property
    def config(self) -> Config:
        """The resolved config that made it."""
        return load_config(self.folder / CONFIG)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What made it: versions, commit, machine, time."""
        return dict(json.loads(self.text(PROVENANCE)))

    @property
    def table_names(self) -> tuple[str, ...]:
        """Names of the tables: at the top of the folder, and ``analyses/...``."""
        paths = [p.relative_to(self.folder).with_suffix("") for p in self._table_paths()]
        return tuple(sorted(path.as_posix() for path in paths))

    def table(self, name: str) -> pa.Table:
        """Return a table.

        Raises
        ------
        ResultError
            When there is none of that name, or it cannot be read.
        """
        path = self.folder / f"{name}.parquet"
        if not path.is_file():
            there = ", ".join(self.table_names) or "none"
            raise ResultError(f"{self.folder} has no table '{name}'; it has: {there}")
        try:
            return pq.read_table(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise ResultError(f"{path} cannot be read: {error}") from None

    def tables(self) -> dict[str, pa.Table]:
        """Return every table by name."""
        return {name: self.table(name) for name in self.table_names}

    def text(self, name: str) -> str:
        """Return a text file of the result."""
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ResultError(f"{self.folder / name} cannot be read: {error}") from None

    def rewrite(self, files: Mapping[str, bytes]) -> None:
        """Replace files of the result, each one atomically."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.partial")
            partial.write_bytes(content)
            partial.replace(path)

    def digests(self) -> dict[str, str]:
        """Return sha256 of every table and figure, by path below the folder."""
        paths = [*self._table_paths(), *self.folder.glob("figures/*")]
        return {
            path.relative_to(self.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(paths)
        }

    def _table_paths(self) -> list[Path]:
        return [*self.folder.glob("*.parquet"), *self.folder.glob("analyses/*.parquet")]


def open_result(folder: str | Path) -> Result:
    """Open a stored result.

    Raises
    ------
    ResultError
        When the folder is missing or holds no finished result.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ResultError(f"{folder} is not a folder of results: it does not exist")
    if not (folder / STATUS).is_file() or not (folder / CONFIG).is_file():
        raise ResultError(f"{folder} holds no finished result: no {STATUS} and {CONFIG}")
    result = Result(folder)
    if not (folder / PROVENANCE).is_file():
        raise ResultError(f"{folder} holds a simulation or part of a result, not a whole run")
    return result


def open_tables(folder: Path) -> Result:
    """Open a folder for the tables in it, whether or not they are those of one run.

    Raises
    ------
    ResultError
        When the folder is missing or holds no table.
    """
    if not folder.is_dir():
        raise ResultError(f"{folder} is not a folder of results: it does not exist")
    result = Result(folder)
    if not result.table_names:
        raise ResultError(f"{folder} is not a folder of results: it holds no tables")
    return result


def refuse_filled(folder: Path) -> None:
    """Refuse a folder that holds anything.

    Raises
    ------
    ResultError
        When it does.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise ResultError(f"{folder} is not empty; give --out a new or an empty folder")


def stands(folder: Path) -> bool:
    """Whether a finished result stands at ``folder``."""
    return (folder / STATUS).is_file() and (folder / CONFIG).is_file()


@dataclass(frozen=True)
class Difference:
    """A file that two results do not share byte for byte."""

    name: str
    what: str


def compare_results(first: Result, second: Result) -> tuple[Difference, ...]:
    """Return the tables and figures that differ, byte for byte."""
    a, b = first.digests(), second.digests()
    found = []
    for name in sorted(a.keys() | b.keys()):
        if name not in b:
            found.append(Difference(name, "only in the first"))
        elif name not in a:
            found.append(Difference(name, "only in the second"))
        elif a[name] != b[name]:
            found.append(Difference(name, "differs"))
    return tuple(found)
