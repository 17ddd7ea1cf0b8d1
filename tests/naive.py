"""Slow, obvious twins of every kernel: the same answer by the shortest way of saying it."""

from __future__ import annotations

import numpy as np

MASK = 0xFFFFFFFF


def philox(seed, stream, user, event, draw):
    """Philox 4x32-10 on Python's integers (Salmon et al. 2011, section 3.3)."""
    k0, k1 = seed & MASK, stream & MASK
    c = [user & MASK, event & MASK, draw & MASK, draw >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k0, b & MASK, (a >> 32) ^ c[3] ^ k1, a & MASK]
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c


def uniform(word):
    return (word + 0.5) / 2**32


def uniform52(high, low):
    return (((high << 20) ^ (low >> 12)) + 0.5) / 2**52


def draw_days(seed, stream, occasions, arrival, n_days):
    days = []
    for u, count in enumerate(occasions):
        draws = [philox(seed, stream, u, i, 0) for i in range(count)]
        span = int(n_days - arrival[u])
        days.append(sorted(int(arrival[u]) + int(uniform52(w[0], w[1]) * span) for w in draws))
    return days


def nearest_groups(members, n_nearest):
    """For each group, (group, cosine) of its nearest, from the sets of members."""
    nearest = []
    for g, mine in enumerate(members):
        found = []
        for h, theirs in enumerate(members):
            if h != g and mine & theirs:
                found.append((h, len(mine & theirs) / np.sqrt(float(len(mine)) * len(theirs))))
        nearest.append(sorted(found, key=lambda pair: (-pair[1], pair[0]))[:n_nearest])
    return nearest


def pick(weights, x):
    """First position whose running total exceeds x."""
    running = np.cumsum(weights)
    above = np.flatnonzero(running > x)
    return int(above[0]) if len(above) else len(weights) - 1


def simulate(world, simulation):
    """Joins of a world as a list of (user, group, day, mechanism), one user at a time.

    Only right where nobody looks at anybody: simulation.friends = 0 and no refit falls
    within the observation.
    """
    g, users = world.groups, world.users
    joins = []
    for u, days in enumerate(draw_days(world.seed, 1, users.occasions, users.arrival, world.days)):
        mine = []
        for occasion, day in enumerate(days):
            boost = sum(g.strength[h] for h in mine)
            taste = users.interest[u].astype(float)
            taste[0] *= np.exp(boost)
            reach = np.where(g.country == users.country[u], 1.0, 1 - world.section.home_bias)
            for attempt in range(simulation.attempts):
                w = philox(world.seed, 2, u, occasion, attempt)
                k = pick(taste, uniform(w[1]) * np.cumsum(taste)[-1])
                shelf = g.mix[:, k] * (g.appeal * reach)
                group = pick(shelf, uniform(w[2]) * np.cumsum(shelf)[-1])
                if g.created[group] <= day and group not in mine:
                    mine.append(group)
                    joins.append((u, group, day))
                    break
    return joins


def expanded(prefixes, users):
    """One dense row per training prefix, its label: what the O(joins) kernels never build."""
    rows, labels, owners = [], [], []
    for u in range(prefixes.n_users):
        bag = np.zeros(prefixes.n_groups)
        for i in range(prefixes.offsets[u], prefixes.offsets[u + 1]):
            bag[prefixes.group[i]] += 1
            if users[u] and prefixes.ends_block[i] and prefixes.label[i] >= 0:
                rows.append(bag.copy())
                labels.append(int(prefixes.label[i]))
                owners.append(u)
    return np.array(rows), np.array(labels), np.array(owners)


def loss_and_gradient(prefixes, users, w, b, penalty):
    x, y, _ = expanded(prefixes, users)
    z = x @ w + b
    residual = 1 / (1 + np.exp(-z)) - y
    loss = np.sum(np.log1p(np.exp(z)) - y * z) + penalty / 2 * np.sum(w**2)
    return loss, x.T @ residual + penalty * w, residual.sum()


def prefix_logits(prefixes, w, b):
    """(before, after, at_end) for each row, from the sets of joins on either side."""
    before, after, at_end = [], [], []
    for u in range(prefixes.n_users):
        mine = range(prefixes.offsets[u], prefixes.offsets[u + 1])
        for i in mine:
            earlier = [j for j in mine if prefixes.time[j] < prefixes.time[i]]
            upto = [j for j in mine if prefixes.time[j] <= prefixes.time[i]]
            before.append(b + sum(w[prefixes.group[j]] for j in earlier))
            after.append(before[-1] + w[prefixes.group[i]])
            at_end.append(b + sum(w[prefixes.group[j]] for j in upto))
    return np.array(before), np.array(after), np.array(at_end)


def labels(joins, targets, horizon):
    """(user, group, label) of every join at risk, by looking at each user's whole list."""
    found = []
    for u in range(joins.n_users):
        mine = list(range(joins.offsets[u], joins.offsets[u + 1]))
        hits = [joins.time[j] for j in mine if targets.mask[joins.group[j]]]
        for j in mine:
            t = joins.time[j]
            if targets.mask[joins.group[j]] or (hits and t >= min(hits)):
                continue
            if horizon is None:
                label = int(bool(hits))
            elif t + horizon > joins.observed_until[u]:
                label = -1
            else:
                label = int(bool(hits) and min(hits) <= t + horizon)
            found.append((u, int(joins.group[j]), label))
    return found


def own_history_z(prefixes, jump, fewest):
    z = np.zeros(len(jump))
    for u in range(prefixes.n_users):
        mine = range(prefixes.offsets[u], prefixes.offsets[u + 1])
        for i in mine:
            past = np.array([jump[j] for j in mine if prefixes.time[j] < prefixes.time[i]])
            if len(past) >= fewest:
                mad = 1.4826 * np.median(np.abs(past - np.median(past)))
                z[i] = (jump[i] - np.median(past)) / mad if mad > 0 else 0.0
    return z


def add_by_group(group, spike, jump, label, expected, n_groups):
    counts, sums = np.zeros((n_groups, 4), int), np.zeros((n_groups, 3))
    for g in range(n_groups):
        at, known = group == g, (group == g) & (label >= 0)
        counts[g] = at.sum(), spike[at].sum(), known.sum(), label[known].sum()
        e = expected[known]
        sums[g] = jump[at].sum(), e.sum(), (e * (1 - e)).sum()
    return counts, sums


def poisson_binomial_tail(p, k):
    """P(sum of Bernoulli(p_i) >= k), by convolution."""
    mass = np.array([1.0])
    for q in p:
        mass = np.convolve(mass, [1 - q, q])
    return mass[k:].sum()
