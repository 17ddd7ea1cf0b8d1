"""Columns longer than memory: appended to plain files, mapped back as arrays."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.errors import LogError

__all__ = ["append_columns", "drop_columns", "map_column", "new_column", "scratch_space"]


@contextmanager
def scratch_space(parent: Path | None = None) -> Iterator[Path]:
    """Give a folder for columns that is gone after the block.

    Parameters
    ----------
    parent
        Where it lies; None for the system's place for temporary files.
    """
    folder = Path(tempfile.mkdtemp(prefix=".scratch-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def append_columns(folder: Path, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    """Append arrays to the columns of their names; each must keep to one kind."""
    for name, values in columns.items():
        with (folder / name).open("ab") as stream:
            stream.write(np.ascontiguousarray(values).data)


def map_column(folder: Path, name: str, kind: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return a column as an array whose pages come from the file, and go back to it.

    Raises
    ------
    LogError
        If there is no such column, as on a machine that does not see the disk.
    """
    path = folder / name
    if not path.is_file():
        rule = "must be on a disk that all workers see (--out says where the result is made)"
        raise LogError(f"the scratch folder {folder} {rule}")
    if not path.stat().st_size:
        return np.empty(0, kind)
    # Not read-only: kernels are compiled for arrays that can be written to.
    return np.asarray(np.memmap(path, kind, mode="r+"))


def new_column(folder: Path, name: str, kind: npt.DTypeLike, size: int) -> npt.NDArray[Any]:
    """Return a new column of zeros to be filled."""
    with (folder / name).open("wb") as stream:
        stream.truncate(size * np.dtype(kind).itemsize)
    return map_column(folder, name, kind)


def drop_columns(folder: Path, prefix: str) -> None:
    """Remove the columns whose names begin so; who has mapped one keeps it."""
    for path in folder.glob(f"{prefix}*"):
        path.unlink()
