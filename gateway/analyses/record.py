"""What the note's analyses look at: the platform's logs, its labels, and the gateways found.

Arrays only, so that a case can be written by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from gateway.arrays import Float64, Int32, Int64, Mask, UInt8
from gateway.detect import UNRANKED, Detection
from gateway.log.join_log import STAYS, JoinLog
from gateway.simulate import History
from gateway.simulate.moderation import months_of
from gateway.simulate.occasion_kernels import UNCONFIRMED
from gateway.simulate.recommender import count_friends_found
from gateway.simulate.sources import source_codes
from gateway.targets import TargetSet
from gateway.world import Arms
from gateway.world.model import NEVER

Column = TypeVar("Column", Int32, UInt8, Mask)


@dataclass(frozen=True, eq=False)
class Requests:
    """Join requests; each array has shape (n_requests,)."""

    # Who asked to join what, and on which day.
    user: Int32
    group: Int32
    time: Int32
    source: UInt8  # index into ``joins.SOURCES``
    confirmed: Mask  # whether it became a membership


@dataclass(frozen=True, eq=False)
class Invitations:
    """Invitations sent; each array has shape (n_invitations,), but one."""

    # Who invited whom to what, and on which day.
    sender: Int32
    receiver: Int32
    group: Int32
    time: Int32
    super_inviter: Mask  # shape (n_users,): whether the user is among the top share of senders


@dataclass(frozen=True, eq=False)
class Record:
    """Everything that the analyses read."""

    joins: JoinLog  # the whole log, also what came after the workflow ran
    is_target: Mask  # shape (n_groups,)
    top: Int64  # dense ids of the top gateway groups, best first
    # Gateway score of every group and whether it was ranked, shape (n_groups,).
    score: Float64
    ranked: Mask
    # Day before which the detector saw the log: it saw joins on earlier days alone.
    workflow_day: int
    days: int  # length of the observation
    requests: Requests
    invitations: Invitations
    exposed: Int32  # shape (n_users,): first day a GYSJ unit was shown, or ``NEVER``
    # Shape (n_users,): friendships that PYMK made by showing somebody to the user, and by showing
    # the user to somebody else.
    shown: Int32
    featured: Int32
    arms: Arms  # randomised holdouts; True = held out
    # Shape (n_users,): first day on which the user is labelled non-rec, or ``NEVER``.
    flagged: Int32
    topic: npt.NDArray[np.int16]  # main topic of each group, shape (n_groups,)
    # Shape (n_groups,): first day of the label, or ``NEVER``.
    non_rec: Int32
    non_amp: Int32
    demoted: Int32
    # Shape (n_groups,): score in [0, 1] that the review for demotion gave, from the day
    # ``demoted`` on; 0 for a group without a review.
    demotion: Float64
    # Shape (n_groups, n_months), kinds of harm added up.
    strikes: Int64
    severe: Int64
    month_start: Int64  # shape (n_months,): first day of each month

    @property
    def is_top(self) -> Mask:
        """Top gateway groups as a mask, shape (n_groups,)."""
        return np.isin(np.arange(self.joins.n_groups), self.top)

    @property
    def is_non_rec(self) -> Mask:
        """Groups labelled non-rec by the end of the observation, shape (n_groups,)."""
        return np.asarray(self.non_rec < self.days)

    def demotion_by(self, day: int) -> Float64:
        """Return each group's demotion score as it stands before ``day``, shape (n_groups,)."""
        return np.where(self.demoted < day, self.demotion, 0.0)

    def first_join(self, groups: Mask, *, after: Int64 | None = None) -> Int64:
        """Return the day of each user's first join of one of the groups, or ``NEVER``.

        Parameters
        ----------
        groups
            Shape (n_groups,).
        after
            Shape (n_users,): only joins on a later day than this one count.
        """
        first = np.full(self.joins.n_users, NEVER, np.int64)
        user, time = self.joins.user(), self.joins.time.astype(np.int64)
        counts = groups[self.joins.group]
        if after is not None:
            counts = counts & (time > after[user])
        np.minimum.at(first, user[counts], time[counts])
        return first


def until(joins: JoinLog, day: int) -> JoinLog:
    """Return the log as it stood before a day: what came later is not there, nor observed.

    Users and groups keep their ids; users who came later have no joins.
    """
    seen = joins.time < day
    counts = np.bincount(joins.user()[seen], minlength=joins.n_users)
    last = np.int32(day - 1)
    left = _cut(joins.left, seen)
    return JoinLog(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        group=joins.group[seen],
        time=joins.time[seen],
        users=joins.users,
        groups=joins.groups,
        tick=joins.tick,
        origin=joins.origin,
        observed_from=None
        if joins.observed_from is None
        else np.minimum(joins.observed_from, last),
        observed_until=np.minimum(joins.observed_until, last),
        source=_cut(joins.source, seen),
        confirmed=_cut(joins.confirmed, seen),
        inviter=_cut(joins.inviter, seen),
        seed_group=_cut(joins.seed_group, seen),
        left=None if left is None else np.where(left < day, left, np.int32(STAYS)),
        sources=joins.sources,
    )


def _cut(column: Column | None, seen: Mask) -> Column | None:
    return None if column is None else column[seen]


def top_groups(detection: Detection, count: int) -> Int64:
    """Return the ids of the ``count`` best groups, best first.

    Groups that tie in score stand by falling number of spiking joiners, then by name;
    fewer where fewer are ranked.
    """
    ranked = np.flatnonzero(detection.rank != UNRANKED)
    name = np.array(detection.groups.to_pylist(), object)[ranked]
    order = np.lexsort((name.astype(str), -detection.n_events[ranked], detection.rank[ranked]))
    return ranked[order][:count].astype(np.int64)


def record_of(
    history: History,
    joins: JoinLog,
    targets: TargetSet,
    detection: Detection,
    *,
    workflow_day: int,
    top: int,
) -> Record:
    """Gather what the analyses look at.

    Parameters
    ----------
    detection
        Findings from the log before ``workflow_day``.
    top
        How many groups count as the top gateways (the note: 100).
    """
    strikes = history.strikes
    shown, featured = count_friends_found(history.stage)
    return Record(
        joins=joins,
        is_target=targets.mask,
        top=top_groups(detection, top),
        score=detection.score,
        ranked=detection.rank != UNRANKED,
        workflow_day=workflow_day,
        days=history.world.days,
        requests=_requests(history),
        invitations=_invitations(history),
        exposed=history.exposed(),
        shown=shown,
        featured=featured,
        arms=history.world.users.arms,
        flagged=history.flagged(),
        topic=history.world.groups.topic,
        non_rec=history.labels.non_rec,
        non_amp=history.labels.non_amp,
        demoted=history.labels.demoted,
        demotion=history.labels.demotion,
        strikes=strikes.count.sum(axis=2),
        severe=strikes.severe.sum(axis=2),
        month_start=months_of(history.world)[1],
    )


def _requests(history: History) -> Requests:
    state = history.state
    cell = np.flatnonzero(state.group >= 0)
    row = state.source[cell] & np.uint8(UNCONFIRMED - 1)
    return Requests(
        user=history.owner(cell),
        group=state.group[cell],
        time=state.time[cell].astype(np.int32),
        source=source_codes()[row],
        confirmed=state.source[cell] < UNCONFIRMED,
    )


def _invitations(history: History) -> Invitations:
    log = history.invitations
    return Invitations(
        sender=log.sender,
        receiver=log.receiver,
        group=log.group,
        time=log.time,
        super_inviter=log.super_inviters(len(history.world.users)),
    )
