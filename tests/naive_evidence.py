"""Slow, obvious twins of what stands around the self-controlled fit."""

from __future__ import annotations

from itertools import combinations

import numpy as np


def sides(slots, *, near, far, tick, case, stop):
    """Rows of the far slots before, the near slots before and the far slots after a tick."""
    begin, end = int(slots.offsets[case]), int(slots.offsets[case + 1])
    ticks, current = [], []
    for row in range(begin, end):
        if slots.fresh[row] and current:
            ticks.append(current)
            current = []
        current.append(row)
    ticks.append(current)
    at = next(i for i, rows in enumerate(ticks) if tick in rows)

    def take(order, wanted):
        rows = []
        for i in order:
            if sum(slots.length[rows] > 0) >= wanted:
                break
            rows += ticks[i]
        return rows

    before = take(range(at - 1, -1, -1), near)
    n_before = sum(1 for i in range(at) if set(ticks[i]) & set(before))
    earlier = take(range(at - 1 - n_before, -1, -1), far)
    after = take([i for i in range(at + 1, len(ticks)) if ticks[i][0] < stop], far)
    is_slot = lambda rows: [r for r in rows if slots.length[r] > 0]  # noqa: E731
    return is_slot(earlier), is_slot(before), is_slot(after)


def conditional_moments(before, after, odds, n):
    """Mean and variance of the chosen slots that are after, n chosen of all with these odds."""
    total = mean = square = 0.0
    for chosen in combinations([*before, *after], n):
        p = float(np.prod([odds[r] for r in chosen]))
        k = sum(r in after for r in chosen)
        total, mean, square = total + p, mean + p * k, square + p * k * k
    return mean / total, square / total - (mean / total) ** 2


def near_sums(slots, weight, beta, *, near, far):
    """Observed, expected, variance of each group: after against before, before against earlier."""
    out, early = np.zeros((2, 3, slots.n_groups))
    for case in range(slots.n_cases):
        for row in range(int(slots.offsets[case]), int(slots.offsets[case + 1])):
            g = slots.group[row]
            if g == slots.n_groups:
                continue
            stop = slots.offsets[case + 1]
            if len(slots.until):
                stop = slots.offsets[case] + slots.until[row]
            earlier, before, after = sides(
                slots, near=near, far=far, tick=row, case=case, stop=stop
            )
            for left, right, own, sums in (
                (before, after, beta[g], out), (earlier, before, 0.0, early)
            ):  # fmt: skip
                odds = {r: weight[r] for r in left} | {r: weight[r] * np.exp(-own) for r in right}
                n = int(slots.events[[*left, *right]].sum()) if odds else 0
                if n == 0 or n == len(odds):
                    continue
                mean, variance = conditional_moments(left, right, odds, n)
                if variance > 1e-12:
                    sums[:, g] += slots.events[right].sum(), mean, variance
    return out, early


def alias_correlation(slots):
    """Correlation of all groups in the information that they share by joins in one tick."""
    total, shared = np.zeros(slots.n_groups), np.zeros((slots.n_groups, slots.n_groups))
    for case in range(slots.n_cases):
        rows = range(int(slots.offsets[case]), int(slots.offsets[case + 1]))
        ticks = np.cumsum(slots.fresh[rows.start : rows.stop])
        length, events = slots.length[rows.start : rows.stop], slots.events[rows.start : rows.stop]
        group = slots.group[rows.start : rows.stop]
        for tick in np.unique(ticks):
            others = ticks != tick
            if length[others].sum() == 0:
                continue
            share = length[ticks > tick].sum() / length[others].sum()
            value = events[others].sum() * share * (1 - share)
            joined = group[(ticks == tick) & (group < slots.n_groups)]
            total[joined] += value
            for g in joined:
                for h in joined:
                    shared[g, h] += value
    with np.errstate(all="ignore"):
        return np.nan_to_num(shared / np.sqrt(np.outer(total, total)))


def near_pairs(slots, weight):
    """Pairs of events in one tick or neighbouring ones, and their mean, by each case."""
    found = []
    for case in range(slots.n_cases):
        rows = slice(int(slots.offsets[case]), int(slots.offsets[case + 1]))
        tick, y = np.cumsum(slots.fresh[rows]), slots.events[rows]
        pi = weight[rows] / weight[rows].sum()
        n, both, mean = y.sum(), 0.0, 0.0
        for i, j in combinations(range(len(y)), 2):
            if abs(tick[i] - tick[j]) <= 1:
                both += y[i] * y[j]
                mean += n * (n - 1) * pi[i] * pi[j] / (1 - (pi**2).sum())
        found.append((both, mean))
    return np.array(found).T
