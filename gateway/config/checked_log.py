"""The ``[check]`` section: the log that detectors see in place of the one that is there."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway.config.types import (
    INT32_END,
    Count,
    Duration,
    Number,
    Positive,
    Section,
    Share,
    setting,
)

__all__ = ["CheckSection", "CheckedLog"]

CheckedLog = Literal[
    "labels_permuted", "permuted_within_users", "time_reversed", "placebo_targets", "planted"
]


class CheckSection(Section):
    """What is done to the log before detectors see it; this section switches it on.

    A sweep over its keys, and over ``experiment.seed``, is what ``gateway check`` runs: it
    says which log each point makes and, of a planted one, where and how strong; the other keys
    hold for all.
    """

    log: CheckedLog | None = setting(
        None,
        "which log; left out = that of gateway check. "
        "labels_permuted: the groups of all joins over all joins; "
        "permuted_within_users: those of each user among that user's joins; time_reversed: beside "
        "the log as it is; placebo_targets: other groups of like size are the targets; planted: "
        "further target joins after those of some groups",
    )
    users: Annotated[Count, Field(ge=2, lt=INT32_END)] | None = setting(
        None, "at most so many users, drawn at random; left out = all"
    )
    where: Literal["anywhere", "aligned", "large", "small"] = setting(
        "anywhere",
        "planted: any groups, or of the quarter whose members join targets most often, or that "
        "have most or fewest members",
    )
    permuted: bool = setting(
        False,
        "planted: into the log with each user's groups permuted among that user's joins, where "
        "no other group leads anywhere; false = into the log as it is",
    )
    gateways: Positive = setting(
        10, "planted: how many groups, or a third of the eligible ones if these are fewer"
    )
    min_joiners: Positive = setting(20, "planted: least members of such a group")
    ratio: Annotated[Number, Field(ge=1.0, le=1e6)] = setting(
        1.0, "planted: what a member's own rate of target joins is multiplied by"
    )
    sent: Share = setting(0.0, "planted: instead, chance of one target join after the group's")
    within: Duration | None = setting(
        None, 'sent: its mean delay, such as "30d"; left out = a tenth of the log'
    )
    mechanism: Literal["influence", "recommender", "inviter"] = setting(
        "influence",
        "planted: what the traces of the further joins say; recommender needs a log with "
        "seed_group, inviter one with inviter",
    )
