"""Users: interests, country, arrival, activity."""

from __future__ import annotations

import numpy as np

from gateway.config.schema import WorldSection
from gateway.randomness import Purpose, generator
from gateway.world.model import Float32, Float64, Int32, Users

__all__ = ["draw_users"]

# One user with thousands of occasions would dominate every pair count; the largest real
# log we know has 1,035 joins of one user (YouTube groups 2007).
MOST_OCCASIONS = 1_000


def draw_users(section: WorldSection, *, seed: int) -> Users:
    """Draw the users of a world."""
    rng = generator(seed, Purpose.USERS)
    shares = np.array(list(section.countries.values()))
    country = rng.choice(len(shares), size=section.users, p=shares / shares.sum())
    arrival = rng.integers(0, section.arrival_days + 1, size=section.users)
    return Users(
        interest=_draw_interest(section, seed=seed),
        country=country.astype(np.uint8),
        arrival=arrival.astype(np.int32),
        occasions=_draw_occasions(section, seed=seed),
    )


def _draw_interest(section: WorldSection, *, seed: int) -> Float32:
    """Interest in each harm topic is Beta, the rest is shared out by a Dirichlet draw."""
    rng = generator(seed, Purpose.INTEREST)
    n_harm, n_plain = len(section.kinds), section.topics - len(section.kinds)
    a = section.harm_interest * section.harm_concentration
    b = (1 - section.harm_interest) * section.harm_concentration
    harm = rng.beta(a, b, size=(section.users, n_harm))
    harm /= np.maximum(1.0, harm.sum(axis=1, keepdims=True))
    plain = _dirichlet(rng, section.users, n_plain, section.interest_concentration)
    plain *= 1 - harm.sum(axis=1, keepdims=True)
    return np.hstack([harm, plain]).astype(np.float32)


def _dirichlet(rng: np.random.Generator, rows: int, columns: int, concentration: float) -> Float64:
    """Symmetric Dirichlet rows; a row of all-zero gammas (tiny concentration) becomes even."""
    draws = rng.standard_gamma(concentration / columns, size=(rows, columns))
    total = draws.sum(axis=1, keepdims=True)
    shares: Float64 = np.divide(draws, total, out=np.full_like(draws, 1 / columns), where=total > 0)
    return shares


def _draw_occasions(section: WorldSection, *, seed: int) -> Int32:
    """Poisson counts around a lognormal rate of mean ``joins_per_user``."""
    rng = generator(seed, Purpose.ACTIVITY)
    sigma = section.activity_sigma
    rate = section.joins_per_user * rng.lognormal(-(sigma**2) / 2, sigma, size=section.users)
    return np.minimum(rng.poisson(rate), MOST_OCCASIONS).astype(np.int32)
