"""What strangers give, and how the command line answers it."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.__main__ import main
from gateway.config import config_to_toml, parse_config
from gateway.provenance import MODEL_VERSION
from gateway.results import SweepFolder, draft_result
from gateway.sweep import read_plan
from gateway.sweep.driver import compact
from tests.result_tables import result_tables
from tests.worlds import SMALL

# A command that waits for a pipe or reads a device waits for ever.
PATIENCE_SECONDS = 60
SWEPT = SMALL + '[sweep.over]\n"world.users" = [700, 800]\n'
PROVENANCE: dict[str, Any] = {
    "gateway_version": "1",
    "python": "3.11.7",
    "packages": {"numpy": "2.1"},
    "commit": None,
    "dirty": None,
    "cpu": "one",
    "cores": 2,
    "platform": "Linux",
    "model_version": MODEL_VERSION,
    "finished": "2026-01-01T00:00:00+00:00",
    "compute_seconds": 1.0,
    "peak_memory_mib": 100.0,
}


@pytest.fixture
def answer(request, tmp_path, monkeypatch, capsys) -> Callable[..., tuple[int, str]]:
    """The command line in this process: exit code and what it complains of."""
    monkeypatch.chdir(tmp_path)
    # What is plotted is of interest here; it is drawn with `make verify`.
    is_slow = request.node.get_closest_marker("slow") is not None
    request.getfixturevalue("unrendered" if is_slow else "undrawn")

    def hang(*_: object) -> None:
        raise AssertionError(f"no answer within {PATIENCE_SECONDS} s")

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["gateway", *map(str, words)])
        before = signal.signal(signal.SIGALRM, hang)
        signal.alarm(PATIENCE_SECONDS)
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
        return ended.value.code or 0, capsys.readouterr().err

    return run


def make_result(folder: Path, text: str = SMALL, *, n_groups: int = 400) -> Path:
    """A whole result that no run made."""
    with draft_result(folder) as draft:
        for name, table in result_tables(n_groups=n_groups, n_panels=1).items():
            draft.write_table(name, table)
        draft.write_text("config.toml", config_to_toml(parse_config(text)))
        draft.write_text("report.html", "<p>report</p>")
        draft.write_json("provenance.json", PROVENANCE)
        draft.write_status("run", wall_seconds=1.0)
    return folder


def make_sweep(folder: Path) -> Path:
    """A whole sweep of two points that no sweep made."""
    config = folder.with_suffix(".toml")
    config.write_text(SWEPT)
    plan, place = read_plan(config), SweepFolder(folder)
    lock = place.prepare()
    place.write_config(plan.toml)
    journal = place.journal()
    journal.write("sweep_started", points=2, missing=2)
    for point in plan.points:
        journal.write("started", point=point.key, worker="pid 1", pid=1)
        make_result(place.point(point.key), config_to_toml(point.config))
        journal.write("finished", point=point.key, seconds=1.0, worker_peak_mib=100.0)
    compact(plan, place)
    lock.release()
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> dict[str, Path]:
    """A result and a sweep, to be copied."""
    root = tmp_path_factory.mktemp("stored")
    return {"result": make_result(root / "result"), "sweep": make_sweep(root / "sweep")}


@pytest.fixture
def result(made, tmp_path) -> Path:
    return Path(shutil.copytree(made["result"], tmp_path / "result"))


@pytest.fixture
def sweep(made, tmp_path) -> Path:
    return Path(shutil.copytree(made["sweep"], tmp_path / "sweep"))


def rewrite_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
