"""Does the simulator obey the laws that it says it does?

Each law is drawn by the simulator's own code, compared with the equation in its docstring,
tested (Kolmogorov and Smirnov where values are continuous, Pearson's chi-square where they
are counts) and drawn quantile by quantile, or share by share. The seed is fixed: a p-value
is a fact about this draw, and of twelve one below .05 is no surprise.

Run: python experiments/verification.py [--size 20000] [--seed 7]
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import stats

from experiments import qq
from gateway import randomness_kernels
from gateway._numba import kernel
from gateway.config import Config
from gateway.figures import csv_bytes, render
from gateway.randomness import Stream
from gateway.results import load_config
from gateway.simulate import live_through, occasion_kernels
from gateway.simulate.moderation import Moderation
from gateway.simulate.sources import SOURCE_TABLE, Mechanism
from gateway.world import Users, draw_world

philox = kernel(randomness_kernels.philox)
uniform52 = kernel(randomness_kernels.uniform52)
next_clock = kernel(occasion_kernels.next_clock)

ROOT = Path(__file__).parents[1]
STORED = ROOT / "results" / "reference" / "verification"
PICTURE = ROOT / "docs" / "images" / "verification.png"

Float64 = npt.NDArray[np.float64]

POINTS_PER_USER = 5
BUNCHED = 0.4
# Nobody sees the others, everything is found by search, and every group exists and is as
# likely as any other: an occasion is a join with one and the same probability.
THINNED = (
    "world.roles.influence=0", "world.roles.homophily=0", "world.roles.hub=0",
    "world.groups=20000", "world.appeal_sigma=0", "world.home_bias=0",
    "world.interest_concentration=1e6", "world.joins_per_user=3", "world.activity_sigma=0",
    "simulation.intent=1", "simulation.recommendation=0", "simulation.friends=0",
    "simulation.invitation=0", "simulation.attempts=1",
)  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One law beside what the simulator did.

    Parameters
    ----------
    law, axis
        What is looked at, and in which unit.
    test, n, statistic, p_value
        The test that the sample is of the law.
    theory, sample, low, high
        Quantiles, or shares, of the law and of the sample; and between which values the
        sample's are in 95 % of samples of the law, each point by itself.
    is_log
        Whether they span orders of magnitude.
    """

    law: str
    axis: str
    test: str
    n: int
    statistic: float
    p_value: float
    theory: Float64
    sample: Float64
    low: Float64
    high: Float64
    is_log: bool = False


def philox_uniforms(seed: int, size: int) -> Check:
    """Philox 4x32-10 (Salmon et al. 2011): U ~ Uniform(0, 1) over users."""
    words = (philox(seed, Stream.JOINS, user, 0, 0) for user in range(size))
    draws = np.array([uniform52(high, low) for high, low, _, _ in words])
    return by_quantiles("Philox numbers", "U", draws, stats.uniform())


def event_times(seed: int, size: int) -> Check:
    """Given their number, points of a Poisson process are uniform (Kingman 1993, 2.4)."""
    times = occasion_times(seed, size // POINTS_PER_USER, gap_shape=1.0)
    return by_quantiles("Occasions, uniform", "share of the stay", times.ravel(), stats.uniform())


def bunched_times(seed: int, size: int) -> Check:
    """Of n Dirichlet(a, ..., a) spacings, the first k sum to Beta(k a, (n + 1 - k) a)."""
    times = occasion_times(seed, size // POINTS_PER_USER, gap_shape=BUNCHED)
    middle = stats.beta(3 * BUNCHED, 3 * BUNCHED)
    return by_quantiles("Third of five, bunched", "share of the stay", times[:, 2], middle)


def first_gaps(seed: int, size: int) -> Check:
    """A single spacing is Beta(a, n a); here from the first occasion to the second."""
    times = occasion_times(seed, size // POINTS_PER_USER, gap_shape=BUNCHED)
    law = stats.beta(BUNCHED, POINTS_PER_USER * BUNCHED)
    gap = times[:, 1] - times[:, 0]
    return by_quantiles("Gaps, bunched", "share of the stay", gap, law)


def power_occasions(seed: int, size: int) -> Check:
    """P(n occasions) ~ n^-a exp(-n / c) (Clauset, Shalizi, Newman 2009, table 2.1)."""
    settings = ("world.activity_law=power", "world.activity_exponent=1.8")
    users = draw_users(seed, size, *settings, "world.activity_cutoff=20")
    n = np.arange(1, 1_001)
    p = n**-1.8 * np.exp(-n / 20.0)
    edges = np.array([1, 2, 3, 4, 5, 7, 10, 15, 20, 30])
    beyond = np.array([p[k - 1 :].sum() for k in edges]) / p.sum()
    return by_tail("Occasions, power law", "users", users.occasions, edges, beyond)


def lognormal_occasions(seed: int, size: int) -> Check:
    """Poisson counts around a lognormal rate (Bulmer 1974, eq. 1), integrated by midpoints."""
    users = draw_users(seed, size, "world.joins_per_user=2", "world.activity_sigma=1.5")
    rate = 2.0 * np.exp(1.5 * stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000) - 1.5**2 / 2)
    edges = np.array([0, 1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50])
    beyond = np.array([stats.poisson(rate).sf(k - 1).mean() for k in edges])
    return by_tail("Occasions, lognormal", "users", users.occasions, edges, beyond)


def joins_per_user(seed: int, size: int) -> Check:
    """A Poisson(J) number of occasions, each a join with chance p: Poisson(J p).

    Kingman (1993), Poisson Processes, 5.1, the colouring theorem; p is the mean of the
    confirmation shares of the sources of intent by their requests.
    """
    world = draw_world(config(seed, size, *THINNED))
    groups = replace(world.groups, created=np.zeros_like(world.groups.created))
    joins = live_through(replace(world, groups=groups)).joins()
    rows = [row for row in SOURCE_TABLE if row.mechanism == Mechanism.INTENT]
    requests = np.array([row.requests for row in rows])
    p = float(requests @ [row.confirmed for row in rows] / requests.sum())
    edges = np.arange(9)
    beyond = np.asarray(stats.poisson(3 * p).sf(edges - 1))
    return by_tail("Joins, thinned", "users", np.diff(joins.offsets), edges, beyond)


def confirmations(seed: int, size: int) -> Check:
    """Of n requests of a source, Binomial(n, its share in the note) are confirmed."""
    requests = live_through(draw_world(config(seed, size))).requests()
    names, confirmed = requests["source"].to_pylist(), np.array(requests["confirmed"])
    of = np.array([[row.name for row in SOURCE_TABLE].index(name) for name in names])
    n = np.bincount(of, minlength=len(SOURCE_TABLE))
    got = np.bincount(of[confirmed], minlength=len(SOURCE_TABLE))
    p = np.array([row.confirmed for row in SOURCE_TABLE])
    statistic = float((((got - n * p) ** 2) / (n * p * (1 - p))).sum())
    law = stats.binom(n, p)
    return Check(
        "Requests confirmed", "share, by source", "chi-square", int(n.sum()), statistic,
        float(stats.chi2(len(p)).sf(statistic)), p, got / n, law.ppf(0.025) / n, law.ppf(0.975) / n,
    )  # fmt: skip


def label_delays(seed: int, size: int) -> Check:
    """Reviews take Exponential(m) days: P(delay >= d) = exp(-d / m) for whole days d."""
    settings = (f"world.groups={size}", f"world.roles.targets={size - 200}")
    world = draw_world(config(seed, 100, *settings))
    moderation = Moderation(world, world.config.moderation)
    for month in (0, 1):
        moderation.begin_month(month, np.full(size, 10**5))
    non_rec = moderation.labels.non_rec[world.groups.harm.sum(axis=1) > 0]
    edges = np.array([0, 2, 5, 10, 20, 30, 45, 60, 90, 120])
    beyond = np.exp(-edges / world.config.moderation.review_days)
    return by_tail("Label delays", "labels", non_rec - moderation.starts[1], edges, beyond)


def strikes(seed: int, size: int) -> Check:
    """Strikes are Poisson of mean m = harm x members: (x - m) / sqrt(m) is normal for large m."""
    settings = (f"world.groups={size}", f"world.roles.targets={size - 200}")
    world = draw_world(config(seed, 100, *settings))
    moderation = Moderation(world, world.config.moderation)
    moderation.begin_month(0, np.full(size, 10**6))
    mean = 1e6 * world.groups.harm
    struck = mean > 1_000
    deviation = (moderation.strikes().count[:, 0] - mean)[struck] / np.sqrt(mean[struck])
    return by_quantiles("Strikes", "standard deviations", deviation, stats.norm())


def friend_degrees(seed: int, size: int) -> Check:
    """A user of weight w has w/2 friends by an own draw, rounded, and Poisson(w/2) by others'.

    The degree-corrected block model (Karrer, Newman 2011) without blocks and triangles; w
    is Pareto of exponent 3 between two limits, docs/explanation/simulator.md, Weights.
    """
    apart = ("world.friend_clustering=0", "world.friend_homophily=0", "world.friend_country=0")
    world = draw_world(config(seed, size, *apart, "world.mean_friends=12"))
    weight = weights_at_midpoints(12.0, min(25 * 12.0, np.sqrt(12.0 * size)))
    edges = np.array([0, 5, 6, 7, 8, 9, 10, 12, 14, 17, 20, 25, 30, 40, 60, 90, 150])
    own, rounding = np.floor(weight / 2), weight / 2 % 1
    found = stats.poisson(weight / 2)
    beyond = [
        ((1 - rounding) * found.sf(k - own - 1) + rounding * found.sf(k - own - 2)).mean()
        for k in edges
    ]
    degrees = np.diff(world.friendships.offsets)
    return by_tail("Friends without triangles", "users", degrees, edges, np.array(beyond))


def invitation_bulks(seed: int, size: int) -> Check:
    """Whole part of a Pareto draw: P(n >= k) = k^-b, b = invite_tail."""
    history = live_through(draw_world(config(seed, size)))
    pairs = np.stack([history.invitations.sender, history.invitations.group])
    sent = np.unique(pairs, axis=1, return_counts=True)[1]
    edges = np.array([1, 2, 3, 4, 5, 7, 10, 15, 25, 50, 100, 200])
    beyond = edges**-history.world.section.invite_tail
    return by_tail("Invitations sent at once", "senders", sent, edges, beyond)


LAWS: tuple[Callable[[int, int], Check], ...] = (
    philox_uniforms,
    event_times,
    bunched_times,
    first_gaps,
    power_occasions,
    lognormal_occasions,
    joins_per_user,
    confirmations,
    strikes,
    label_delays,
    friend_degrees,
    invitation_bulks,
)


def config(seed: int, users: int, *settings: str) -> Config:
    """Return the quickstart's config with another seed and number of users."""
    overrides = [f"experiment.seed={seed}", f"world.users={users}", *settings]
    return load_config(str(ROOT / "configs" / "quickstart.toml"), overrides=overrides)


def draw_users(seed: int, users: int, *settings: str) -> Users:
    """Draw the users of a world alone; groups are few."""
    return draw_world(config(seed, users, *settings, "world.mean_friends=0")).users


def occasion_times(seed: int, users: int, *, gap_shape: float) -> Float64:
    """Occasions of users who stay from 0 to 1, by the simulator's clock; sorted by row."""
    times = np.empty((users, POINTS_PER_USER))
    for user in range(users):
        clock = 0.0
        for i in range(POINTS_PER_USER):
            left = POINTS_PER_USER - i
            clock = next_clock(seed, Stream.EVENT_TIMES, user, i, clock, left, 1.0, gap_shape)
            times[user, i] = clock
    return times


def weights_at_midpoints(mean: float, high: float, n: int = 20_000) -> Float64:
    """Quantiles of the Pareto law of exponent 3 on [low, high] with a mean.

    With p(x) ~ x^-3 the mean is 2 low high / (low + high), and F solves to the line below.
    """
    low = mean * high / (2 * high - mean)
    u = (np.arange(n) + 0.5) / n
    return np.asarray(low / np.sqrt(1 - u * (1 - (low / high) ** 2)))


def by_quantiles(law: str, axis: str, sample: Float64, theory: Any) -> Check:
    """Compare a continuous sample with its law, quantile by quantile.

    The band is that of the order statistic: the k-th of n uniform numbers is
    Beta(k, n + 1 - k) (David, Nagaraja 2003, Order Statistics, 2.3).
    """
    n, found = len(sample), stats.kstest(sample, theory.cdf)
    rank = np.unique(np.round(np.linspace(0.005, 0.995, 60) * n).astype(int))
    of_rank = stats.beta(rank, n + 1 - rank)
    return Check(
        law, axis, "Kolmogorov-Smirnov", n, float(found.statistic), float(found.pvalue),
        theory.ppf(rank / (n + 1)), np.sort(sample)[rank - 1],
        theory.ppf(of_rank.ppf(0.025)), theory.ppf(of_rank.ppf(0.975)),
    )  # fmt: skip


def by_tail(law: str, who: str, counts: Any, edges: Any, beyond: Float64) -> Check:
    """Compare counts with P(count >= edge): chi-square over the bins between the edges.

    The first edge is the least count, so that its share is 1. Bins that are expected to
    hold fewer than five are left to the one before.
    """
    n = len(counts)
    keep = np.flatnonzero(n * beyond >= 5)
    edges, beyond = edges[keep], beyond[keep]
    expected = n * -np.diff(beyond, append=0.0)
    got = np.bincount(np.searchsorted(edges, counts, side="right") - 1, minlength=len(edges))
    found = stats.chisquare(got, expected * got.sum() / expected.sum())
    shares, law_of = np.array([(counts >= k).mean() for k in edges[1:]]), stats.binom(n, beyond[1:])
    return Check(
        law, f"share of {who} at or above", "chi-square", n, float(found.statistic),
        float(found.pvalue), beyond[1:], shares, law_of.ppf(0.025) / n, law_of.ppf(0.975) / n,
        is_log=True,
    )  # fmt: skip


def as_table(checks: list[Check]) -> pa.Table:
    """Return the points of all laws, one panel each, as the figure reads them."""
    parts = []
    for panel, check in enumerate(checks):
        points = [check.theory, check.sample, check.low, check.high]
        same = [panel, check.law, check.axis, check.test, check.n, check.p_value, check.is_log]
        columns = [[value] * len(check.theory) for value in same] + points
        fields = zip(columns, qq.CHECKS_SCHEMA, strict=True)
        arrays = [pa.array(column, field.type) for column, field in fields]
        parts.append(pa.table(arrays, schema=qq.CHECKS_SCHEMA))
    return pa.concat_tables(parts)


def main() -> None:
    """Check every law; print a table, store it, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=20_000, help="users, groups or draws")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    checks = [law(options.seed, options.size) for law in LAWS]
    STORED.mkdir(parents=True, exist_ok=True)
    with (STORED / "table.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["law", "test", "n", "statistic", "p_value"])
        for check in checks:
            row = [check.law, check.test, check.n, f"{check.statistic:.4g}", f"{check.p_value:.3f}"]
            writer.writerow(row)
            print("| " + " | ".join(map(str, row)) + " |")
    data = qq.plotted({"checks": as_table(checks)})
    (STORED / "points.csv").write_bytes(csv_bytes(data))
    PICTURE.write_bytes(render(qq.draw(data))["png"])
    print(qq.caption(data))


if __name__ == "__main__":
    main()
