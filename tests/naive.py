"""Slow, obvious twins of every kernel: the same answer by the shortest way of saying it."""

from __future__ import annotations

import hashlib
import math
from itertools import chain, combinations, pairwise, permutations, product

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


def occasion_days(seed, stream, occasions, arrival, departure, gap_shape=1.0):
    """Days of each user's occasions: the smallest of r uniform points, then the next."""
    found = []
    for u, count in enumerate(occasions):
        clock, days = float(arrival[u]), []
        for i in range(count):
            words = philox(seed, stream, u, i, 0)
            step = 1 - uniform52(words[0], words[1]) ** (1.0 / (count - i))
            if gap_shape != 1.0:
                step = gamma_share(seed, stream, u, i, gap_shape, count - i)
            clock += (departure[u] - clock) * step
            days.append(min(int(clock), departure[u] - 1))
        found.append(days)
    return found


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


def simulate(world):
    """Joins of a world as a list of (user, group, day), one user at a time.

    Only right where nobody looks at anybody and everything is found by intent.
    """
    from gateway.simulate.sources import SOURCE_TABLE

    g, users, section = world.groups, world.users, world.config.simulation
    intent = [row for row in SOURCE_TABLE if row.mechanism == 3]
    weights = np.array([row.requests for row in intent])
    joins = []
    days = occasion_days(world.seed, 1, users.occasions, users.arrival, users.departure)
    for u, mine in enumerate(days):
        joined = []
        for occasion, day in enumerate(mine):
            taste = np.append(users.interest[u].astype(float), 0.0)
            taste[0] *= np.exp(sum(g.strength[h] for h in joined))
            reach = np.where(g.country == users.country[u], 1.0, 1 - world.section.home_bias)
            for attempt in range(section.attempts):
                w = [uniform(x) for x in philox(world.seed, 2, u, occasion, attempt)]
                source = intent[pick(weights / weights.sum(), w[0])]
                k = pick(taste, w[1] * taste.sum())
                shelf = g.mix[:, k] * (g.appeal * reach)
                group = pick(shelf, w[2] * np.cumsum(shelf)[-1])
                if g.created[group] <= day and group not in joined:
                    confirm = uniform(philox(world.seed, 2, u, occasion, 1 << 20)[0])
                    if confirm < source.confirmed:
                        joined.append(group)
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


def holders(total, n, shift):
    """Who holds each of n points, evenly spaced, of a running total."""
    points = (np.arange(n) + shift) / n * total[-1]
    return (np.searchsorted(total, points, side="right") - 1).tolist()


def draw_pairs(seed, stream, event, shift, total, block, low, high, friends, n):
    """n pairs of places as a list; ``friends`` is a list of sets."""
    pairs = []
    owners = holders(total, n, shift)
    for e, u in enumerate(owners):
        first, end = low[block[u]], high[block[u]]
        k = e - owners.index(u)
        earlier = pairs[max(e - k, e - 64) : e]
        pairs.append((u, -1))
        for attempt in range(16):
            w = philox(seed, stream, u, event, 16 * k + attempt)
            point = total[first] + uniform52(w[0], w[1]) * (total[end] - total[first])
            other = int(np.searchsorted(total, point, side="right")) - 1
            if other != u and other not in friends[u] and (u, other) not in earlier:
                pairs[e] = (u, other)
                break
    return pairs


def some_of(words, d, count):
    """Floyd's algorithm: ``count`` of 0..d-1."""
    chosen = []
    for word, last in zip(words, range(d - count, d), strict=False):
        t = int(uniform(word) * (last + 1))
        chosen.append(last if t in chosen else t)
    return chosen


def draw_introductions(seed, stream, event, shift, friends, n):
    """n pairs of friends of a friend as a list; ``friends`` is a list of sets."""
    pairs = []
    owners = holders(np.cumsum([0, *map(len, friends)]), n, shift)
    for e, v in enumerate(owners):
        k, row = e - owners.index(v), sorted(friends[v])
        earlier = pairs[max(e - k, e - 64) : e]
        pairs.append((-1, -1))
        for attempt in range(0, 16, 2) if len(row) >= 2 else ():
            words = philox(seed, stream, v, event, 16 * k + attempt)
            met = [row[i] for i in some_of(words, len(row), 4 if len(row) >= 4 else 2)]
            if len(met) == 4:
                upper = uniform(philox(seed, stream, v, event, 16 * k + attempt + 1)[0]) < 0.5
                met = sorted(met, key=lambda u: len(friends[u]))[2 * upper :][:2]
            u, w = met
            if w not in friends[u] and (u, w) not in earlier and (w, u) not in earlier:
                pairs[e] = (u, w)
                break
    return pairs


def befriend(friends, pairs):
    """Sets of friends after more pairs; a pair with -1 is none."""
    grown = [set(mine) for mine in friends]
    for u, w in pairs:
        if w >= 0:
            grown[u].add(w)
            grown[w].add(u)
    return grown


# Interventions ----------------------------------------------------------------------------


def policies_by_day(interventions, *, n_groups, days):
    """(seed filter, demotion, friction) by [day, group] and the cap by day: the strongest."""
    seed_filter = np.zeros((days, n_groups), bool)
    demotion, friction = np.zeros((2, days, n_groups))
    cap = np.full(days, 2**31 - 1)
    for day in range(days):
        for one in interventions:
            if one.start > day:
                continue
            kind = type(one).__name__
            if kind == "InviteCap":
                cap[day] = min(cap[day], one.most)
                continue
            for g in range(n_groups):
                if one.groups[g] and kind == "GysjSeedFilter":
                    seed_filter[day, g] = True
                elif one.groups[g]:
                    share = demotion if kind == "Demotion" else friction
                    share[day, g] = max(share[day, g], one.share)
    return seed_filter, demotion, friction, cap


# Gamma variates, gaps and the shape of a log ----------------------------------------------


def gamma(seed, stream, user, event, draw, shape):
    """Marsaglia and Tsang's (2000) gamma variate; below shape 1 one of shape + 1 is shrunk."""
    power = 1.0
    if shape < 1:
        words = philox(seed, stream, user, event, draw)
        power, draw, shape = uniform52(words[0], words[1]) ** (1 / shape), draw + 1, shape + 1
    d = shape - 1 / 3
    while True:
        w = philox(seed, stream, user, event, draw)
        draw += 1
        radius = math.sqrt(-2 * math.log(uniform(w[0])))
        x = radius * math.cos(2 * math.pi * uniform(w[1]))
        v = (1 + x / math.sqrt(9 * d)) ** 3
        if v > 0 and math.log(uniform52(w[2], w[3])) < x * x / 2 + d - d * v + d * math.log(v):
            return power * d * v


def gamma_share(seed, stream, user, event, shape, remaining):
    """The first of remaining + 1 gamma gaps, as a share of their sum."""
    gap = gamma(seed, stream, user, event, 0, shape)
    rest = gamma(seed, stream, user, event, 1 << 20, shape * remaining)
    return gap / (gap + rest)


def log_shape(rows, category):
    """Some statistics of (user, group, time) rows, from lists; no ties within a user."""
    mine, sizes = {}, {}
    for user, group, time in rows:
        mine.setdefault(user, []).append((time, group))
        sizes[group] = sizes.get(group, 0) + 1
    pairs = [p for joined in mine.values() for p in pairwise(sorted(joined))]
    counts = [len(joined) for joined in mine.values()]
    difference = np.mean([abs(a - b) for a in sizes.values() for b in sizes.values()])
    of_joins = [category[group] for _, group, _ in rows]
    same = [a == b for a in of_joins for b in of_joins]
    return {
        "n_users": len(mine),
        "n_groups": len(sizes),
        "one_join": np.mean([n == 1 for n in counts]),
        "another_2": np.mean([n > 2 for n in counts if n >= 2]),
        "gini": difference / (2 * np.mean(list(sizes.values()))),
        "same_category": np.mean([category[a[1]] == category[b[1]] for a, b in pairs]),
        "chance": np.mean(same),
        "gap_mean": np.mean([b[0] - a[0] for a, b in pairs]),
        "gap_median": np.median([b[0] - a[0] for a, b in pairs]),
    }


# The rivals of the spike detector ---------------------------------------------------------


def histories(joins, targets):
    """For each user: blocks (sets of groups) before the first target join, and its tick or None."""
    found = []
    for u in range(joins.n_users):
        at = range(joins.offsets[u], joins.offsets[u + 1])
        mine = [(int(joins.time[i]), int(joins.group[i])) for i in at]
        first = min((t for t, g in mine if targets.mask[g]), default=None)
        blocks = {}
        for t, g in mine:
            if first is None or t < first:
                blocks.setdefault(t, set()).add(g)
        found.append((sorted(blocks.items()), first))
    return found


def log_rank(joins, targets, g):
    """Observed, expected and hypergeometric variance of g's members, tick by tick."""
    people = [
        (blocks[0][0], int(joins.observed_until[u]) if first is None else first, first is not None,
         next((t for t, block in blocks if g in block), None))
        for u, (blocks, first) in enumerate(histories(joins, targets)) if blocks
    ]  # fmt: skip
    observed, expected, variance = 0, 0.0, 0.0
    for t in range(int(joins.observed_until.max()) + 1):
        risk = [p for p in people if p[0] < t <= p[1]]
        dies = [p for p in risk if p[2] and p[1] == t]
        n, d = len(risk), len(dies)
        if d == 0:
            continue
        members = [p for p in risk if p[3] is not None and p[3] < t]
        m = len(members)
        observed += len([p for p in dies if p in members and p[3] is not None])
        expected += d * m / n
        variance += d * (m / n) * (1 - m / n) * (n - d) / (n - 1) if n > 1 else 0.0
    return observed, expected, variance


def transitions(joins, targets):
    """Counts of the chain, averaged over every order of every tie block, as one dense matrix.

    States: the groups, then start, target, end.
    """
    n = joins.n_groups
    start, target, end = n, n + 1, n + 2
    counts = np.zeros((n + 3, n + 3))
    for blocks, first in histories(joins, targets):
        orders = [list(permutations(sorted(block))) for _, block in blocks]
        paths = list(product(*orders))
        for path in paths:
            states = [start, *chain.from_iterable(path), end if first is None else target]
            for i, j in pairwise(states):
                counts[i, j] += 1.0 / len(paths)
    return counts


def absorbed(counts, *, removed=None):
    """P(target) from each state; a removed group leads to the end whatever was counted."""
    n = len(counts)
    p = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-300)
    if removed is not None:
        p[removed] = 0.0
        p[removed, n - 1] = 1.0
    q = p[: n - 2, : n - 2]
    return np.linalg.solve(np.eye(n - 2) - q, p[: n - 2, n - 2])


def before_and_after(joins, targets, g):
    """Users who joined g strictly before, and strictly after, their first target join."""
    before = after = 0
    for u in range(joins.n_users):
        at = range(joins.offsets[u], joins.offsets[u + 1])
        first = min((joins.time[i] for i in at if targets.mask[joins.group[i]]), default=None)
        mine = [joins.time[i] for i in at if joins.group[i] == g]
        if first is not None and mine:
            before += bool(mine[0] < first)
            after += bool(mine[0] > first)
    return before, after


# Running features of the scorers ----------------------------------------------------------


def running(p, x):
    """For each row: count, sum and maximum after it alone, and at the end of its block."""
    rows = []
    for u in range(p.n_users):
        mine = range(p.offsets[u], p.offsets[u + 1])
        for i in mine:
            before = [x[j] for j in mine if p.time[j] < p.time[i]]
            block = [x[j] for j in mine if p.time[j] == p.time[i]]
            after, at_end = [*before, x[i]], before + block
            rows.append([f(seen) for seen in (after, at_end) for f in (len, sum, max)])
    return np.array(rows, float).reshape(-1, 6)


# Prediction -------------------------------------------------------------------------------


def delong_error(score, outcome):
    """Standard error of the AUC from all pairs of a case and a control (DeLong et al. 1988)."""
    wins = np.array([[(x > y) + 0.5 * (x == y) for y in score[~outcome]] for x in score[outcome]])
    cases, controls = wins.mean(axis=1), wins.mean(axis=0)
    return np.sqrt(cases.var(ddof=1) / len(cases) + controls.var(ddof=1) / len(controls))


# The self-controlled likelihood -------------------------------------------------------------


def self_controlled_slots(joins, outcome, candidate, *, clock="joins", ticks=0, n_joins=0):
    """For each case a list of (tick, place, groups exposed to, groups joined in the tick, y).

    The place is the bin of the joins before, 16 more after the opening of the history.

    On the clock of joins a slot for each join, on the calendar one for each tick of the window.
    """
    hits = [int(t) for t, g in zip(joins.time, joins.group, strict=True) if outcome[g]]
    cases, gaps = [], []
    for u in range(joins.n_users):
        rows = slice(joins.offsets[u], joins.offsets[u + 1])
        if outcome[joins.group[rows]].any():
            gaps += list(np.diff(sorted({int(t) for t in joins.time[rows]})))
    opening = np.median(gaps) / 8 if gaps else 0
    for u in range(joins.n_users):
        rows = range(joins.offsets[u], joins.offsets[u + 1])
        mine = [(int(joins.time[i]), int(joins.group[i])) for i in rows]

        def exposed(t, mine=mine, rows=rows):
            found = set()
            for i, (s, g) in zip(rows, mine, strict=True):
                between = sum(s < r < t for r, _ in mine)
                lasts = (not ticks or t <= s + ticks) and (not n_joins or between < n_joins)
                lasts &= joins.left is None or t < joins.left[i]
                if candidate[g] and s < t and lasts:
                    found.add(g)
            return found

        def here(t, mine=mine):
            return {g for s, g in mine if s == t and candidate[g]}

        def place(t, mine=mine):
            before = sum(s < t for s, _ in mine)
            doubling = before if before < 4 else int(math.log2(before)) + 2
            return min(doubling, 15) + 16 * (t - mine[0][0] > opening)

        if clock == "joins":
            slots = [
                (t, place(t), exposed(t), here(t), int(outcome[g]))
                for t, g in mine
                if min(hits) <= t <= max(hits)
            ]
            if 0 < sum(y for *_, y in slots) < len(slots):
                cases.append(slots)
        else:
            window = range(joins.observed_from[u], joins.observed_until[u] + 1)
            slots = [
                (t, 0, exposed(t), here(t), sum(outcome[g] for s, g in mine if s == t))
                for t in window
            ]
            if any(y for *_, y in slots):
                cases.append(slots)
    return cases


def slot_weight(slot, beta, position, calendar, without=None):
    t, place, exposed, _, _ = slot
    effects = sum(beta[g] for g in exposed if g != without)
    return math.exp(effects + position[place] + calendar(t))


def events_distribution(weights, n, inside, exact):
    """P(k of n events fall on the slots inside), by counting all ways."""
    p = np.zeros(n + 1)
    ways = combinations(range(len(weights)), n) if exact else product(range(len(weights)), repeat=n)
    for way in ways:
        p[sum(inside[i] for i in way)] += math.prod(weights[i] for i in way)
    return p / p.sum()


def self_controlled_loss(cases, beta, position, calendar, exact):
    """-log of the probability of where the events fall, given how many there are."""
    loss = 0.0
    for slots in cases:
        w = [slot_weight(slot, beta, position, calendar) for slot in slots]
        n = sum(y for *_, y in slots)
        if exact:
            whole = sum(math.prod(w[i] for i in way) for way in combinations(range(len(w)), n))
        else:
            whole = sum(w) ** n
        loss += math.log(whole) - sum(s[-1] * math.log(x) for s, x in zip(slots, w, strict=True))
    return loss


def own_cumulants(cases, g, beta, theta, position, calendar, exact):
    """(A, mean, variance) of the events after g, the tick of its own join left out."""
    found = np.zeros(3)
    for slots in cases:
        rest = [slot for slot in slots if g not in slot[3]]
        inside = [g in slot[2] for slot in rest]
        n = sum(y for *_, y in rest)
        if n == 0 or all(inside) or not any(inside) or (exact and n == len(rest)):
            continue
        w = [
            slot_weight(slot, beta, position, calendar, g) * math.exp(theta * x)
            for slot, x in zip(rest, inside, strict=True)
        ]
        p, k = events_distribution(w, n, inside, exact), np.arange(n + 1)
        mean = p @ k
        a = sum(slot[-1] for slot, x in zip(rest, inside, strict=True) if x)
        found += [a, mean, p @ k**2 - mean**2]
    return found


# Invitations, sent again from the cells.


def invitations(history):
    """(day, sender, receiver, group, taken) of every invitation, night after night."""
    stage, seed = history.stage, history.world.seed
    inbox, sent = {}, []
    joins = [[] for _ in range(history.world.days)]
    for u in range(len(stage.users)):
        me = stage.users[u]
        for occasion in range(int(me.taken)):
            cell = stage.cells[int(me.start) + occasion]
            if cell.group >= 0 and cell.source < 128:
                joins[cell.time].append((u, occasion, cell))
    for todays in joins:
        nights_letters = []
        for u, occasion, cell in todays:
            how = int(stage.source.mechanism[cell.source])
            if how == 2 and cell.via >= 0:
                sent[inbox[u]][-1] = True
            nights_letters += _letters_of(history, u, occasion, cell, seed)
        for letter in nights_letters:
            inbox[letter[2]] = len(sent)
            sent.append(letter)
    return [tuple(letter) for letter in sent]


def _letters_of(history, u, occasion, cell, seed):
    """What one join sends: a Pareto number of invitations, each to a friend drawn at random.

    A friend found by PYMK so far stands for ``found_weight`` friends. Whom PYMI does not
    feature misses all but a share 1 / ``pymi_featuring`` of what would have come.
    """
    stage, users, graph = history.stage, history.world.users, history.world.friendships
    friends = graph.friend[graph.offsets[u] : graph.offsets[u + 1]].tolist()
    found, at = [], int(stage.last_find[u])
    for _ in range(int(stage.users[u].found)):
        find = stage.finds[at]
        found[:0] = [int(find.friend)] if find.day <= cell.time else []
        at = int(find.before)
    weights = [1.0] * len(friends) + [stage.found_weight] * len(found)
    friends += found
    w0, w1, _, _ = philox(seed, 3, u, occasion, 0)
    factor = 1.0 if users.arms.pymi[u] else stage.pymi_factor
    if len(friends) == 0 or uniform(w0) >= float(users.invite_chance[u]) * factor:
        return []
    n = min(int(uniform(w1) ** (-1.0 / stage.invite_tail)), stage.bulk)
    cap = int(history.policies.invite_cap[history.policies.step[cell.time]])
    to = []
    for i in range(min(n, cap)):
        x, y = (uniform(w) for w in philox(seed, 4, u, occasion, i)[:2])
        v = friends[pick(weights, x * sum(weights))]
        if not users.arms.pymi_featured[v] or y < 1 / stage.pymi_featuring:
            to.append(v)
    return [[int(cell.time), u, v, int(cell.group), False] for v in to]


# Friends found by PYMK --------------------------------------------------------------------


def found_friends(world, days, *, share, room):
    """(friend, day) of what each user finds, one user and one refit after the other."""
    from gateway.randomness import Stream
    from gateway.randomness_kernels import philox, uniform

    f, n = world.friendships, len(world.users)
    friends = [f.friend[f.offsets[u] : f.offsets[u + 1]].tolist() for u in range(n)]
    found = [[] for _ in range(n)]
    for day, u in product(days, range(n)):
        if world.users.arms.pymk[u] or not friends[u] or len(found[u]) >= room:
            continue
        x0, x1, x2, _ = map(uniform, philox(world.seed, int(Stream.PYMK), u, day, 0))
        between = friends[friends[u][int(x1 * len(friends[u]))]] if x0 < share else []
        for v in between[int(x2 * len(between)) :][:1]:
            known = {u, *friends[u], *(w for w, _ in found[u])}
            held_out = world.users.arms.pymk_featured[v]
            if v not in known and len(found[v]) < room and not held_out:
                found[u].append((v, day))
                found[v].append((u, day))
    return found


# Big logs: reading, sorting, names ----------------------------------------------------------


def name_words(names, seed):
    """BLAKE2b of each name with the seed as key, as numbers of 64 bits."""
    key = seed.to_bytes(8, "little")
    digests = [hashlib.blake2b(n.encode(), digest_size=8, key=key).digest() for n in names]
    return [int.from_bytes(digest, "little") for digest in digests]


def log_rows(user, group, time):
    """(user, time, group) in order, each user and group once, at the earliest time."""
    first = {}
    for u, g, t in zip(user, group, time, strict=True):
        first[u, g] = min(t, first.get((u, g), t))
    return sorted((u, t, g) for (u, g), t in first.items())


def canonical_rows(rows):
    """Rows of user, group, time and more: by user, time, group, of each membership the least."""
    first = {}
    for user, group, *rest in rows:
        first[user, group] = min(rest, first.get((user, group), rest))
    order = sorted(first, key=lambda pair: (pair[0], first[pair][0], pair[1]))
    return [(user, group, *first[user, group]) for user, group in order]


def joins_before(joins, target):
    """Of each group: target joins before it of its joiners, and of everybody."""
    own, all_ = np.zeros((2, joins.n_groups), np.int64)
    user = np.repeat(np.arange(joins.n_users), np.diff(joins.offsets))
    hits = [(u, t) for u, g, t in zip(user, joins.group, joins.time, strict=True) if target[g]]
    for u, g, t in zip(user, joins.group, joins.time, strict=True):
        own[g] += sum(v == u and s < t for v, s in hits)
        all_[g] += sum(s < t for _, s in hits)
    return own, all_


# Packed rows, expectation, spikes ------------------------------------------------------------


def design(prefixes, form):
    """(before, after, at_end): a dense row for each, group factors and steps of covariates."""
    return tuple(
        np.array([
            _design_row(prefixes, form, u, i, what)
            for u in range(prefixes.n_users)
            for i in range(prefixes.offsets[u], prefixes.offsets[u + 1])
        ])
        for what in ("before", "after", "at_end")
    )  # fmt: skip


def _design_row(prefixes, form, u, i, what):
    time, group = prefixes.time, prefixes.group
    mine = list(range(prefixes.offsets[u], prefixes.offsets[u + 1]))
    earlier = [j for j in mine if time[j] < time[i]]
    block = [j for j in mine if time[j] == time[i]] if what == "at_end" else [i]
    row, squares = np.zeros(prefixes.n_groups), 0.0
    for j in earlier + block:
        later = len({time[k] for k in mine if time[j] < time[k] <= time[i]})
        factor = 1.0 if form.keep is None else form.keep**later
        squares += factor**2
        if what != "before" or j != i:
            row[group[j]] += factor
    if form.keep is not None:
        row /= np.sqrt(squares)
    if form.cuts is None:
        return row
    bins = covariate_bins(prefixes, form, u, i, len(earlier + block))
    steps = [[k < at for k in range(n - 1)] for at, n in zip(bins, BINS, strict=True)]
    return np.concatenate([row, *steps]).astype(float)


# Bins of joins so far, of tenure, of the gap and of the calendar; ends of the half doublings.
BINS = (32, 34, 34, 30)
HALVES = [2, *(x for k in range(1, 16) for x in (3 * 2 ** (k - 1), 2 ** (k + 1)))]


def covariate_bins(prefixes, form, u, i, joins):
    """Bin of each covariate of row i of user u, by looking through all bins."""
    time, first = prefixes.time, prefixes.offsets[u]
    before = [int(t) for t in time[first:i] if t < time[i]]
    gap = int(time[i]) - max(before) if before else 0
    return (
        sum(joins >= edge for edge in HALVES),
        sum(int(time[i]) - int(time[first]) >= 2**k for k in range(33)),
        sum(gap >= 2**k for k in range(33)),
        sum(int(time[i]) >= cut for cut in form.cuts.tolist()),
    )


def packed(prefixes, users, form):
    """Codes of the rows of some users, and the bins of each one's covariates.

    A code is (starts the user, starts a block, trains, outcome, group).
    """
    codes, bins = [], []
    for u in np.flatnonzero(users):
        mine = range(prefixes.offsets[u], prefixes.offsets[u + 1])
        trains = [bool(prefixes.ends_block[i] and prefixes.label[i] >= 0) for i in mine]
        last = max((j for j, known in enumerate(trains) if known), default=-1)
        for j, i in enumerate(mine[: last + 1]):
            outcome = trains[j] and prefixes.label[i] == 1
            starts = bool(prefixes.starts_block[i])
            codes.append((j == 0, starts, trains[j], bool(outcome), int(prefixes.group[i])))
            bins.append(covariate_bins(prefixes, form, u, i, j + 1))
    return codes, bins


def expectation_sums(z, at, outcome, theta):
    """Gradient and Hessian of the log-loss with one column for z and one for each bin."""
    x = np.zeros((len(z), len(theta)))
    x[:, 0] = z
    for k in range(at.shape[1]):
        x[np.arange(len(z)), at[:, k]] += 1
    p = 1 / (1 + np.exp(-x @ theta))
    return x.T @ (p - outcome), (x.T * (p * (1 - p))) @ x


def standardised(prefixes, before, after, cuts, edges):
    """The jump, centred and scaled in cells of position and probability before."""
    blocks = np.zeros(len(before), int)
    for u in range(prefixes.n_users):
        mine = range(prefixes.offsets[u], prefixes.offsets[u + 1])
        for i in mine:
            blocks[i] = len({prefixes.time[j] for j in mine if prefixes.time[j] < prefixes.time[i]})
    pairs = zip(blocks, before, strict=True)
    place = [(int((edges <= k).sum()), int((cuts < p).sum())) for k, p in pairs]
    jump, z = after - before, np.zeros(len(before))
    for cell in set(place):
        at = np.array([c == cell for c in place])
        sd = jump[at].std(ddof=1) if at.sum() > 1 else 0.0
        if sd > 1e-9 * abs(jump[at].mean()):
            z[at] = (jump[at] - jump[at].mean()) / sd
    return z


# Survival: spans, ranks and sums of memberships ----------------------------------------------


def spans(joins, targets):
    """For each user: has joins before the first target join, start, leaving, event, such joins."""
    found = []
    for u, (blocks, first) in enumerate(histories(joins, targets)):
        until = int(joins.observed_until[u])
        leave = until if first is None or first > until else first
        event = bool(blocks) and first is not None and first <= until
        rows = sum(len(block) for t, block in blocks if t < leave)
        found.append((bool(blocks), blocks[0][0] if blocks else 0, leave, event, rows))
    return found


def rank(times, tick):
    """How many times are at most ``tick``."""
    return sum(t <= tick for t in times)


def memberships(joins, n_rows):
    """User and position in the log of every join that somebody is at risk after."""
    return [(u, int(joins.offsets[u]) + k) for u in range(joins.n_users) for k in range(n_rows[u])]


def membership_sums(joins, spans, joined, left, cumulative, linear):
    """By group: memberships, those with an event; rises of two step functions, ticks."""
    _, _, leave, event, n_rows = spans
    counts, sums = np.zeros((joins.n_groups, 2), int), np.zeros((joins.n_groups, 3))
    for u, i in memberships(joins, n_rows):
        a, b = joined[i], left[u]
        rises = cumulative[b] - cumulative[a], linear[b] - linear[a]
        counts[joins.group[i]] += (1, event[u])
        sums[joins.group[i]] += (*rises, leave[u] - joins.time[i])
    return counts, sums


def comers_and_leavers(joins, n_rows, joined, left, n_ranks):
    """Groups joined at each rank, and users who leave at it."""
    rows = memberships(joins, n_rows)
    comers = [[int(joins.group[i]) for _, i in rows if joined[i] == r] for r in range(n_ranks)]
    return comers, [[u for u in range(joins.n_users) if left[u] == r] for r in range(n_ranks)]


def squared_members(joins, n_rows, joined, left, quadratic):
    """By group: members squared between two ranks, times the rise of a step function."""
    total, rows = np.zeros(joins.n_groups), memberships(joins, n_rows)
    for r in range(len(quadratic) - 1):
        members = np.zeros(joins.n_groups)
        for u, i in rows:
            members[joins.group[i]] += joined[i] <= r < left[u]
        total += members**2 * (quadratic[r + 1] - quadratic[r])
    return total


# Probabilities around each row ---------------------------------------------------------------


def probabilities(prefixes, fold, models):
    """(before, after, at_end) of each row, by the (model, line) of its user's fold."""
    columns = np.zeros((3, len(prefixes.group)))
    user = prefixes.user()
    for k, (model, line) in enumerate(models):
        steps = np.concatenate([np.diff(x) for x in np.split(model.effects, np.cumsum(BINS)[:-1])])
        x = np.concatenate([model.weights, [] if model.form.cuts is None else steps])
        for column, rows in zip(columns, design(prefixes, model.form), strict=True):
            z = line[0] * (model.intercept + rows @ x) + line[1]
            mine = fold[user] == k
            column[mine] = (1 / (1 + np.exp(-z)))[mine]
    return columns
