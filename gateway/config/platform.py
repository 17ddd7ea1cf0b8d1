"""What a simulated platform is made of: world, roles, simulation, moderation.

Times are days unless the name says otherwise. Every default is a choice, not a fact
about any real platform.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from gateway.config.rules import Breach, Given, among, below, distinct, rule, say_sum
from gateway.config.types import (
    INT32_END,
    Correlation,
    Count,
    Countries,
    Date,
    Days,
    Name,
    Natural,
    Number,
    Positive,
    Proportion,
    Section,
    Share,
    setting,
)

_ROLES = (
    "roles.targets", "roles.influence", "roles.recommender", "roles.inviter", "roles.homophily",
    "roles.hub", "roles.fellow_traveller",
)  # fmt: skip
_MECHANISMS = ("recommendation", "friends", "invitation", "intent")
# Shares that sum to 1 on paper miss it by some 1e-16 in binary (0.1 + 0.2 + 0.7); a slip of
# the hand is larger than this by far.
_SUM_TOLERANCE = 1e-9


class RolesSection(Section):
    """How many groups are planted in each role, and how strongly they act."""

    targets: Positive = setting(160, "harmful groups, over all countries")
    target_mix: Share = setting(
        0.8,
        "share of the harm topic in a harmful group; the rest is an ordinary topic, "
        "through which users come who have no interest in harm",
    )
    influence: Natural = setting(40, "gateways: a join raises the taste for the harm topic")
    influence_strength: Number = setting(
        1.4, "mean of beta, the log factor on that taste", ge=0, le=10
    )
    influence_strength_sd: Number = setting(
        0.4, "standard deviation of beta over gateways", ge=0, le=5
    )
    influence_half_life: Days = setting(0.0, "days in which that influence halves; 0 = it lasts")
    recommender: Natural = setting(0, "gateways whose members are recommended targets")
    recommender_strength: Share = setting(
        0.3, "share of targets among what is recommended from one of them"
    )
    inviter: Natural = setting(0, "gateways whose operator invites the members into targets")
    inviter_strength: Share = setting(
        0.5,
        "probability that an invitation occasion on which a member thinks of one of "
        "them is its operator's",
    )
    homophily: Natural = setting(40, "look-alikes that attract users already inclined, beta = 0")
    homophily_mix: Share = setting(0.6, "share of the harm topic in a homophily look-alike")
    hub: Natural = setting(20, "look-alikes that are merely large, beta = 0")
    fellow_traveller: Natural = setting(
        0, "look-alikes joined on the way by users whose taste drifts"
    )
    country: str = setting("US", "country of the planted gateways and look-alikes")
    role_size: Number = setting(
        4.0, "median appeal of gateways and homophily groups (ordinary: 1)", gt=0, le=1e6
    )
    hub_size: Number = setting(40.0, "median appeal of hubs (ordinary: 1)", gt=0, le=1e6)


@rule(*_ROLES, "groups")
def _roles_fit(given: Given, *counts: int) -> Iterator[Breach]:
    *planted, groups = counts
    if sum(planted) >= groups:
        yield say_sum(given, _ROLES, f"must be less than {given.mention('groups')}")


@rule("topics", "kinds")
def _topics_beyond_kinds(given: Given, topics: int, kinds: Sequence[str]) -> Iterator[Breach]:
    if topics <= len(kinds):
        text = f"must be more than the number of {given.name('kinds')} ({len(kinds)})"
        yield given.refuse("topics", text)


@rule("harm_interest", "kinds")
def _harm_leaves_room(given: Given, share: float, kinds: Sequence[str]) -> Iterator[Breach]:
    if share * len(kinds) >= 1.0:
        text = f"times the number of {given.name('kinds')} ({len(kinds)}) must be less than 1"
        yield given.refuse("harm_interest", text)


class WorldSection(Section):
    """What exists before anyone joins."""

    rules = (
        among("roles.country", "countries"),
        _roles_fit,
        _topics_beyond_kinds,
        _harm_leaves_room,
        distinct("kinds"),
        below("arrival_days", "days"),
    )

    users: Positive = setting(50_000, "number of users")
    groups: Count = setting(4_000, "number of groups, planted ones included", ge=2, lt=INT32_END)
    start: Date = setting(dt.date(2020, 1, 1), "day 0")
    days: Count = setting(540, "length of the observation", ge=2, le=36_500)
    topics: Count = setting(
        20, "interest topics; the first len(kinds) are the harm topics", ge=2, le=200
    )
    kinds: tuple[Name, ...] = setting(
        ("nudity", "violence"), "kinds of harm", min_length=1, strict=False
    )
    countries: Countries = setting(
        {"BR": 0.15, "GB": 0.2, "IN": 0.15, "US": 0.5},
        "relative size of each country; their order in the file has no meaning",
    )
    home_bias: Share = setting(0.9, "how much less a user sees of groups of other countries")
    interest_concentration: Number = setting(
        4.0, "Dirichlet concentration of ordinary interests; large = all users alike", gt=0, le=1e6
    )
    harm_concentration: Annotated[Number, Field(gt=0, le=1e6)] = setting(
        20.0,
        "Beta concentration of interest in a harm topic; large = all users alike",
    )
    harm_interest: Proportion = setting(0.01, "mean share of each harm topic in a user's interests")
    topic_skew: Annotated[Number, Field(ge=0, le=4)] = setting(
        0.0,
        "the i-th ordinary topic is i^-skew as common as the first, among interests "
        "and groups; 0 = all alike",
    )
    activity_law: Literal["lognormal", "power"] = setting(
        "lognormal",
        "number of a user's occasions: Poisson around a lognormal rate, or a power "
        "law from 1 on with a cut-off",
    )
    joins_per_user: Number = setting(
        14.0, "lognormal law: mean number of join occasions per user", gt=0, le=1_000
    )
    activity_sigma: Number = setting(
        0.9, "lognormal law: log standard deviation of users' activity", ge=0, le=3
    )
    activity_exponent: Number = setting(
        2.0, "power law: exponent of the number of occasions", ge=0, le=10
    )
    activity_cutoff: Number = setting(
        50.0, "power law: occasions beyond which it falls exponentially", gt=0, le=1e6
    )
    most_occasions: Count = setting(
        1_000, "largest number of join occasions of a user", ge=1, le=30_000
    )
    gap_shape: Annotated[Number, Field(ge=0.1, le=10)] = setting(
        1.0,
        "gamma shape of the gaps between occasions; 1 = points of a Poisson process, "
        "less = bunched",
    )
    arrival_days: Count = setting(
        180, "users arrive evenly over the first so many days", ge=0, le=36_500
    )
    leaving: Share = setting(0.0, "share of users who leave before the end, evenly in time")
    drift_share: Share = setting(0.0, "share of users whose taste drifts towards harm by itself")
    drift_days: Number = setting(60.0, "days that such a drift takes", gt=0, le=36_500)
    drift_strength: Number = setting(
        2.0, "log factor on the taste for the harm topic at its end", ge=0, le=10
    )
    travel_taste: Number = setting(
        0.3, "taste for fellow-traveller groups while the drift lasts", ge=0, le=10
    )
    invite_chance: Share = setting(0.3, "mean probability that a join is followed by invitations")
    invite_sigma: Number = setting(
        1.5, "log standard deviation of that probability over users", ge=0, le=4
    )
    invite_tail: Number = setting(
        1.6, "Pareto exponent of the number of people invited at once", gt=0.5, le=10
    )
    holdout: Share = setting(
        0.1, "share of users who are not shown GYSJ, PYMI, PYMK; each arm drawn apart"
    )
    featured_holdout: Share = setting(
        0.0, "share of users whom PYMI does not feature, and, drawn apart, whom PYMK does not"
    )
    mean_friends: Number = setting(12.0, "mean number of friends per user", ge=0, le=10_000)
    friend_tail: Number = setting(3.0, "exponent of the tail of the number of friends", gt=2, le=10)
    friend_homophily: Share = setting(
        0.5, "share of friendships within the same country and main interest, beyond chance"
    )
    friend_country: Share = setting(
        0.5, "share of the other friendships within the same country, beyond chance"
    )
    friend_clustering: Number = setting(
        0.5, "share of friendships made by introduction through a common friend", ge=0, le=0.9
    )
    appeal_sigma: Number = setting(1.4, "log standard deviation of groups' appeal", ge=0, le=4)
    appeal_limit: Annotated[Number, Field(ge=1, le=1e12)] | None = setting(
        None,
        "the lognormal appeal is cut off at so many times its median; left out = nowhere",
    )
    appeal_tail: Number | None = setting(
        None, "exponent of a Pareto factor on the appeal; left out = no factor", gt=0, le=20
    )
    strikes_per_member: Number = setting(
        1.0, "mean strikes per member and month in a target group", ge=0, le=1e6
    )
    roles: RolesSection = RolesSection()


_Weight = Annotated[Number, Field(gt=0.0, le=1e12)] | None


class SourcesSection(Section):
    """Relative weight of each source among those of the same mechanism.

    Left out, a source has the note's number of join requests, or where the note has none that
    can be compared (groups_discover_tab, permalink) a number like its others: give all sources
    of a mechanism, or none.
    """

    gysj: _Weight = setting(None, "recommendation; left out = 1,326,540")
    groups_discover_tab: _Weight = setting(None, "recommendation; left out = 120,919")
    newsfeed_story_header: _Weight = setting(None, "friends; left out = 208,814")
    newsfeed_reshared_story: _Weight = setting(None, "friends; left out = 202,309")
    mobile_add_members: _Weight = setting(None, "invitation; left out = 653,997")
    messenger_group_attachment: _Weight = setting(None, "invitation; left out = 38,879")
    mobile_group_join: _Weight = setting(None, "intent; left out = 800,422")
    search: _Weight = setting(None, "intent; left out = 247,682")
    group_mall: _Weight = setting(None, "intent; left out = 239,872")
    permalink: _Weight = setting(None, "intent; left out = 107,311")


@rule(*_MECHANISMS)
def _shares_sum_to_one(given: Given, *shares: float) -> Iterator[Breach]:
    if abs(sum(shares) - 1.0) > _SUM_TOLERANCE:
        yield say_sum(given, _MECHANISMS, "must be 1")


class SimulationSection(Section):
    """How users come to join."""

    rules = (_shares_sum_to_one,)

    recommendation: Share = setting(0.36, "share of looks: groups recommended from a current group")
    friends: Share = setting(0.10, "share of looks: a friend's groups")
    invitation: Share = setting(0.18, "share of looks: an invitation")
    intent: Share = setting(0.36, "share of looks: search by topic and appeal")
    confirmation: bool = setting(
        True, "whether requests are confirmed as in the note; else all are"
    )
    bulk: Count = setting(200, "largest number of people invited at once", ge=1, le=30_000)
    pymi_factor: Number = setting(
        1.3, "PYMI multiplies the chance of inviting by so much", ge=0, le=100
    )
    pymi_featuring: Annotated[Number, Field(ge=1, le=100)] = setting(
        1.0,
        "PYMI multiplies the chance of being invited by so much, of users it features",
    )
    found_weight: Annotated[Number, Field(ge=0, le=100)] = setting(
        0.0,
        "a friend found by PYMK counts as so many friends when the receiver of an invitation "
        "is drawn; 0 = such friends do not invite each other",
    )
    pymk_share: Share = setting(0.05, "share of users whom PYMK finds a friend between two refits")
    refit_days: Count = setting(
        30, "days between refits of the co-membership recommender", ge=1, le=36_500
    )
    recommender_sample: Positive = setting(
        200_000, "users whose memberships a refit looks at, at most"
    )
    neighbours: Count = setting(20, "groups recommended from each group", ge=1, le=1_000)
    attempts: Count = setting(4, "groups looked at before an occasion passes unused", ge=1, le=100)
    sources: SourcesSection = SourcesSection()


class ModerationSection(Section):
    """What moderation does about strikes."""

    acts: bool = setting(True, "whether labels are given at all")
    detection: Share = setting(1.0, "mean share of violations that become strikes")
    detection_spread: Correlation = setting(
        0.0,
        "how far groups differ in that share: intraclass correlation; 0 = all alike",
    )
    false_strikes: Number = setting(
        0.0, "false strikes per member and month, in every group and kind", ge=0, le=1_000
    )
    reports: Number = setting(
        0.0, "reports per violation, which reviews count like strikes", ge=0, le=1_000
    )
    severe_share: Share = setting(0.2, "share of strikes that are severe")
    severe_spread: Correlation = setting(
        0.0,
        "how far groups differ in that share: intraclass correlation of severity; 0 = all alike",
    )
    severe_weight: Number = setting(
        0.0, "how much more a severe strike counts in reviews", ge=0, le=1_000
    )
    demote_strikes: Positive = setting(100, "strikes so far at which a group is demoted")
    non_amp_strikes: Positive = setting(200, "strikes so far at which a group is labelled non-amp")
    non_rec_strikes: Positive = setting(400, "strikes so far at which a group is labelled non-rec")
    demotion: Share = setting(0.5, "mean demotion score, how much less a demoted group is shown")
    demotion_spread: Correlation = setting(
        0.0,
        "how far groups differ in that score: intraclass correlation; 0 = all alike",
    )
    demotion_slope: Annotated[Number, Field(ge=0, le=10)] = setting(
        0.0,
        "how the score s grows with strikes n beyond the threshold t: 1 - (1 - s)^((n/t)^slope)",
    )
    non_amp_reduction: Share = setting(
        1.0, "how much less a group labelled non-amp is shown among friends' groups; 1 = never"
    )
    non_rec_reduction: Share = setting(
        1.0, "how much less a group labelled non-rec is recommended; 1 = never"
    )
    review_days: Number = setting(30.0, "mean delay of a label, exponential", ge=0, le=36_500)
    flag_chance: Share = setting(
        0.3, "chance that a membership of a harmful group brings its user a non-rec label"
    )
    flag_days: Number = setting(30.0, "mean delay of a user's label, exponential", ge=0, le=36_500)
    false_flags: Share = setting(0.0, "share of users labelled non-rec without such a membership")
