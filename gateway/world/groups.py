"""Groups: topics, appeal, country, creation, harm, and the planted roles."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr, ndtri

from gateway.arrays import Float32, Float64, Int32, Int64
from gateway.config.platform import WorldSection
from gateway.randomness import Purpose, generator
from gateway.world.model import GATEWAYS, Groups, Role, topic_shares

# Share of a group's mix that is its main topic; the rest is a second ordinary topic.
MAIN_SHARE = 0.8
# Share of groups that exist from day 0; the others appear evenly over the first half.
EXIST_AT_START = 0.7
# Shape of the gamma that spreads strike rates over target groups (mean one).
HARM_SHAPE = 4.0
# Planted groups that share one distribution of appeal.
_SIZED = (*GATEWAYS, Role.HOMOPHILY, Role.FELLOW_TRAVELLER)


def draw_groups(section: WorldSection, *, seed: int) -> Groups:
    """Draw the groups of a world and plant the roles."""
    rng = generator(seed, Purpose.GROUPS)
    role = _plant_roles(section, seed=seed)
    topic = _draw_topics(section, role, rng, seed=seed)
    n = section.groups
    late = rng.integers(0, max(1, section.days // 2), size=n)
    created = np.where(rng.random(n) < EXIST_AT_START, 0, late)
    return Groups(
        mix=_draw_mix(section, role, topic, rng, seed=seed),
        topic=topic.astype(np.int16),
        appeal=_draw_appeal(section, role, rng, seed=seed),
        country=_draw_country(section, role, rng),
        created=created.astype(np.int32),
        harm=_draw_harm(section, role, topic, rng),
        role=role,
        strength=_draw_strength(section, role, rng),
        operator=_draw_operators(section, role, seed=seed),
    )


def _plant_roles(section: WorldSection, *, seed: int) -> np.ndarray:
    """Give roles to groups drawn at random, so that an id tells nothing."""
    roles = section.roles
    role = np.full(section.groups, Role.ORDINARY, dtype=np.uint8)
    place = generator(seed, Purpose.ROLES).permutation(section.groups)
    counts = (
        (Role.TARGET, roles.targets),
        (Role.INFLUENCE, roles.influence),
        (Role.HOMOPHILY, roles.homophily),
        (Role.HUB, roles.hub),
        (Role.RECOMMENDER, roles.recommender),
        (Role.INVITER, roles.inviter),
        (Role.FELLOW_TRAVELLER, roles.fellow_traveller),
    )
    first = 0
    for planted, count in counts:
        role[place[first : first + count]] = planted
        first += count
    return role


def _draw_topics(
    section: WorldSection, role: np.ndarray, rng: np.random.Generator, *, seed: int
) -> np.ndarray:
    """Targets stand in a harm topic, everybody else's main topic is an ordinary one."""
    n_kinds = len(section.kinds)
    plain = _draw_plain_topics(section, rng, 0, seed=seed)
    harmful = rng.integers(0, n_kinds, size=section.groups)
    return np.where(role == Role.TARGET, harmful, plain)


def _draw_plain_topics(
    section: WorldSection, rng: np.random.Generator, column: int, *, seed: int
) -> Int64:
    """Ordinary topics, all alike or by their shares; either way ``rng`` draws the same."""
    n_kinds, n = len(section.kinds), section.groups
    even = rng.integers(n_kinds, section.topics, size=n)
    if section.topic_skew == 0:
        return even
    skewed = generator(seed, Purpose.TOPICS, column)
    return n_kinds + skewed.choice(section.topics - n_kinds, size=n, p=topic_shares(section))


def _draw_mix(
    section: WorldSection,
    role: np.ndarray,
    topic: np.ndarray,
    rng: np.random.Generator,
    *,
    seed: int,
) -> Float32:
    """Main topic plus a second ordinary one; look-alikes hold the harm or travellers' topic."""
    n = section.groups
    second = _draw_plain_topics(section, rng, 1, seed=seed)
    mix = np.zeros((n, section.topics + 1))
    row = np.arange(n)
    main = np.where(role == Role.TARGET, section.roles.target_mix, MAIN_SHARE)
    mix[row, topic] += main
    mix[row, second] += 1 - main
    share = section.roles.homophily_mix
    for kind, held in ((Role.HOMOPHILY, 0), (Role.FELLOW_TRAVELLER, section.topics)):
        mix[role == kind] *= 1 - share
        mix[role == kind, held] += share
    return mix.astype(np.float32)


def _draw_appeal(
    section: WorldSection, role: np.ndarray, rng: np.random.Generator, *, seed: int
) -> Float64:
    """Lognormal appeal; gateways and look-alikes but hubs share one distribution."""
    median = np.ones(section.groups)
    narrow = np.isin(role, _SIZED)
    median[narrow] = section.roles.role_size
    median[role == Role.HUB] = section.roles.hub_size
    spread = np.where(role == Role.HUB, section.appeal_sigma / 4, section.appeal_sigma)
    spread[narrow] = section.appeal_sigma / 2
    normal = _cut_off(rng.standard_normal(section.groups), section)
    return median * np.exp(spread * normal) * _draw_tail(section, role, seed=seed)


def _cut_off(normal: Float64, section: WorldSection) -> Float64:
    """Normal variates below the limit of the appeal, each moved along with its quantile."""
    if section.appeal_limit is None or section.appeal_sigma == 0:
        return normal
    highest = math.log(section.appeal_limit) / section.appeal_sigma
    return np.asarray(ndtri(ndtr(normal) * ndtr(highest)))


def _draw_tail(section: WorldSection, role: np.ndarray, *, seed: int) -> Float64:
    """Pareto factors of the groups whose appeal is not planted, from 1 on.

    A lognormal variate times a Pareto one is Pareto-lognormal (Reed, Jorgensen 2004, "The
    double Pareto-lognormal distribution", Commun. Stat. Theory Methods 33, 1733): its
    tail has the exponent of the factor.
    """
    if section.appeal_tail is None:
        return np.ones(section.groups)
    draws = generator(seed, Purpose.APPEAL_TAIL).exponential(size=section.groups)
    plain = np.isin(role, (Role.ORDINARY, Role.TARGET))
    return np.where(plain, np.exp(draws / section.appeal_tail), 1.0)


def _draw_country(section: WorldSection, role: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Countries by size; gateways and look-alikes stand in ``roles.country``."""
    names = list(section.countries)
    shares = np.array(list(section.countries.values()))
    country = rng.choice(len(names), size=section.groups, p=shares / shares.sum())
    planted = (role != Role.ORDINARY) & (role != Role.TARGET)
    country[planted] = names.index(section.roles.country)
    return country.astype(np.uint8)


def _draw_harm(
    section: WorldSection, role: np.ndarray, topic: np.ndarray, rng: np.random.Generator
) -> Float64:
    """Strikes per member and month: gamma in the kind of a target, none elsewhere."""
    harm = np.zeros((section.groups, len(section.kinds)))
    target = np.flatnonzero(role == Role.TARGET)
    spread = rng.standard_gamma(HARM_SHAPE, size=len(target)) / HARM_SHAPE
    harm[target, topic[target]] = section.strikes_per_member * spread
    return harm


def _draw_strength(section: WorldSection, role: np.ndarray, rng: np.random.Generator) -> Float64:
    """Normal beta, cut off at zero: a gateway does not repel. Other mechanisms are constant."""
    roles = section.roles
    beta = rng.normal(roles.influence_strength, roles.influence_strength_sd, size=len(role))
    acts = (role == Role.INFLUENCE) & (roles.influence_strength > 0)
    strength = np.where(acts, np.maximum(beta, 0.0), 0.0)
    strength[role == Role.RECOMMENDER] = roles.recommender_strength
    strength[role == Role.INVITER] = roles.inviter_strength
    return strength


def _draw_operators(section: WorldSection, role: np.ndarray, *, seed: int) -> Int32:
    """One user for each inviter gateway."""
    rng = generator(seed, Purpose.OPERATORS)
    operator = rng.integers(0, section.users, size=section.groups)
    return np.where(role == Role.INVITER, operator, -1).astype(np.int32)
