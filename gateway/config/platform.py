"""What a simulated platform is made of: world, roles, simulation, moderation.

Times are days unless the name says otherwise. Every default is a choice, not a fact
about any real platform.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.config.types import (
    COUNTRY_RULE,
    INT32_END,
    Count,
    Country,
    Date,
    Name,
    Number,
    Section,
    Share,
    sorted_by_key,
)

__all__ = [
    "ModerationSection",
    "RolesSection",
    "SimulationSection",
    "SourcesSection",
    "WorldSection",
]


class RolesSection(Section):
    """How many groups are planted in each role, and how strongly they act."""

    targets: Annotated[Count, Field(ge=1, lt=INT32_END)] = Field(
        default=160, description="harmful groups, over all countries"
    )
    target_mix: Share = Field(
        default=0.8,
        description="share of the harm topic in a harmful group; the rest is an ordinary topic, "
        "through which users come who have no interest in harm",
    )
    influence: Annotated[Count, Field(ge=0, lt=INT32_END)] = Field(
        default=40, description="gateways: a join raises the taste for the harm topic"
    )
    influence_strength: Annotated[Number, Field(ge=0.0, le=10.0)] = Field(
        default=1.4, description="mean of beta, the log factor on that taste"
    )
    influence_strength_sd: Annotated[Number, Field(ge=0.0, le=5.0)] = Field(
        default=0.4, description="standard deviation of beta over gateways"
    )
    influence_half_life: Annotated[Number, Field(ge=0.0, le=36_500.0)] = Field(
        default=0.0, description="days in which that influence halves; 0 = it lasts"
    )
    recommender: Annotated[Count, Field(ge=0, lt=INT32_END)] = Field(
        default=0, description="gateways whose members are recommended targets"
    )
    recommender_strength: Share = Field(
        default=0.3, description="share of targets among what is recommended from one of them"
    )
    inviter: Annotated[Count, Field(ge=0, lt=INT32_END)] = Field(
        default=0, description="gateways whose operator invites the members into targets"
    )
    inviter_strength: Share = Field(
        default=0.5,
        description="probability that an invitation occasion on which a member thinks of one of "
        "them is its operator's",
    )
    homophily: Annotated[Count, Field(ge=0, lt=INT32_END)] = Field(
        default=40, description="look-alikes that attract users already inclined, beta = 0"
    )
    homophily_mix: Share = Field(
        default=0.6, description="share of the harm topic in a homophily look-alike"
    )
    hub: Annotated[Count, Field(ge=0, lt=INT32_END)] = Field(
        default=20, description="look-alikes that are merely large, beta = 0"
    )
    fellow_traveller: Annotated[Count, Field(ge=0, lt=INT32_END)] = Field(
        default=0, description="look-alikes joined on the way by users whose taste drifts"
    )
    country: str = Field(
        default="US", description="country of the planted gateways and look-alikes"
    )
    role_size: Annotated[Number, Field(gt=0.0, le=1e6)] = Field(
        default=4.0, description="median appeal of gateways and homophily groups (ordinary: 1)"
    )
    hub_size: Annotated[Number, Field(gt=0.0, le=1e6)] = Field(
        default=40.0, description="median appeal of hubs (ordinary: 1)"
    )


class WorldSection(Section):
    """What exists before anyone joins."""

    users: Annotated[Count, Field(ge=1, lt=INT32_END)] = Field(
        default=50_000, description="number of users"
    )
    groups: Annotated[Count, Field(ge=2, lt=INT32_END)] = Field(
        default=4_000, description="number of groups, planted ones included"
    )
    start: Date = Field(default=dt.date(2020, 1, 1), description="day 0")
    days: Annotated[Count, Field(ge=2, le=36_500)] = Field(
        default=540, description="length of the observation"
    )
    topics: Annotated[Count, Field(ge=2, le=200)] = Field(
        default=20, description="interest topics; the first len(kinds) are the harm topics"
    )
    kinds: tuple[Name, ...] = Field(
        default=("nudity", "violence"), min_length=1, description="kinds of harm", strict=False
    )
    countries: Annotated[
        dict[Country, Annotated[Number, Field(gt=0.0, le=1e9)]], AfterValidator(sorted_by_key)
    ] = Field(
        default={"BR": 0.15, "GB": 0.2, "IN": 0.15, "US": 0.5},
        min_length=1,
        description="relative size of each country; their order in the file has no meaning",
        json_schema_extra={"x-key-rule": COUNTRY_RULE},
    )
    home_bias: Share = Field(
        default=0.9, description="how much less a user sees of groups of other countries"
    )
    interest_concentration: Annotated[Number, Field(gt=0.0, le=1e6)] = Field(
        default=4.0,
        description="Dirichlet concentration of ordinary interests; large = all users alike",
    )
    harm_concentration: Annotated[Number, Field(gt=0.0, le=1e6)] = Field(
        default=20.0,
        description="Beta concentration of interest in a harm topic; large = all users alike",
    )
    harm_interest: Annotated[Number, Field(gt=0.0, lt=1.0)] = Field(
        default=0.01, description="mean share of each harm topic in a user's interests"
    )
    topic_skew: Annotated[Number, Field(ge=0.0, le=4.0)] = Field(
        default=0.0,
        description="the i-th ordinary topic is i^-skew as common as the first, among interests "
        "and groups; 0 = all alike",
    )
    activity_law: Literal["lognormal", "power"] = Field(
        default="lognormal",
        description="number of a user's occasions: Poisson around a lognormal rate, or a power "
        "law from 1 on with a cut-off",
    )
    joins_per_user: Annotated[Number, Field(gt=0.0, le=1_000.0)] = Field(
        default=14.0, description="lognormal law: mean number of join occasions per user"
    )
    activity_sigma: Annotated[Number, Field(ge=0.0, le=3.0)] = Field(
        default=0.9, description="lognormal law: log standard deviation of users' activity"
    )
    activity_exponent: Annotated[Number, Field(ge=0.0, le=10.0)] = Field(
        default=2.0, description="power law: exponent of the number of occasions"
    )
    activity_cutoff: Annotated[Number, Field(gt=0.0, le=1e6)] = Field(
        default=50.0, description="power law: occasions beyond which it falls exponentially"
    )
    most_occasions: Annotated[Count, Field(ge=1, le=30_000)] = Field(
        default=1_000, description="largest number of join occasions of a user"
    )
    gap_shape: Annotated[Number, Field(ge=0.1, le=10.0)] = Field(
        default=1.0,
        description="gamma shape of the gaps between occasions; 1 = points of a Poisson process, "
        "less = bunched",
    )
    arrival_days: Annotated[Count, Field(ge=0, le=36_500)] = Field(
        default=180, description="users arrive evenly over the first so many days"
    )
    leaving: Share = Field(
        default=0.0, description="share of users who leave before the end, evenly in time"
    )
    drift_share: Share = Field(
        default=0.0, description="share of users whose taste drifts towards harm by itself"
    )
    drift_days: Annotated[Number, Field(gt=0.0, le=36_500.0)] = Field(
        default=60.0, description="days that such a drift takes"
    )
    drift_strength: Annotated[Number, Field(ge=0.0, le=10.0)] = Field(
        default=2.0, description="log factor on the taste for the harm topic at its end"
    )
    travel_taste: Annotated[Number, Field(ge=0.0, le=10.0)] = Field(
        default=0.3, description="taste for fellow-traveller groups while the drift lasts"
    )
    invite_chance: Share = Field(
        default=0.3, description="mean probability that a join is followed by invitations"
    )
    invite_sigma: Annotated[Number, Field(ge=0.0, le=4.0)] = Field(
        default=1.5, description="log standard deviation of that probability over users"
    )
    invite_tail: Annotated[Number, Field(gt=0.5, le=10.0)] = Field(
        default=1.6, description="Pareto exponent of the number of people invited at once"
    )
    holdout: Share = Field(
        default=0.1, description="share of users in the holdout arm of each of GYSJ, PYMI, PYMK"
    )
    mean_friends: Annotated[Number, Field(ge=0.0, le=10_000.0)] = Field(
        default=12.0, description="mean number of friends per user"
    )
    friend_tail: Annotated[Number, Field(gt=2.0, le=10.0)] = Field(
        default=3.0, description="exponent of the tail of the number of friends"
    )
    friend_homophily: Share = Field(
        default=0.5,
        description="share of friendships within the same country and main interest, beyond chance",
    )
    friend_country: Share = Field(
        default=0.5,
        description="share of the other friendships within the same country, beyond chance",
    )
    friend_clustering: Annotated[Number, Field(ge=0.0, le=0.9)] = Field(
        default=0.5, description="share of friendships made by introduction through a common friend"
    )
    appeal_sigma: Annotated[Number, Field(ge=0.0, le=4.0)] = Field(
        default=1.4, description="log standard deviation of groups' appeal"
    )
    appeal_limit: Annotated[Number, Field(ge=1.0, le=1e12)] | None = Field(
        default=None,
        description="the lognormal appeal is cut off at so many times its median; "
        "left out = nowhere",
    )
    appeal_tail: Annotated[Number, Field(gt=0.0, le=20.0)] | None = Field(
        default=None, description="exponent of a Pareto factor on the appeal; left out = no factor"
    )
    strikes_per_member: Annotated[Number, Field(ge=0.0, le=1e6)] = Field(
        default=1.0, description="mean strikes per member and month in a target group"
    )
    roles: RolesSection = RolesSection()


_Weight = Annotated[Number, Field(gt=0.0, le=1e12)] | None


class SourcesSection(Section):
    """Relative weight of each source among those of the same mechanism.

    Left out, a source has the note's number of join requests: give all sources of a
    mechanism, or none.
    """

    gysj: _Weight = Field(default=None, description="recommendation; left out = 1,326,540")
    groups_discover_tab: _Weight = Field(
        default=None, description="recommendation; left out = 120,919"
    )
    newsfeed_story_header: _Weight = Field(default=None, description="friends; left out = 208,814")
    newsfeed_reshared_story: _Weight = Field(
        default=None, description="friends; left out = 202,309"
    )
    mobile_add_members: _Weight = Field(default=None, description="invitation; left out = 653,997")
    messenger_group_attachment: _Weight = Field(
        default=None, description="invitation; left out = 38,879"
    )
    mobile_group_join: _Weight = Field(default=None, description="intent; left out = 800,422")
    search: _Weight = Field(default=None, description="intent; left out = 247,682")
    group_mall: _Weight = Field(default=None, description="intent; left out = 239,872")
    permalink: _Weight = Field(default=None, description="intent; left out = 107,311")


class SimulationSection(Section):
    """How users come to join."""

    recommendation: Share = Field(
        default=0.36, description="share of looks: groups recommended from a current group"
    )
    friends: Share = Field(default=0.10, description="share of looks: a friend's groups")
    invitation: Share = Field(default=0.18, description="share of looks: an invitation")
    intent: Share = Field(default=0.36, description="share of looks: search by topic and appeal")
    confirmation: bool = Field(
        default=True, description="whether requests are confirmed as in the note; else all are"
    )
    bulk: Annotated[Count, Field(ge=1, le=30_000)] = Field(
        default=200, description="largest number of people invited at once"
    )
    pymi_factor: Annotated[Number, Field(ge=0.0, le=100.0)] = Field(
        default=1.3, description="PYMI multiplies the chance of inviting by so much"
    )
    pymk_share: Share = Field(
        default=0.05, description="share of users whom PYMK finds a friend between two refits"
    )
    refit_days: Annotated[Count, Field(ge=1, le=36_500)] = Field(
        default=30, description="days between refits of the co-membership recommender"
    )
    recommender_sample: Annotated[Count, Field(ge=1, lt=INT32_END)] = Field(
        default=200_000, description="users whose memberships a refit looks at, at most"
    )
    neighbours: Annotated[Count, Field(ge=1, le=1_000)] = Field(
        default=20, description="groups recommended from each group"
    )
    attempts: Annotated[Count, Field(ge=1, le=100)] = Field(
        default=4, description="groups looked at before an occasion passes unused"
    )
    sources: SourcesSection = SourcesSection()


class ModerationSection(Section):
    """What moderation does about strikes."""

    acts: bool = Field(default=True, description="whether labels are given at all")
    severe_share: Share = Field(default=0.2, description="share of strikes that are severe")
    severe_spread: Annotated[Number, Field(ge=0.0, le=0.99)] = Field(
        default=0.0,
        description="how far groups differ in that share: intraclass correlation of severity; "
        "0 = all alike",
    )
    demote_strikes: Annotated[Count, Field(ge=1, lt=INT32_END)] = Field(
        default=100, description="strikes so far at which a group is demoted"
    )
    non_amp_strikes: Annotated[Count, Field(ge=1, lt=INT32_END)] = Field(
        default=200, description="strikes so far at which a group is labelled non-amp"
    )
    non_rec_strikes: Annotated[Count, Field(ge=1, lt=INT32_END)] = Field(
        default=400, description="strikes so far at which a group is labelled non-rec"
    )
    demotion: Share = Field(default=0.5, description="how much less a demoted group is shown")
    review_days: Annotated[Number, Field(ge=0.0, le=36_500.0)] = Field(
        default=30.0, description="mean delay of a label, exponential"
    )
