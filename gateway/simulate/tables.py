"""What the kernels read and write: records of users, groups and occasions, and what holds them.

What is looked at together lies together: the record of a user or a group is one line of the
processor's cache (64 bytes), and five occasions of a user share one. A column of a table is a
view (``users.clock``), in kernels and outside.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.arrays import Int32, Int64

Table = np.recarray[Any, Any]

# A day that does not come, in columns of 16 bits; a world has at most 36,500 days.
NO_DAY = 2**16 - 1
# Bytes in a line of the cache.
LINE = 64

# User u's occasions are cells ``start`` to ``start + occasions``.
USER = np.dtype(
    {
        "names": [
            "start", "friends", "clock", "boost", "inviter", "invited_to", "degree",
            "invite_chance", "occasions", "taken", "since", "exposed", "departure",
            "drift_start", "country", "found", "holdouts",
        ],
        "formats": [
            np.int64,  # first cell
            np.int64,  # first place among the friends
            np.float64,  # time of the next occasion
            np.float64,  # influence so far,
            np.int32,  # who sent the latest invitation not looked at,
            np.int32,  # and its group, -1 for none
            np.int32,  # friends at the start
            np.float32,
            np.uint16,
            np.uint16,  # occasions so far
            np.uint16,  # ... the influence as of this day
            np.uint16,  # first day on which a GYSJ unit was shown, or NO_DAY
            np.uint16,  # first day after the user's last
            np.uint16,  # day on which the taste begins to drift, or NO_DAY
            np.uint8,
            np.uint8,  # friends found by PYMK
            np.uint8,  # holdouts: bits of ``occasion_kernels``
        ],
        "offsets": [0, 8, 16, 24, 32, 36, 40, 44, 48, 50, 52, 54, 56, 58, 60, 61, 62],
        "itemsize": LINE,
    }
)  # fmt: skip

# Topics that a group does not hold have weight zero.
GROUP = np.dtype(
    {
        "names": [
            "influence", "inviting", "created", "non_rec", "non_amp", "demoted", "operator",
            "topic0", "topic1", "topic2", "mix0", "mix1", "mix2", "demotion",
        ],
        "formats": [
            np.float64,  # beta
            np.float64,  # probability that an occasion remembers the group's operator
            np.int32,  # days from which it exists and labels hold
            np.int32,
            np.int32,
            np.int32,
            np.int32,  # who invites its members into targets
            np.uint8, np.uint8, np.uint8,
            np.float32, np.float32, np.float32,
            np.float64,  # chance that it is passed over once demoted
        ],
        "offsets": [0, 8, 16, 20, 24, 28, 32, 36, 37, 38, 40, 44, 48, 56],
        "itemsize": LINE,
    }
)  # fmt: skip

# One occasion. ``via`` is the inviter, or the number of the own occasion that seeded a
# recommendation; -2 - that number for an operator's invitation; -1 for neither.
CELL = np.dtype(
    {
        "names": ["group", "via", "time", "source"],
        # Requested group or -1; via; day or NO_DAY; row of the source table, + UNCONFIRMED.
        "formats": [np.int32, np.int32, np.uint16, np.uint8],
        "offsets": [0, 4, 8, 10],
        "itemsize": 12,
    }
)

# A friend found by PYMK, since which day, and the user's find before that one.
FIND = np.dtype([("friend", np.int32), ("before", np.int32), ("day", np.uint16)], align=True)

# A user in flight: see ``prefetch_kernels``.
SEAT = np.dtype(
    [
        ("u", np.int64), ("first", np.int64), ("n", np.int64), ("place", np.int64),
        ("at", np.int64), ("harm", np.float64), ("travels", np.float64), ("total", np.float64),
        ("x1", np.float64), ("x2", np.float64), ("x3", np.float64),
        ("group", np.int32), ("sender", np.int32), ("shelf", np.int32), ("attempt", np.int32),
        ("row", np.uint8), ("how", np.uint8), ("exposed", np.uint8), ("looked", np.uint8),
        ("invites", np.uint8),
    ],
    align=True,
)  # fmt: skip

LETTER = np.dtype([("sender", np.int32), ("receiver", np.int32), ("group", np.int32)])

# A shelf is a stretch of these, groups in order. ``end`` is their cumulative weight; ``guide``
# belongs to the place, not to the group (see ``occasion_kernels.take_from``).
SHELF = np.dtype([("end", np.float64), ("group", np.int32), ("guide", np.int32)])

SOURCE = np.dtype(
    [("end", np.float64), ("confirm", np.float64), ("mechanism", np.int64), ("guide", np.int64)]
)


def empty_table(n: int, row: npt.DTypeLike) -> Table:
    """Return ``n`` rows of zeros that begin at a line of the cache.

    The system lends their pages when they are first written: rows never used cost nothing.
    """
    size = np.dtype(row).itemsize * n
    room = np.zeros(size + LINE, np.uint8)
    first = -room.ctypes.data % LINE
    return room[first : first + size].view(row).view(np.recarray)


def last_rows_freed(table: Table, n: int) -> Table:
    """Return the first ``n`` rows of an ``empty_table``; the room of the others is given back.

    Nothing else may hold the table: where its memory moves, that would read what is gone.
    """
    room: Any = table
    while room.base is not None:
        room = room.base
    first, size = table.ctypes.data - room.ctypes.data, table.dtype.itemsize * n
    room.resize(first + size, refcheck=False)
    kept: Table = room[first : first + size].view(table.dtype).view(np.recarray)
    return kept


def owners(users: Table, cell: Int64) -> Int32:
    """Return the user of each cell, shape (len(cell),)."""
    # Users without occasions own nothing: the last of equal starts is the one who does.
    start: Int64 = np.ascontiguousarray(users.start)
    return (np.searchsorted(start, cell, side="right") - 1).astype(np.int32)


class Labels(NamedTuple):
    """What moderation has said of each group: the day from which it holds."""

    non_rec: np.ndarray
    non_amp: np.ndarray
    demoted: np.ndarray
    demotion: np.ndarray  # the review's score in [0, 1]; 0 for a group without one


class Policies(NamedTuple):
    """Interventions by step: from one start to the next nothing of them changes."""

    step: np.ndarray  # of each day
    seed_filter: np.ndarray  # [step, group]: nothing is recommended from it
    demotion: np.ndarray  # [step, group]: chance that the group is passed over
    friction: np.ndarray  # [step, group]: chance that a member's invitation is dropped,
    sender_friction: np.ndarray  # [step, group]: one by a sender marked as limited
    invite_cap: np.ndarray  # [step]: most people invited at once
    edge: np.ndarray  # seed times groups plus group: never recommended from the seed, sorted


class Stage(NamedTuple):
    """All that the kernels read and write, in the rows of ``tables``.

    What a user sees of the others ends last night: cells of today are passed over, so that
    it does not matter which of them are written already.
    """

    users: Table
    cells: Table
    groups: Table
    interest: np.ndarray  # theta[u, k]; the travellers' topic is one more
    friend: np.ndarray
    finds: Table  # friends found by PYMK,
    last_find: np.ndarray  # and each user's last one
    neighbour: np.ndarray  # recommender [refit, group, i]; the last refit alone while it lives
    weight: np.ndarray  # cumulative
    source: Table
    shelf: Table  # topic x appeal,
    shelf_start: np.ndarray  # by country and topic; after the topics, planted targets
    drift_days: float
    drift_strength: float
    travel_taste: float
    half_life: float  # of influence, in days; 0 = it lasts
    non_rec_reduction: float  # chance that a labelled group is not recommended,
    non_amp_reduction: float  # or not shown among a friend's groups
    pymi_factor: float  # on the chance of inviting, of who has PYMI
    pymi_featuring: float  # on the chance of being invited, of whom it features
    found_weight: float  # of a friend found by PYMK among those who may be invited
    invite_tail: float  # bulk size is the whole part of a Pareto draw of this exponent
    bulk: int
    attempts: int
    refit_days: int
    gap_shape: float  # of the gaps between a user's occasions
    filters: bool  # whether any intervention filters seeds,
    demotes: bool  # demotes groups,
    shields: bool  # or shields members from invitations


class Inbox(NamedTuple):
    """The latest invitation that the user has not looked at; group -1 for none."""

    group: np.int64
    sender: np.int64


class Occasion(NamedTuple):
    """What is the same for every attempt of an occasion."""

    base: np.int64  # first of the user's own occasions
    n: np.int64  # their number so far
    u: np.int64
    day: np.int64
    harm: float  # factor on the taste for harm
    travels: float  # taste for the travellers' topic
    total: float  # taste for all topics
    barred: np.int64  # a group that does not exist for this user, -1 for none
    inbox: Inbox


class Look(NamedTuple):
    """The draws of one attempt."""

    attempt: np.int64
    row: np.int64  # of the source table
    how: np.int64  # its mechanism
    x1: float
    x2: float
    x3: float


class Answer(NamedTuple):
    """What came of an occasion."""

    outcome: int
    group: np.int64
    row: np.int64  # of the source table
    via: np.int64  # as in a cell
    exposed: bool  # a GYSJ unit was shown
    looked: bool  # the invitation in the inbox was looked at
    took: bool  # and led to a join
