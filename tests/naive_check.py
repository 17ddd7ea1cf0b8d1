"""A slow, obvious twin of the planting: one user, one join, one draw at a time."""

from __future__ import annotations

import math


def poisson(rng, mean):
    """Knuth's product of uniforms, in pieces that do not underflow."""
    count = 0
    while mean > 0:
        piece = min(mean, 50.0)
        mean -= piece
        product, limit = rng.random(), math.exp(-piece)
        while product > limit:
            count += 1
            product *= rng.random()
    return count


def successive(rng, sizes, taken):
    """One target by size among those not taken; None where none is left."""
    free = {g: n for g, n in sizes.items() if g not in taken and n > 0}
    point = rng.random() * sum(free.values())
    for g, n in free.items():
        point -= n
        if point < 0:
            return g
    return next(iter(free), None)


def plant(rng, histories, targets, gateways, *, until, ratio=None, sent=None, within=None):
    """Further joins (user, gateway, time, target) for histories of {user: [(time, group)]}.

    The whole log is observed from its first join to ``until``, its last; nobody joins at a time
    that no join of the log has.
    """
    everything = [join for history in histories.values() for join in history]
    dates = {time for time, _ in everything}
    first = min(dates)
    span = max(dates) - first + 1
    sizes = {g: sum(h == g for _, h in everything) for g in targets}
    base = sum(sizes.values()) / len(everything)
    found = []
    for user, history in histories.items():
        n, hits = len(history), sum(g in targets for _, g in history)
        rate = (hits + 2 * base) / (n + 2) * n / span
        moments = []
        for time, gateway in sorted(history):
            if gateway not in gateways:
                continue
            if ratio is not None:
                further = poisson(rng, (ratio - 1) * rate * (until - time))
                moments += [(rng.randint(time + 1, until), gateway) for _ in range(further)]
            elif rng.random() < sent:
                delay = 1
                while rng.random() >= 1 / within:
                    delay += 1
                moments += [(time + delay, gateway)] if time + delay <= until else []
        moments = [(min(d for d in dates if d >= m), gateway) for m, gateway in moments]
        taken = {g for _, g in history}
        for moment, gateway in sorted(moments, key=lambda pair: pair[0]):
            target = successive(rng, sizes, taken)
            if target is not None:
                taken.add(target)
                found.append((user, gateway, moment, target))
    return found
