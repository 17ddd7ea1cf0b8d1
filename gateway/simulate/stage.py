"""What the kernels of an occasion read, write and hand to each other, as values."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gateway.simulate.tables import Table

__all__ = [
    "Answer",
    "Inbox",
    "Labels",
    "Look",
    "Occasion",
    "Policies",
    "Stage",
]


class Labels(NamedTuple):
    """What moderation has said of each group: the day from which it holds."""

    non_rec: np.ndarray
    non_amp: np.ndarray
    demoted: np.ndarray
    demotion: float


class Policies(NamedTuple):
    """Interventions by step: from one start to the next nothing of them changes."""

    step: np.ndarray  # of each day
    seed_filter: np.ndarray  # [step, group]: nothing is recommended from it
    demotion: np.ndarray  # [step, group]: chance that the group is passed over
    friction: np.ndarray  # [step, group]: chance that a member's invitation is dropped
    invite_cap: np.ndarray  # [step]: most people invited at once


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
    demotion: float  # by moderation
    pymi_factor: float
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
