"""All-prefix training: O(joins) against scikit-learn on the expanded matrix.

The same prefixes, the same loss, the same penalty. Each side runs in a process of its own;
the sides take turns. Time is of the fit alone, with
kernels warm; for scikit-learn also with the expansion. Both solvers are asked for the same
accuracy, and the losses that they reach are compared.

Run: python experiments/bench_training.py [--users 50000] [--joins 14] [--repeats 3] [--penalty 300]

2.4 M joins and 27 M non-zeros: --users 88000 --joins 40.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import tracemalloc

import numpy as np
from sklearn.linear_model import LogisticRegression

from gateway.pipeline import obtain_inputs
from gateway.results import load_config
from gateway.score import LogisticScorer, Prefixes, PrefixLoss, build_prefixes
from gateway.score.adapter import block_bounds, expand_prefixes

# Ours and the peer.
SIDES = ("gateway", "scikit-learn")


def prefixes(users: int, joins: float) -> Prefixes:
    """The quickstart's prefixes at other numbers of users and of occasions per user."""
    overrides = [f"world.users={users}", f"world.joins_per_user={joins}"]
    config = load_config("configs/quickstart.toml", overrides=overrides)
    platform = obtain_inputs(config)
    return build_prefixes(platform.joins, platform.targets, horizon=config.score.horizon)


def measure(side: str, users: int, joins: float, penalty: float) -> dict[str, float]:
    """Fit once (ours twice, the first to warm the kernels) and report."""
    rows = prefixes(users, joins)
    everybody = np.ones(rows.n_users, bool)
    memory = allocated(side, rows, penalty)
    if side != "scikit-learn":
        scorer = LogisticScorer(penalty=penalty, keep=None, covariates=False)
        scorer.fit(rows, everybody)
        begun = time.perf_counter()
        model = scorer.fit(rows, everybody)
        seconds = whole = time.perf_counter() - begun
        w, b, n_iter = model.weights, model.intercept, model.evaluations
    else:
        seconds, whole, w, b, n_iter = fit_expanded(rows, penalty)
    loss = PrefixLoss(rows, everybody, penalty=penalty)(w, b)[0]
    return {
        "seconds": seconds, "with_expansion": whole, "loss": loss, "iterations": n_iter,
        "rows": len(rows.group), "memory_mib": memory, "nonzeros": nonzeros(rows),
    }  # fmt: skip


def nonzeros(rows: Prefixes) -> int:
    """Entries of the expanded matrix."""
    at = np.flatnonzero(rows.trains)
    return int((block_bounds(rows)[1][at] - rows.offsets[rows.user()[at]]).sum())


def allocated(side: str, rows: Prefixes, penalty: float) -> float:
    """Peak of what one fit allocates, in MiB, as Python's tracemalloc counts it (untimed)."""
    everybody = np.ones(rows.n_users, bool)
    tracemalloc.start()
    if side == "scikit-learn":
        fit_expanded(rows, penalty)
    else:
        LogisticScorer(penalty=penalty, keep=None, covariates=False).fit(rows, everybody)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return peak


def fit_expanded(rows: Prefixes, penalty: float) -> tuple[float, float, np.ndarray, float, int]:
    """scikit-learn's L-BFGS on the matrix with one row for each training prefix."""
    begun = time.perf_counter()
    at = np.flatnonzero(rows.trains)
    x = expand_prefixes(rows, at, block_bounds(rows)[1][at])
    expanded = time.perf_counter()
    model = LogisticRegression(C=1 / penalty, tol=1e-6, max_iter=1_000)
    model.fit(x, rows.label[at])
    end = time.perf_counter()
    found = model.coef_[0], float(model.intercept_[0]), int(model.n_iter_[0])
    return end - expanded, end - begun, *found


def main() -> None:
    """Alternate the sides and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--joins", type=float, default=14.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--penalty", type=float, default=300.0)
    parser.add_argument("--side", choices=SIDES)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.side, options.users, options.joins, options.penalty)))
        return
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(options.repeats):
        for side in SIDES:
            words = [sys.executable, __file__, "--side", side]
            words += ["--users", str(options.users), "--joins", str(options.joins)]
            words += ["--penalty", str(options.penalty)]
            done = subprocess.run(words, capture_output=True, text=True, check=True)  # noqa: S603
            runs[side].append(json.loads(done.stdout))
    middle = {
        side: {key: statistics.median(run[key] for run in found) for key in found[0]}
        for side, found in runs.items()
    }
    for side, found in middle.items():
        print(side, {key: round(value, 3) for key, value in found.items()})
    ours, theirs = middle["gateway"], middle["scikit-learn"]
    print(f"time: {theirs['seconds'] / ours['seconds']:.1f} times faster")
    print(
        f"memory beyond the log: {theirs['memory_mib'] / max(ours['memory_mib'], 1):.1f} times less"
    )
    print(f"loss, relative difference: {ours['loss'] / theirs['loss'] - 1:+.1e}")


if __name__ == "__main__":
    main()
