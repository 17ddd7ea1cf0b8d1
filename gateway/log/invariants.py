"""The columns of a join log, and what holds for them, checked when a log is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gateway.arrays import AnyArray, Int32, Int64, Mask
from gateway.log.ticks import LARGEST_TICK, Tick

# Rows or users that are checked at a time: what is compared takes room beside the log.
_BATCH = 1 << 20

# Of the further columns of a join, in order of their say between equal rows.
TIE_BREAKERS = {"source": np.uint8, "confirmed": np.bool_, "inviter": np.int32,
                "seed_group": np.int32, "left": np.int32}  # fmt: skip
# What the log is cut into by users; the other columns go by joins.
WINDOW = ("observed_from", "observed_until")
DTYPES: dict[str, Any] = {
    "offsets": np.int64, "group": np.int32, "time": np.int32, **dict.fromkeys(WINDOW, np.int32),
    **TIE_BREAKERS,
}  # fmt: skip
SOURCES: tuple[str, ...] = (
    "unknown", "gysj", "mobile_group_join", "mobile_add_members", "search", "group_mall",
    "newsfeed_story_header", "newsfeed_reshared_story", "messenger_group_attachment",
    "groups_discover_tab", "permalink",
)  # fmt: skip
"""Those of the note, after 0 for one that is not known."""
STAYS = LARGEST_TICK
"""When a member left who did not: after every tick of a log."""


def checked_columns(columns: Mapping[str, Any]) -> dict[str, AnyArray]:
    """Return the arrays of a log, from its fields, as views that cannot be written to.

    Raises a ValueError if they do not fit together, are not sorted, or hold ids or times out of
    range.
    """
    arrays = {name: columns[name] for name in DTYPES if columns[name] is not None}
    views = {name: _view(array, name) for name, array in arrays.items()}
    users, groups = columns["users"], columns["groups"]
    if columns["tick"] not in get_args(Tick):
        known = ", ".join(get_args(Tick))
        raise ValueError(f"tick must be one of {known}; got {columns['tick']!r}")
    _check_lengths(views, len(users))
    for what, names in (("users", users), ("groups", groups)):
        check_names(what, names)
    n_users = (columns["part_of"] or (0, len(users)))[1]
    _check_ids(views, group=(0, len(groups)), source=(0, len(columns["sources"])),
               inviter=(-1, n_users), seed_group=(-1, len(groups)))  # fmt: skip
    _check_rows(views["offsets"], views["group"], views["time"])
    if "left" in views:
        _check_left(views["time"], views["left"])
    first, last = views.get("observed_from"), views["observed_until"]
    _check_windows(views["offsets"], views["time"], first, last)
    return views


def _check_rows(offsets: Int64, group: Int32, time: Int32) -> None:
    """Check offsets, and that the rows of a user stand by time and then group."""
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(group):
        raise ValueError(f"offsets must run from 0 to the number of joins, {len(group)}")
    if (offsets[1:] < offsets[:-1]).any():
        raise ValueError("offsets must not decrease")
    for first in range(0, len(group), _BATCH):
        rows = slice(first, min(first + _BATCH, len(group)))
        in_order = _are_in_order(offsets, group, time, rows)
        if not in_order.all():
            row = first + int(np.argmin(in_order))
            raise ValueError(f"joins of a user must stand by time, then group; join {row} does not")


def _are_in_order(offsets: Int64, group: Int32, time: Int32, rows: slice) -> Mask:
    """Whether each of some rows belongs after the one before it, or to another user."""
    before = slice(max(rows.start - 1, 0), rows.stop - 1)
    here = slice(before.start + 1, rows.stop)
    later = time[here] > time[before]
    beside = (time[here] == time[before]) & (group[here] > group[before])
    in_order = np.ones(rows.stop - rows.start, np.bool_)
    in_order[here.start - rows.start :] = later | beside
    begin, end = np.searchsorted(offsets, (rows.start, rows.stop))
    in_order[offsets[begin:end] - rows.start] = True
    return in_order


def _check_left(time: Int32, left: Int32) -> None:
    """Check that everybody left after they joined."""
    for first in range(0, len(time), _BATCH):
        joined, gone = time[first : first + _BATCH], left[first : first + _BATCH]
        wrong = (gone <= joined) & (gone != STAYS)
        if wrong.any():
            row = first + int(np.argmax(wrong))
            raise ValueError(f"left must be later than time; for join {row} it is not")


def _check_windows(offsets: Int64, time: Int32, first: Int32 | None, last: Int32) -> None:
    """Check that every user was observed when they joined; a first tick may be unknown."""
    if first is not None and (first > last).any():
        user = int(np.argmax(first > last))
        raise ValueError(f"observed_from must not be after observed_until; it is for user {user}")
    for begin in range(0, len(last), _BATCH):
        ends = offsets[begin : begin + _BATCH + 1]
        active = np.flatnonzero(np.diff(ends))
        outside = time[ends[active + 1] - 1] > last[begin + active]
        if first is not None:
            outside |= time[ends[active]] < first[begin + active]
        if outside.any():
            user = begin + int(active[np.argmax(outside)])
            raise ValueError(
                f"joins must lie in [observed_from, observed_until]; those of user {user} do not"
            )


def _view(array: Any, name: str) -> AnyArray:
    dtype = np.dtype(DTYPES[name])
    if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype != dtype:
        raise ValueError(f"{name} must be a {dtype.name} array in one dimension")
    view = array.view()
    view.flags.writeable = False
    return view


def _check_lengths(arrays: Mapping[str, AnyArray], n_users: int) -> None:
    of_users = {"offsets": n_users + 1, **dict.fromkeys(WINDOW, n_users)}
    for name, array in arrays.items():
        expected = of_users.get(name, len(arrays["group"]))
        if len(array) != expected:
            raise ValueError(f"{name} must have {expected} values; got {len(array)}")


def check_names(what: str, names: pa.StringArray) -> None:
    """Raise a ValueError unless names are unique, sorted and not null."""
    ascending = pc.all(pc.less(names[:-1], names[1:])).as_py() if len(names) > 1 else True
    if not ascending or names.null_count:
        raise ValueError(f"{what} must be unique, sorted and not null")


def _check_ids(arrays: Mapping[str, AnyArray], **limits: tuple[int, int]) -> None:
    for name, (low, high) in limits.items():
        ids = arrays.get(name)
        if ids is not None and len(ids) and not (ids.min() >= low and ids.max() < high):
            raise ValueError(f"{name} must be in [{low}, {high}); got {ids.min()} to {ids.max()}")
