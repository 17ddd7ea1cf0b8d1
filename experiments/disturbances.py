"""Which piece of the self-controlled detector is worth what, on disturbed join logs.

A generator apart from the simulator: users join groups by topic on a calendar of one year, an
inclination gives each a rate of target joins, and gateways multiply it from the day after their
joining on. Each kind of world disturbs one thing at a time. Where a kind begins with ``null``,
no group has an effect, and every call is a false one.

A config can be named in place of a kind: the world of a simulated platform, or a real log into
which ten gateways of ratio 4 are planted anywhere. With ``permuted:`` before it, each user's
groups are permuted among the user's joins, and no group has an effect.

For each kind and each setting of the detector (all pieces, or one turned off) it prints the mean
over worlds of average precision against the gateways with its standard error, of look-alikes
among as many groups as there are gateways; calls at 5 %, false ones and the worlds with one, the
same of robust calls; the share of gateways whose 95 % interval holds the planted ratio; the worlds
in which the p-values of the other groups are not uniform (Kolmogorov and Smirnov's test at .05);
and processor seconds. Groups of one alias set count once, and a set with a gateway in it is true.
What is in the file of --out is not computed again.

Two oracles rank by the planted ratios' likelihood. ``oracle`` knows each user's rate of target
joins on each day, the group's own effect apart; ``oracle within users`` the effects of all other
groups, but like the detector no user's level.

Run: python experiments/disturbances.py --out FILE [--worlds 5] [--first 1]
     [--kinds base bots configs/bench/meetup_tech.toml ...] [--settings all prior ...]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from scipy.stats import kstest

from gateway.check import Planting, permute_within_users, plant
from gateway.detect import Detection, SelfControlledOptions, detect_self_controlled
from gateway.detect.self_controlled import evidence
from gateway.detect.self_controlled.fit import BACKGROUND, JointFit, fit_joint
from gateway.detect.self_controlled.likelihood import Likelihood, Point
from gateway.detect.self_controlled.preparation import Preparation
from gateway.detect.self_controlled.rows import RiskWindow
from gateway.inputs import obtain_inputs
from gateway.log.join_log import JoinLog
from gateway.provenance import MODEL_VERSION
from gateway.results import load_config
from gateway.targets import TargetSet
from gateway.world import GATEWAYS as GATEWAY_ROLES
from gateway.world import LOOK_ALIKES, Role

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

TOPICS, TARGETS, ALIKE, GATEWAYS = 10, 50, 40, 24
FACTORS = (1.4, 1.8, 2.5, 4.0)
# A taste grows by no more than this factor, however many gateways a user has joined.
MOST = 1_000.0


@dataclass(frozen=True)
class Kind:
    """A kind of world; the first five fields are its size, each other one a disturbance.

    Parameters
    ----------
    users, groups, days, joins
        Numbers, and ordinary joins that a user makes in a year.
    null
        Whether no group has an effect.
    effect_days
        How long a gateway acts; 0 for ever.
    session
        Mean length in days of sessions outside of which a user is away; 0 for none. A user
        is in one on a tenth of the days.
    every
        Days between the dates that the log knows; 1 for all.
    bots
        Share of users who join ``bot_joins`` groups at random.
    mood
        Standard deviation of a user's activity over time on the log scale; it lasts a month.
    company
        Share of a gateway's joiners who join its companion on the same day.
    late
        Whether half of the groups are founded in the middle of the year.
    trend
        Log factor by which target joins of one half of the users rise over the year and fall
        in the other, who also join other topics.
    leave
        Chance to leave within some weeks of each target join.
    fewer
        Factor on the other joins in the 60 days after a target join.
    drift
        Share of users whose taste for targets, and for the groups on the way there (the
        travellers), begins at some day of the year.
    drift_factor
        Of those: how much more they join targets from then on.
    """

    users: int = 20_000
    groups: int = 600
    days: int = 365
    joins: float = 12.0
    null: bool = False
    effect_days: int = 0
    session: float = 0.0
    every: int = 1
    bots: float = 0.0
    bot_joins: int = 350
    mood: float = 0.0
    company: float = 0.0
    late: bool = False
    trend: float = 0.0
    leave: float = 0.0
    fewer: float = 1.0
    drift: float = 0.0
    drift_factor: float = 20.0


KINDS: Mapping[str, Kind] = {
    "base": Kind(),
    "short": Kind(users=50_000, joins=4.0),
    "sessions": Kind(session=5.0),
    "dates": Kind(every=30),
    "bots": Kind(bots=0.02),
    "moods": Kind(mood=1.0),
    "effect_30": Kind(effect_days=30),
    "companions": Kind(company=0.9),
    "late": Kind(late=True),
    "countries": Kind(trend=3.0),
    "leaving": Kind(leave=0.4),
    "travellers": Kind(drift=0.2),
    "null": Kind(null=True),
    "null_sessions": Kind(null=True, session=5.0),
    "null_late": Kind(null=True, late=True),
    "null_countries": Kind(null=True, trend=3.0),
    "null_leaving": Kind(null=True, leave=0.4),
    "null_fewer": Kind(null=True, fewer=0.3),
    "null_travellers": Kind(null=True, drift=0.2),
    "null_strong_travellers": Kind(null=True, users=40_000, drift=0.4, drift_factor=54.6),
}

# Settings that are no options: one prior for all effects, and two oracles.
ONE_SIZE, ORACLE, WITHIN = "one size", "oracle", "oracle within users"
_NEWTON = 20
# Before the name of a config: its log is permuted within users.
PERMUTED = "permuted:"
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "all": {},
    "no surrogates": {"surrogates": "none"},
    "no prior": {"prior": "none"},
    "no inflation": {"inflation": "none"},
    "no second contrast": {"second_contrast": "none"},
    "no aliases": {"aliases": "none"},
    "no depletion": {"depletion": "none"},
    "no strata": {"user_strata": "none"},
    "unusual kept": {"unusual_users": "keep"},
    "calendar": {"clock": "calendar"},
    "for ever": {"risk_window": 0},
    ONE_SIZE: {},
}


@dataclass(frozen=True, eq=False)
class World:
    """A log, its targets, which groups look like gateways, and by which factor each acts."""

    joins: JoinLog
    targets: TargetSet
    alike: Mask
    factor: Float64

    @property
    def acts(self) -> Mask:
        """Groups that act, bool, shape (n_groups,)."""
        return self.factor > 1


def draw(kind: Kind, seed: int, oracle: Oracle | None = None) -> World:
    """Draw a world, day by day for all users at once; an oracle may look on."""
    rng = np.random.default_rng([seed, 20])
    group, people = _Groups.drawn(kind, rng), _People(kind, rng)
    joined = np.zeros((kind.users, kind.groups), bool)
    rows: list[tuple[Int64, Int64, int]] = []
    for day in range(kind.days):
        pace = people.pace(day, rng)
        user, which = _wanted(kind, group, people, pace, day, rng)
        key = np.unique(user * kind.groups + which)
        user, which = key // kind.groups, key % kind.groups
        new = ~joined[user, which] & (group.born[which] <= day)
        user, which = user[new], which[new]
        if oracle is not None:
            rate = people.target_rate(day) * pace / 365
            oracle.see(kind, day, rate, group.weight, joined, user, which)
        joined[user, which] = True
        rows.append((user, which, day // kind.every * kind.every))
        people.follow(day, user, group.beta[which], which < TARGETS, rng)
    return _as_world(kind, group, rows)


class Oracle:
    """Who knows every user's rate of target joins, taste and all other groups' effects.

    Of each group: target joins of its members in the log's ticks after their join, as long as it
    acts, and how many of them these users' rates make without its own effect, which divides out.
    """

    def __init__(self, kind: Kind) -> None:
        self.observed, self.expected = np.zeros((2, kind.groups))
        self._exposed = np.zeros((kind.groups, kind.users), np.float32)
        self._rows: list[tuple[Int64, Int64]] = []
        self._from = self._until = 0

    def see(
        self, kind: Kind, day: int, rate: Float64, weight: Float64, joined: Mask, user: Int64,
        which: Int64,
    ) -> None:  # fmt: skip
        """Look at the joins of a day, ``rate`` that of target joins if all targets were left."""
        begins, ends = day // kind.every * kind.every, day - kind.effect_days
        for user_, which_ in self._rows[self._from : begins]:
            self._exposed[which_, user_] = 1.0
        self._from = max(begins, self._from)
        if kind.effect_days:
            for user_, which_ in self._rows[self._until : max(ends, 0)]:
                self._exposed[which_, user_] = 0.0
            self._until = max(ends, self._until)
        share = weight[:TARGETS] / weight[:TARGETS].sum()
        left = rate * (1.0 - joined[:, :TARGETS] @ share)
        self.expected += self._exposed @ left.astype(np.float32)
        hits = user[(which < TARGETS) & (rate[user] > 0)]
        self.observed += self._exposed @ np.bincount(hits, minlength=kind.users).astype(np.float32)
        self._rows.append((user, which))

    def score(self, factor: Float64) -> Float64:
        """Return the logarithm of how much likelier each group is a gateway than not."""
        rest = self.expected / factor
        log_ratio = np.log(FACTORS)[:, None]
        each = log_ratio * self.observed - (np.exp(log_ratio) - 1.0) * rest
        return np.asarray(np.logaddexp.reduce(each))


class _People:
    """Users and how they change; arrays of shape (n_users,)."""

    def __init__(self, kind: Kind, rng: np.random.Generator) -> None:
        n = kind.users
        self.kind = kind
        self.bot = rng.random(n) < kind.bots
        self.arrival = rng.integers(0, kind.days // 3, n)
        self.until, self.last_hit = np.full(n, kind.days), np.full(n, -kind.days)
        self.activity = rng.lognormal(-0.18, 0.6, n)
        self.country = rng.integers(0, 2, n)
        self.taste = rng.dirichlet(np.full(TOPICS, 0.4), n)
        if kind.trend:
            self.taste *= np.where(np.arange(TOPICS) % 2 == self.country[:, None], 1.0, 0.05)
            self.taste /= self.taste.sum(axis=1, keepdims=True)
        self.inclined = rng.random(n) < 0.2
        self.onset = np.where(rng.random(n) < kind.drift, rng.integers(0, kind.days, n), kind.days)
        self.mood, self.away = rng.normal(0, kind.mood, n), rng.random(n) > 0.1
        self.log_factor = np.zeros(n)
        self._gains: list[tuple[Int64, Float64]] = []

    def pace(self, day: int, rng: np.random.Generator) -> Float64:
        """Return how active each user is on a day; 1 on average."""
        kind, keep = self.kind, np.exp(-1 / 30)
        n = kind.users
        self.mood = keep * self.mood + np.sqrt(1 - keep**2) * rng.normal(0, kind.mood, n)
        pace = self.activity * np.exp(self.mood - kind.mood**2 / 2)
        if kind.session:
            turns = rng.random(n) < np.where(self.away, 1 / (9 * kind.session), 1 / kind.session)
            self.away ^= turns
            pace = np.where(self.away, 0.0, 10.0 * pace)
        pace[(day < self.arrival) | (day >= self.until) | self.bot] = 0.0
        return pace

    def target_rate(self, day: int) -> Float64:
        """Return the target joins in a year of each user, at a pace of 1."""
        kind = self.kind
        later = np.where(day >= self.onset, 0.15 * kind.drift_factor, 0.15)
        rate = np.where(self.inclined, 2.5, later) * np.minimum(np.exp(self.log_factor), MOST)
        side = np.where(self.country == 0, 1, -1)
        return rate * np.exp(side * kind.trend * (day / kind.days - 0.5))

    def follow(
        self, day: int, user: Int64, gain: Float64, hit: Mask, rng: np.random.Generator
    ) -> None:
        """Let the day's joins act from the next day on."""
        gain = np.where(self.bot[user], 0.0, gain)
        np.add.at(self.log_factor, user, gain)
        self._gains.append((user[gain > 0], gain[gain > 0]))
        if self.kind.effect_days and day >= self.kind.effect_days:
            np.subtract.at(self.log_factor, *self._gains[day - self.kind.effect_days])
        leaves = user[hit & (rng.random(len(user)) < self.kind.leave)]
        self.last_hit[user[hit]] = day
        last = day + 2 + rng.geometric(1 / 20, len(leaves))
        np.minimum.at(self.until, leaves, last)


def _wanted(
    kind: Kind, group: _Groups, people: _People, pace: Float64, day: int, rng: np.random.Generator
) -> tuple[Int64, Int64]:
    """Return who would join what on a day."""
    drifts = day >= people.onset
    alike = np.where(people.inclined | drifts, 0.25, 0.02)
    count = rng.poisson(people.target_rate(day) * pace / 365)
    user = np.repeat(np.arange(kind.users), count)
    which = group.pick(np.arange(TARGETS), len(user), rng)
    after = np.where(day - people.last_hit <= 60, kind.fewer, 1.0)
    count = rng.poisson(kind.joins * pace * after / 365)
    others = _pick_others(count, people.taste, alike, drifts, group, rng)
    here = np.flatnonzero(people.bot & (day >= people.arrival))
    robot = np.repeat(here, rng.poisson(kind.bot_joins / (kind.days - people.arrival[here])))
    user = np.concatenate([user, others[0], robot])
    which = np.concatenate([which, others[1], rng.integers(0, kind.groups, len(robot))])
    if kind.company:
        follows = np.isin(which, group.gateways) & (rng.random(len(user)) < kind.company)
        user = np.append(user, user[follows])
        which = np.append(which, which[follows] + GATEWAYS)
    return user, which


@dataclass(frozen=True, eq=False)
class _Groups:
    """Targets first, then look-alikes, travellers, gateways, companions, all others.

    ``weight`` is how popular each is, ``by_topic`` the others' ids by topic.
    """

    weight: Float64
    beta: Float64
    born: Int64
    alike: Int64
    travellers: Int64
    gateways: Int64
    by_topic: tuple[Int64, ...]

    @classmethod
    def drawn(cls, kind: Kind, rng: np.random.Generator) -> _Groups:
        first = TARGETS + 2 * ALIKE
        gateways = np.arange(first, first + GATEWAYS)
        weight = rng.lognormal(0, 0.8, kind.groups)
        weight[gateways] = rng.lognormal(0.2, 0.4, GATEWAYS)
        if kind.company:
            weight[gateways + GATEWAYS] *= 0.03
        beta = np.zeros(kind.groups)
        if not kind.null:
            beta[gateways] = np.log(np.resize(FACTORS, GATEWAYS))
        born = np.where(kind.late & (rng.random(kind.groups) < 0.5), kind.days // 2, 0)
        born[gateways] = 0
        topic = rng.integers(0, TOPICS, kind.groups)
        others = np.arange(kind.groups) >= first
        return cls(
            weight=weight,
            beta=beta,
            born=born,
            alike=np.arange(TARGETS, TARGETS + ALIKE),
            travellers=np.arange(TARGETS + ALIKE, first),
            gateways=gateways,
            by_topic=tuple(np.flatnonzero(others & (topic == k)) for k in range(TOPICS)),
        )

    def pick(self, among: Int64, count: int, rng: np.random.Generator) -> Int64:
        """Draw groups in proportion to how popular they are."""
        upto = np.cumsum(self.weight[among])
        return among[np.searchsorted(upto, rng.random(count) * upto[-1], side="right")]


def _pick_others(
    count: Int64, taste: Float64, alike: Float64, drifts: Mask, group: _Groups,
    rng: np.random.Generator,
) -> tuple[Int64, Int64]:  # fmt: skip
    """Draw look-alikes by the inclined, travellers by who drifts, the others by topic."""
    user = np.repeat(np.arange(len(count)), count)
    which = np.empty(len(user), np.int64)
    near = rng.random(len(user)) < alike[user]
    travels = near & drifts[user] & (rng.random(len(user)) < 0.5)
    which[near] = group.pick(group.alike, int(near.sum()), rng)
    which[travels] = group.pick(group.travellers, int(travels.sum()), rng)
    upto = np.cumsum(taste[user], axis=1)
    topic = np.minimum((rng.random(len(user))[:, None] > upto).sum(axis=1), TOPICS - 1)
    for k, members in enumerate(group.by_topic):
        mine = ~near & (topic == k)
        which[mine] = group.pick(members, int(mine.sum()), rng)
    return user, which


def _as_world(kind: Kind, group: _Groups, rows: list[tuple[Int64, Int64, int]]) -> World:
    user, which = (np.concatenate([r[i] for r in rows]) for i in (0, 1))
    day = np.repeat([r[2] for r in rows], [len(r[0]) for r in rows])
    joins = JoinLog.from_arrays(
        user, which, day, users=[f"u{u:06}" for u in range(kind.users)],
        groups=[f"g{g:04}" for g in range(kind.groups)], tick="day",
    )  # fmt: skip
    at = np.arange(kind.groups)
    alike = (at >= TARGETS) & (at < TARGETS + 2 * ALIKE)
    return World(joins, TargetSet(at < TARGETS, "targets"), alike, np.exp(group.beta))


def world_of(name: str, seed: int) -> World:
    """Simulate the platform of a config, plant gateways into its log, or permute within users."""
    config = name.removeprefix(PERMUTED)
    inputs = obtain_inputs(load_config(config, overrides=[f"experiment.seed={seed}"]))
    joins, targets = inputs.joins, inputs.targets
    none = np.zeros(joins.n_groups, bool)
    if name != config:
        shuffled = permute_within_users(joins, seed=seed).joins
        return World(shuffled, targets, none, np.ones(joins.n_groups))
    if inputs.world is None:
        planted = plant(joins, targets, Planting(ratio=4.0), seed=seed)
        return World(planted.joins, targets, none, np.exp(planted.strength))
    acts, alike = (
        np.isin(inputs.role, [Role(role).name.lower() for role in roles])
        for roles in (GATEWAY_ROLES, LOOK_ALIKES)
    )
    return World(joins, targets, alike, np.where(acts, np.exp(inputs.world.groups.strength), 1.0))


def measure_oracle(kind: Kind, seed: int) -> list[float]:
    """Return how well an oracle ranks; what is with a gateway but does nothing is left out."""
    begun = time.process_time()
    oracle = Oracle(kind)
    world = draw(kind, seed, oracle)
    ranks = _ranked(oracle.score(world.factor), _tested(world, kind), world.acts, world.alike)
    return [*ranks, *[np.nan] * 6, time.process_time() - begun]


def measure_within(world: World, kind: Kind) -> list[float]:
    """Return the same of an oracle that knows all but a group's effect and the users' levels."""
    begun = time.process_time()
    joins, target = world.joins, world.targets.mask
    slots, _ = Preparation.of(SelfControlledOptions(), joins).slots(
        joins, target, ~target, window=RiskWindow(kind.effect_days)
    )
    likelihood, effect = Likelihood(slots), np.log(world.factor)
    known = _with_background(likelihood, effect)
    ratios = np.log([[1.0], *([factor] for factor in FACTORS)])
    own = likelihood.own(known, np.broadcast_to(ratios, (len(ratios), kind.groups)))
    each = ratios[1:] * own.observed - (own.cumulant[1:] - own.cumulant[0])
    one = _tested(world, kind) & (own.variance[0] > 0)
    ranks = _ranked(np.logaddexp.reduce(each), one, world.acts, world.alike)
    return [*ranks, *[np.nan] * 6, time.process_time() - begun]


def _with_background(likelihood: Likelihood, effect: Float64) -> Point:
    """Return effects that are known with the position and the calendar as the events have them."""
    slots = likelihood.slots
    x = np.zeros(slots.n_positions + slots.n_pieces)
    for _ in range(_NEWTON):
        point = Point.of(np.concatenate([effect, x]), slots)
        information = likelihood.background(point)[1] + BACKGROUND * np.eye(len(x))
        gradient = likelihood.loss(point)[1][slots.n_groups :] + BACKGROUND * x
        x = x - np.linalg.solve(information, gradient)
    return Point.of(np.concatenate([effect, x]), slots)


def _tested(world: World, kind: Kind) -> Mask:
    one = world.joins.sizes() >= SelfControlledOptions().min_joiners
    one[:TARGETS] = False
    if kind.company:
        one[np.flatnonzero(world.acts) + GATEWAYS] = False
    return np.asarray(one)


def _ranked(score: Float64, one: Mask, acts: Mask, alike: Mask) -> tuple[float, float]:
    """Return average precision and the share of look-alikes among as many as there are gateways."""
    order = np.argsort(-score[one], kind="stable")
    hit = acts[one][order]
    if not hit.any():
        return np.nan, np.nan
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    first = order[: int(hit.sum())]
    return float(precision[hit].mean()), float(alike[one][first].mean())


def _fit_one_size(likelihood: Likelihood, **given: Any) -> JointFit:
    return fit_joint(likelihood, **{**given, "two_sizes": False})


def measure(world: World, setting: str) -> list[float]:
    """Return what a setting says of a world, in the order of the table's columns."""
    begun = time.process_time()
    options = SelfControlledOptions(**SETTINGS[setting])
    fit = _fit_one_size if setting == ONE_SIZE else fit_joint
    with patch.object(evidence, "fit_joint", fit):
        found = detect_self_controlled(world.joins, world.targets, options=options)
    seconds = time.process_time() - begun
    acts, one = sets_of(world, found)
    robust = np.array([grade == "robust" for grade in found.extra["grade"]])
    values = [*_ranked(found.score, one, acts, world.alike)]
    for called in (found.flagged & one, robust & one):
        values += [float(called.sum()), float((called & ~acts).sum())]
    holds = (found.ci_low <= world.factor) & (world.factor <= found.ci_high)
    values.append(float(holds[world.acts].mean()) if world.acts.any() else np.nan)
    rest = found.p_value[one & ~acts]
    return [*values, float(kstest(rest[np.isfinite(rest)], "uniform").pvalue), seconds]


def sets_of(world: World, found: Detection) -> tuple[Mask, Mask]:
    """Return which groups act, or one of their alias set does, and one ranked group of each."""
    at = {name: i for i, name in enumerate(world.joins.groups.to_pylist())}
    alias = np.array([i if a is None else at[a] for i, a in enumerate(found.extra["alias"])])
    acts = (np.bincount(alias, world.acts, minlength=len(alias)) > 0)[alias]
    return acts, (found.rank > 0) & (alias == np.arange(len(alias)))


def line(name: str, setting: str, rows: list[list[float]]) -> str:
    """One row of the table: means over worlds with the standard error, and sums of calls."""
    precision, alike, calls, false, robust, wrong, coverage, ks, seconds = np.transpose(rows)
    n = len(rows)
    error = f" ± {precision.std(ddof=1) / np.sqrt(n):.3f}" if n > 1 else ""
    each = f"| {name} | {setting} | {n} | {precision.mean():.3f}{error} | {alike.mean():.2f} "
    if np.isnan(calls).any():
        return f"{each}| | | | | {seconds.mean():.1f} |"
    return (
        f"{each}| {calls.sum():.0f}; {false.sum():.0f} ({np.count_nonzero(false)}) "
        f"| {robust.sum():.0f}; {wrong.sum():.0f} ({np.count_nonzero(wrong)}) "
        f"| {coverage.mean():.2f} | {np.count_nonzero(ks < 0.05)} | {seconds.mean():.1f} |"
    )


def kept(path: Path) -> dict[tuple[Any, ...], list[float]]:
    """Return what a file holds of this version of the model, by kind, setting and seed."""
    if not path.exists():
        return {}
    rows = [json.loads(text) for text in path.read_text().splitlines()]
    return {tuple(row[1:4]): row[4] for row in rows if row[0] == MODEL_VERSION}


def main() -> None:
    """Measure what is missing and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("disturbances.jsonl"))
    parser.add_argument("--worlds", type=int, default=3)
    parser.add_argument("--first", type=int, default=1, help="seed of the first world")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument(
        "--settings", nargs="+", choices=[*SETTINGS, ORACLE, WITHIN], default=["all"]
    )
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.worlds)
    known = kept(given.out)
    for name in given.kinds:
        for seed in seeds:
            missing = [one for one in given.settings if (name, one, seed) not in known]
            world = None
            for setting in missing:
                if setting == ORACLE:
                    values = measure_oracle(KINDS[name], seed)
                else:
                    world = world or (
                        draw(KINDS[name], seed) if name in KINDS else world_of(name, seed)
                    )
                    if setting == WITHIN:
                        values = measure_within(world, KINDS[name])
                    else:
                        values = measure(world, setting)
                known[name, setting, seed] = values
                with given.out.open("a") as file:
                    file.write(json.dumps([MODEL_VERSION, name, setting, seed, values]) + "\n")
    print(
        "| kind | setting | worlds | AP | look-alikes | calls; false (worlds) "
        "| robust; false (worlds) | coverage | KS | CPU s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in given.kinds:
        for setting in given.settings:
            print(line(name, setting, [known[name, setting, seed] for seed in seeds]))


if __name__ == "__main__":
    main()
