"""Would gateway check have warned? Detectors with a known fault, on logs where nothing is true.

Each fault was once in a detector, or is one that is easily made: the whole log taken for every
user's window, joins counted in place of people, intervals without width or on another scale, a
level that is not held, association called change, a horizon of another unit. Each sees a random
log in which no group leads anywhere, made so that the fault shows, and the check of that log.

Run: python experiments/check_of_faults.py [--nulls 20]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.stats import binom, norm

from gateway.check import Design, check
from gateway.detect import Claim, Detection, Measure, Quantity, detect
from gateway.detect.detection import Findings, count_by_group, sum_by_group
from gateway.log.join_log import JoinLog
from gateway.targets import TargetSet, named_targets

TARGETS = ("t0", "t1", "t2")
RATIO = 4.0
DAYS = 300


def random_log(*, kind: str = "plain", users: int = 1_500, seed: int = 1) -> JoinLog:
    """Return joins of groups drawn at random, with one thing that disturbs."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[str, str, int]] = []
    groups = [f"g{i:02d}" for i in range(20)]
    for u in range(users):
        day = int(rng.integers(0, DAYS // 2)) if kind == "onboarding" else 0
        count = int(rng.integers(2, 9))
        if kind == "active":
            count = 20 if u % 5 == 0 else 2
        times = np.sort(rng.integers(day, DAYS, count))
        free = rng.permutation([*groups, *TARGETS]).tolist()
        if kind == "founded late":
            early, late = [g for g in free if g not in TARGETS], free
        for i, time in enumerate(times.tolist()):
            if kind == "onboarding" and i == 0:
                name = "welcome"
            elif kind == "founded late":
                pool = late if time >= DAYS // 2 else early
                name = next(g for g in pool if (f"u{u}", g) not in {r[:2] for r in rows[-9:]})
            else:
                name = free[i]
            rows.append((f"u{u}", name, time))
    if kind == "outlier":
        rows.append(("stray", "g00", -19_000))
    if kind == "bot":
        rows += [("bot", f"h{i}", i % DAYS) for i in range(8_000)]
    names, joined, when = zip(*rows, strict=True)
    return JoinLog.from_arrays(list(names), list(joined), np.array(when))


def measure(name: str, claims: Claim) -> Measure:
    """Return what a faulty detector says of its numbers."""
    quantity = Quantity("ratio", "observed over expected", is_log=True, no_effect=1.0)
    return Measure(name, quantity, quantity, "joiners", "events", "a test", claims=claims)


def found(
    joins: JoinLog, targets: TargetSet, events: np.ndarray, expected: np.ndarray,
    n: np.ndarray, p: np.ndarray, said: Measure,
) -> Detection:  # fmt: skip
    """Return a detection of observed over expected counts, with Wald's interval of the log."""
    with np.errstate(all="ignore"):
        ratio, half = events / expected, np.exp(1.96 / np.sqrt(events))
        findings = Findings(ratio, ratio, ratio / half, ratio * half, n, events.astype(int), p)
        return findings.rank(said, joins, targets, min_joiners=20)


def whole_span(joins: JoinLog, targets: TargetSet) -> Detection:
    """Take the span of the log for everybody's window: target joins after g against before."""
    first, last = joins.span
    user = joins.user()
    hit = targets.mask[joins.group]
    when = np.full(joins.n_users, -1)
    # The first target join of each user: rows stand in order of time.
    rows = np.flatnonzero(hit)[::-1]
    when[user[rows]] = joins.time[rows] - first
    kept = ~hit & (when[user] >= 0) & (when[user] != joins.time - first)
    group, time = joins.group[kept], joins.time[kept] - first
    after = (when[user[kept]] > time).astype(float)
    chance = 1.0 - time / (last - first)
    size = joins.n_groups
    x, e, v = (sum_by_group(group, part, size) for part in (after, chance, chance * (1.0 - chance)))
    with np.errstate(all="ignore"):
        p = norm.sf((x - e - 0.5) / np.sqrt(v))
    return found(
        joins, targets, x, e, count_by_group(group, size), p, measure("whole_span", "change")
    )


def since_first_join(joins: JoinLog, targets: TargetSet) -> Detection:
    """Let a user's time before a group begin with the user's first join, and end with the log."""
    user, time = joins.user(), joins.time.astype(float)
    hit = targets.mask[joins.group]
    first = joins.offsets[:-1][user]
    so_far = np.append(0, np.cumsum(hit))
    row = np.arange(joins.n_joins)
    earlier = so_far[row] - so_far[first]
    later = so_far[joins.offsets[1:][user]] - so_far[row + 1]
    before, after = time - time[first], joins.span[1] - time
    kept = ~hit & (before > 0) & (after > 0)
    n, share = (earlier + later)[kept], (after / (before + after + ~kept))[kept]
    group, size = joins.group[kept], joins.n_groups
    x, e, v = (
        sum_by_group(group, part, size)
        for part in (later[kept].astype(float), n * share, n * share * (1.0 - share))
    )
    with np.errstate(all="ignore"):
        p = norm.sf((x - e) / np.sqrt(v))
    return found(
        joins, targets, x, e, count_by_group(group, size), p, measure("since_first_join", "change")
    )


def joins_for_people(joins: JoinLog, targets: TargetSet) -> Detection:
    """Hold a group's joiners who go on against the share of all joins, in place of people."""
    user = joins.user()
    hit = targets.mask[joins.group]
    case = np.bincount(user, hit, minlength=joins.n_users) > 0
    group = joins.group[~hit]
    goes_on = case[user[~hit]].astype(float)
    n = count_by_group(group, joins.n_groups)
    x = sum_by_group(group, goes_on, joins.n_groups)
    share = goes_on.mean()
    p = binom.sf(x - 1, n, share)
    return found(joins, targets, x, n * share, n, p, measure("joins_for_people", "association"))


def no_width(joins: JoinLog, targets: TargetSet) -> Detection:
    """Give intervals without width."""
    one = detect(joins, targets, detector="frequentist")
    return replace(one, measure=replace(one.measure, detector="no_width"), ci_low=one.estimate,
                   ci_high=one.estimate)  # fmt: skip


def log_for_ratio(joins: JoinLog, targets: TargetSet) -> Detection:
    """Give the interval of the log ratio beside the ratio."""
    one = detect(joins, targets, detector="self_controlled")
    with np.errstate(all="ignore"):
        low, high = np.log(one.ci_low), np.log(one.ci_high)
    return replace(one, measure=replace(one.measure, detector="log_for_ratio"), ci_low=low,
                   ci_high=high)  # fmt: skip


def level_not_held(joins: JoinLog, targets: TargetSet) -> Detection:
    """Flag by the p-values of ``survival``, which do not hold their level."""
    one = detect(joins, targets, detector="survival")
    said = replace(one.measure, detector="level_not_held", holds_level=True)
    return replace(one, measure=said, flagged=np.nan_to_num(one.q_value, nan=1.0) < 0.05)


def association_as_change(joins: JoinLog, targets: TargetSet) -> Detection:
    """Claim that an association is a change."""
    one = detect(joins, targets, detector="frequentist")
    return replace(one, measure=replace(one.measure, detector="association_as_change",
                                        claims="change"))  # fmt: skip


def wrong_unit(joins: JoinLog, targets: TargetSet) -> Detection:
    """Count target joins within a day where half a year was meant."""
    one = detect(joins, targets, detector="frequentist", horizon=1)
    return replace(one, measure=replace(one.measure, detector="wrong_unit"))


def alike_users(*, seed: int = 1) -> JoinLog:
    """Return joins of users who go for either half of the groups, targets in one of them."""
    rng = np.random.default_rng(seed)
    rows = []
    for u in range(1_500):
        pool = [f"g{i:02d}" for i in range(10)] + list(TARGETS)
        if u % 2:
            pool = [f"g{i:02d}" for i in range(10, 20)]
        n = int(rng.integers(2, 9))
        for name, time in zip(rng.permutation(pool)[:n], rng.integers(0, DAYS, n), strict=True):
            rows.append((f"u{u}", str(name), int(time)))
    names, joined, when = zip(*rows, strict=True)
    return JoinLog.from_arrays(list(names), list(joined), np.array(when))


FAULTS: tuple[tuple[str, Callable[[], JoinLog], Callable[..., Detection]], ...] = (
    ("window: users come and go, the log's span is taken", lambda: random_log(kind="onboarding"),
     whole_span),
    ("window: one stray early row", lambda: random_log(kind="outlier"), whole_span),
    ("window: targets founded late", lambda: random_log(kind="founded late"), whole_span),
    ("window: time before a group from the user's first join on", random_log, since_first_join),
    ("a bot: joins counted, not people", lambda: random_log(kind="bot"), joins_for_people),
    ("intervals of no width", random_log, no_width),
    ("interval on another scale", random_log, log_for_ratio),
    ("flags by p-values that hold no level", lambda: random_log(kind="active"), level_not_held),
    ("association called change", alike_users, association_as_change),
    ("horizon of another unit", random_log, wrong_unit),
)  # fmt: skip


def cell(rows: list[dict[str, object]], metric: str, **keys: object) -> str:
    """Return the value of one row of a check, a dash where there is none."""
    values = [r for r in rows if r["metric"] == metric and all(r[k] == v for k, v in keys.items())]
    if not values or values[0]["value"] is None:
        return "–"
    value = float(str(values[0]["value"]))
    if metric == "share_of_logs_with_calls":
        return f"{value * int(str(values[0]['n'])):.0f} of {values[0]['n']}"
    return f"{value:.2f}"


def main() -> None:
    """Print a row for each fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nulls", type=int, default=20)
    parser.add_argument("--only", default="", help="faults whose name holds this")
    given = parser.parse_args()
    design = Design(given.nulls, 2, (RATIO,), plantings=2, aligned=0, by_size=0)
    print("| fault | false calls on the log | labels permuted | within users | placebo: calls | "
          "coverage, nulls | coverage, planted | power | average precision |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for name, make, detector in FAULTS:
        if given.only not in name:
            continue
        joins = make()
        targets = named_targets(joins, TARGETS)
        calls = int(detector(joins, targets).flagged.sum())
        rows = check(joins, targets, detectors=[detector], design=design).table.to_pylist()
        null = {"log": "labels_permuted"}
        planted = {"log": "planted"}
        cells = [
            name, f"{calls}", cell(rows, "share_of_logs_with_calls", **null),
            cell(rows, "share_of_logs_with_calls", log="permuted_within_users"),
            cell(rows, "calls", log="placebo_targets"), cell(rows, "coverage", **null),
            cell(rows, "coverage", **planted), cell(rows, "power", **planted),
            cell(rows, "average_precision", **planted),
        ]  # fmt: skip
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
