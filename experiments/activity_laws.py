"""Which law do joins per user follow in a real log, and do users stay in a category?

Three laws of a number from 1 on, each with two parameters, by maximum likelihood: the
Poisson lognormal and the negative binomial without their zeros, and a power law with an
exponential cut-off. Then P(same category) of joins 1, 2, ... joins apart: a taste of the
moment would fade with the distance, a lasting taste does not.

Run: python experiments/activity_laws.py LOG --categories FILE
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.optimize import minimize
from scipy.special import expit

from gateway.log.join_log import JoinLog

Float64 = npt.NDArray[np.float64]

DISTANCES = (1, 2, 4, 8)
BUSY = 10


def poisson_lognormal(n: Float64, mu: float, sigma: float) -> Float64:
    """P(n) of Bulmer (1974), eq. 1, by midpoints of the normal law."""
    rate = np.exp(mu + sigma * stats.norm.ppf((np.arange(2_000) + 0.5) / 2_000))
    return np.asarray(stats.poisson.pmf(n[:, None], rate).mean(axis=1))


def negative_binomial(n: Float64, log_shape: float, logit: float) -> Float64:
    """P(n) of the Poisson law around a gamma rate."""
    return np.asarray(stats.nbinom.pmf(n, np.exp(log_shape), 1 - expit(logit)))


def power_with_cutoff(n: Float64, exponent: float, log_cutoff: float) -> Float64:
    """Weights n^-a exp(-n / c) from 1 on (Clauset, Shalizi, Newman 2009, table 2.1)."""
    return np.asarray(np.maximum(n, 0.5) ** -exponent * np.exp(-n / np.exp(log_cutoff)) * (n > 0))


LAWS: dict[str, tuple[Callable[..., Float64], tuple[float, float]]] = {
    "Poisson lognormal": (poisson_lognormal, (-1.5, 1.7)),
    "negative binomial": (negative_binomial, (-2.0, 1.0)),
    "power with cut-off": (power_with_cutoff, (1.8, 2.0)),
}


def fit(counts: npt.NDArray[np.int64], law: str) -> tuple[Float64, float]:
    """Return the parameters of maximum likelihood and the log-likelihood, given n >= 1."""
    weigh, start = LAWS[law]
    n = np.arange(1.0, max(1_000, 2 * counts.max()))
    seen = np.bincount(counts, minlength=len(n) + 1)[1:]

    def loss(x: Float64) -> float:
        p = weigh(n, *x)
        return -float(seen[seen > 0] @ np.log(p[seen > 0] / p.sum()))

    found = minimize(loss, start, method="Nelder-Mead")
    return found.x, -found.fun


def same_at(joins: JoinLog, category: npt.NDArray[np.int64], distance: int) -> tuple[float, float]:
    """P(same category) of joins so far apart: of all users, and of those with many joins."""
    user, of = joins.user(), category[joins.group]
    pair = user[distance:] == user[:-distance]
    same = of[distance:] == of[:-distance]
    busy = pair & (np.diff(joins.offsets)[user[distance:]] >= BUSY)
    return float(same[pair].mean()), float(same[busy].mean())


def main() -> None:
    """Print the fits, then the taste by distance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log")
    parser.add_argument("--categories", help="CSV with columns group and category")
    options = parser.parse_args()
    joins = JoinLog.read(options.log)
    for law in LAWS:
        x, likelihood = fit(np.diff(joins.offsets), law)
        print(f"{law:>20}: log-likelihood {likelihood:,.1f}, parameters {np.round(x, 3).tolist()}")
    if not options.categories:
        return
    with Path(options.categories).open(encoding="utf-8", newline="") as stream:
        names = {row["group"]: row["category"] for row in csv.DictReader(stream)}
    of_group = [names[group] for group in joins.groups.to_pylist()]
    category = np.unique(of_group, return_inverse=True)[1]
    for distance in DISTANCES:
        everybody, busy = same_at(joins, category, distance)
        print(f"{distance} joins apart: {everybody:.3f}; users of {BUSY} joins or more: {busy:.3f}")


if __name__ == "__main__":
    main()
