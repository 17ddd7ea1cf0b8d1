"""The folder of a converted log, written column by column, mapped as arrays; a log as views.

Every column is a plain ``.npy`` array. Names are two of them, as Arrow holds them in memory:
where each begins, and the text of all. A manifest in JSON says what belongs to the log.
"""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from tokenize import TokenError
from typing import Annotated, Any, Self

import numpy as np
import numpy.lib.format as npy
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.arrays import AnyArray
from gateway.errors import LogError, shown
from gateway.log.files import digest_of, open_plain, parts_of, read_plain, unreadable
from gateway.log.invariants import DTYPES, WINDOW, checked_columns, cut_users
from gateway.log.messages import complaint
from gateway.log.times import Tick

MANIFEST_FILE = "manifest.json"
_FORMAT = "gateway join log, 4"
# What versions wrote whose logs were Parquet parts.
_PARTS = "gateway partitioned join log, "
_LARGEST = 2**24
_LARGEST_TEXT = 2**31 - 1
_CHANGED = "was it changed by another program?"
_Number = Annotated[int, Field(ge=0, lt=2**31)]
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """A converted log; ``tick``, ``origin`` and ``sources`` as in ``JoinLog``."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    tick: Tick
    origin: Annotated[int, Field(ge=-(2**62), le=2**62)]
    last: _Number  # tick of all rows, repeated memberships included, since the origin
    # How many there are; every membership counts once.
    users: _Number
    groups: _Number
    joins: Annotated[int, Field(ge=0, lt=2**62)]
    rows: Annotated[int, Field(ge=0, lt=2**62)]  # of the log that was converted
    sources: Annotated[tuple[str, ...], Field(strict=False, max_length=256)]
    digests: dict[Annotated[str, Field(pattern=r"^[a-z_.]+\.npy$")], _Digest]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a folder."""
    content = {"format": _FORMAT} | manifest.model_dump()
    text = json.dumps(content, indent=2, ensure_ascii=False)
    (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def read_manifest(path: str | Path) -> Manifest | None:
    """Return the manifest of a folder; None for anything that is no converted log.

    A LogError says that it is of another version, cannot be used, or names files that are missing.
    """
    place = Path(path) / MANIFEST_FILE
    content = _content(place) if place.exists() else None
    if not isinstance(content, dict):
        return None
    noted = content.get("format")
    if not isinstance(noted, str) or not noted.startswith((_FORMAT[:-1], _PARTS)):
        return None
    if noted != _FORMAT:
        rule = f"must be of format {_FORMAT!r}: convert the log anew, with 'gateway convert'"
        raise complaint(path, "the converted log", rule, got=shown(noted))
    try:
        manifest = Manifest(**{key: value for key, value in content.items() if key != "format"})
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        got = f"{'.'.join(map(str, found['loc']))}: {found['msg'].lower()}"
        raise complaint(place, "the manifest", f"cannot be used; {_CHANGED}", got=got) from error
    for name in manifest.digests:
        if not (Path(path) / name).is_file():
            raise complaint(path, f"the file {shown(name)}", "is in the manifest; it is missing")
    return manifest


def _content(place: Path) -> Any:
    """Return the JSON at a place; None for a file that is none."""
    try:
        return json.loads(read_plain(place, _LARGEST))
    except OSError as error:
        if error.errno == errno.EFBIG:
            return None
        got = error.strerror or str(error)
        raise complaint(place, "the file", "cannot be read", got=got) from error
    except (ValueError, RecursionError):
        return None


def file_digest(path: str | Path) -> str:
    """Return the sha256 of a log, in hexadecimal.

    The digest of a folder is the digest of its files' names and digests, that of a converted
    log the digest of its manifest: its files are compared with that when they are mapped.

    Raises
    ------
    LogError
        If the file cannot be read, or a folder holds no file of a log.
    """
    path = Path(path)
    if not path.is_dir():
        return digest_of(path)
    if read_manifest(path) is not None:
        return digest_of(path / MANIFEST_FILE)
    lines = [f"{digest_of(part)}  {part.relative_to(path).as_posix()}\n" for part in parts_of(path)]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


class ColumnWriter:
    """A column of a folder that is written piece by piece; ``kind``: type of its values."""

    def __init__(self, folder: Path, name: str, kind: npt.DTypeLike) -> None:
        self.path, self.length = folder / f"{name}.npy", 0
        self._kind = np.dtype(kind)
        self._file = self.path.open("xb")
        self._write_header()

    def append(self, values: AnyArray) -> None:
        """Write values after those so far."""
        self._file.write(np.ascontiguousarray(values, self._kind).data)
        self.length += len(values)

    def close(self) -> None:
        """Note the length, and bring the file to the disk."""
        self._file.seek(0)
        # numpy leaves room for the digits of any length, so that it is as long as before.
        self._write_header()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def drop(self) -> None:
        """Close the file as it is, if it is open."""
        self._file.close()

    def _write_header(self) -> None:
        shape = {"descr": self._kind.str, "fortran_order": False, "shape": (self.length,)}
        npy.write_array_header_1_0(self._file, shape)


class NamesWriter:
    """Names that are written piece by piece; as ``ColumnWriter``."""

    def __init__(self, folder: Path, name: str) -> None:
        self._begins = ColumnWriter(folder, f"{name}.offsets", np.int32)
        self._text = ColumnWriter(folder, f"{name}.text", np.uint8)
        self._begins.append(np.zeros(1, np.int32))
        self._name = name

    @property
    def length(self) -> int:
        """How many there are."""
        return self._begins.length - 1

    def append(self, names: pa.StringArray) -> None:
        """Write names after those so far; together they must fit into an array of Arrow."""
        if not len(names):
            return
        _, where, text = names.buffers()
        begins = np.frombuffer(where, np.int32)[names.offset : names.offset + len(names) + 1]
        shift = self._text.length - int(begins[0])
        if int(begins[-1]) + shift > _LARGEST_TEXT:
            raise LogError(f"the names of all {self._name} must take at most 2 GiB together")
        self._begins.append(begins[1:] + np.int32(shift))
        if begins[-1] > begins[0]:
            self._text.append(np.frombuffer(text, np.uint8)[begins[0] : begins[-1]])

    def close(self) -> None:
        """Bring the files to the disk."""
        self._begins.close()
        self._text.close()

    def drop(self) -> None:
        """Close the files as they are, if they are open."""
        self._begins.drop()
        self._text.drop()


@dataclass(frozen=True, eq=False)
class Mapped:
    """Where the columns of a log, or of some of its users, are mapped from."""

    folder: Path  # the converted log
    digest: str  # sha256 of its manifest, which has those of all files
    maps: tuple[mmap.mmap, ...]  # what holds the pages
    users: tuple[int, int]  # first user and the one after the last

    def of_users(self, first: int, last: int) -> Mapped:
        """Return the place of some of these users."""
        begin = self.users[0]
        return replace(self, users=(begin + first, begin + last))

    def release(self) -> None:
        """Give back the memory of the pages that were looked at; the disk keeps them."""
        for each in self.maps:
            each.madvise(mmap.MADV_DONTNEED)


def map_folder(folder: Path) -> tuple[dict[str, Any], Mapped]:
    """Return the fields of a ``JoinLog``, mapped from a converted log, and where they are.

    A LogError says that the folder is none, or that length, type or digest of a file is not that
    of the manifest.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise complaint(folder, "the log", "must be a folder that 'gateway convert' made")
    maps: list[mmap.mmap] = []

    def column(name: str, kind: npt.DTypeLike, length: int) -> AnyArray:
        path = folder / f"{name}.npy"
        return _map(path, np.dtype(kind), length, maps, manifest.digests.get(path.name))

    length = {"offsets": manifest.users + 1} | dict.fromkeys(WINDOW, manifest.users)
    there = {name.removesuffix(".npy") for name in manifest.digests} | {"offsets", "group", "time"}
    fields: dict[str, Any] = {
        name: column(name, kind, length.get(name, manifest.joins)) if name in there else None
        for name, kind in DTYPES.items()
    }
    fields["users"] = _names(column, "users", manifest.users)
    fields["groups"] = _names(column, "groups", manifest.groups)
    for name in ("tick", "origin", "sources"):
        fields[name] = getattr(manifest, name)
    fields |= {"part_of": None, "rows_read": manifest.rows}
    if fields["observed_until"] is None:
        fields["observed_until"] = np.full(manifest.users, manifest.last, np.int32)
    digest = digest_of(folder / MANIFEST_FILE)
    return fields, Mapped(folder.resolve(), digest, tuple(maps), (0, manifest.users))


def _map(
    path: Path, kind: np.dtype[Any], length: int, maps: list[mmap.mmap], digest: str | None
) -> AnyArray:
    rule = f"must be {length:,} values of {kind.name}"
    try:
        with open_plain(path) as stream:
            npy.read_magic(stream)
            shape, _, found = npy.read_array_header_1_0(stream)
            start, size = stream.tell(), os.fstat(stream.fileno()).st_size
            if found != kind or shape != (length,) or size != start + length * kind.itemsize:
                raise complaint(path, "the column", rule, got=f"others; {_CHANGED}")
            stream.seek(0)
            # Read, not through the map: its pages would stay in the memory of this process.
            if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                rule = f"must be that of the manifest; {_CHANGED}"
                raise complaint(path, "the column", rule)
            if size == start:
                return np.empty(0, kind)
            maps.append(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise unreadable(path, error) from error
    # numpy reads a header as Python's own text.
    except (ValueError, SyntaxError, TokenError) as error:
        raise complaint(path, "the column", rule, got=f"{error}; {_CHANGED}") from error
    return np.frombuffer(maps[-1], kind, offset=start)


def _names(column: Callable[..., AnyArray], name: str, count: int) -> pa.StringArray:
    begins = column(f"{name}.offsets", np.int32, count + 1)
    text = column(f"{name}.text", np.uint8, int(begins[-1]))
    return pa.StringArray.from_buffers(count, pa.py_buffer(begins), pa.py_buffer(text))


# A log as views -----------------------------------------------------------------------------


class Views:
    """What a log is beside its columns: mapped from a folder or not, and cut into parts.

    Base of ``JoinLog``, for whose columns it stands.
    """

    offsets: npt.NDArray[np.int64]
    groups: pa.StringArray
    _mapped: Mapped | None = None

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Map a log that ``gateway convert`` wrote: its columns stay on the disk.

        Parameters
        ----------
        folder
            The converted log. It must not be changed as long as the log is in use.

        Raises
        ------
        LogError
            If it is no converted log, another version wrote it, or it was changed.
        """
        columns, mapped = map_folder(Path(folder))
        try:
            checked_columns(columns, mapped.release)
        except (ValueError, pa.ArrowInvalid) as error:
            rule = "cannot be used; was it changed by another program?"
            raise complaint(folder, "the log", rule, got=str(error)) from error
        return cls._viewed(columns, mapped)

    def parts(self) -> Iterator[Self]:
        """Yield the log as logs of some users each, in order, and of all groups.

        Where it is cut depends on the joins alone: what is added up part by part, in order,
        is the same bits wherever the log lies. Columns are views. An inviter may be in
        another part: ``inviter`` holds ids in the whole log, and ``part_of`` tells which
        those of the part's own users are.
        """
        for first, last in cut_users(self.offsets):
            yield self.of_users(first, last)
            if self._mapped is not None:
                self._mapped.release()

    def __reduce__(self) -> Any:
        """Let another process map the same folder, rather than get what is in it."""
        if self._mapped is None:
            return super().__reduce__()
        place = self._mapped
        return _reopened, (type(self), str(place.folder), place.digest, *place.users)

    @classmethod
    def _viewed(cls, columns: Mapping[str, Any], mapped: Mapped | None) -> Self:
        """Make a log of columns that need no check."""
        log = object.__new__(cls)
        vars(log).update(columns)
        if mapped is not None:
            vars(log)["_mapped"] = mapped
        return log

    def of_users(self, first: int, last: int) -> Self:
        """Return the log of the users ``first`` to ``last - 1``, as views; as ``parts``."""
        mapped = None if self._mapped is None else self._mapped.of_users(first, last)
        return self._viewed(_fields_of_users(vars(self), first, last), mapped)


@lru_cache(maxsize=1)
def _opened(kind: Any, folder: str, digest: str) -> Views:
    """Open a log once for all its parts."""
    log: Views = kind.open(folder)
    if log._mapped is None or log._mapped.digest != digest:
        rule = "must be the same folder for every worker, on a disk that all of them see"
        raise LogError(f"{folder} {rule}; here it holds another log")
    return log


def _reopened(kind: Any, folder: str, digest: str, first: int, last: int) -> Views:
    log = _opened(kind, folder, digest)
    if log._mapped is not None:
        log._mapped.release()
    return log if (first, last) == (0, len(log.offsets) - 1) else log.of_users(first, last)


def _fields_of_users(fields: Mapping[str, Any], first: int, last: int) -> dict[str, Any]:
    offsets = fields["offsets"][first : last + 1]
    rows = slice(int(offsets[0]), int(offsets[-1]))
    since = offsets - offsets[0] if first else offsets
    since.flags.writeable = False
    found = {name: fields[name] for name in (*DTYPES, "groups", "tick", "origin", "sources")}
    begin, n_users = fields["part_of"] or (0, len(fields["users"]))
    found["users"] = fields["users"][first:last]
    for name in DTYPES:
        if found[name] is not None:
            found[name] = found[name][slice(first, last) if name in WINDOW else rows]
    return found | {"offsets": since, "part_of": (begin + first, n_users), "rows_read": None}
