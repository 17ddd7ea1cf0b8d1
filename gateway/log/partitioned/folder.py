"""The columns of a join log as files, one a column: written as they come, mapped as arrays.

Every file is a plain ``.npy`` array. Names are two of them, as Arrow holds them in memory:
where each begins, and the text of all.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.lib.format as npy
import numpy.typing as npt
import pyarrow as pa

from gateway.errors import LogError
from gateway.log.invariants import DTYPES
from gateway.log.manifest import MANIFEST_FILE, read_manifest
from gateway.log.messages import complaint
from gateway.log.paths import file_digest, unreadable
from gateway.log.sources import SOURCES

__all__ = ["ColumnWriter", "Mapped", "NamesWriter", "map_folder"]

_LARGEST_TEXT = 2**31 - 1
_CHANGED = "was it changed by another program?"


class ColumnWriter:
    """A column that is written piece by piece.

    Parameters
    ----------
    folder
        Where the file goes.
    name
        Of the column.
    kind
        Type of its values.
    """

    def __init__(self, folder: Path, name: str, kind: npt.DTypeLike) -> None:
        self.path, self.length = folder / f"{name}.npy", 0
        self._kind = np.dtype(kind)
        self._file = self.path.open("xb")
        self._write_header()

    def append(self, values: npt.NDArray[Any]) -> None:
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
        """Write names after those so far.

        Raises
        ------
        LogError
            If they are too long together for an array of Arrow.
        """
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


@dataclass(frozen=True, eq=False)
class Mapped:
    """Where the columns of a log, or of some of its users, are mapped from.

    Parameters
    ----------
    folder
        The converted log.
    digest
        sha256 of its manifest, which has those of all files.
    maps
        What holds the pages.
    users
        First user and the one after the last.
    """

    folder: Path
    digest: str
    maps: tuple[mmap.mmap, ...]
    users: tuple[int, int]

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

    Only lengths and types are looked at.

    Raises
    ------
    LogError
        If the folder is no converted log, or a file is not that of the manifest.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise complaint(folder, "the log", "must be a folder that 'gateway convert' made")
    maps: list[mmap.mmap] = []

    def column(name: str, kind: npt.DTypeLike, length: int) -> npt.NDArray[Any]:
        return _map(folder / f"{name}.npy", np.dtype(kind), length, maps)

    per_user = {"offsets": manifest.users + 1, "observed_from": manifest.users,
                "observed_until": manifest.users}  # fmt: skip
    there = {name.removesuffix(".npy") for name in manifest.digests}
    fields: dict[str, Any] = {
        name: column(name, kind, per_user.get(name, manifest.joins))
        if name in there or name in ("offsets", "group", "time") else None
        for name, kind in DTYPES.items()
    }  # fmt: skip
    fields["users"] = _names(column, "users", manifest.users)
    fields["groups"] = _names(column, "groups", manifest.groups)
    fields |= {"sources": SOURCES, "part_of": None}
    fields |= {"tick": manifest.tick, "origin": manifest.origin, "rows_read": manifest.rows}
    if fields["observed_until"] is None:
        fields["observed_until"] = np.full(manifest.users, manifest.last, np.int32)
    digest = file_digest(folder / MANIFEST_FILE)
    return fields, Mapped(folder.resolve(), digest, tuple(maps), (0, manifest.users))


def _map(path: Path, kind: np.dtype[Any], length: int, maps: list[mmap.mmap]) -> npt.NDArray[Any]:
    rule = f"must be {length:,} values of {kind.name}"
    try:
        with path.open("rb") as stream:
            npy.read_magic(stream)
            shape, _, found = npy.read_array_header_1_0(stream)
            start, size = stream.tell(), os.fstat(stream.fileno()).st_size
            if found != kind or shape != (length,) or size != start + length * kind.itemsize:
                raise complaint(path, "the column", rule, got=f"others; {_CHANGED}")
            if size == start:
                return np.empty(0, kind)
            maps.append(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise complaint(path, "the column", rule, got=f"{error}; {_CHANGED}") from error
    return np.frombuffer(maps[-1], kind, offset=start)


def _names(column: Callable[..., npt.NDArray[Any]], name: str, count: int) -> pa.StringArray:
    begins = column(f"{name}.offsets", np.int32, count + 1)
    text = column(f"{name}.text", np.uint8, int(begins[-1]))
    return pa.StringArray.from_buffers(count, pa.py_buffer(begins), pa.py_buffer(text))
