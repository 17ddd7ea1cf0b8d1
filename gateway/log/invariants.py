"""The columns of a join log, and what holds for them, checked when a log is made; its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gateway.arrays import AnyArray, Int64
from gateway.log.times import LARGEST_TICK, Tick

JOINS_PER_PART = 1 << 18
"""A part ends with the user with whom it reaches so many joins: enough for the arrays of all
groups to be small beside it."""

# Names that are checked at a time.
_NAMES = 1 << 20
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


def cut_users(offsets: Int64) -> Iterator[tuple[int, int]]:
    """Yield first user, and the one after the last, of each part."""
    first, n_users = 0, len(offsets) - 1
    while first < n_users:
        reached = int(np.searchsorted(offsets, offsets[first] + JOINS_PER_PART))
        last = min(max(reached, first + 1), n_users)
        yield first, last
        first = last


def checked_columns(
    columns: Mapping[str, Any], release: Callable[[], object] = lambda: None
) -> dict[str, AnyArray]:
    """Return the arrays of a log, from its fields, as views that cannot be written to.

    Raises a ValueError if they do not fit together, are not sorted, or hold ids or times out of
    range. They are looked at piece by piece, with ``release`` called after each: what is
    compared takes room beside the log.
    """
    arrays = {name: columns[name] for name in DTYPES if columns[name] is not None}
    views = {name: _view(array, name) for name, array in arrays.items()}
    users, groups, offsets = columns["users"], columns["groups"], views["offsets"]
    if columns["tick"] not in get_args(Tick):
        known = ", ".join(get_args(Tick))
        raise ValueError(f"tick must be one of {known}; got {columns['tick']!r}")
    _check_lengths(views, len(users))
    for what, names in (("users", users), ("groups", groups)):
        for first in range(0, len(names), _NAMES):
            _check_names(what, names[first : first + _NAMES + 1])
            release()
    limits = {"group": (0, len(groups)), "source": (0, len(columns["sources"])),
              "inviter": (-1, (columns["part_of"] or (0, len(users)))[1]),
              "seed_group": (-1, len(groups))}  # fmt: skip
    ends: dict[str, list[int]] = {name: [] for name in limits if name in views}
    for first, last in cut_users(offsets):
        rows = slice(int(offsets[first]), int(offsets[last]))
        _check_users(views, rows, first, last)
        for name in ends if rows.start < rows.stop else ():
            ends[name] += [int(views[name][rows].min()), int(views[name][rows].max())]
        release()
    for name, found in ends.items():
        low, high = limits[name]
        if found and not (min(found) >= low and max(found) < high):
            raise ValueError(f"{name} must be in [{low}, {high}); got {min(found)} to {max(found)}")
    return views


def _check_users(columns: Mapping[str, AnyArray], rows: slice, first: int, last: int) -> None:
    """Check of some users' joins: their order, when they left, and that they were observed."""
    starts = columns["offsets"][first : last + 1] - rows.start
    group, time = columns["group"][rows], columns["time"][rows]
    same = time[1:] == time[:-1]
    wrong = np.append(False, (time[1:] < time[:-1]) | (same & (group[1:] <= group[:-1])))
    wrong[starts[starts < len(wrong)]] = False
    if wrong.any():
        row = rows.start + int(np.argmax(wrong))
        raise ValueError(f"joins of a user must stand by time, then group; join {row} does not")
    if "left" in columns:
        gone = columns["left"][rows]
        wrong = (gone <= time) & (gone != STAYS)
        if wrong.any():
            row = rows.start + int(np.argmax(wrong))
            raise ValueError(f"left must be later than time; for join {row} it is not")
    active = np.flatnonzero(np.diff(starts))
    until = columns["observed_until"][first:last]
    outside = time[starts[active + 1] - 1] > until[active]
    if "observed_from" in columns:
        since = columns["observed_from"][first:last]
        if (since > until).any():
            user = first + int(np.argmax(since > until))
            rule = "observed_from must not be after observed_until"
            raise ValueError(f"{rule}; it is for user {user}")
        outside |= time[starts[active]] < since[active]
    if outside.any():
        user = first + int(active[np.argmax(outside)])
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
    offsets, n_joins = arrays["offsets"], len(arrays["group"])
    if offsets[0] != 0 or offsets[-1] != n_joins:
        raise ValueError(f"offsets must run from 0 to the number of joins, {n_joins}")
    if (offsets[1:] < offsets[:-1]).any():
        raise ValueError("offsets must not decrease")


def _check_names(what: str, names: pa.StringArray) -> None:
    names.validate(full=True)
    ascending = pc.all(pc.less(names[:-1], names[1:])).as_py() if len(names) > 1 else True
    if not ascending or names.null_count:
        raise ValueError(f"{what} must be unique, sorted and not null")
