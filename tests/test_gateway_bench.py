"""GatewayBench: a detector that is submitted is measured beside the package's own."""

from __future__ import annotations

import csv
import json
import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from experiments import gateway_bench
from gateway import plugins
from tests.worlds import random_log

CONFIG = """
[experiment]
name = "bench_small"
seed = 1
[log]
path = "{path}"
[targets]
groups = ["g0", "g1", "g2", "g3", "g4", "g5"]
[check]
gateways = 3
"""

# The share of a group's members who join a target in a later tick, and no p-value.
SUBMITTED = """
import numpy as np

def later(joins, targets):
    user = np.repeat(np.arange(joins.n_users), np.diff(joins.offsets))
    last = np.full(joins.n_users, -1)
    hit = targets.mask[joins.group]
    np.maximum.at(last, user[hit], joins.time[hit])
    follows = joins.time < last[user]
    return np.bincount(joins.group, follows, joins.n_groups) / np.maximum(joins.sizes(), 1)
"""


@pytest.fixture
def bench(tmp_path, monkeypatch, capsys):
    """Return a function that runs the command and gives what it printed, and its folder."""
    with (tmp_path / "joins.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(("user", "group", "time"))
        joins = random_log(3, users=400, groups=30, days=300)
        writer.writerows(
            (f"u{u}", f"g{g}", t)
            for u, g, t in zip(joins.user(), joins.group, joins.time, strict=True)
        )
    configs, out = tmp_path / "configs", tmp_path / "out"
    configs.mkdir()
    (configs / "small.toml").write_text(CONFIG.format(path=tmp_path / "joins.csv"))
    (tmp_path / "submitted.py").write_text(SUBMITTED)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "submitted", raising=False)
    monkeypatch.setattr(gateway_bench, "detectors_for", lambda joins: ("frequentist",))

    def run(*words: str) -> str:
        gateway_bench.inputs_of.cache_clear()
        always = ("--out", str(out), "--configs", str(configs), "--seeds", "7", "--nulls", "1")
        monkeypatch.setattr(sys, "argv", ["gateway_bench.py", *always, *words])
        gateway_bench.main()
        return capsys.readouterr().out

    return run, out


def test_bench__measures_a_function_that_is_submitted(bench):
    run, out = bench
    said = run("--detector", "submitted:later")
    assert "small-planted-aligned-ratio8-107: frequentist, submitted:later" in said
    assert said.count("| `submitted:later` | association | flags nobody | flags nobody |") == 1
    planted = json.loads((out / "small-planted-anywhere-ratio8-107.json").read_text())
    found = planted["found"]["submitted:later"]
    # Who joins a planted gateway joins targets afterwards far more often.
    assert found["n_planted"] == 3
    assert found["average_precision"] > 0.9


def test_bench__computes_what_is_missing_and_what_another_version_made(bench, monkeypatch):
    run, out = bench
    first = run()
    assert first.count(": frequentist\n") == 2 + 2 * len(gateway_bench.EFFECTS)
    table = first[first.index("| detector") :]
    assert run() == table
    assert "small-labels_permuted-7: submitted:later\n" in run("--detector", "submitted:later")
    monkeypatch.setattr(gateway_bench, "MODEL_VERSION", 10_000)
    assert run().startswith(first[: first.index("\n")])
    assert {json.loads(path.read_text())["model"] for path in out.glob("*.json")} == {10_000}


def test_bench__takes_the_name_of_an_entry_point(bench, monkeypatch):
    run, _ = bench
    mine = EntryPoint(name="brought", value="submitted:later", group="gateway.detectors")

    def entry_points(**wanted):
        fits = wanted["group"] == mine.group and wanted.get("name", "brought") == "brought"
        return EntryPoints([mine] if fits else [])

    monkeypatch.setattr(plugins, "entry_points", entry_points)
    assert "| `brought` | association |" in run("--detector", "brought")
