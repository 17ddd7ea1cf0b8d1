"""Scoring, spikes and sums by group, given fitted weights: joins per second.

One side are the kernels that ``score_joins`` and ``detect_spikes`` run, into columns of scores
that are new each time, as a log that is scored once needs them, or there already; the other the
same work in NumPy, which the first must agree with. They take turns in one process; the best of
some rounds counts. Beside joins per second stand the time over that of the bytes that any way
must move, ``BYTES`` a join at the bandwidth of the triad in this process, and how many times as
fast as NumPy it is: an absolute number is one machine's.

Run: python experiments/bench_scoring.py [--joins 20000000] [--groups 5000] [--rounds 3] [--peer]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from experiments.machine import bandwidth
from gateway._numba import threads
from gateway.detect.spike import SpikeOptions, _sums_by_group, find_spikes
from gateway.score import LogisticModel, Logits, Prefixes, Scores
from gateway.score.logistic import KEEP, fill_linear
from gateway.score.prefix_loss import Form
from gateway.score.prefixes import POSITION_EDGES

Float64 = npt.NDArray[np.float64]
Side = Callable[[Prefixes, Float64], Float64]
LINE, INTERCEPT = np.array([1.1, 0.2]), -3.5
# Scoring reads group and time and writes three columns; the cuts are exact quantiles of one,
# two passes; moments read two, the quantile of the jumps two in two passes, marking spikes two;
# the sums read three, the group, the label and the spikes.
BYTES = 8 + 24 + 2 * 8 + 16 + 2 * 16 + 16 + 24 + 6


def draw(joins: int, groups: int) -> tuple[Prefixes, Float64]:
    """Rows of users with ten joins on average, groups of unlike sizes, and weights."""
    rng = np.random.default_rng(1)
    counts = 1 + rng.poisson(rng.lognormal(np.log(9.0) - 0.32, 0.8, joins // 10))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    n = int(offsets[-1])
    weight = np.cumsum((np.arange(groups) + 5.0) ** -0.8)
    group = rng.permutation(groups)[np.searchsorted(weight, rng.random(n) * weight[-1])]
    starts = rng.random(n) < 0.93
    starts[offsets[:-1]] = True
    time_ = np.cumsum(starts).astype(np.int32)
    label = np.repeat(rng.random(len(counts)) < 0.03, counts).astype(np.int8)
    rows = Prefixes(
        offsets, group.astype(np.int32), time_, starts, np.append(starts[1:], True), label,
        np.zeros(len(counts)), groups,
    )  # fmt: skip
    return rows, rng.normal(0.0, 0.3, groups)


def new_columns(rows: Prefixes) -> Logits:
    """Return columns of scores, not touched yet."""
    return Logits(*(np.empty(len(rows.group)) for _ in range(3)))


def ours(
    rows: Prefixes, w: Float64, form: Form | None = None, columns: Logits | None = None
) -> Float64:
    """By kernels; ``form``: the default scorer's, or the plain bag of groups."""
    before, after, at_end = columns = columns or new_columns(rows)
    fold = np.zeros(rows.n_users, np.int8)
    model = LogisticModel(w, INTERCEPT, form=form or Form(None, None))
    fill_linear(rows, fold, [model], columns, lines=LINE[None])
    scores = Scores(rows, before, after, before, at_end, fold, (), "")
    return _sums_by_group(scores, find_spikes(scores, options=SpikeOptions()))


def peer(rows: Prefixes, w: Float64) -> Float64:
    """By NumPy: cumulated sums, quantiles by partial sorts, counts by ``bincount``."""
    z = np.concatenate([[0.0], np.cumsum(w[rows.group])])
    block = np.cumsum(rows.starts_block) - 1
    start = z[np.repeat(rows.offsets[:-1], np.diff(rows.offsets))]
    first = np.flatnonzero(rows.starts_block)[block]
    z_before = z[first] - start
    p = [expit(LINE[0] * (x + INTERCEPT) + LINE[1]) for x in (z_before, z_before + w[rows.group])]
    before, after = p
    jump = after - before
    cuts = np.unique(np.quantile(before, np.arange(1, 10) / 10))
    cell = rows.position() * (len(cuts) + 1) + np.searchsorted(cuts, before)
    n_cells = (len(POSITION_EDGES) + 1) * (len(cuts) + 1)
    count = np.bincount(cell, minlength=n_cells)
    mean = np.bincount(cell, jump, n_cells) / np.maximum(count, 1)
    spread = np.bincount(cell, (jump - mean[cell]) ** 2, n_cells)
    sd = np.sqrt(spread / np.maximum(count - 1, 1))
    sd[sd <= 1e-9 * np.abs(mean)] = 0.0
    wide = sd[cell] > 0.0
    size = np.divide(jump - mean[cell], sd[cell], out=np.zeros(len(jump)), where=wide)
    spike = (size >= np.quantile(size, 0.95)) & (size > 0) & (jump > 0)
    n = rows.n_groups
    columns = [None, spike, None, rows.label, jump, before, before * (1.0 - before)]
    return np.column_stack([np.bincount(rows.group, c, n) for c in columns])


def main() -> None:
    """Take turns and print joins per second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--joins", type=int, default=20_000_000)
    parser.add_argument("--groups", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", action="store_true", help="measure NumPy beside it")
    options = parser.parse_args()
    rows, w = draw(options.joins, options.groups)
    # The peer knows the bag of groups alone.
    everybody = np.ones(rows.n_users, bool)
    form = None if options.peer else Form.learn(rows, everybody, keep=KEEP)
    again = new_columns(rows)
    sides: dict[str, Side] = {
        "kernels, new columns": partial(ours, form=form),
        "kernels, columns there": partial(ours, form=form, columns=again),
    }
    if options.peer:
        sides["numpy"] = peer
    for run in list(sides.values())[:2]:
        run(rows, w)
    best: dict[str, float] = {}
    found: dict[str, Float64] = {}
    for _ in range(options.rounds):
        for name, run in sides.items():
            begun = time.perf_counter()
            found[name] = run(rows, w)
            best[name] = min(time.perf_counter() - begun, best.get(name, np.inf))
    new, there, *others = found.values()
    np.testing.assert_array_equal(new, there)
    for other in others:
        # A running sum over the whole log loses digits that sums by user keep.
        np.testing.assert_allclose(other, new[:, :7], rtol=1e-6, atol=1e-6)
    n, triad = len(rows.group), bandwidth()
    print(f"{n:,} joins, {options.groups:,} groups, {threads()} threads; "
          f"triad {triad / 1e9:.1f} GB/s, {BYTES} bytes a join")  # fmt: skip
    for name, took in best.items():
        limit, ahead = took / (n * BYTES / triad), best.get("numpy", np.nan) / took
        against = f", {ahead:.1f} times as fast as NumPy" if options.peer else ""
        print(f"{name}: {n / took / 1e6:.0f} M joins/s, {limit:.1f} times the bytes' time{against}")


if __name__ == "__main__":
    main()
