"""Small worlds and logs that tests share."""

from __future__ import annotations

import numpy as np

from gateway.config import Config, parse_config
from gateway.log.join_log import JoinLog
from gateway.simulate import History
from gateway.simulate.tables import Table
from gateway.targets import TargetSet

SMALL = """
[experiment]
name = "small"
seed = 5
[world]
users = 800
groups = 120
days = 200
arrival_days = 40
joins_per_user = 9.0
mean_friends = 6.0
topics = 8
harm_interest = 0.05
strikes_per_member = 2.0
countries = { US = 0.8, GB = 0.2 }
[world.roles]
targets = 16
influence = 6
homophily = 6
hub = 3
[targets]
country = "US"
kind = "nudity"
month = "2020-05"
min_strikes = 5
[score]
horizon = 60
[spike]
min_joiners = 5
min_spiking = 2
"""


def small_config(*overrides: str) -> Config:
    return parse_config(SMALL, overrides=overrides)


def random_log(seed: int, *, users: int = 60, groups: int = 12, days: int = 40) -> JoinLog:
    """Joins at random, with many ties."""
    rng = np.random.default_rng(seed)
    n = users * 6
    return JoinLog.from_arrays(
        rng.integers(0, users, n), rng.integers(0, groups, n), rng.integers(0, days, n)
    )


def linked_log(seed: int, *, users: int = 150, groups: int = 12, days: int = 40) -> JoinLog:
    """Joins at random, but who joins one of groups 3 to 5 often joins group 0 or 1 later."""
    rng = np.random.default_rng(seed)
    n = users * 6
    user, group = rng.integers(0, users, n), rng.integers(2, groups, n)
    time = rng.integers(0, days, n)
    follows = np.isin(group, (3, 4, 5)) & (rng.random(n) < 0.5)
    later = np.minimum(time[follows] + rng.integers(1, 9, follows.sum()), days - 1)
    target = rng.integers(0, 2, follows.sum())
    return JoinLog.from_arrays(
        np.concatenate([user, user[follows]]),
        np.concatenate([group, target]),
        np.concatenate([time, later]),
    )


def first_groups(joins: JoinLog, count: int) -> TargetSet:
    """The first groups of a log as targets."""
    return TargetSet(np.arange(joins.n_groups) < count, f"the first {count} groups")


def cells_of(history: History, u: int) -> Table:
    """The occasions of one user."""
    me = history.stage.users[u]
    return history.state[me.start : me.start + int(me.occasions)].view(np.recarray)
