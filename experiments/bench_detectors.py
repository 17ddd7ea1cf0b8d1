"""How long does each detector take on a large log?

The log is drawn at random (nothing is true in it): joins per user are lognormal, group
sizes follow Zipf's law, a tenth of the joins tie with the one before. CPU seconds, so that
other work on the machine counts less.

Run: python experiments/bench_detectors.py [--users 200000] [--groups 100000] [--joins 15]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import gateway
from gateway.detect import DETECTORS, REGISTRY, detectors_for
from gateway.log.join_log import JoinLog
from gateway.score import LogisticScorer, score_joins
from gateway.targets import TargetSet

TARGETS = 200
TICKS = 1_000


def large_log(users: int, groups: int, joins: float, *, seed: int = 1) -> JoinLog:
    """Return a log of about ``users`` x ``joins`` joins."""
    rng = np.random.default_rng(seed)
    per_user = rng.poisson(rng.lognormal(np.log(joins) - 0.32, 0.8, users))
    user = np.repeat(np.arange(users), per_user)
    popularity = 1.0 / (10.0 + rng.permutation(groups))
    group = rng.choice(groups, len(user), p=popularity / popularity.sum())
    time = rng.integers(0, TICKS, len(user))
    tied = np.flatnonzero((rng.random(len(user)) < 0.1) & (np.diff(user, prepend=-1) == 0))
    time[tied] = time[tied - 1]
    return JoinLog.from_arrays(user, group, time)


def main() -> None:
    """Draw the log, score it once, and time every detector on it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--groups", type=int, default=100_000)
    parser.add_argument("--joins", type=float, default=15.0)
    parser.add_argument("--detector", choices=DETECTORS, nargs="*", default=None)
    given = parser.parse_args()
    joins = large_log(given.users, given.groups, given.joins)
    names = given.detector or detectors_for(joins)
    targets = TargetSet(
        np.arange(joins.n_groups) % (joins.n_groups // TARGETS) == 0, "every so-manieth"
    )
    print(joins, f"{targets.count} targets")
    begun, scores = time.process_time(), None
    if any(REGISTRY[name].needs_scores for name in names):
        scores = score_joins(joins, targets, scorer=LogisticScorer(penalty=100.0), folds=2)
        print(f"{'scores (2 folds)':>16}: {time.process_time() - begun:6.1f} s")
    for name in names:
        begun = time.process_time()
        options = {"penalty": 100.0} if name == "coefficient" else {}
        found = gateway.detect(joins, targets, detector=name, scores=scores, **options)
        seconds = time.process_time() - begun
        flagged = int(found.flagged.sum())
        print(f"{name:>16}: {seconds:6.1f} s, {(found.rank > 0).sum():,} ranked, {flagged} flagged")


if __name__ == "__main__":
    main()
