"""One result: opened, drawn again, compared."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from gateway.config import Config, config_digest, parse_config
from gateway.errors import ConfigError, GatewayError, Problem, ResultError
from gateway.log.files import read_plain
from gateway.provenance import MODEL_VERSION
from gateway.results.drafts import settle
from gateway.results.locks import writing_alone
from gateway.results.ownership import claim
from gateway.results.records import (
    LARGEST_RECORD,
    Provenance,
    Status,
    digest_own,
    read_own,
    read_record,
    read_shaped,
    read_values,
)
from gateway.results.writing import CONFIG, PROVENANCE, STATUS, replace_file

# A config is a page of text; a file of megabytes is a mistake.
LARGEST_CONFIG = 2**20


def load_config(path: str | Path | Mapping[str, Any], *, overrides: Sequence[str] = ()) -> Config:
    """Read and check a config.

    Parameters
    ----------
    path
        A TOML file, or a mapping of sections as such a file holds them.
    overrides
        Settings over the file's, each ``section.key=value``.

    Returns
    -------
    Config
        Complete and within every rule; ``gateway.run`` takes it.

    Raises
    ------
    GatewayError
        With every problem at once.

    Examples
    --------
    >>> config = load_config({
    ...     "experiment": {"name": "tags"}, "log": {"path": "joins.csv"},
    ...     "targets": {"groups": ["eu"]}, "spike": {"min_joiners": 10},
    ... })
    >>> config
    <Config 'tags': log joins.csv>
    """
    if isinstance(path, Mapping):
        if overrides:
            raise GatewayError("overrides go with a file: put the settings into the mapping")
        return Config.model_validate(dict(path))
    return parse_config(read_config_text(Path(path)), name=str(path), overrides=overrides)


def read_config_text(path: Path) -> str:
    """Return the text of a config file.

    Raises
    ------
    ConfigError
        When it cannot be read, or is no page of text.
    """
    try:
        return read_plain(path, LARGEST_CONFIG).decode("utf-8")
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


@dataclass(frozen=True)
class Result:
    """A stored result, read as needed."""

    folder: Path

    @cached_property
    def config(self) -> Config:
        """The resolved config that made it."""
        text = self.text(CONFIG, most=LARGEST_CONFIG)
        return parse_config(text, name=str(self.folder / CONFIG))

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What made it: versions, commit, machine, time."""
        return read_values(Provenance, self.folder, PROVENANCE)

    @cached_property
    def _listed(self) -> Mapping[str, str]:
        """Return sha256 of files by name, as the status of a result has them; a sweep has none."""
        if not os.path.lexists(self.folder / STATUS):
            return {}
        return read_record(Status, self.folder, STATUS).files

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
            When there is none of that name, it cannot be read, is not the one that was
            written, or lacks a column.
        """
        if name not in self.table_names:
            there = ", ".join(self.table_names) or "none"
            raise ResultError(f"{self.folder} has no table '{name}'; it has: {there}")
        return read_shaped(self.folder, name, digest=self._listed.get(f"{name}.parquet"))

    def tables(self) -> dict[str, pa.Table]:
        """Return every table by name."""
        return {name: self.table(name) for name in self.table_names}

    def text(self, name: str, *, most: int = LARGEST_RECORD) -> str:
        """Return a text file of the result, of at most so many bytes."""
        try:
            return read_own(self.folder, name, most).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ResultError(f"{self.folder / name} cannot be read: {error}") from None

    def rewrite(self, files: Mapping[str, bytes]) -> None:
        """Replace files of the result, each one atomically.

        Raises
        ------
        ResultError
            When one of them is a link, or is not of the result, or another process writes
            into it; none is written then.
        """
        with writing_alone(self.folder):
            claim(self.folder, files)
            for name, content in files.items():
                replace_file(self.folder, name, content)

    def digests(self) -> dict[str, str]:
        """Return sha256 of every table and figure, by path below the folder."""
        paths = sorted([*self._table_paths(), *self.folder.glob("figures/*")])
        names = [path.relative_to(self.folder).as_posix() for path in paths]
        return {name: digest_own(self.folder, name) for name in names}

    def _table_paths(self) -> list[Path]:
        return [*self.folder.glob("*.parquet"), *self.folder.glob("analyses/*.parquet")]


def open_result(folder: str | Path) -> Result:
    """Open a stored result.

    Raises
    ------
    ResultError
        When the folder is missing, holds no finished result, or one of another model version.
    """
    folder = Path(folder)
    if not folder.is_dir():
        settle(folder.parent, folder.name)
    if not folder.is_dir():
        raise ResultError(f"{folder} is not a folder of results: it does not exist")
    if not stands(folder):
        raise ResultError(f"{folder} holds no finished result: no {STATUS} and {CONFIG}")
    result = Result(folder)
    if not (folder / PROVENANCE).is_file():
        raise ResultError(f"{folder} holds a simulation or part of a result, not a whole run")
    made_by = result.provenance.get("model_version")
    if made_by != MODEL_VERSION:
        raise ResultError(
            f"{folder} was made by model version {made_by}; this is version {MODEL_VERSION}: "
            "compute it anew ('gateway run' with its config)"
        )
    read_record(Status, folder, STATUS)
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
