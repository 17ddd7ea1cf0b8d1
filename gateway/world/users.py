"""Users: interests, country, arrival, activity."""

from __future__ import annotations

import numpy as np

from gateway.arrays import Float32, Float64, Int32, Int64
from gateway.config.platform import WorldSection
from gateway.randomness import Purpose, generator
from gateway.world.model import NEVER, Arms, Users, topic_shares

# Users whose interests are drawn at a time: double precision takes room. Any number gives the
# same draws.
BATCH = 65_536


def draw_users(section: WorldSection, *, seed: int) -> Users:
    """Draw the users of a world."""
    rng = generator(seed, Purpose.USERS)
    shares = np.array(list(section.countries.values()))
    country = rng.choice(len(shares), size=section.users, p=shares / shares.sum())
    arrival = rng.integers(0, section.arrival_days + 1, size=section.users).astype(np.int32)
    return Users(
        interest=_draw_interest(section, seed=seed),
        country=country.astype(np.uint8),
        arrival=arrival,
        departure=_draw_departure(section, arrival, seed=seed),
        occasions=_draw_occasions(section, seed=seed),
        drift_start=_draw_drift(section, seed=seed),
        invite_chance=_draw_invite_chance(section, seed=seed),
        arms=_draw_arms(section, seed=seed),
    )


def _draw_departure(section: WorldSection, arrival: Int32, *, seed: int) -> Int32:
    """Some leave early, on a day drawn evenly between the day after arrival and the end."""
    rng = generator(seed, Purpose.DEPARTURE)
    leaves = rng.random(section.users) < section.leaving
    stay = rng.random(section.users) * (section.days - 1 - arrival)
    early = arrival + 1 + stay.astype(np.int32)
    return np.where(leaves, early, section.days).astype(np.int32)


def _draw_drift(section: WorldSection, *, seed: int) -> Int32:
    """Drifts begin on a day drawn evenly over the whole observation."""
    rng = generator(seed, Purpose.DRIFT)
    start = rng.integers(0, section.days, size=section.users)
    return np.where(rng.random(section.users) < section.drift_share, start, NEVER).astype(np.int32)


def _draw_invite_chance(section: WorldSection, *, seed: int) -> Float32:
    """Lognormal of mean ``invite_chance``, cut at 1: few users send most invitations."""
    rng = generator(seed, Purpose.INVITING)
    sigma = section.invite_sigma
    chance = section.invite_chance * rng.lognormal(-(sigma**2) / 2, sigma, size=section.users)
    return np.minimum(chance, 1.0).astype(np.float32)


def _draw_arms(section: WorldSection, *, seed: int) -> Arms:
    """Independent holdout arms: of who is shown something, then of who is shown to others."""
    shown = generator(seed, Purpose.ARMS).random((3, section.users)) < section.holdout
    featured = generator(seed, Purpose.ARMS, 1).random((2, section.users))
    return Arms(*shown, *(featured < section.featured_holdout))


def _draw_interest(section: WorldSection, *, seed: int) -> Float32:
    """Interest in each harm topic is Beta, the rest is shared out by a Dirichlet draw."""
    rng = generator(seed, Purpose.INTEREST)
    n_harm = len(section.kinds)
    a = section.harm_interest * section.harm_concentration
    b = (1 - section.harm_interest) * section.harm_concentration
    harm = rng.beta(a, b, size=(section.users, n_harm))
    harm /= np.maximum(1.0, harm.sum(axis=1, keepdims=True))
    interest = np.empty((section.users, section.topics), np.float32)
    interest[:, :n_harm] = harm
    concentration = section.interest_concentration * topic_shares(section)
    for first in range(0, section.users, BATCH):
        rows = slice(first, min(first + BATCH, section.users))
        plain = _dirichlet(rng, rows.stop - first, concentration)
        plain *= 1 - harm[rows].sum(axis=1, keepdims=True)
        interest[rows, n_harm:] = plain
    return interest


def _dirichlet(rng: np.random.Generator, rows: int, concentration: Float64) -> Float64:
    """Dirichlet rows; a row of all-zero gammas (tiny concentrations) becomes the mean row."""
    draws = rng.standard_gamma(concentration, size=(rows, len(concentration)))
    total = draws.sum(axis=1, keepdims=True)
    mean = np.broadcast_to(concentration / concentration.sum(), draws.shape)
    shares: Float64 = np.divide(draws, total, out=mean.copy(), where=total > 0)
    return shares


def _draw_occasions(section: WorldSection, *, seed: int) -> Int32:
    """Numbers of occasions by the configured law, cut at ``most_occasions``."""
    rng = generator(seed, Purpose.ACTIVITY)
    law = _power_occasions if section.activity_law == "power" else _lognormal_occasions
    return np.minimum(law(section, rng), section.most_occasions).astype(np.int32)


def _lognormal_occasions(section: WorldSection, rng: np.random.Generator) -> Int64:
    """Poisson counts around a lognormal rate of mean ``joins_per_user`` (Bulmer 1974).

    "On fitting the Poisson lognormal distribution to species-abundance data", Biometrics
    30, 101. Many users have no occasion at all where the mean is small.
    """
    sigma = section.activity_sigma
    rate = section.joins_per_user * rng.lognormal(-(sigma**2) / 2, sigma, size=section.users)
    return np.asarray(rng.poisson(rate), np.int64)


def _power_occasions(section: WorldSection, rng: np.random.Generator) -> Int64:
    """Draw from p(n) ~ n^-a exp(-n / c), n = 1, 2, ...: everybody has an occasion.

    Clauset, Shalizi, Newman (2009), "Power-law distributions in empirical data", SIAM
    Review 51, 661, table 2.1.
    """
    n = np.arange(1, section.most_occasions + 1, dtype=np.float64)
    weight = n**-section.activity_exponent * np.exp(-n / section.activity_cutoff)
    upto = np.cumsum(weight)
    draws = np.searchsorted(upto, rng.random(section.users) * upto[-1], side="right")
    return np.asarray(1 + draws, np.int64)
