"""A log with some of its columns exchanged, brought into order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.arrays import Int64
from gateway.log.join_log import JoinLog
from gateway.log.sorting import TIE_BREAKERS, canonical

__all__ = ["is_among", "pairs", "relogged"]


_PER_JOIN = ("group", "time", *TIE_BREAKERS)


def pairs(user: npt.NDArray[Any], group: npt.NDArray[Any], n_groups: int) -> Int64:
    """Return one whole number for each pair of user and group."""
    return np.asarray(user.astype(np.int64) * n_groups + group)


def is_among(values: Int64, ascending: Int64) -> npt.NDArray[np.bool_]:
    """Return whether each value is one of those of a sorted array."""
    if not len(ascending):
        return np.zeros(len(values), np.bool_)
    place = np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)
    return np.asarray(ascending[place] == values)


def relogged(joins: JoinLog, user: npt.NDArray[np.int32], **columns: Any) -> JoinLog:
    """Return a log of the same users and groups with the given joins, in canonical order.

    Parameters
    ----------
    joins
        Whose names, unit of time and windows are kept.
    user
        int32, shape (n,): dense user of each join.
    columns
        The columns of a log, shape (n,) each or None; those left out are those of ``joins``.
        ``observed_from`` and ``observed_until`` may be among them.
    """
    given = {name: getattr(joins, name) for name in _PER_JOIN} | columns
    others = {name: given[name] for name in TIE_BREAKERS if given[name] is not None}
    offsets, kept = canonical(
        user, given["group"], given["time"], n_users=joins.n_users, others=others
    )
    return replace(joins, offsets=offsets, rows_read=None, **(given | kept))
