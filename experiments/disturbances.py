"""Which piece of the self-controlled detector is worth what, on disturbed join logs.

A generator apart from the simulator: users join groups by topic on a calendar of one year, an
inclination gives each a rate of target joins, and gateways multiply it from the day after their
joining on. Each kind of world disturbs one thing at a time. Where a kind begins with ``null``,
no group has an effect, and every call is a false one.

A config can be named in place of a kind: the world of a simulated platform, or a real log into
which ten gateways of ratio 4 are planted anywhere.

For each kind and each setting of the detector (all pieces, or one turned off) it prints the mean
over worlds of average precision against the gateways, of look-alikes among as many groups as
there are gateways, of calls at 5 % and the share of false ones, the same of robust calls, the
share of gateways whose 95 % interval holds the planted ratio, and processor seconds. Groups of
one alias set count once, and a set with a gateway in it is true. What is in the file of --out is
not computed again.

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

import numpy as np
import numpy.typing as npt

from gateway.check import Planting, plant
from gateway.detect import Detection, SelfControlledOptions, detect_self_controlled
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
    "null_travellers": Kind(null=True, drift=0.2),
    "null_strong_travellers": Kind(null=True, users=40_000, drift=0.4, drift_factor=54.6),
}

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


def draw(kind: Kind, seed: int) -> World:
    """Draw a world, day by day for all users at once."""
    rng = np.random.default_rng([seed, 20])
    group, people = _Groups.drawn(kind, rng), _People(kind, rng)
    joined = np.zeros((kind.users, kind.groups), bool)
    rows: list[tuple[Int64, Int64, int]] = []
    for day in range(kind.days):
        user, which = _wanted(kind, group, people, people.pace(day, rng), day, rng)
        key = np.unique(user * kind.groups + which)
        user, which = key // kind.groups, key % kind.groups
        new = ~joined[user, which] & (group.born[which] <= day)
        user, which = user[new], which[new]
        joined[user, which] = True
        rows.append((user, which, day // kind.every * kind.every))
        people.follow(day, user, group.beta[which], which < TARGETS, rng)
    return _as_world(kind, group, rows)


class _People:
    """Users and how they change; arrays of shape (n_users,)."""

    def __init__(self, kind: Kind, rng: np.random.Generator) -> None:
        n = kind.users
        self.kind = kind
        self.bot = rng.random(n) < kind.bots
        self.arrival = rng.integers(0, kind.days // 3, n)
        self.until = np.full(n, kind.days)
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
    count = rng.poisson(kind.joins * pace / 365)
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


def world_of(config: str, seed: int) -> World:
    """Simulate the platform of a config, or plant gateways into its log."""
    inputs = obtain_inputs(load_config(config, overrides=[f"experiment.seed={seed}"]))
    joins, targets = inputs.joins, inputs.targets
    if inputs.world is None:
        planted = plant(joins, targets, Planting(ratio=4.0), seed=seed)
        none = np.zeros(joins.n_groups, bool)
        return World(planted.joins, targets, none, np.exp(planted.strength))
    acts, alike = (
        np.isin(inputs.role, [Role(role).name.lower() for role in roles])
        for roles in (GATEWAY_ROLES, LOOK_ALIKES)
    )
    return World(joins, targets, alike, np.where(acts, np.exp(inputs.world.groups.strength), 1.0))


def measure(world: World, setting: str) -> list[float]:
    """Return what a setting says of a world, in the order of the table's columns."""
    begun = time.process_time()
    found = detect_self_controlled(
        world.joins, world.targets, options=SelfControlledOptions(**SETTINGS[setting])
    )
    seconds = time.process_time() - begun
    acts, one = sets_of(world, found)
    robust = np.array([grade == "robust" for grade in found.extra["grade"]])
    order = np.argsort(-found.score[one], kind="stable")
    hit = acts[one][order]
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    values = [float(precision[hit].mean()) if hit.any() else np.nan]
    first = order[: int(hit.sum())]
    values.append(float(world.alike[one][first].mean()) if hit.any() else np.nan)
    for called in (found.flagged & one, robust & one):
        values += [float(called.sum()), float((called & ~acts).sum())]
    holds = (found.ci_low <= world.factor) & (world.factor <= found.ci_high)
    return [*values, float(holds[world.acts].mean()) if world.acts.any() else np.nan, seconds]


def sets_of(world: World, found: Detection) -> tuple[Mask, Mask]:
    """Return which groups act, or one of their alias set does, and one ranked group of each."""
    at = {name: i for i, name in enumerate(world.joins.groups.to_pylist())}
    alias = np.array([i if a is None else at[a] for i, a in enumerate(found.extra["alias"])])
    acts = (np.bincount(alias, world.acts, minlength=len(alias)) > 0)[alias]
    return acts, (found.rank > 0) & (alias == np.arange(len(alias)))


def line(name: str, setting: str, rows: list[list[float]]) -> str:
    """One row of the table: means over worlds; false calls as a share of all calls."""
    mean = np.mean(rows, axis=0)
    shares = [mean[i + 1] / mean[i] if mean[i] else 0.0 for i in (2, 4)]
    worlds = [int(sum(row[i] > 0 for row in rows)) for i in (3, 5)]
    return (
        f"| {name} | {setting} | {mean[0]:.3f} | {mean[1]:.2f} "
        f"| {mean[2]:.1f} | {shares[0]:.2f} ({worlds[0]}) "
        f"| {mean[4]:.1f} | {shares[1]:.2f} ({worlds[1]}) | {mean[6]:.2f} | {mean[7]:.1f} |"
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
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=["all"])
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.worlds)
    known = kept(given.out)
    for name in given.kinds:
        for seed in seeds:
            missing = [one for one in given.settings if (name, one, seed) not in known]
            world = None
            for setting in missing:
                world = world or (
                    draw(KINDS[name], seed) if name in KINDS else world_of(name, seed)
                )
                known[name, setting, seed] = measure(world, setting)
                with given.out.open("a") as file:
                    row = [MODEL_VERSION, name, setting, seed, known[name, setting, seed]]
                    file.write(json.dumps(row) + "\n")
    print(
        "| kind | setting | AP | look-alikes | calls | false (worlds) | robust | false (worlds) "
        "| coverage | CPU s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in given.kinds:
        for setting in given.settings:
            print(line(name, setting, [known[name, setting, seed] for seed in seeds]))


if __name__ == "__main__":
    main()
