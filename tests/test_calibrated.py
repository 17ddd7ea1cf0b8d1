"""The calibrated configs keep the shapes that they were fitted to."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from experiments.calibrate_shapes import (
    ALLOWED,
    EXTREMES,
    KNOBS,
    SHAPES,
    config_path,
    misfit,
    published,
    simulated,
    smaller,
)
from gateway.analyses.log_shape import log_shape
from gateway.pipeline import obtain_inputs
from gateway.results import load_config
from gateway.targets import check_learnable

LOGS = list(KNOBS)
# A seed that neither the fit nor the table has seen.
FRESH = 31


@cache
def table() -> dict[tuple[str, str], dict[str, str]]:
    with (SHAPES / "table.csv").open(encoding="utf-8", newline="") as stream:
        return {(row["log"], row["statistic"]): row for row in csv.DictReader(stream)}


def off(log: str, shape: dict[str, float], *, skipped: tuple[str, ...] = ()) -> dict[str, float]:
    """Statistics of one seed that are off by more than the table's mean may be, and the rest
    of its row: whatever stands there as differing, and three standard deviations over seeds.
    """
    found = {}
    for name, expected in published(log).items():
        if name not in ALLOWED or name in skipped:
            continue
        row = table()[log, name]
        spread = misfit(expected + 3 * float(row["sd"]), expected, ALLOWED[name])
        stored = abs(misfit(float(row["simulated"]), expected, ALLOWED[name]))
        if abs(misfit(shape[name], expected, ALLOWED[name])) > max(1.0, stored) + spread:
            found[name] = shape[name]
    return found


@pytest.mark.compiled
def test_meetup__keeps_its_shape_and_is_a_whole_config():
    config = load_config(config_path("meetup"), overrides=[f"experiment.seed={FRESH}"])
    platform = obtain_inputs(config)
    world = platform.world
    assert world is not None
    tail_from = int(published("meetup")["tail_from"])
    shape = log_shape(platform.joins, world.groups.topic, tail_from=tail_from)
    assert off("meetup", shape.to_dict()) == {}
    check_learnable(platform.joins, platform.targets)
    assert platform.targets.count >= 3


@pytest.mark.compiled
def test_youtube__keeps_its_shape_at_a_tenth_of_its_size():
    config = load_config(config_path("youtube"))
    assert config.world is not None
    sizes = [f"world.users={config.world.users}", f"world.groups={config.world.groups}"]
    settings = smaller(config, sizes, scale=0.1)
    got = simulated("youtube", [*settings, f"experiment.seed={FRESH}"])
    for name in ("n_joins", "n_users", "n_groups"):
        got[name] *= 10
    # The largest user and group, and the tail from 48 members on, depend on the size.
    assert off("youtube", got, skipped=(*EXTREMES, "tail_exponent")) == {}


@pytest.mark.slow
def test_youtube__keeps_its_shape_and_is_a_whole_config():
    platform = obtain_inputs(
        load_config(config_path("youtube"), overrides=[f"experiment.seed={FRESH}"])
    )
    shape = log_shape(platform.joins, tail_from=int(published("youtube")["tail_from"]))
    assert off("youtube", shape.to_dict()) == {}
    check_learnable(platform.joins, platform.targets)
    assert platform.targets.count >= 3


@pytest.mark.parametrize("log", LOGS)
def test_table__is_about_every_published_statistic_and_says_what_differs(log):
    rows = {name: row for (of, name), row in table().items() if of == log}
    assert set(rows) == set(published(log)) & set(ALLOWED)
    for name, row in rows.items():
        expected = published(log)[name]
        assert float(row["published"]) == pytest.approx(expected, rel=1e-5)
        within = abs(misfit(float(row["simulated"]), expected, ALLOWED[name])) <= 1
        assert row["verdict"] == ("agrees" if within else "differs"), name


def test_misfit__is_one_at_the_edge_of_what_is_allowed():
    assert misfit(0.5, 0.48, (0.02, 0.0)) == pytest.approx(1.0)
    assert misfit(90.0, 100.0, (0.0, 0.1)) == pytest.approx(-1.0)
    assert misfit(-1.166, -1.06, (0.0, 0.1)) == pytest.approx(-1.0)
    assert misfit(4.0, 4.0, (0.0, 0.0)) == 0.0
    assert misfit(4.5, 4.0, (0.0, 0.0)) == 1.0


def test_shape__of_an_uncalibrated_platform_is_another():
    """The check can fail: the quickstart's world is far from both logs."""
    config = load_config(Path(config_path("meetup")).with_name("quickstart.toml"))
    world = obtain_inputs(
        config.model_copy(update={"world": config.world.model_copy(update={"users": 5_000})})
    )
    got = log_shape(world.joins, world.world.groups.topic).to_dict()
    wrong = [name for name in ("one_join", "another_1", "size_sigma", "gap_median")
             if abs(misfit(got[name], published("meetup")[name], ALLOWED[name])) > 2]  # fmt: skip
    assert len(wrong) == 4
    assert np.isfinite(got["same_category"])
