"""Our side of every work: the same arrays in, the same arrays out, by gateway's own calls."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from protocol import Arrays, digest_of, serve
from scipy.optimize import minimize

from experiments.peer_rows import slots_of
from experiments.synthetic import log_of
from gateway.detect import SpikeOptions, detect_markov_removal, detect_spikes, detect_survival
from gateway.detect.self_controlled.likelihood import Likelihood, Point
from gateway.log.conversion import convert_log
from gateway.log.join_log import JoinLog
from gateway.results import load_config
from gateway.score import LogisticModel, LogisticScorer, Prefixes, Scores, build_prefixes
from gateway.simulate import simulate
from gateway.simulate.recommender import CHUNKS
from gateway.simulate.recommender_kernels import list_members, nearest_groups
from gateway.targets import TargetSet
from gateway.world import draw_world
from gateway.world.friendships import draw_friendships

Answer = Callable[[], Mapping[str, Any]]
CONFIG = str(Path(__file__).parents[2] / "configs" / "quickstart.toml")


def _log(given: Arrays) -> JoinLog:
    columns = (given[name] for name in ("log_offsets", "log_group", "log_time"))
    return log_of(*columns, groups=int(given["n_groups"]))


def _targets(given: Arrays) -> TargetSet:
    return TargetSet(given["is_target"], "given")


def _rows(given: Arrays) -> Prefixes:
    return build_prefixes(_log(given), _targets(given))


def spike(given: Arrays) -> Answer:
    """With the shrinkage, intervals and p-values that the others do not have."""
    log, targets, rows = _log(given), _targets(given), _rows(given)
    options = SpikeOptions(rule="absolute", threshold=float(given["threshold"]))
    after, base = given["after"], float(given["base"])
    fold = np.zeros(rows.n_users, np.int8)

    def work() -> dict[str, Any]:
        before = np.empty_like(after)
        before[1:] = after[:-1]
        before[rows.offsets[:-1][np.diff(rows.offsets) > 0]] = base
        scores = Scores(rows, before, after, before, after, fold, (), "given")
        found = detect_spikes(log, targets, scores, options=options)
        seen = found.n_joiners > 0
        columns = {"joiners": found.n_joiners, "spikes": found.n_events,
                   "mean": found.extra["mean_jump"]}  # fmt: skip
        chosen = {name: column[seen] for name, column in columns.items()}
        return {"group": np.flatnonzero(seen), **chosen}

    return work


def fit(given: Arrays) -> Answer:
    rows = _rows(given)
    everybody = np.ones(rows.n_users, bool)

    def work() -> dict[str, Any]:
        model = LogisticScorer(penalty=float(given["penalty"]), keep=None, covariates=False).fit(
            rows, everybody
        )
        return {"weights": model.weights, "intercept": model.intercept,
                "evaluations": model.evaluations}  # fmt: skip

    return work


def score(given: Arrays) -> Answer:
    rows = _rows(given)
    everybody = np.ones(rows.n_users, bool)
    model = LogisticModel(given["weights"], float(given["intercept"]))
    return lambda: {"logit": model.logits(rows, everybody).at_end}


def removal(given: Arrays) -> Answer:
    log, targets = _log(given), _targets(given)
    group = np.arange(int(given["n_groups"]))
    return lambda: {"group": group, "effect": detect_markov_removal(log, targets).score}


def survival(given: Arrays) -> Answer:
    log, targets = _log(given), _targets(given)

    def work() -> dict[str, Any]:
        found = detect_survival(log, targets)
        return {"estimate": found.estimate, "hazard_ratio": found.extra["hazard_ratio"]}

    return work


def conditional(given: Arrays) -> Answer:
    slots, places = slots_of(given), given["parameters"]
    likelihood, point = Likelihood(slots), Point.zero(slots).vector()

    def loss(x: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        point[places] = x
        value, gradient = likelihood.loss(Point.of(point, slots))
        return value, gradient[places]

    def work() -> dict[str, Any]:
        found = minimize(loss, np.zeros(len(places)), jac=True, options={"gtol": 1e-9})
        return {"beta": found.x}

    return work


def lists(given: Arrays) -> Answer:
    """By the kernels of the platform's recommender, as ``fit_recommender`` calls them."""
    offsets, joined = given["log_offsets"].astype(np.int64), given["log_group"].copy()
    n, width = int(given["n_groups"]), int(given["n_nearest"])
    last = offsets[1:][np.diff(offsets) > 0] - 1
    joined[last] = ~joined[last]

    def work() -> dict[str, Any]:
        size = np.bincount(given["log_group"], minlength=n)
        starts = np.concatenate([[0], np.cumsum(size)])
        member = np.empty(len(joined), np.int64)
        list_members(offsets, joined, starts[:-1].copy(), member)
        group, weight = np.empty((n, width), np.int32), np.empty((n, width))
        nearest_groups(joined, starts, member, size.astype(np.float64), CHUNKS, group, weight)
        return {"group": group, "cosine": np.diff(weight, prepend=0.0)}

    return work


def convert(given: Arrays) -> Answer:
    path, folder = Path("ours.parquet"), Path("ours-log")
    days = pa.array(given["time"].astype(np.int32)).cast(pa.date32())
    pq.write_table(pa.table({"user": given["user"], "group": given["group"], "time": days}), path)

    def work() -> dict[str, Any]:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        convert_log(path, folder, memory=1 << 30)
        return {"joins": lambda: JoinLog.open(folder).n_joins, "digest": digest}

    def digest() -> int:
        log = JoinLog.open(folder)
        user, group = (
            names.to_numpy(zero_copy_only=False).astype(np.int64)
            for names in (log.users, log.groups)
        )
        return digest_of(user[log.user()], group[log.group], log.time.astype(np.int64) + log.origin)

    return work


def friends(given: Arrays) -> Answer:
    overrides = given["overrides"].tolist()
    config = load_config(CONFIG, overrides=overrides)
    users = draw_world(config).users

    def work() -> dict[str, Any]:
        graph = draw_friendships(config.world, users, seed=1)
        return {"degree": np.diff(graph.offsets)}

    return work


def simulation(given: Arrays) -> Answer:
    world = draw_world(load_config(CONFIG, overrides=given["overrides"].tolist()))

    def work() -> dict[str, Any]:
        log = simulate(world)
        return {"sizes": log.sizes(), "joins": log.n_joins}

    return work


if __name__ == "__main__":
    serve({
        "spike": spike, "fit": fit, "score": score, "removal": removal, "survival": survival,
        "conditional": conditional, "friends": friends, "simulation": simulation, "lists": lists,
        "convert": convert,
    })  # fmt: skip
