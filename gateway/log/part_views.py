"""A log as views: of columns that are mapped from a folder, and of ranges of users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.errors import LogError
from gateway.log.invariants import DTYPES, WINDOW, checked_columns, cut_users
from gateway.log.mapped import Mapped, map_folder
from gateway.log.messages import complaint


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
