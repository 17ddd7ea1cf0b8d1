"""When users were observed, where a log has columns that say so."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gateway.log.ids import Dense
from gateway.log.messages import complaint, shown
from gateway.log.ticks import Tick, instants
from gateway.log.times import Times

__all__ = ["WINDOW", "check_within", "roles_of", "window_of_users"]

Int64 = npt.NDArray[np.int64]

WINDOW = ("observed_from", "observed_until")


def roles_of(
    user: str, group: str, time: str, observed_from: str | None, observed_until: str | None
) -> dict[str, str]:
    """Return the name of the column of each role that has one."""
    windows = zip(WINDOW, (observed_from, observed_until), strict=True)
    told = {role: name for role, name in windows if name is not None}
    return {"user": user, "group": group, "time": time, **told}


def check_within(
    where: object,
    user: pa.ChunkedArray,
    group: pa.ChunkedArray,
    times: Times,
    windows: Mapping[str, Times],
    labels: Mapping[str, str],
) -> None:
    """Check that joins lie within the windows that their own rows tell.

    Parameters
    ----------
    where
        What the log is called in messages.
    user, group, times
        Of each row, at least one.
    windows
        Of each row, by role.
    labels
        What the column of each role is called in messages.

    Raises
    ------
    LogError
        If a join does not, or the columns are not of the kind of the time column.
    """
    for role, told in windows.items():
        if told.kind != times.kind:
            rule = f"must be of the same kind as {labels['time']}, {times.phrase}"
            raise complaint(where, labels[role], rule, got=told.phrase)
        before, after = (told, times) if role == WINDOW[0] else (times, told)
        outside = pc.greater(before.ticks, after.ticks)
        if pc.any(outside).as_py():
            row = pc.index(outside, True).as_py()
            who, what = (shown(column[row].as_py()) for column in (user, group))
            when, limit = _said([t.ticks[row].as_py() for t in (times, told)], times.tick)
            side = "before" if role == WINDOW[0] else "after"
            rule = f"must not be {side} {labels[role]}, {limit}"
            raise complaint(where, f"the join of {what} by user {who}", rule, got=when)


def window_of_users(
    ticks: Int64, users: Dense, *, role: str, where: object, tick: Tick, origin: int
) -> Int64:
    """Return the one value of each user, int64, shape (n_users,).

    Parameters
    ----------
    ticks
        Of each row, since ``origin``.
    users
        Of each row.
    role
        ``observed_from`` or ``observed_until``.
    where
        What the log is called in messages.
    tick, origin
        Of the log.

    Raises
    ------
    LogError
        If the rows of a user say different things.
    """
    found = np.empty(len(users.names), np.int64)
    found[users.ids] = ticks
    differs = found[users.ids] != ticks
    if differs.any():
        user = users.ids[differs].min()
        own = ticks[users.ids == user] + origin
        got = " and ".join(_said([own.min(), own.max()], tick))
        what = f"{role} of user {shown(users.names[user].as_py())}"
        raise complaint(where, what, "must be the same in every row of the user", got=got)
    return found


def _said(ticks: list[int], tick: Tick) -> list[str]:
    texts: list[str] = instants(pa.array(ticks, pa.int64()), tick).cast(pa.string()).to_pylist()
    return texts
