"""One benchmark for every hot path; `make bench` runs them, `make test` does not.

Seconds of one machine on one day: to compare two versions, run both side by side
(`pytest tests/benchmarks --benchmark-autosave`, then `--benchmark-compare`). What may not get
slower unnoticed is held by `tests/test_speed.py`, in ratios. Sizes against which costs grow
are measured by `experiments/scaling.py`, other programs by `experiments/peers.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.stages import STAGES, Size, draw_to
from gateway._numba import kernel
from gateway.randomness_kernels import philox, uniform
from gateway.results import load_config
from gateway.world import draw_world
from gateway.world.friendships import draw_friendships

# Half a million joins: seconds for all benchmarks together, beyond the caches of a core.
USERS, GROUPS, JOINS = 50_000, 5_000, 500_000
WORLD_USERS, WORLD_GROUPS = 20_000, 2_000
DRAWS = 1_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the log of the size above, drawn once."""
    path: Path = tmp_path_factory.mktemp("log")
    draw_to(Size(USERS, GROUPS, JOINS, path))
    return path


@pytest.mark.parametrize("name", STAGES)
def test_stage(benchmark: Any, folder: Path, name: str) -> None:
    users, groups = (WORLD_USERS, WORLD_GROUPS) if STAGES[name].simulated else (USERS, GROUPS)
    prepared = STAGES[name].prepare(Size(users, groups, JOINS, folder))
    _timed(benchmark, prepared.work)
    benchmark.extra_info["rows"] = prepared.rows()
    benchmark.extra_info["evaluations"] = prepared.evaluations()
    assert prepared.rows() > 0


def test_friendships(benchmark: Any) -> None:
    config = load_config("configs/quickstart.toml", overrides=[f"world.users={WORLD_USERS}"])
    world = draw_world(config)
    graph = _timed(benchmark, lambda: draw_friendships(config.world, world.users, seed=1))
    assert len(graph.friend) == round(WORLD_USERS * config.world.mean_friends / 2) * 2


@kernel
def _mean_of_draws(count):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(count):
        word, _, _, _ = philox(1, 2, i, 3, 4)
        total += uniform(word)
    return total / count


def test_philox(benchmark: Any) -> None:
    got = _timed(benchmark, lambda: _mean_of_draws(DRAWS))
    # Ten standard errors of the mean of uniform numbers.
    assert got == pytest.approx(0.5, abs=10 * np.sqrt(1 / 12 / DRAWS))


def _timed(benchmark: Any, work: Callable[[], Any]) -> Any:
    """Time after one round that loads the kernels."""
    return benchmark.pedantic(work, rounds=5, warmup_rounds=1)
