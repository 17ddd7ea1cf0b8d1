"""Parts of a log: views of the columns of some users, and their checks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.joins_io.invariants import DTYPES, check_names, checked_columns
from gateway.joins_io.partitioned import Mapped

__all__ = ["JOINS_PER_PART", "check_views", "cut_users", "fields_of_users"]

JOINS_PER_PART = 1 << 20
"""A part ends with the user with whom it reaches so many joins: enough for the arrays of all
groups to be small beside it."""

# Names that are checked at a time.
_NAMES = 1 << 20
_PER_USER = ("observed_from", "observed_until")


def cut_users(offsets: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield first user, and the one after the last, of each part."""
    first, n_users = 0, len(offsets) - 1
    while first < n_users:
        reached = int(np.searchsorted(offsets, offsets[first] + JOINS_PER_PART))
        last = min(max(reached, first + 1), n_users)
        yield first, last
        first = last


def fields_of_users(fields: Mapping[str, Any], first: int, last: int) -> dict[str, Any]:
    """Return the fields of a log of the users ``first`` to ``last - 1`` of another one."""
    offsets = fields["offsets"][first : last + 1]
    rows = slice(int(offsets[0]), int(offsets[-1]))
    since = offsets - offsets[0] if first else offsets
    since.flags.writeable = False
    found = {name: fields[name] for name in (*DTYPES, "groups", "tick", "origin")}
    found["users"] = fields["users"][first:last]
    for name in DTYPES:
        if found[name] is not None:
            found[name] = found[name][slice(first, last) if name in _PER_USER else rows]
    return found | {"offsets": since, "inviter": None}


def check_views(
    columns: Mapping[str, Any], mapped: Mapped, parts: Iterable[Any], *, n_sources: int
) -> None:
    """Check the columns of a mapped log, giving back the memory of what was looked at.

    Raises
    ------
    ValueError, pyarrow.ArrowInvalid
        If they do not hold what the columns of a log must.
    """
    if columns["offsets"][0] != 0 or columns["offsets"][-1] != len(columns["group"]):
        raise ValueError(f"offsets must run from 0 to the number of joins, {len(columns['group'])}")
    for what in ("users", "groups"):
        for first in range(0, len(columns[what]), _NAMES):
            names = columns[what][first : first + _NAMES + 1]
            names.validate(full=True)
            check_names(what, names)
            mapped.release()
    for part in parts:
        checked_columns(vars(part), n_sources=n_sources)
