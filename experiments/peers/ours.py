"""Our side of every work: the same arrays in, the same arrays out, by gateway's own calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from protocol import Arrays, serve
from scipy.optimize import minimize

from experiments.synthetic import log_of
from gateway.detect import SpikeOptions, detect_markov_removal, detect_spikes, detect_survival
from gateway.detect.self_controlled.likelihood import Likelihood, Point
from gateway.detect.self_controlled.slots import Slots
from gateway.log.join_log import JoinLog
from gateway.results import load_config
from gateway.score import LogisticModel, LogisticScorer, Prefixes, Scores, build_prefixes
from gateway.simulate import simulate
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
        model = LogisticScorer(penalty=float(given["penalty"])).fit(rows, everybody)
        return {"weights": model.weights, "intercept": model.intercept,
                "evaluations": model.evaluations}  # fmt: skip

    return work


def score(given: Arrays) -> Answer:
    rows = _rows(given)
    everybody = np.ones(rows.n_users, bool)
    model = LogisticModel(given["weights"], float(given["intercept"]), 1.0, 1, converged=True)
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
    names = ("offsets", "group", "fresh", "stratum", "length", "events", "until", "user")
    slots = Slots(
        **{name: given[f"case_{name}"] for name in names}, n_groups=int(given["n_groups"]),
        n_positions=1, n_pieces=int(given["n_pieces"]), exact=False,
    )  # fmt: skip
    likelihood, columns = Likelihood(slots), given["columns"]
    point = Point.zero(slots)

    def loss(x: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        point.beta[columns] = x
        value, gradient = likelihood.loss(point)
        return value, gradient[columns]

    def work() -> dict[str, Any]:
        found = minimize(loss, np.zeros(len(columns)), jac=True, options={"gtol": 1e-9})
        return {"beta": found.x}

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
        "conditional": conditional, "friends": friends, "simulation": simulation,
    })  # fmt: skip
